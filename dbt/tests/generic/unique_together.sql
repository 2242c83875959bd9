{#- Rows whose `columns` together occur more than once. -#}
{% test unique_together(model, columns) %}

select {{ columns | join(", ") }}, count(*) as row_count
from {{ model }}
group by {{ columns | join(", ") }}
having count(*) > 1

{% endtest %}
