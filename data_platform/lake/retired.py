"""Columns that a contract has given up: expand, then contract. Readers keep them as NULL for three contract versions.

A mart's table keeps every column it ever had; which of them readers see follows from the recorded contracts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from data_platform.lake.recorded import history
from data_platform.lake.sql import TableName, ident
from data_platform.lake.staging import Shape

KEPT_VERSIONS = 3


def _retired(versions: Sequence[tuple[int, set[str]]], shape: Shape) -> Mapping[str, int]:
    """The table's columns that its contract has no more, with the contract's version that gave each up. Nothing when no
    contract was ever recorded."""
    if not versions:
        return {}
    found = {}
    for column in shape.columns:
        if column in versions[-1][1] or column in shape.partition_by:
            continue
        without = versions[-1][0]
        for version, columns in reversed(versions):
            if column in columns:
                break
            without = version
        found[column] = without
    return found


def reader_columns(con: duckdb.DuckDBPyConnection, name: TableName, shape: Shape) -> tuple[str, str]:
    """The select list of the published view, and the words for those who look at it: which columns are deprecated."""
    versions = [(row.version, _columns(row.plain)) for row in history(con, str(name))]
    retired, now = _retired(versions, shape), max((version for version, _ in versions), default=0)
    kept = {column: version for column, version in retired.items() if now - version < KEPT_VERSIONS}
    chosen = [
        f"NULL::{kind} AS {ident(column)}" if column in kept else ident(column)
        for column, kind in shape.columns.items()
        if column in kept or column not in retired
    ]
    said = [
        f"{column}: deprecated since contract version {version}, always NULL, gone with version {version + KEPT_VERSIONS}"
        for column, version in kept.items()
    ]
    return ", ".join(chosen), "; ".join(said)


def _columns(definition: Mapping[str, object]) -> set[str]:
    columns = definition.get("columns")
    return {column["name"] for column in columns} if isinstance(columns, list) else set()
