"""Looks at a sample file and says what is true of each of its columns. What to make of that is `draft.py`'s.

Texts are judged with the expressions that a screening uses, so a column that is said to be of a type is one.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from data_platform.contracts.model import Column, Decimal
from data_platform.errors import UsageError
from data_platform.lake.sql import ident, json_path, text
from data_platform.quality.compiler import typed_value

SAMPLE_ROWS = 500_000
FEW_VALUES = 20
MOST_COLUMNS = 500  # each is asked some sixty questions
SHOWN_VALUES = 2_000
COMMAS = ("DECIMAL(18,2)", "DOUBLE")  # kinds that may be written with a decimal comma; their facts are under `kind,`
KINDS = ("BIGINT", "DECIMAL(18,2)", "DOUBLE", "DATE", "TIMESTAMP", "BOOLEAN")
DAYS = ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%Y/%m/%d", "%Y.%m.%d", "%d %b %Y", "%d-%b-%Y", "%b %d, %Y")
TIMES = tuple(f"{day} {time}" for day in DAYS for time in ("%H:%M:%S", "%H:%M", "%I:%M %p", "%I:%M:%S %p"))
PATTERNS: Mapping[str, str] = {
    "email": r"[A-Za-z0-9._%+\-]+@[A-Za-z0-9\-]+(\.[A-Za-z0-9\-]+)+",
    "iban": r"[A-Z]{2}[0-9]{2}( ?[A-Z0-9]){11,30}",
    "ip": r"([0-9]{1,3}\.){3}[0-9]{1,3}",
    "uuid": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "phone": r"\+[0-9][0-9 ()/.\-]{6,18}",
    "zeros": r"[+-]?0[0-9]+",
    "point": r".*[.].*",
    "comma": r"[+-]?[0-9]+,[0-9]+",
    "cents": r"[+-]?[0-9]+[.,][0-9]{2}",
    "truth": r"(?i)(true|false|t|f|yes|no|y|n)",
}


@dataclass(frozen=True)
class File:
    """A sample file: how it is to be read, its columns' names as they stand there, and records that cannot be read."""

    path: Path
    format: str
    delimiter: str
    encoding: str
    header: tuple[str, ...]
    unread: int = 0


@dataclass(frozen=True)
class Facts:
    """What is true of one column. `filled` counts texts that are not blank; `fits` how many of them are of a type or
    read with a format; `like` how many match a pattern; `values` are different texts, not all of them if there are
    many; `low` and `high` are the ends of a number's range."""

    source: str
    rows: int
    filled: int
    distinct: int
    fits: Mapping[str, int]
    like: Mapping[str, int]
    values: tuple[str, ...]
    low: float | None
    high: float | None


def open_sample(con: duckdb.DuckDBPyConnection, path: Path) -> File:
    """Makes the temporary table `sample` of the first rows: trimmed texts, NULL when blank, in the columns `raw:0`, `raw:1` …
    Raises `UsageError` for a file that cannot be read or has no rows."""
    if not path.is_file():
        raise UsageError(f"`{path}` is not a file.", fix="name a file that is there")
    kind = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}.get(path.suffix.lower())
    if kind is None:
        raise UsageError(
            f"`{path.name}` is of no kind that a feed can have.", fix="use a .csv, .jsonl or .parquet file"
        )
    try:
        opened = {"csv": _open_csv, "jsonl": _open_jsonl, "parquet": _open_parquet}[kind]
        file, query = opened(con, path)
        _refuse_names(file)
        columns = ", ".join(f"NULLIF(TRIM(c{n}), '') AS {ident(f'raw:{n}')}" for n in range(len(file.header)))
        con.execute(f"CREATE OR REPLACE TEMP TABLE sample AS SELECT {columns} FROM ({query}) LIMIT {SAMPLE_ROWS}")
    except (duckdb.Error, UnicodeError, csv.Error) as error:
        raise UsageError(f"`{path.name}` cannot be read as {kind}: {str(error).splitlines()[0]}") from None
    if con.execute("SELECT 1 FROM sample LIMIT 1").fetchone() is None:
        if file.format == "csv" and sum(1 for line in path.open("rb") if line.strip()) > 1:
            raise UsageError(
                f"`{path.name}`: none of its records can be read: too many or too few fields, or one of over 2 MB.",
                fix="compare a record with the header",
            )
        raise UsageError(
            f"`{path.name}` has no rows: nothing can be learned from it.", fix="take a file with some days' rows"
        )
    return file


def _refuse_names(file: File) -> None:
    if len(file.header) > MOST_COLUMNS:
        raise UsageError(
            f"`{file.path.name}` has {len(file.header):,} columns; a contract is drafted for at most {MOST_COLUMNS}.",
            fix="cut the sample to the columns that are needed",
        )
    names = [name.lower() for name in file.header]
    for name in file.header:
        if not name.strip() or not name.isprintable() or '"' in name:
            raise UsageError(f"`{file.path.name}` has a column named {name!r}.", fix="give each column a plain name")
        if names.count(name.lower()) > 1:
            raise UsageError(f"`{file.path.name}` has two columns named `{name}`.", fix="give each its own name")


def _open_csv(con: duckdb.DuckDBPyConnection, path: Path) -> tuple[File, str]:
    data = path.read_bytes()
    try:
        encoding, words = "utf-8", data.decode("utf-8-sig")
    except UnicodeDecodeError:
        encoding, words = "cp1252", data.decode("cp1252", errors="replace")
    if "\0" in words or ("\ufffd" in words[:65_536] and encoding == "cp1252"):
        raise UsageError(
            f"`{path.name}` is not text of UTF-8 or Windows-1252.",
            fix="save it as UTF-8; a feed reads CSV, JSON lines, Parquet",
        )
    # The quickest guess that holds: of the usual delimiters the one that cuts the header into most names.
    head = words[:65_536]
    delimiter = max(",;\t|", key=lambda mark: len(next(csv.reader(io.StringIO(head, newline=""), delimiter=mark), [])))
    header = tuple(next(csv.reader(io.StringIO(head, newline=""), delimiter=delimiter), []))
    if not header:
        raise UsageError(f"`{path.name}` has no header.", fix="take a file with a header line")
    if encoding == "utf-8":
        columns = ", ".join(f"'c{n}': 'VARCHAR'" for n in range(len(header)))
        query = (
            f"FROM read_csv([{text(str(path))}], auto_detect=false, header=true, columns={{{columns}}}, "
            f"delim={text(delimiter)}, quote='\"', escape='\"', null_padding=true, ignore_errors=true, parallel=false)"
        )
        (kept,) = con.execute(f"SELECT count(*) FROM ({query})").fetchone() or (0,)
        unread = max(0, _records(words, delimiter) - kept)
    else:
        import pyarrow as pa

        rows = itertools.islice(csv.reader(io.StringIO(words, newline=""), delimiter=delimiter), 1, SAMPLE_ROWS + 1)
        given = list(rows)
        whole = [row for row in given if len(row) == len(header)]
        unread = len(given) - len(whole)
        con.register("sample_rows", pa.table({f"c{n}": [row[n] for row in whole] for n in range(len(header))}))
        query = "FROM sample_rows"
    return File(path, "csv", delimiter, encoding, header, unread), query


def _records(words: str, delimiter: str) -> int:
    """Records after the header, blank lines aside; 0 where they cannot be counted."""
    try:
        return sum(1 for row in csv.reader(io.StringIO(words, newline=""), delimiter=delimiter) if row) - 1
    except csv.Error:
        return 0


def _open_jsonl(_: duckdb.DuckDBPyConnection, path: Path) -> tuple[File, str]:
    names: dict[str, None] = {}
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        for line in itertools.islice(lines, SAMPLE_ROWS):
            try:
                found = json.loads(line)
            except ValueError:
                continue  # the reader sets it aside
            names |= dict.fromkeys(found) if isinstance(found, dict) else {}
    if not names:
        raise UsageError(f"`{path.name}` has no line that is a JSON object.", fix="write one object per line")
    paths = [json_path(name) for name in names]
    chosen = ", ".join(f"json_extract_string(json, {at}) AS c{n}" for n, at in enumerate(paths))
    source = f"read_json_objects([{text(str(path))}], format='newline_delimited', ignore_errors=true)"
    return File(path, "jsonl", ",", "utf-8", tuple(names)), f"SELECT {chosen} FROM {source}"


def _open_parquet(con: duckdb.DuckDBPyConnection, path: Path) -> tuple[File, str]:
    source = f"read_parquet([{text(str(path))}], hive_partitioning=false)"
    names = tuple(name for name, *_ in con.execute(f"DESCRIBE FROM {source}").fetchall())
    chosen = ", ".join(f"CAST({ident(name)} AS VARCHAR) AS c{n}" for n, name in enumerate(names))
    return File(path, "parquet", ",", "utf-8", names), f"SELECT {chosen} FROM {source}"


def facts(con: duckdb.DuckDBPyConnection, file: File) -> list[Facts]:
    """What is true of each column of `sample`, in the file's order."""
    return [_facts(con, place, source) for place, source in enumerate(file.header)]


def _facts(con: duckdb.DuckDBPyConnection, place: int, source: str) -> Facts:
    value = ident(f"raw:{place}")
    kinds = {kind: _typed(place, kind) for kind in KINDS}
    kinds |= {form: _typed(place, "DATE", form) for form in DAYS}
    kinds |= {form: _typed(place, "TIMESTAMP", form) for form in TIMES}
    kinds |= {f"{kind},": _typed(place, kind, decimal=",") for kind in COMMAS}
    number = f"COALESCE({kinds['DOUBLE']}, {kinds['DOUBLE,']})"
    fits = ", ".join(f"count({expression})" for expression in kinds.values())
    like = ", ".join(f"count_if(regexp_full_match({value}, {text(pattern)}))" for pattern in PATTERNS.values())
    row = con.execute(f"""
        SELECT count(*), count({value}), count(DISTINCT {value}), min({number}), max({number}), {fits}, {like}
        FROM sample""").fetchone()
    assert row is not None
    rows, filled, distinct, low, high, *counts = row
    found = con.execute(
        f"SELECT DISTINCT {value} FROM sample WHERE {value} IS NOT NULL LIMIT {SHOWN_VALUES}"
    ).fetchall()
    named = dict(zip([*kinds, *PATTERNS], counts, strict=True))
    return Facts(
        source, rows, filled, distinct, {name: named[name] for name in kinds}, {name: named[name] for name in PATTERNS},
        tuple(sorted(value for (value,) in found)), low, high,
    )  # fmt: skip


def _typed(place: int, kind: str, form: str | None = None, decimal: Decimal = ".") -> str:
    return typed_value(Column(str(place), kind, True, "", "", (), (form,) if form else (), decimal, None, True, ()))


def matches(con: duckdb.DuckDBPyConnection, place: int, pattern: str) -> int:
    """How many texts of a column the pattern matches as a whole."""
    row = con.execute(
        f"SELECT count_if(regexp_full_match({ident(f'raw:{place}')}, ?)) FROM sample", [pattern]
    ).fetchone()
    return int(row[0]) if row else 0


def identify(con: duckdb.DuckDBPyConnection, places: Sequence[int]) -> bool:
    """Whether these columns together are different in every row."""
    columns = ", ".join(ident(f"raw:{place}") for place in places)
    row = con.execute(f"SELECT count(*) FROM (SELECT 1 FROM sample GROUP BY {columns} HAVING count(*) > 1)").fetchone()
    return row == (0,)


def shape_pattern(values: Sequence[str]) -> str | None:
    """A pattern for codes of one shape, such as `C\\d{8}` for C00000001; None where there is no common shape."""
    shapes = {re.sub("[a-z]", "a", re.sub("[A-Z]", "A", re.sub("[0-9]", "9", value))) for value in values}
    if len(values) < 2 or any(not value.isascii() for value in values):
        return None
    if len(shapes) == 1:
        return _of_one_length(values, shapes.pop())
    heads = {re.split("[0-9]", value, maxsplit=1)[0] for value in values}
    if len(heads) == 1 and all(re.fullmatch("[0-9]+", value[len(next(iter(heads))) :]) for value in values):
        head = heads.pop()
        return _escaped(head) + r"\d+" if re.fullmatch(r"[A-Za-z]{1,6}[-_/]?", head) else None
    return None


def _of_one_length(values: Sequence[str], shape: str) -> str | None:
    if " " in shape or not re.search("[9A]", shape) or len(shape) > 40:
        return None
    classes = {"9": r"\d", "A": "[A-Z]", "a": "[a-z]"}
    parts = []
    for place, mark in enumerate(shape):
        letters = {value[place] for value in values}
        constant = len(letters) == 1 and mark != "9"
        parts.append(_escaped(letters.pop()) if constant else classes[mark])
    runs = [(part, len(list(same))) for part, same in itertools.groupby(parts)]
    return "".join(part if count == 1 else f"{part}{{{count}}}" for part, count in runs)


def _escaped(letters: str) -> str:
    return re.sub(r"([.^$*+?{}\[\]\\|()])", r"\\\1", letters)
