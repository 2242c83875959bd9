"""Broken drop files for the sample shop: one kind a day, each in one table, with what a careful reader must make of it.

The days are written whole first; then one file of each is broken. The truth of the day follows: rows behind a planted
record move down, rows of a file that cannot be read are no longer expected. Which rows are dirty is said elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb

from data_platform.lake.sql import text
from data_platform.lake.storage import storage_errors
from data_platform.sources.sample import DEFAULT_SEED, TRUTH_DIR, sample_path, write_sample
from data_platform.sources.sample_day import EVENT_TIME

MANIFEST = TRUTH_DIR / "broken.json"


@dataclass(frozen=True)
class SetAside:
    """A record that cannot be read: its number from 1, its byte offset, its bytes without the line end."""

    record: int
    offset: int
    raw: bytes


@dataclass(frozen=True)
class Broken:
    """A file's new bytes. `is_readable`: whether the day's load commits. Of a readable file: `is_empty`, whether no
    record is left; `set_aside` and `inserted`, the records and numbers put between the others; `warns`, the raw rules
    it breaks."""

    content: bytes
    expected: str
    is_readable: bool = True
    is_empty: bool = False
    set_aside: tuple[SetAside, ...] = ()
    inserted: tuple[int, ...] = ()
    warns: tuple[str, ...] = ()


@dataclass(frozen=True)
class BrokenFile:
    """What was planted where. `records` counts a readable file's records, those to be set aside included."""

    kind: str
    table: str
    day: date
    file: str
    is_readable: bool
    records: int | None
    set_aside: tuple[SetAside, ...]
    warns: tuple[str, ...]
    expected: str


def plant_broken_files(landing: Path, start: date, *, scale: float = 1.0, seed: int = DEFAULT_SEED) -> list[BrokenFile]:
    """Writes one day per kind from `start`, breaks one file of each, and writes the manifest beside the truth.

    With the scale and seed of a sample that is there already, only the broken files differ from it. Raises what
    `write_sample` raises."""
    write_sample(landing, start=start, days=len(KINDS), scale=scale, seed=seed)
    planted = []
    with storage_errors(landing), duckdb.connect() as con:
        for place, (kind, (table, make)) in enumerate(KINDS.items()):
            day = start + timedelta(days=place)
            path = sample_path(landing, table, day)
            whole = path.read_bytes()
            broken = make(whole, day)
            _replace(path, broken.content)
            _correct_truth(con, landing, table, day, broken)
            planted.append(_entry(kind, table, day, path.relative_to(landing), whole, broken))
        listed = json.dumps([asdict(entry) for entry in planted], indent=1, default=_plain)
        _replace(landing / MANIFEST, listed.encode())
    return planted


def _entry(kind: str, table: str, day: date, file: Path, whole: bytes, broken: Broken) -> BrokenFile:
    records = None
    if broken.is_readable:
        lines = len(whole.splitlines()) - (not file.name.endswith(".jsonl"))
        records = 0 if broken.is_empty else lines + len(broken.inserted)
    return BrokenFile(
        kind, table, day, file.as_posix(), broken.is_readable, records, broken.set_aside, broken.warns, broken.expected
    )


def _plain(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _replace(path: Path, content: bytes) -> None:
    half = path.with_name(f".{path.name}.tmp")
    half.write_bytes(content)
    half.replace(path)


def _correct_truth(con: duckdb.DuckDBPyConnection, landing: Path, table: str, day: date, broken: Broken) -> None:
    """Moves or drops the truth of the broken file. Where nothing of it is loaded, a row sent again on the day after
    is no duplicate: only late."""
    if not broken.is_readable or broken.is_empty:
        kept = f'"table" <> {text(table)}'
        _rewrite(con, landing, day, f"SELECT * FROM truth WHERE {kept}")
        late, alone = text(f"{EVENT_TIME[table]}.late"), f'"table" = {text(table)} AND needs_day IS NOT NULL'
        _rewrite(con, landing, day + timedelta(days=1), f"""
            SELECT * REPLACE (CASE WHEN {alone} THEN {late} ELSE rules END AS rules,
                CASE WHEN {alone} THEN 'flagged' ELSE fate END AS fate, CASE WHEN NOT ({alone}) THEN needs_day END AS needs_day)
            FROM truth""")  # fmt: skip
    for number in broken.inserted:
        moved = f'"table" = {text(table)} AND record >= {number}'
        _rewrite(
            con, landing, day, f"SELECT * REPLACE (record + CASE WHEN {moved} THEN 1 ELSE 0 END AS record) FROM truth"
        )


def _rewrite(con: duckdb.DuckDBPyConnection, landing: Path, day: date, select: str) -> None:
    path = landing / TRUTH_DIR / f"{day}.parquet"
    if not path.exists():
        return
    half = path.with_name(f".{path.name}.tmp")
    con.execute(f"CREATE OR REPLACE TABLE truth AS SELECT * FROM read_parquet({text(str(path))})")
    con.execute(f'COPY ({select} ORDER BY "table", record) TO {text(str(half))} (FORMAT parquet, COMPRESSION zstd)')
    half.replace(path)


def _zero_bytes(_whole: bytes, _day: date) -> Broken:
    return Broken(b"", "the day fails: the file is empty", is_readable=False)


def _binary(_whole: bytes, day: date) -> Broken:
    noise = b"".join(hashlib.sha256(f"{day}{block}".encode()).digest() for block in range(128))
    return Broken(b"\x89PNG\r\n\x1a\n" + noise, "the day fails: a picture is no CSV", is_readable=False)


def _cut_in_half(whole: bytes, _day: date) -> Broken:
    return Broken(whole[: len(whole) // 2], "the day fails: the file is cut off", is_readable=False)


def _cut_in_record(whole: bytes, _day: date) -> Broken:
    """Cut behind the second comma of a record in the middle: neither a CSV nor a JSON record can end there."""
    at = whole.index(b"\n", len(whole) // 2) + 1
    for _ in range(2):
        at = whole.index(b",", at) + 1
    return Broken(whole[:at], "the day fails: the last record is cut off", is_readable=False)


def _missing_column(whole: bytes, _day: date) -> Broken:
    lines = (line.split(b",") for line in whole.splitlines())
    content = b"".join(b",".join((*values[:3], *values[4:])) + b"\n" for values in lines)
    return Broken(content, "the day fails: the column `quantity` is missing", is_readable=False)


def _header_only(whole: bytes, _day: date) -> Broken:
    return Broken(whole[: whole.index(b"\n") + 1], "the day is recorded with no rows", is_empty=True)


def _extra_column(whole: bytes, _day: date) -> Broken:
    lines = whole.splitlines()
    content = b"".join([lines[0] + b",colour\n", *(line + b",blue\n" for line in lines[1:])])
    return Broken(content, "all records load; `colour` is kept in raw, with a warning", warns=("extra_columns",))


def _insert(whole: bytes, *bad: bytes, header: bool = True) -> tuple[bytes, tuple[SetAside, ...]]:
    """Puts records between the file's records, the first in the middle, the others each one record further on."""
    lines = whole.splitlines(keepends=True)
    middle, planted = len(lines) // 2, []
    for place, raw in enumerate(bad):
        at = middle + 2 * place
        planted.append(SetAside(at + 1 - header, sum(map(len, lines[:at])), raw))
        lines.insert(at, raw + b"\n")
    return b"".join(lines), tuple(planted)


def _set_aside(whole: bytes, *bad: bytes, header: bool = True) -> Broken:
    content, planted = _insert(whole, *bad, header=header)
    expected = f"{len(bad)} record(s) set aside with bytes and offset, the others load"
    numbers = tuple(record.record for record in planted)
    return Broken(content, expected, set_aside=planted, inserted=numbers, warns=("unparsable_records",))


def _invalid_utf8(whole: bytes, day: date) -> Broken:
    return _set_aside(whole, f"O0000000001,1,P\xff\xfe001,1,9.99,{day} 10:00:00".encode("latin-1"))


def _ragged(whole: bytes, day: date) -> Broken:
    return _set_aside(whole, b"O0000000001,1,P000001", f"O0000000002,1,P000001,1,9.99,{day} 10:00:00,and,more".encode())


def _broken_json(whole: bytes, _day: date) -> Broken:
    return _set_aside(whole, b'{"payment_id":"T0000000001","order_id":', header=False)


def _unterminated(whole: bytes, day: date) -> Broken:
    return _set_aside(whole, f'P990001,"Bowl without an end,Kitchen,9.99,{day} 00:30:00'.encode())


def _quoted_newline(whole: bytes, day: date) -> Broken:
    content, planted = _insert(whole, f'P990002,"Bowl,\nin two lines",Kitchen,9.99,{day} 00:30:00'.encode())
    return Broken(content, "all records load: a quoted line feed is a value's own", inserted=(planted[0].record,))


# The tables are those nothing else refers to, or products with one record more, so that only the broken file is hurt.
KINDS: dict[str, tuple[str, Callable[[bytes, date], Broken]]] = {
    "zero_bytes": ("order_items", _zero_bytes),
    "binary_named_csv": ("order_items", _binary),
    "truncated_parquet": ("events", _cut_in_half),
    "truncated_jsonl": ("payments", _cut_in_record),
    "truncated_csv": ("order_items", _cut_in_record),
    "missing_column": ("order_items", _missing_column),
    "header_only": ("order_items", _header_only),
    "extra_column": ("products", _extra_column),
    "invalid_utf8": ("order_items", _invalid_utf8),
    "ragged_lines": ("order_items", _ragged),
    "broken_json": ("payments", _broken_json),
    "unterminated_quote": ("products", _unterminated),
    "quoted_newline": ("products", _quoted_newline),
}
