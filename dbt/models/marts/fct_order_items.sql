with

lines as (

    select * from {{ ref("int_order_items") }}

)

select
    order_id,
    line_number,
    order_date,
    customer_id,
    product_id,
    quantity,
    unit_price,
    line_amount
from lines
