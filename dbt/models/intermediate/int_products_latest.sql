with

arrivals as (

    select * from {{ source("staging", "products") }}

)

select
    product_id,
    product_name,
    category,
    unit_price,
    updated_at
from arrivals
qualify row_number() over (
    partition by product_id
    order by updated_at desc, arrival_date desc, _file desc, _record desc
) = 1
