{#-
  A model of this invocation is read where it was just built; any other mart as it was last committed to the lake,
  so that one mart can be rebuilt alone. Ephemeral models, seeds and the fixtures of unit tests are left as they are.
-#}
{%- macro ref() -%}
  {%- set relation = builtins.ref(*varargs, **kwargs) -%}
  {%- set name = project_name ~ "." ~ relation.identifier -%}
  {%- set is_built = ("model." ~ name) in selected_resources or ("seed." ~ name) in selected_resources -%}
  {%- if execute and not is_built and not relation.is_cte -%}
    {%- set relation = api.Relation.create(database="lake", schema="marts", identifier=relation.identifier) -%}
  {%- endif -%}
  {{- return(relation) -}}
{%- endmacro -%}
