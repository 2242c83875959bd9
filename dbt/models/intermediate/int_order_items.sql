with

arrivals as (

    select * from {{ source("staging", "order_items") }}

)

select
    order_id,
    line_number,
    product_id,
    quantity,
    unit_price,
    cast(ordered_at as date) as order_date,
    cast(quantity * unit_price as decimal(18, 2)) as line_amount
from arrivals
where {{ window("ordered_at") }}
