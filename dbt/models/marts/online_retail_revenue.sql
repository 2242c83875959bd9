with

invoice_lines as (

    select *
    from {{ source("staging", "online_retail") }}
    where {{ window("invoiced_at") }}

),

lines as (

    select
        cast(invoiced_at as date) as revenue_date,
        country,
        invoice,
        customer_id,
        cast(quantity * unit_price as decimal(18, 3)) as amount,
        quantity > 0 and unit_price > 0 as is_sale,
        starts_with(invoice, 'C') as is_cancellation
    from invoice_lines

)

select
    revenue_date,
    country,
    cast(date_trunc('month', revenue_date) as date) as invoice_month,
    count(*) as line_count,
    count(distinct invoice) filter (where is_sale) as sale_count,
    count(distinct invoice) filter (where is_cancellation) as cancellation_count,
    count(distinct customer_id) as customer_count,
    cast(sum(amount) as decimal(18, 3)) as gross_amount,
    cast(coalesce(sum(amount) filter (where is_sale), 0) as decimal(18, 3)) as sales_amount,
    cast(
        coalesce(sum(amount) filter (where is_cancellation and not is_sale), 0) as decimal(18, 3)
    ) as returns_amount,
    cast(
        coalesce(sum(amount) filter (where not is_cancellation and not is_sale), 0) as decimal(18, 3)
    ) as adjustments_amount
from lines
group by revenue_date, country
