with

arrivals as (

    select * from {{ source("staging", "customers") }}

)

select
    customer_id,
    email,
    full_name,
    country_code,
    signed_up_at,
    updated_at
from arrivals
qualify row_number() over (
    partition by customer_id
    order by updated_at desc, arrival_date desc, _file desc, _record desc
) = 1
