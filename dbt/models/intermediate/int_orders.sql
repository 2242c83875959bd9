with

arrivals as (

    select * from {{ source("staging", "orders") }}

)

select
    order_id,
    customer_id,
    status,
    country_code,
    total_amount,
    ordered_at,
    cast(ordered_at as date) as order_date
from arrivals
where {{ window("ordered_at") }}
