"""Frames of every kind in and out of an engine: pandas, pyarrow, DuckDB relations, ibis tables. Nothing is stored here.

Rows travel as Arrow record batches; a relation is streamed and never becomes a pandas frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import duckdb
import ibis
import pandas as pd
import pyarrow as pa

from data_platform.errors import LakeError, UsageError

BATCH_ROWS = 100_000
KINDS = "pandas.DataFrame, pyarrow.Table, duckdb.DuckDBPyRelation or ibis.Table"
_REFUSED = ("HUGEINT", "UHUGEINT", "UUID")
# What a frame's own types become in a table that has no contract: other engines must be able to read it.
_OWN = {
    "TIMESTAMP_NS": "TIMESTAMP", "TIMESTAMP_MS": "TIMESTAMP", "TIMESTAMP_S": "TIMESTAMP", '"NULL"': "VARCHAR",
}  # fmt: skip
_NULLABLE: Mapping[pa.DataType, Any] = {
    pa.int8(): pd.Int8Dtype(), pa.int16(): pd.Int16Dtype(), pa.int32(): pd.Int32Dtype(), pa.int64(): pd.Int64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}  # fmt: skip


def batches(frame: object, *, has_contract: bool) -> pa.RecordBatchReader:
    """The rows of a frame as record batches. A pandas index is not a column. Raises `UsageError` for another kind of
    object, `LakeError` for columns that are no table's: doubled names, mixed objects, HUGEINT or UUID without a contract."""
    if isinstance(frame, duckdb.DuckDBPyRelation):
        if not has_contract:
            refuse_types(dict(zip(frame.columns, map(str, frame.types), strict=True)))
        return frame.to_arrow_reader(BATCH_ROWS)
    if isinstance(frame, ibis.Table):
        return frame.to_pyarrow_batches(chunk_size=BATCH_ROWS)
    if isinstance(frame, pa.RecordBatchReader):
        return frame
    if isinstance(frame, pd.DataFrame):
        try:
            frame = pa.Table.from_pandas(frame, preserve_index=False)
        except (pa.ArrowInvalid, pa.ArrowTypeError, ValueError) as error:
            raise LakeError(
                f"The frame is no table: {error}", fix="give each column one type and a name of its own"
            ) from None
    if not isinstance(frame, pa.Table):
        raise UsageError(f"`{type(frame).__name__}` is no frame.", fix=f"return {KINDS}")
    if len(set(frame.column_names)) != len(frame.column_names):
        raise LakeError("The frame has two columns of one name.", fix="rename one")
    return frame.to_reader(BATCH_ROWS)


def own_types(con: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """The types that a table without a contract gets from a relation. Raises `LakeError` for HUGEINT and UUID."""
    found = {name: kind for name, kind, *_ in con.execute(f"DESCRIBE {relation}").fetchall()}
    refuse_types(found)
    return {name: "VARCHAR" if kind.startswith("ENUM") else _OWN.get(kind, kind) for name, kind in found.items()}


def refuse_types(types: Mapping[str, str]) -> None:
    """Raises `LakeError` for a type that other engines cannot read."""
    for name, kind in types.items():
        if kind in _REFUSED:
            raise LakeError(
                f"`{name}` is {kind}, which other engines cannot read.", fix="cast it: BIGINT, DECIMAL(38,0), VARCHAR"
            )


def deliver(con: duckdb.DuckDBPyConnection, sql: str, wanted: object) -> object:
    """The rows of a query as the kind of frame an annotation asks for; pandas when it asks for none. A relation or an
    ibis table keeps `con` open and is not run yet."""
    kind = _KINDS.get(wanted, None) if isinstance(wanted, type) else None
    if kind is None and wanted in (Any, object, None):
        kind = _to_pandas
    if kind is None:
        raise UsageError(f"`{wanted}` is no kind of frame.", fix=f"annotate the input with {KINDS}")
    return kind(con, sql)


def _to_pandas(con: duckdb.DuckDBPyConnection, sql: str) -> pd.DataFrame:
    """Exact: decimals stay decimals, dates dates, and whole numbers with gaps do not become floats."""
    table = con.execute(sql).to_arrow_table()
    frame: pd.DataFrame = table.to_pandas()
    for name in table.column_names:
        column = table.column(name)
        if column.null_count and column.type in _NULLABLE:
            frame[name] = column.to_pandas(types_mapper=_NULLABLE.get)
    return frame


def _to_arrow(con: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    return con.execute(sql).to_arrow_table()


def _to_relation(con: duckdb.DuckDBPyConnection, sql: str) -> duckdb.DuckDBPyRelation:
    return con.sql(sql)


def _to_ibis(con: duckdb.DuckDBPyConnection, sql: str) -> ibis.Table:
    return ibis.duckdb.from_connection(con).sql(sql)


_KINDS: Mapping[object, Callable[[duckdb.DuckDBPyConnection, str], object]] = {
    pd.DataFrame: _to_pandas, pa.Table: _to_arrow, duckdb.DuckDBPyRelation: _to_relation, ibis.Table: _to_ibis,
    ibis.expr.types.Table: _to_ibis, object: _to_pandas,
}  # fmt: skip
