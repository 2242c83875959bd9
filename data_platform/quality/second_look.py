"""Rows that were set aside for a reason that has gone: another partition had their key, and has it no more.

Which partition is loaded first must not decide for good which row is kept. Only finding them; screening their partition
again is what brings them back.
"""

from __future__ import annotations

import duckdb

from data_platform.contracts.model import Column, Contract
from data_platform.lake.sql import ident, names, table_name, text
from data_platform.quality.compiler import typed_value


def freed(con: duckdb.DuckDBPyConnection, contract: Contract) -> dict[str, int]:
    """Rows of `quarantine.<table>` that are there for the rule `key` alone while no row of the table has their key, by
    partition key. Nothing for a table whose key has another scope, or that was never loaded."""
    if contract.key is None or contract.key.scope != "table" or not _is_there(con, contract):
        return {}
    columns = [contract.columns[name] for name in contract.key.columns]
    by = contract.partition.columns
    raw = ", ".join(_raw(column) for column in columns)
    typed = ", ".join(f"{typed_value(column)} AS {ident(column.name)}" for column in columns)
    same = " AND ".join(f"aside.{ident(name)} = kept.{ident(name)}" for name in contract.key.columns)
    rows = con.execute(f"""
        WITH texts AS (
            SELECT {names(by) or "1 AS one"}, {raw} FROM lake.quarantine.{ident(contract.table)} WHERE rules = 'key'
        ), aside AS (SELECT * EXCLUDE ({", ".join(ident(f"raw:{column.name}") for column in columns)}), {typed} FROM texts)
        SELECT {names(by) or "one"}, count(*) FROM aside
        WHERE NOT EXISTS (FROM {table_name(contract.name).sql} AS kept WHERE {same})
        GROUP BY ALL ORDER BY ALL""").fetchall()
    return {contract.partition.key(dict(zip(by, row, strict=False))): int(row[-1]) for row in rows}


def _raw(column: Column) -> str:
    """The text that the quarantined row has for the column, as `typed_value` reads it."""
    path = text(f'$."{column.source}"')
    return f"NULLIF(TRIM(json_extract_string(\"row\", {path})), '') AS {ident(f'raw:{column.name}')}"


def _is_there(con: duckdb.DuckDBPyConnection, contract: Contract) -> bool:
    row = con.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE database_name = 'lake' AND table_name = ? "
        "AND schema_name IN ('quarantine', 'staging')", [contract.table],
    ).fetchone()  # fmt: skip
    return row == (2,)
