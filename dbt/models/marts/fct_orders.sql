with

orders as (

    select * from {{ ref("int_orders") }}

),

lines as (

    select
        order_id,
        count(*) as line_count,
        cast(sum(line_amount) as decimal(18, 2)) as gross_amount
    from {{ ref("int_order_items") }}
    group by order_id

),

payments as (

    select * from {{ ref("int_order_payments") }}

)

select
    orders.order_id,
    orders.order_date,
    orders.ordered_at,
    orders.customer_id,
    orders.status,
    orders.country_code,
    coalesce(lines.line_count, 0) as line_count,
    coalesce(lines.gross_amount, 0) as gross_amount,
    orders.total_amount,
    coalesce(payments.paid_amount, 0) as paid_amount,
    orders.status = 'cancelled' as is_cancelled
from orders
left join lines on orders.order_id = lines.order_id
left join payments on orders.order_id = payments.order_id
