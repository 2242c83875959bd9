"""The four kinds of frames that the IO managers take and give, made from one SELECT and read back as rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import duckdb
import ibis
import pandas as pd
import pyarrow as pa

_other = duckdb.connect()
KINDS: dict[str, type] = {
    "pandas": pd.DataFrame, "pyarrow": pa.Table, "relation": duckdb.DuckDBPyRelation, "ibis": ibis.Table,
}  # fmt: skip
MAKE: dict[str, Callable[[str], Any]] = {
    "pandas": lambda sql: _other.execute(sql).to_arrow_table().to_pandas(types_mapper=pd.ArrowDtype),
    "pyarrow": lambda sql: _other.execute(sql).to_arrow_table(),
    "relation": lambda sql: _other.sql(sql),
    "ibis": lambda sql: ibis.duckdb.from_connection(duckdb.connect()).sql(sql),
}


def rows_of(frame: Any) -> list[dict[str, Any]]:
    """Rows as dictionaries, in no particular order; values as Python has them, NULL as None."""
    if isinstance(frame, duckdb.DuckDBPyRelation):
        return frame.to_arrow_table().to_pylist()
    if isinstance(frame, ibis.Table):
        return frame.to_pyarrow().to_pylist()
    if isinstance(frame, pd.DataFrame):
        return pa.Table.from_pandas(frame, preserve_index=False).to_pylist()
    return frame.to_pylist()
