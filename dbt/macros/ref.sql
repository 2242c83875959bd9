{#-
  A model of this invocation is read where it was just built; any other mart as it was last committed to the lake,
  so that one mart can be rebuilt alone. Ephemeral models, seeds and the fixtures of unit tests are left as they are.
-#}
{% macro ref() -%}
{%- set relation = builtins.ref(*varargs, **kwargs) -%}
{%- if not execute or relation.is_cte -%}
  {{- return(relation) -}}
{%- endif -%}
{%- set node = namespace(id=none) -%}
{%- for selected in selected_resources -%}
  {%- if selected.split(".")[0] in ("model", "seed") and selected.split(".")[-1] == relation.identifier -%}
    {%- set node.id = selected -%}
  {%- endif -%}
{%- endfor -%}
{%- if node.id is none -%}
  {{- return(api.Relation.create(database="lake", schema="marts", identifier=relation.identifier)) -}}
{%- endif -%}
{{- return(relation) -}}
{%- endmacro %}
