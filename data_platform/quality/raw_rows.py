"""Raw rows as they are judged: which record a row is, its texts under the contract of today, and what people decided
about it. SQL text only, but for a look at which columns the raw table has.

A record is known by its file's hash, its number in the file and the partition it came into: the same bytes may be
delivered again on another day.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from data_platform.contracts.model import Column, Contract
from data_platform.contracts.partitioning import KEY_FORMAT, Dimension, Values
from data_platform.lake.sql import ident, json_path, names, partition_text, partitions_condition, text, texts

ORIGIN = ("_file", "_file_hash", "_record", "_offset", "_bytes")


def in_partitions(contract: Contract, partitions: Sequence[Values]) -> str:
    """A condition that holds for rows of these partitions."""
    types = {dimension.column: dimension.duckdb_type for dimension in contract.partition.dimensions}
    texts = [{name: partition_text(values[name], kind) for name, kind in types.items()} for values in partitions]
    return f"({partitions_condition(types, texts)})"


def identity(contract: Contract) -> str:
    """The columns that say which record a row of raw, staging or quarantine is."""
    return names(("_file_hash", "_record", *contract.partition.columns))


def key_sql(contract: Contract) -> str:
    """SQL for a row's partition key, as `Partitioning.key` spells it."""
    parts = [
        ident(part.column) if part.grain == "static" else f"strftime({ident(part.column)}, {text(KEY_FORMAT[part.grain])})"
        for part in _in_key(contract)
    ]  # fmt: skip
    return " || '|' || ".join(parts) or "''"


def _in_key(contract: Contract) -> list[Dimension]:
    return sorted(contract.partition.dimensions, key=lambda dimension: dimension.column)


def _places(contract: Contract) -> dict[str, str]:
    """By partition column: SQL for its value out of `partition_key`, for it is the patches that are few."""
    dimensions, found = _in_key(contract), {}
    for number, part in enumerate(dimensions, 1):
        said = "partition_key" if len(dimensions) == 1 else f"split_part(partition_key, '|', {number})"
        moment = f"try_strptime({said}, {text(KEY_FORMAT.get(part.grain, ''))})::{part.duckdb_type}"
        found[part.column] = said if part.grain == "static" else moment
    return found


def row_pack(contract: Contract) -> str:
    """SQL for the raw row as one struct, as it came."""
    return f"struct_pack({', '.join(f'{ident(column.source)} := {ident(column.source)}' for column in contract.columns.values())})"


def raw_rows(con: duckdb.DuckDBPyConnection, contract: Contract, where: str) -> str:
    """A query of raw rows with a text per source column of the contract of today. What was loaded under an earlier one
    is found where that put it: among the columns that it did not know, or under a header that is an alias by now.
    `_extra` has what today's contract does not know either."""
    found = con.execute(
        "SELECT lower(column_name) FROM duckdb_columns() "
        "WHERE database_name = 'lake' AND schema_name = 'raw' AND table_name = ?", [contract.table],
    ).fetchall()  # fmt: skip
    there = {name for (name,) in found}
    columns = contract.columns.values()
    values = ", ".join(f"{_text_of(column, there)} AS {ident(column.source)}" for column in columns)
    known = [header for column in columns for header in (column.source, *column.aliases)]
    nothing = ", ".join(f"{text(header)}, NULL" for header in known)
    rest = f"nullif(json_merge_patch(_extra, json_object({nothing}))::VARCHAR, '{{}}')"
    lead = names((*contract.partition.columns, *ORIGIN))
    return f"""
        SELECT {lead}, _defect, {values},
            CASE WHEN list_has_any(json_keys(_extra), {texts(known)}) THEN {rest} ELSE _extra END AS _extra
        FROM lake.raw.{ident(contract.table)} WHERE {where}"""


def _text_of(column: Column, there: set[str]) -> str:
    """The first text that a raw row has for the column under any of its headers."""
    headers = (column.source, *column.aliases)
    loaded = "".join(f"{ident(header)}, " for header in headers if header.lower() in there)
    unknown = ", ".join(f"json_extract_string(_extra, {json_path(header)})" for header in headers)
    return f"coalesce({loaded}CASE WHEN _extra IS NOT NULL THEN coalesce({unknown}) END)"


def decided(contract: Contract, rows: str, patches: str) -> str:
    """A query of raw rows with `_decided`, the patch that counts for each as a struct of its columns. `patches` has at
    most one per record; one that names no partition, as the first ones did, counts where no other does."""
    known = "p AS _patch, file_hash AS _of, record AS _number"
    places = "".join(f", {value} AS {ident(f'at:{name}')}" for name, value in _places(contract).items())
    here = "".join(f" AND came.{ident(name)} = own.{ident(f'at:{name}')}" for name in contract.partition.columns)
    return f"""
        SELECT came.*, coalesce(own._patch, anywhere._patch) AS _decided FROM ({rows}) AS came
        LEFT JOIN (SELECT {known}{places} FROM ({patches}) AS p WHERE partition_key IS NOT NULL) AS own
            ON came._file_hash = own._of AND came._record = own._number{here}
        LEFT JOIN (SELECT {known} FROM ({patches}) AS p WHERE partition_key IS NULL) AS anywhere
            ON came._file_hash = anywhere._of AND came._record = anywhere._number"""


def patched(contract: Contract, rows: str, patches: str | None) -> str:
    """A query of raw rows (`rows` is one with the raw table's columns) with what people decided about them: texts
    that a fix changed, `_raw` with the row as it came, `_discarded` with the reason of a discard."""
    if patches is None:
        return f"SELECT *, {row_pack(contract)} AS _raw, NULL::VARCHAR AS _discarded FROM ({rows})"
    changed = ", ".join(
        f"CASE WHEN json_exists(_changes, {path}) THEN json_extract_string(_changes, {path}) ELSE {ident(source)} END AS {ident(source)}"
        for source, path in ((column.source, json_path(column.source)) for column in contract.columns.values())
    )
    return f"""
        SELECT * EXCLUDE (_decided) REPLACE ({changed}) FROM (
            SELECT *, {row_pack(contract)} AS _raw,
                CASE WHEN _decided.kind = 'fix' THEN _decided.changes::JSON END AS _changes,
                CASE WHEN _decided.kind = 'discard' THEN _decided.reason END AS _discarded
            FROM ({decided(contract, rows, patches)}))"""
