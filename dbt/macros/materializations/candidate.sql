{#-
  Rows that wait for their audit: a Parquet file with a view of the model's name on it, columns in the types of the
  contract. Written once and read a few times, it costs a third of a table in a DuckDB file.
-#}
{% materialization candidate, adapter="duckdb" %}
  {%- if not config.get("contract").enforced -%}
    {%- do exceptions.raise_compiler_error("`" ~ this.identifier ~ "` has no enforced contract.") -%}
  {%- endif -%}
  {%- set relation = this.incorporate(type="view") -%}
  {%- set file = var("build_file", "candidates") ~ "." ~ this.identifier ~ ".parquet" -%}
  {{ run_hooks(pre_hooks) }}
  {% call statement("main") -%}
    {{ get_assert_columns_equivalent(sql) }}
    copy (
      select
      {%- for column in model.columns.values() %}
        cast({{ adapter.quote(column.name) }} as {{ column.data_type }}) as {{ adapter.quote(column.name) }}
        {{- "," if not loop.last }}
      {%- endfor %}
      from (
        {{ sql }}
      ) as model_subq
    ) to '{{ file | replace("'", "''") }}' (format parquet, compression snappy, dictionary_size_limit 1000)
  {%- endcall %}
  {% call statement("view") -%}
    create view {{ relation }} as from read_parquet('{{ file | replace("'", "''") }}')
  {%- endcall %}
  {{ run_hooks(post_hooks) }}
  {% do persist_docs(relation, model) %}
  {{ adapter.commit() }}
  {{ return({"relations": [relation]}) }}
{% endmaterialization %}
