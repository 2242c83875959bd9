"""The sample shop: drop files of a made-up web shop, day by day, with labelled dirt. The public face of `sample_*`.

Each day's files are a function of (seed, day, scale) alone: whatever the start and the number of days, and whatever
was written before, the bytes are the same. Nothing here reads the lake or knows how rows are judged.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import duckdb

from data_platform.errors import UsageError
from data_platform.lake.sql import text
from data_platform.lake.storage import storage_errors
from data_platform.sources.sample_day import COLUMNS, LAST_DAY, Day, build_days, day_of, prepare
from data_platform.sources.sample_dirt import EXTENSIONS, plant_dirt, prepare_dirt

DEFAULT_DAYS = 90
DEFAULT_SEED = 42
TRUTH_DIR = Path("shop", "_truth")
_ORDERS_AT_ONCE = 45_000
_COPY = {"csv": "FORMAT csv, HEADER", "jsonl": "FORMAT json", "parquet": "FORMAT parquet, COMPRESSION snappy"}


@dataclass
class SampleSummary:
    """What was written: rows per table (dirt included), labelled rows per kind, and the drop files."""

    rows: Counter[str] = field(default_factory=Counter)
    dirt: Counter[str] = field(default_factory=Counter)
    files: list[Path] = field(default_factory=list)

    @property
    def total_rows(self) -> int:
        return sum(self.rows.values())


def default_start(today: date, days: int = DEFAULT_DAYS) -> date:
    """The first day of a sample that ends yesterday."""
    return today - timedelta(days=days)


def write_sample(
    landing: Path, *, start: date, days: int = DEFAULT_DAYS, scale: float = 1.0, seed: int = DEFAULT_SEED,
    on_day: Callable[[date], None] | None = None,
) -> SampleSummary:  # fmt: skip
    """Writes the shop's files of `days` days from `start` under `landing/shop`, and the truth beside them.

    Calls `on_day` after each day. Raises `UsageError` for days or a scale the shop cannot have (before anything is
    written), `StorageError` when `landing` cannot be written."""
    if days < 1:
        raise UsageError(f"`--days {days}` is less than one day.", fix="choose --days 1 or more")
    if days > (LAST_DAY - start).days + 1:
        raise UsageError(f"`--days {days}` goes beyond the sample shop's last day, {LAST_DAY}.", fix="choose fewer")
    sizes = [day_of(start + timedelta(days=k), seed=seed, scale=scale) for k in range(days)]
    summary = SampleSummary()
    with storage_errors(landing), duckdb.connect(config={"python_enable_replacements": "false"}) as con:
        prepare(con, seed)
        prepare_dirt(con)
        for folder in (*(landing / "shop" / table for table in COLUMNS), landing / TRUTH_DIR):
            folder.mkdir(parents=True, exist_ok=True)
        for together in _chunks(sizes):
            build_days(con, together)
            plant_dirt(con)
            _count(con, summary)
            for size in together:
                summary.files += _write_day(con, landing, size)
                if on_day:
                    on_day(size.day)
    return summary


def truth_files(landing: Path) -> list[Path]:
    """The truth of every written day, oldest first."""
    return sorted((landing / TRUTH_DIR).glob("????-??-??.parquet"))


def expected_truth_sql(landing: Path) -> str:
    """A SELECT of what is to be expected when exactly the days under `landing` are loaded, oldest first: columns
    table, file, record, key, kind, rules, fate. A row sent again is a plain late row where the day before is missing."""
    pattern = text(str(landing / TRUTH_DIR / "????-??-??.parquet"))
    return f"""
        WITH truth AS (SELECT * FROM read_parquet({pattern})), days AS (SELECT DISTINCT day AS loaded FROM truth)
        SELECT day, "table", file, record, key, kind,
            CASE WHEN needs_day IS NULL OR loaded IS NOT NULL THEN rules ELSE rules_without END AS rules,
            CASE WHEN needs_day IS NULL OR loaded IS NOT NULL THEN fate ELSE fate_without END AS fate
        FROM truth LEFT JOIN days ON loaded = needs_day
    """


def sample_path(landing: Path, table: str, day: date) -> Path:
    """Where the drop file of a table and day is."""
    return landing / "shop" / table / f"{day}.{EXTENSIONS[table]}"


def _chunks(sizes: list[Day]) -> Iterator[list[Day]]:
    """Days to build in one go: as many as keep the rows of a chunk in little memory, and one at a large scale."""
    at_once = max(1, _ORDERS_AT_ONCE // max(size.orders for size in sizes))
    for first in range(0, len(sizes), at_once):
        yield sizes[first : first + at_once]


def _write_day(con: duckdb.DuckDBPyConnection, landing: Path, size: Day) -> list[Path]:
    written = []
    for table, columns in COLUMNS.items():
        listed = ", ".join(columns)
        path = sample_path(landing, table, size.day)
        select = f"""
            SELECT {listed} FROM (
                SELECT {listed}, i, 1 AS sub, 0 AS d FROM rows_{table} WHERE f = {size.x}
                UNION ALL SELECT {listed}, i, sub, d FROM dirt_{table} WHERE f = {size.x}
            ) ORDER BY i, sub, d"""
        _copy(con, select, path)
        written.append(path)
    _copy(
        con,
        f'SELECT * EXCLUDE (f) FROM truth WHERE f = {size.x} ORDER BY "table", record',
        landing / TRUTH_DIR / f"{size.day}.parquet",
    )
    return written


def _copy(con: duckdb.DuckDBPyConnection, select: str, path: Path) -> None:
    """One COPY to a hidden name, then a rename: no reader ever sees half a file."""
    half = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        con.execute(f"COPY ({select}) TO {text(str(half))} ({_COPY[path.suffix[1:]]})")
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)


def _count(con: duckdb.DuckDBPyConnection, summary: SampleSummary) -> None:
    counts = [f"SELECT '{t}', (SELECT count(*) FROM rows_{t}) + (SELECT count(*) FROM dirt_{t})" for t in COLUMNS]
    summary.rows.update(dict(con.execute(" UNION ALL ".join(counts)).fetchall()))
    summary.dirt.update(dict(con.execute("SELECT kind, count(*) FROM truth GROUP BY kind").fetchall()))
