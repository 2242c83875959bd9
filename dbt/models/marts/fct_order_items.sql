with

lines as (

    select * from {{ ref("int_order_items") }}

),

orders as (

    select
        order_id,
        customer_id
    from {{ ref("int_orders") }}

)

-- A line whose order is gone keeps an empty customer, so that the audit refuses the day rather than losing the line.
select
    lines.order_id,
    lines.line_number,
    lines.order_date,
    orders.customer_id,
    lines.product_id,
    lines.quantity,
    lines.unit_price,
    lines.line_amount
from lines
left join orders on lines.order_id = orders.order_id
