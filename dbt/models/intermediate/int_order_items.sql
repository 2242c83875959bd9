with

lines as (

    select * from {{ source("staging", "order_items") }}

),

orders as (

    select
        order_id,
        customer_id,
        ordered_at
    from {{ source("staging", "orders") }}

),

-- A line belongs to the business day of its order, whatever its own moment says, so that the window a mart is built in
-- changes nothing. One whose order is gone stays on its own day with no customer: the audit refuses it, it is not lost.
placed as (

    select
        lines.order_id,
        lines.line_number,
        orders.customer_id,
        lines.product_id,
        lines.quantity,
        lines.unit_price,
        coalesce(orders.ordered_at, lines.ordered_at) as placed_at
    from lines
    left join orders on lines.order_id = orders.order_id

)

select
    order_id,
    line_number,
    customer_id,
    product_id,
    quantity,
    unit_price,
    cast(placed_at as date) as order_date,
    cast(quantity * unit_price as decimal(18, 2)) as line_amount
from placed
where {{ window("placed_at") }}
