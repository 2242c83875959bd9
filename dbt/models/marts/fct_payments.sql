with

arrivals as (

    select * from {{ source("staging", "payments") }}

)

select
    payment_id,
    cast(paid_at as date) as payment_date,
    paid_at,
    order_id,
    method,
    status,
    amount
from arrivals
where {{ window("paid_at") }}
