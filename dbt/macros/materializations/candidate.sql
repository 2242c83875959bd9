{#-
  Rows that wait for their audit: Parquet files with a view of the model's name on them, columns in the types of the
  contract. `partition_by` names by model the columns that cut its table, `file_format` says how the lake's files are
  written: then each partition has files of its own, and what passes the audit joins the lake as it is.
-#}
{% materialization candidate, adapter="duckdb" %}
  {%- if not config.get("contract").enforced -%}
    {%- do exceptions.raise_compiler_error("`" ~ this.identifier ~ "` has no enforced contract.") -%}
  {%- endif -%}
  {%- set relation = this.incorporate(type="view") -%}
  {%- set cut = var("partition_by", {}).get(this.identifier, []) -%}
  {%- set place = (var("build_file", "candidates") ~ "." ~ this.identifier) | replace("'", "''") -%}
  {#- In a pattern a bracket opens a class of characters; one in a class of its own is meant as it is. -#}
  {%- set files = (place | replace("[", "[[]") ~ "/**/*.parquet") if cut else place ~ ".parquet" -%}
  {%- set columns = model.columns.values() | list -%}
  {{ run_hooks(pre_hooks) }}
  {% call statement("main") -%}
    {{ get_assert_columns_equivalent(sql) }}
    copy (
      select
      {%- for column in columns %}
        cast({{ adapter.quote(column.name) }} as {{ column.data_type }}) as {{ adapter.quote(column.name) }}
        {{- "," if not loop.last }}
      {%- endfor %}
      from (
        {{ sql }}
      ) as model_subq
    ) to '{{ place }}{{ "" if cut else ".parquet" }}' (
      {{ var("file_format", "format parquet") }}
      {%- if cut %}, partition_by ({% for name in cut %}{{ adapter.quote(name) }}{{ ", " if not loop.last }}{% endfor %})
      {%- endif -%}
    )
  {%- endcall %}
  {%- set written = run_query("select count(*) from glob('" ~ files ~ "')").columns[0].values()[0] -%}
  {% call statement("view") -%}
    create view {{ relation }} as
    select
    {%- for column in columns %}
      {{ "cast(null as " ~ column.data_type ~ ") as " if not written }}{{ adapter.quote(column.name) }}
      {{- "," if not loop.last }}
    {%- endfor %}
    {%- if not written %}
    where false
    {%- elif cut %}
    from read_parquet('{{ files }}', hive_partitioning = true, hive_types = {
      {%- for column in columns if column.name in cut %}'{{ column.name }}': {{ column.data_type }}{{ ", " if not loop.last }}{% endfor -%}
    })
    {%- else %}
    from read_parquet('{{ files }}')
    {%- endif %}
  {%- endcall %}
  {{ run_hooks(post_hooks) }}
  {% do persist_docs(relation, model) %}
  {{ adapter.commit() }}
  {{ return({"relations": [relation]}) }}
{% endmaterialization %}
