"""Reads CSV drop files. The dialect and the columns are stated, never sniffed.

Fast path: DuckDB, strict. Its answer is believed only when nothing in the file's bytes gives cause for doubt, when it
found as many records as the file has lines, and when every byte of the file is accounted for by values, delimiters,
quotes and line ends. Otherwise the careful path reads the file again, record by record, and sets aside what cannot be
read. Both give the same text: an empty value is '', never NULL.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from data_platform.errors import SourceError
from data_platform.lake.sql import ident, text
from data_platform.sources.declare import Feed
from data_platform.sources.reader_records import Grammar, Lines, split, strip_end
from data_platform.sources.reader_scan import Scan, open_plain, refuse_binary
from data_platform.sources.reader_spool import ORIGIN, SPOOL_FORMAT, Layout, Spool, cut_off

BOM = b"\xef\xbb\xbf"
HEAD = 8192


@dataclass(frozen=True)
class Header:
    """The names in the first record, and where the data begins; `lines` and `quotes` are what stands before that."""

    names: tuple[str, ...]
    start: int
    lines: int
    quotes: int


def read_header(path: Path, name: str, feed: Feed) -> Header:
    """Reads the first record. Raises `SourceError` for a file that is no text or begins with no header."""
    with open_plain(path, name) as file:
        head = file.read(HEAD)
        refuse_binary(head, name, "CSV")
        file.seek(len(BOM) if head.startswith(BOM) and feed.is_utf8 else 0)
        record = next(split(Lines(file, name), Grammar(feed.delimiter, feed.encoding), None), None)
        if record is None or record.values is None or not any(record.values):
            cause = f"cannot be read: {record.defect}" if record is not None and record.defect else "is blank"
            raise SourceError(f"`{name}` has no header: its first line {cause}.", fix="deliver it with a header line")
        if b"\r" in strip_end(record.raw):
            raise SourceError(f"`{name}` ends its lines with bare carriage returns.", fix="deliver it with line feeds")
        start = record.offset + len(record.raw)
        file.seek(0)
        before = file.read(start)
        return Header(record.values, start, before.count(b"\n"), before.count(b'"'))


@dataclass(frozen=True)
class Promise:
    """What DuckDB must find in a file, by its bytes: so many records, and so many bytes in their values, quotes aside."""

    records: int
    value_bytes: int


def promised(feed: Feed, found: Scan, header: Header) -> Promise | None:
    """What the file must hold; None when its bytes give cause for doubt, and the careful path must read it."""
    doubtful = (
        found.has_nul
        or found.bare_cr
        or found.quoted_apart
        or found.crlf not in (0, found.newlines)
        or not found.is_utf8
    )
    if doubtful or not feed.is_utf8 or header.lines != 1 or len(header.names) == 1:
        return None
    is_last_open = not found.ends_with_newline and found.size > header.start
    records = found.newlines - header.lines + is_last_open
    line_end = 2 if found.crlf else 1
    between = records * (len(header.names) - 1 + line_end) - is_last_open * line_end
    unquoted = found.size - header.start - (found.quotes - header.quotes)
    return Promise(records, unquoted - between)


def read_fast(
    con: duckdb.DuckDBPyConnection, feed: Feed, found: Scan, header: Header, layout: Layout, spool: Path
) -> int | None:
    """Spools the file with DuckDB and returns the number of records, or None when the careful path must read it."""
    promise = promised(feed, found, header)
    if promise is None:
        return None
    select = csv_sql(feed, found, header, layout)
    try:
        row = con.execute(f"COPY ({select}) TO {text(str(spool))} ({SPOOL_FORMAT})").fetchone()
        held = con.execute(f"SELECT coalesce(sum(_length), 0) FROM read_parquet({text(str(spool))})").fetchone()
    except duckdb.Error:
        return None
    return promise.records if (row, held) == ((promise.records,), (promise.value_bytes,)) else None


def length_sql(columns: Sequence[str], *, quoted: bool) -> str:
    """A record's bytes in the values of these columns, quotes aside: DuckDB drops blanks before a quote and an empty value
    too many at a line's end without a word, and the sum shows it."""
    if quoted:
        # Few values hold a quote. In this order the content hash has the same text, and the engine makes it once.
        together = f"concat({', '.join(sorted(columns))})"
        bare = f"strlen(replace({together}, '\"', ''))"
        return f"CASE WHEN contains({together}, '\"') THEN {bare} ELSE strlen({together}) END"
    return " + ".join(f"strlen({column})" for column in columns)


def csv_sql(feed: Feed, found: Scan, header: Header, layout: Layout) -> str:
    """The query of the spool's columns over the file itself, with `_length`."""
    names = {name: f"c{place}" for place, name in enumerate(header.names)}
    columns = ", ".join(f"'{alias}': 'VARCHAR'" for alias in names.values())
    aliases = ", ".join(f"'{alias}'" for alias in names.values())
    source = (
        f"read_csv({text(str(found.path))}, auto_detect=false, header=true, columns={{{columns}}}, delim={text(feed.delimiter)}, "
        f"quote='\"', escape='\"', comment='', strict_mode=true, null_padding=false, ignore_errors=false, compression='none', "
        f"force_not_null=[{aliases}])"
    )
    chosen = [f"{names.get(column, 'NULL::VARCHAR')} AS {ident(column)}" for column in layout.known]
    origin = [f"NULL::{kind} AS {name}" for name, kind in ORIGIN.items() if name != "_extra"]
    extras = ", ".join(f"{text(column)}, {names[column]}" for column in layout.extra)
    extra = f"json_object({extras})::VARCHAR" if extras else "NULL::VARCHAR"
    length = length_sql(list(names.values()), quoted=found.quotes > header.quotes)
    return f"SELECT {', '.join([*chosen, *origin])}, {extra} AS _extra, {length} AS _length FROM {source}"


def read_careful(feed: Feed, found: Scan, name: str, header: Header, layout: Layout, spool: Spool) -> None:
    """Spools the file record by record. Raises `SourceError` when its last record stops in the middle."""
    places = {column: place for place, column in enumerate(header.names)}
    known = [places.get(column, -1) for column in layout.known]
    with open_plain(found.path, name) as file:
        file.seek(header.start)
        for record in split(Lines(file, name), Grammar(feed.delimiter, feed.encoding), len(header.names)):
            if record.values is None:
                if record.is_open and record.offset + len(record.raw) == found.size and not found.ends_with_newline:
                    raise cut_off(name, record.offset, spool.records)
                spool.reject(record.offset, strip_end(record.raw), record.defect or "")
                continue
            values = record.values
            extra = {column: values[places[column]] for column in layout.extra}
            text_of_extra = json.dumps(extra, ensure_ascii=False, separators=(",", ":")) if extra else None
            spool.accept([values[place] if place >= 0 else None for place in known], text_of_extra, len(record.raw))
