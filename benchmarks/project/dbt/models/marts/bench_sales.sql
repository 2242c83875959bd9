with

lines as (

    select *
    from {{ source("staging", "bench_lines") }}
    where {{ window("ordered_at") }}

),

products as (

    select
        product_id,
        category
    from {{ source("staging", "bench_products") }}

)

select
    lines.order_id,
    lines.line_number,
    cast(lines.ordered_at as date) as order_date,
    lines.customer_id,
    lines.product_id,
    products.category,
    lines.status,
    lines.channel,
    lines.quantity,
    lines.unit_price,
    cast(lines.quantity * lines.unit_price as decimal(18, 2)) as line_amount
from lines
inner join products on lines.product_id = products.product_id
