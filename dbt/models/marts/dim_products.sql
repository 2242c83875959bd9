select
    product_id,
    product_name,
    category,
    unit_price,
    updated_at
from {{ ref("int_products_latest") }}
