"""Reads JSON lines: one object a line, blank lines aside. A line that is no object is set aside with its bytes.

Values keep their text: a number is written as it came (`1.10` stays `1.10`), `true` and `false` are words, `null` and an
absent field are NULL, objects and lists are kept as JSON.

Fast path: DuckDB, when every line is a flat object of plain names, all of them known to the contract. DuckDB turns `1.10`
into `1.1`, so the text of a number is taken from the line; in a flat object `"name":` can only be the field itself.
Otherwise the careful path reads line by line in Python.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

import duckdb

from data_platform.lake.sql import ident, text
from data_platform.sources.reader_records import Lines, strip_end
from data_platform.sources.reader_scan import Scan, open_plain, refuse_binary
from data_platform.sources.reader_spool import ORIGIN, SPOOL_FORMAT, Layout, Spool, cut_off, lay_out, missing_column

HEAD = 8192
BOM = b"\xef\xbb\xbf"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_ .-]+")
_STRING = r'"(?:[^"\\\x00-\x1f]|\\.)*"'
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_PAIR = rf'\s*"[^"\\\x00-\x1f]*"\s*:\s*(?:{_STRING}|{_NUMBER}|true|false|null)\s*'
_FLAT = rf"\s*\{{{_PAIR}(?:,{_PAIR})*\}}\s*"


class Fields:
    """What the contract wants of a line: per source column whether it is required and whether it may be empty."""

    def __init__(self, required: Mapping[str, bool], nullable: Mapping[str, bool]) -> None:
        self.required, self.nullable = required, nullable

    def layout(self, name: str, seen: Mapping[str, None], has_records: bool) -> Layout:
        """The layout of a file with the fields seen. Raises `SourceError` when a required field that may not be empty is
        in no record; one that may be empty can be left out of an object, as `null` can."""
        known = tuple(self.required)
        if not has_records:
            return lay_out(name, known, self.required)
        extra = tuple(field for field in seen if field not in self.required)
        for field in known:
            if self.required[field] and not self.nullable[field] and field not in seen:
                raise missing_column(name, field, extra)
        return Layout(tuple(seen), known, tuple(field for field in known if field not in seen), extra)


def refuse_other(found: Scan, name: str) -> None:
    """Raises `SourceError` when the file's first bytes are not those of JSON lines."""
    with open_plain(found.path, name) as file:
        refuse_binary(file.read(HEAD), name, "JSON lines")


def read_fast(
    con: duckdb.DuckDBPyConnection, found: Scan, name: str, fields: Fields, spool: Path
) -> tuple[Layout, int] | None:
    """Spools the file with DuckDB and returns its layout and number of records, or None when the careful path must
    read it. Raises `SourceError` as `Fields.layout` does."""
    doubtful = found.has_nul or found.bare_cr or found.crlf not in (0, found.newlines) or not found.is_utf8
    if doubtful or not all(_PLAIN_NAME.fullmatch(field) for field in fields.required):
        return None
    lines = (
        f"read_csv({text(str(found.path))}, auto_detect=false, header=false, columns={{'line': 'VARCHAR'}}, delim=chr(31), "
        f"quote='', escape='', comment='', strict_mode=true, compression='none', force_not_null=['line'])"
    )
    records = found.newlines + (not found.ends_with_newline)
    try:
        shapes = con.execute(
            f"SELECT json_keys(line) AS keys, count(*), bool_and(regexp_full_match(line, {text(_FLAT)})) FROM {lines} GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        seen = dict.fromkeys(field for keys, _, _ in shapes for field in keys)
        is_plain = all(is_flat and len(set(keys)) == len(keys) for keys, _, is_flat in shapes)
        if not is_plain or sum(count for _, count, _ in shapes) != records or not seen.keys() <= fields.required.keys():
            return None
        row = con.execute(f"COPY ({_select(lines, fields)}) TO {text(str(spool))} ({SPOOL_FORMAT})").fetchone()
    except duckdb.Error:
        return None
    return (fields.layout(name, seen, records > 0), records) if row == (records,) else None


def _select(lines: str, fields: Fields) -> str:
    types = json.dumps(dict.fromkeys(fields.required, "VARCHAR"))
    origin = [f"NULL::{kind} AS {column}" for column, kind in ORIGIN.items()]
    chosen = ", ".join([*map(_value, fields.required), *origin])
    return f"SELECT {chosen} FROM (SELECT line, from_json(line, {text(types)}) AS found FROM {lines})"


def _value(field: str) -> str:
    """A field as text; where that looks like a number, as the line spells it. The comparison with `:` (which follows `9`)
    keeps the patterns off most values."""
    found, number = f"found.{ident(field)}", text(rf'"{re.escape(field)}"\s*:\s*(-?[0-9][-+0-9.eE]*)')
    as_it_came = f"coalesce(nullif(regexp_extract(line, {number}, 1), ''), {found})"
    return f"CASE WHEN {found} < ':' AND regexp_full_match({found}, '[-+0-9.eE]+') THEN {as_it_came} ELSE {found} END AS {ident(field)}"


class _Number(str):
    """The text of a number, told apart from a string."""


class _DefectError(ValueError):
    """Why a line is no record."""


def read_careful(found: Scan, name: str, fields: Fields, spool: Spool) -> Layout:
    """Spools the file line by line and returns its layout. Raises `SourceError` when its last line stops in the middle,
    and as `Fields.layout` does."""
    seen: dict[str, None] = {}
    known = tuple(fields.required)
    hooks = {
        "parse_float": _Number,
        "parse_int": _Number,
        "parse_constant": _refuse_constant,
        "object_pairs_hook": _unique,
    }
    parse = json.JSONDecoder(**hooks).decode  # type: ignore[arg-type]
    with open_plain(found.path, name) as file:
        lines = Lines(file, name)
        while (line := lines.take()) is not None:
            offset, raw = line
            body = strip_end(raw)
            if not body.strip():
                continue
            try:
                record = _record(body.removeprefix(BOM) if offset == 0 else body, parse)
            except _DefectError as defect:
                if not raw.endswith(b"\n"):
                    raise cut_off(name, offset, spool.records) from None
                spool.reject(offset, body, str(defect))
                continue
            seen.update(dict.fromkeys(record))
            extra = {field: value for field, value in record.items() if field not in fields.required}
            spool.accept([_text(record.get(field)) for field in known], _json(extra) if extra else None, len(raw))
    return fields.layout(name, seen, has_records=spool.records > spool.set_aside)


def _record(body: bytes, parse: Callable[[str], object]) -> dict[str, object]:
    try:
        record = parse(body.decode())
    except UnicodeDecodeError as error:
        raise _DefectError(f"invalid UTF-8 at byte {error.start} of the line") from None
    except _DefectError:
        raise
    except (ValueError, RecursionError) as error:
        raise _DefectError(f"no JSON: {error}") from None
    if not isinstance(record, dict):
        raise _DefectError("no JSON object")
    if b"\\ud" in body or b"\\uD" in body:
        _refuse_surrogates(record)
    return record


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise _DefectError(f"the field `{next(name for name in names if names.count(name) > 1)}` twice in one object")
    return found


def _refuse_constant(word: str) -> NoReturn:
    raise _DefectError(f"no JSON: `{word}`")


def _refuse_surrogates(record: Mapping[str, object]) -> None:
    """`ensure_ascii=False` leaves half of a surrogate pair as it is, and no encoder takes it."""
    try:
        _json(record).encode()
    except UnicodeEncodeError:
        raise _DefectError("half of a surrogate pair, which is no text") from None


def _text(value: object) -> str | None:
    if value is None or type(value) is str:
        return value
    return str.__str__(value) if isinstance(value, _Number) else _json(value)


def _json(value: object) -> str:
    """JSON text in which numbers are written as they came."""
    if isinstance(value, _Number):
        return str.__str__(value)
    if isinstance(value, dict):
        return (
            "{"
            + ",".join(f"{json.dumps(name, ensure_ascii=False)}:{_json(item)}" for name, item in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ",".join(map(_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
