"""Reads Parquet drop files. The records are the file's rows, counted from its footer; values become text.

Floats take their shortest text that reads back the same, timestamps are UTC, nested values are kept as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb

from data_platform.errors import PlatformError, SourceError, StorageError
from data_platform.lake.sql import ident, text
from data_platform.lake.storage import translate
from data_platform.sources.reader_scan import Scan
from data_platform.sources.reader_spool import ORIGIN, SPOOL_FORMAT, Layout, lay_out


def read_parquet(
    con: duckdb.DuckDBPyConnection, found: Scan, name: str, required: Mapping[str, bool], spool: Path
) -> tuple[Layout, int]:
    """Spools the file and returns its layout and its number of rows. Raises `SourceError` for a file that is damaged,
    cut off or no Parquet."""
    source = f"read_parquet({text(str(found.path))}, hive_partitioning=false)"
    try:
        footer = con.execute(f"SELECT num_rows FROM parquet_file_metadata({text(str(found.path))})").fetchone()
        types = {str(row[0]): str(row[1]) for row in con.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
    except duckdb.Error as error:
        raise _failure(name, error, found.path) from None
    records = int(footer[0]) if footer else 0
    layout = lay_out(name, tuple(types), required)
    chosen = [
        f"{_as_text(column, types[column]) if column in types else 'NULL::VARCHAR'} AS {ident(column)}"
        for column in layout.known
    ]
    origin = [f"NULL::{kind} AS {origin_column}" for origin_column, kind in ORIGIN.items() if origin_column != "_extra"]
    extras = ", ".join(f"{text(column)}, {_as_text(column, types[column])}" for column in layout.extra)
    extra = f"json_object({extras})::VARCHAR" if extras else "NULL::VARCHAR"
    select = f"SELECT {', '.join([*chosen, *origin])}, {extra} AS _extra FROM {source}"
    try:
        row = con.execute(f"COPY ({select}) TO {text(str(spool))} ({SPOOL_FORMAT})").fetchone()
    except duckdb.Error as error:
        raise _failure(name, error, spool.parent) from None
    if row != (records,):
        raise SourceError(
            f"`{name}` holds {row[0] if row else 0} rows where its footer says {records}.", fix="deliver the file again"
        )
    return layout, records


def _as_text(column: str, duckdb_type: str) -> str:
    name = ident(column)
    if duckdb_type == "TIMESTAMP WITH TIME ZONE":
        return f"(make_timestamp(epoch_us({name}))::VARCHAR || '+00')"
    if duckdb_type.endswith("]") or duckdb_type.startswith(("STRUCT(", "MAP(", "UNION(")):
        return f"to_json({name})::VARCHAR"
    return f"{name}::VARCHAR"


def _failure(name: str, error: duckdb.Error, place: Path) -> PlatformError:
    """The file's fault, unless the disk's, the memory's or that of something that passes."""
    failure = translate(error, place)
    if failure.transient or isinstance(failure, StorageError) or isinstance(error, duckdb.OutOfMemoryException):
        return failure
    first = str(error).strip().splitlines()[0]
    return SourceError(f"`{name}` cannot be read as Parquet: {first}", fix="deliver the whole file again")
