with

customers as (

    select * from {{ ref("int_customers_latest") }}

),

countries as (

    select * from {{ ref("country_codes") }}

)

select
    customers.customer_id,
    customers.email,
    customers.full_name,
    customers.country_code,
    countries.country_name,
    customers.signed_up_at,
    customers.updated_at
from customers
left join countries on customers.country_code = countries.country_code
