with

payments as (

    select * from {{ source("staging", "payments") }}

),

orders as (

    select order_id from {{ ref("int_orders") }}

)

-- Payments of the window's orders, on whatever day they were booked: a refund changes the day of its order.
select
    payments.order_id,
    cast(sum(
        case payments.status
            when 'captured' then payments.amount
            when 'refunded' then -payments.amount
            else 0
        end
    ) as decimal(18, 2)) as paid_amount
from payments
inner join orders on payments.order_id = orders.order_id
group by payments.order_id
