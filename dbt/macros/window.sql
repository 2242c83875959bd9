{#- True for moments of the business days asked for: half open, so that no row falls in two windows. -#}
{% macro window(column) -%}
({{ column }} >= date '{{ var("window_start") }}' and {{ column }} < date '{{ var("window_end") }}')
{%- endmacro %}
