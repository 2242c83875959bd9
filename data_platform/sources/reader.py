"""Reads one drop file into a spool of raw records, counted at the source. Nothing is loaded here.

What is a record: a CSV record after the header (several lines when a quoted value holds line feeds), a line of a JSON
lines file, a row of a Parquet file; blank lines are none. `records` counts them all, the ones set aside included.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from data_platform.contracts.model import Contract
from data_platform.errors import SourceError
from data_platform.lake.sql import ident, json_path, text
from data_platform.lake.storage import storage_errors
from data_platform.sources import reader_csv as csv
from data_platform.sources import reader_jsonl as jsonl
from data_platform.sources.declare import Feed
from data_platform.sources.reader_parquet import read_parquet
from data_platform.sources.reader_scan import Scan, check_unchanged, scan
from data_platform.sources.reader_spool import Layout, Spool, lay_out, missing_column


@dataclass(frozen=True)
class InPlace:
    """A clean CSV file that is read where it is: the query of its records, what they must come to, and how a record's
    bytes in values are counted once it is landed."""

    sql: str
    promise: csv.Promise
    value_bytes: str


@dataclass(frozen=True)
class FileRead:
    """What a file gave. `file` is its path relative to the landing folder; `spool` a Parquet file of its records in
    order, unless it is `in_place`; `extra_columns` are in the file and unknown to the contract; `aliases` are other headers
    of the file that mean one of the `columns`; `is_fast` tells which path read it."""

    file: str
    file_hash: str
    size: int
    records: int
    set_aside: int
    extra_columns: tuple[str, ...]
    columns: tuple[str, ...]
    aliases: Mapping[str, tuple[str, ...]]
    spool: Path
    is_fast: bool
    missing: tuple[str, ...] = ()
    in_place: InPlace | None = None

    def discard(self) -> None:
        """Removes the spool, once it is staged."""
        self.spool.unlink(missing_ok=True)
        self.spool.with_suffix(".source").unlink(missing_ok=True)

    @property
    def relation(self) -> str:
        """A query of the raw columns: source columns as VARCHAR, then `_file`, `_file_hash`, `_record` (from 1),
        `_offset`, `_bytes`, `_defect`, `_extra`."""
        chosen = ", ".join(self._value(column) for column in self.columns)
        if self.in_place:
            number, source = "row_number() OVER ()", f"({self.in_place.sql})"
        else:
            number = "file_row_number + 1"
            source = f"read_parquet({text(str(self.spool))}, file_row_number=true, hive_partitioning=false)"
        return (
            f"SELECT {chosen}, {text(self.file)} AS _file, {text(self.file_hash)} AS _file_hash, "
            f"{number} AS _record, _offset, _bytes, _defect, {self._extra} AS _extra FROM {source}"
        )

    def _value(self, column: str) -> str:
        """The column's text; under another header the reader kept it among the extra columns."""
        others = [f"json_extract_string(_extra, {json_path(alias)})" for alias in self.aliases.get(column, ())]
        return f"coalesce({', '.join([ident(column), *others])}) AS {ident(column)}" if others else ident(column)

    @property
    def _extra(self) -> str:
        known = {alias: None for aliases in self.aliases.values() for alias in aliases}
        if not known:
            return "_extra"
        left = f"nullif(json_merge_patch(_extra, {text(json.dumps(known))})::VARCHAR, '{{}}')"
        return f"CASE WHEN _extra IS NOT NULL THEN {left} END"


Land = Callable[[FileRead], bool]


def read_feed(
    con: duckdb.DuckDBPyConnection, feed: Feed, contract: Contract, landing: Path, file: str, spool: Path,
    land: Land | None = None,
) -> FileRead:  # fmt: skip
    """Reads `landing/file` into `spool`, the path of a new Parquet file, never used before. `contract` is the staging contract.
    A clean CSV file is offered to `land` first, which may read it in place and tells whether it came out as promised.

    Raises `SourceError`, naming the file, when it is missing, unreadable, empty, of another kind than the feed says,
    cut off, changed while it was read, or lacks a required column; `StorageError` when the spool cannot be written."""
    found = scan(landing / file, file)
    try:
        with storage_errors(spool.parent):
            read = _known_by_aliases(contract, _read(con, feed, contract, found, file, spool, land))
        check_unchanged(found, file)
    except SourceError as error:
        error.file_hash = found.sha256
        raise
    return read


def _read(
    con: duckdb.DuckDBPyConnection, feed: Feed, contract: Contract, found: Scan, file: str, spool: Path,
    land: Land | None,
) -> FileRead:  # fmt: skip
    source = _alias(found, spool)
    required = {column.source: column.required and not column.aliases for column in contract.columns.values()}
    if feed.format == "parquet":
        return _file_read(file, found, *read_parquet(con, source, file, required, spool), spool)
    if feed.format == "jsonl":
        fields = jsonl.Fields(required, {column.source: column.nullable for column in contract.columns.values()})
        jsonl.refuse_other(found, file)
        fast = jsonl.read_fast(con, source, file, fields, spool)
        if fast is not None:
            return _file_read(file, found, *fast, spool)
        with Spool(_second(spool), tuple(required)) as writer:
            layout = jsonl.read_careful(found, file, fields, writer)
        return _file_read(file, found, layout, writer.records, writer.path, writer.set_aside, is_fast=False)
    header = csv.read_header(found.path, file, feed)
    layout = lay_out(file, header.names, required)
    promise = csv.promised(feed, source, header)
    if land and promise and promise.records and not layout.extra:
        held = csv.length_sql([ident(name) for name in header.names], quoted=source.quotes > header.quotes)
        place = InPlace(csv.csv_sql(feed, source, header, layout), promise, held)
        read = replace(_file_read(file, found, layout, promise.records, spool), in_place=place)
        if land(read):
            return read
    records = csv.read_fast(con, feed, source, header, layout, spool)
    if records is not None:
        return _file_read(file, found, layout, records, spool)
    with Spool(_second(spool), layout.known) as writer:
        csv.read_careful(feed, found, file, header, layout, writer)
    return _file_read(file, found, layout, writer.records, writer.path, writer.set_aside, is_fast=False)


def _file_read(
    file: str, found: Scan, layout: Layout, records: int, spool: Path, set_aside: int = 0, *, is_fast: bool = True
) -> FileRead:
    known = layout.known
    return FileRead(
        file, found.sha256, found.size, records, set_aside, layout.extra, known, {}, spool, is_fast, layout.missing
    )


def _known_by_aliases(contract: Contract, read: FileRead) -> FileRead:
    """The read with its extra columns that are another header of a column. Raises `SourceError` for a required column
    that the file has under none of its names."""
    found = {
        column.source: tuple(alias for alias in column.aliases if alias in read.extra_columns)
        for column in contract.columns.values()
        if column.aliases
    }
    for column in contract.columns.values():
        if (
            column.aliases
            and column.required
            and column.source in read.missing
            and not found[column.source]
            and read.records
        ):
            raise missing_column(read.file, column.source, read.extra_columns)
    used = {alias for aliases in found.values() for alias in aliases}
    extra = tuple(name for name in read.extra_columns if name not in used)
    return replace(read, extra_columns=extra, aliases={column: names for column, names in found.items() if names})


def _second(spool: Path) -> Path:
    """The name of the careful path's spool, once what the fast path left is gone; a name that DuckDB has not seen."""
    spool.unlink(missing_ok=True)
    return spool.with_suffix(".careful")


def _alias(found: Scan, spool: Path) -> Scan:
    """The same file under a name that was never used: DuckDB may answer from its cache for a name that it knows, and
    takes one with `*`, `?` or `[` for a pattern."""
    link = spool.with_suffix(".source")
    link.symlink_to(found.path)
    return replace(found, path=link)
