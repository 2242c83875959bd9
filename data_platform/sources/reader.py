"""Reads one drop file into a spool of raw records, counted at the source. Nothing is loaded here.

What is a record: a CSV record after the header (several lines when a quoted value holds line feeds), a line of a JSON
lines file, a row of a Parquet file; blank lines are none. `records` counts them all, the ones set aside included.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from data_platform.contracts.model import Contract
from data_platform.errors import SourceError
from data_platform.lake.sql import ident, text
from data_platform.lake.storage import storage_errors
from data_platform.sources import reader_csv as csv
from data_platform.sources import reader_jsonl as jsonl
from data_platform.sources.declare import Feed
from data_platform.sources.reader_parquet import read_parquet
from data_platform.sources.reader_scan import Scan, check_unchanged, scan
from data_platform.sources.reader_spool import Layout, Spool, lay_out

GLOB = "*?["


@dataclass(frozen=True)
class FileRead:
    """What a file gave. `file` is its path relative to the landing folder; `spool` a Parquet file of its records in
    order; `extra_columns` are in the file and unknown to the contract; `is_fast` tells which path read it."""

    file: str
    file_hash: str
    size: int
    records: int
    set_aside: int
    extra_columns: tuple[str, ...]
    columns: tuple[str, ...]
    spool: Path
    is_fast: bool

    @property
    def relation(self) -> str:
        """A query of the raw columns: source columns as VARCHAR, then `_file`, `_file_hash`, `_record` (from 1),
        `_offset`, `_bytes`, `_defect`, `_extra`."""
        chosen = ", ".join(ident(column) for column in self.columns)
        return (
            f"SELECT {chosen}, {text(self.file)} AS _file, {text(self.file_hash)} AS _file_hash, "
            "file_row_number + 1 AS _record, _offset, _bytes, _defect, _extra "
            f"FROM read_parquet({text(str(self.spool))}, file_row_number=true, hive_partitioning=false)"
        )


def read_feed(con: duckdb.DuckDBPyConnection, feed: Feed, contract: Contract, landing: Path, file: str, spool: Path) -> FileRead:
    """Reads `landing/file` into `spool`, a path for a new Parquet file. `contract` is the staging contract.

    Raises `SourceError`, naming the file, when it is missing, unreadable, empty, of another kind than the feed says,
    cut off, changed while it was read, or lacks a required column; `StorageError` when the spool cannot be written."""
    found = scan(landing / file, file)
    try:
        with storage_errors(spool.parent):
            layout, records, set_aside, is_fast = _read(con, feed, contract, found, file, spool)
        check_unchanged(found, file)
    except SourceError as error:
        error.file_hash = found.sha256
        raise
    return FileRead(file, found.sha256, found.size, records, set_aside, layout.extra, layout.known, spool, is_fast)


def _read(
    con: duckdb.DuckDBPyConnection, feed: Feed, contract: Contract, found: Scan, file: str, spool: Path
) -> tuple[Layout, int, int, bool]:
    required = {column.source: column.required for column in contract.columns.values()}
    if feed.format == "parquet":
        layout, records = read_parquet(con, _without_glob(found, spool), file, required, spool)
        return layout, records, 0, True
    if feed.format == "jsonl":
        fields = jsonl.Fields(required, {column.source: column.nullable for column in contract.columns.values()})
        jsonl.refuse_other(found, file)
        fast = jsonl.read_fast(con, _without_glob(found, spool), file, fields, spool)
        if fast is not None:
            return fast[0], fast[1], 0, True
        with Spool(spool, tuple(required)) as writer:
            layout = jsonl.read_careful(found, file, fields, writer)
        return layout, writer.records, writer.set_aside, False
    header = csv.read_header(found.path, file, feed)
    layout = lay_out(file, header.names, required)
    counted = csv.read_fast(con, feed, _without_glob(found, spool), header, layout, spool)
    if counted is not None:
        return layout, counted, 0, True
    with Spool(spool, layout.known) as writer:
        csv.read_careful(feed, found, file, header, layout, writer)
    return layout, writer.records, writer.set_aside, False


def _without_glob(found: Scan, spool: Path) -> Scan:
    """The same file under a name that DuckDB does not take for a pattern."""
    if not any(mark in str(found.path) for mark in GLOB):
        return found
    link = spool.with_suffix(".source")
    link.unlink(missing_ok=True)
    link.symlink_to(found.path)
    return replace(found, path=link)
