with

orders as (

    select *
    from {{ ref("fct_orders") }}
    where {{ window("order_date") }}

)

select
    order_date as revenue_date,
    country_code,
    count(*) as order_count,
    count(distinct customer_id) as customer_count,
    count(*) filter (where is_cancelled) as cancelled_count,
    cast(coalesce(sum(gross_amount) filter (where not is_cancelled), 0) as decimal(18, 2)) as gross_amount,
    cast(sum(paid_amount) as decimal(18, 2)) as paid_amount
from orders
group by order_date, country_code
