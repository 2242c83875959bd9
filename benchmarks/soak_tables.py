"""What the soak loads: pipelines whose tables are generated from the shop's, their hourly drop files, and the oracle.

Nothing here reads the lake: what must come out of a file is known from how it was made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb

from data_platform.contracts.model import REGISTRY, Contract
from data_platform.contracts.partitioning import by
from data_platform.contracts.raw import raw_contract
from data_platform.contracts.registry import contract
from data_platform.sources.declare import Feed
from data_platform.sources.registry import feed_of
from data_platform.sources.sample import TRUTH_DIR, sample_path, write_sample

FIRST = date(2026, 1, 1)
BASES = ("orders", "order_items", "payments", "events", "customers", "products")
_READ = {"csv": "read_csv('{}', all_varchar=true)", "jsonl": "read_json('{}', columns={})", "parquet": "'{}'"}


@dataclass(frozen=True)
class Pipeline:
    """A feed of hourly files and the staging table it fills."""

    number: int
    base: str
    contract: Contract
    feed: Feed


@dataclass(frozen=True)
class Expected:
    """What one file must become: the keys of the accepted rows, in order, and the rows merged and set aside."""

    keys: tuple[tuple[str, ...], ...] = ()
    merged: int = 0
    quarantined: int = 0


def hours(count: int) -> list[str]:
    """The partition keys of the first `count` hours."""
    start = datetime.combine(FIRST, datetime.min.time())
    return [f"{start + timedelta(hours=number):%Y-%m-%d-%H:%M}" for number in range(count)]


def pipelines(count: int) -> list[Pipeline]:
    """Registers and returns `count` pipelines: the shop's tables by turns, by hour and without parents."""
    return [_pipeline(number, BASES[number % len(BASES)]) for number in range(count)]


def _pipeline(number: int, base: str) -> Pipeline:
    shop, name = contract(f"staging.{base}"), f"soak_{number:02}_{base}"
    assert shop.key is not None
    model = type(f"Soak{number}", (shop.model,), {"__doc__": f"{shop.description} Hourly."})
    made = replace(
        shop, name=f"staging.{name}", model=model, foreign_keys=(), partition=by("arrival_hour", "hour"),
        key=replace(shop.key, scope="partition"), freshness=None, quarantine_limit=1.0,
    )  # fmt: skip
    REGISTRY[made.name], REGISTRY[f"raw.{name}"] = made, raw_contract(made)
    return Pipeline(number, base, made, Feed(made.name, f"soak/{number:02}/{{key}}.csv", "csv"))


def write_files(landing: Path, found: list[Pipeline], count: int) -> Mapping[tuple[int, str], Expected]:
    """Writes each pipeline's file of each hour and returns what must become of it. Two rows of a file are made dirty: a
    row sent twice, and one without its key."""
    days = -(-count // 24)
    write_sample(landing, start=FIRST, days=days)
    expected: dict[tuple[int, str], Expected] = {}
    with duckdb.connect() as con:
        for base in sorted({pipeline.base for pipeline in found}):
            _clean_rows(con, landing, base, days)
        for pipeline in found:
            (landing / "soak" / f"{pipeline.number:02}").mkdir(parents=True, exist_ok=True)
            for key, moment in _moments(count):
                path = landing / pipeline.feed.path.format(key=key)
                expected[pipeline.number, key] = _write(con, pipeline, moment, path)
    return expected


def _moments(count: int) -> Iterator[tuple[str, str]]:
    """Partition keys with the hour as the files write it."""
    for key in hours(count):
        yield key, f"{key[:10]} {key[11:13]}"


def _clean_rows(con: duckdb.DuckDBPyConnection, landing: Path, base: str, days: int) -> None:
    """The table `base`: rows of the sample that carry no planted defect, as text."""
    shop, kind = contract(f"staging.{base}"), feed_of(base).format
    columns = ", ".join(f"{column.source}::VARCHAR AS {column.source}" for column in shop.columns.values())
    texts = str({column.source: "VARCHAR" for column in shop.columns.values()})
    selects = []
    for number in range(days):
        path = sample_path(landing, base, FIRST + timedelta(days=number))
        rows = _READ[kind].format(path, texts)
        selects.append(
            f"SELECT {columns} FROM (SELECT *, row_number() OVER () AS record FROM {rows}) WHERE record NOT IN "
            f"(SELECT record FROM '{landing / TRUTH_DIR}/{FIRST + timedelta(days=number)}.parquet' "
            f"WHERE \"table\" = '{base}' AND record IS NOT NULL)"
        )
    con.execute(f"CREATE OR REPLACE TABLE {base} AS {' UNION ALL '.join(selects)}")


def _write(con: duckdb.DuckDBPyConnection, pipeline: Pipeline, moment: str, path: Path) -> Expected:
    key = pipeline.contract.key
    assert key is not None
    columns, event = pipeline.contract.columns, pipeline.contract.event_time
    source = [columns[name].source for name in key.columns]
    listed = ", ".join(column.source for column in columns.values())
    # Each pipeline has its own two thirds of the shop's rows, a key once.
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE sent AS SELECT {listed} FROM {pipeline.base}
        WHERE {columns[str(event)].source} LIKE '{moment}%' AND hash({source[0]}, {pipeline.number}) % 3 > 0
        QUALIFY row_number() OVER (PARTITION BY {", ".join(source)} ORDER BY {listed}) = 1""")
    rows = con.execute(f"SELECT {', '.join(source)} FROM sent ORDER BY ALL").fetchall()
    dirty = min(len(rows), 1)
    first = source[0]
    con.execute(f"""
        COPY (FROM (FROM sent ORDER BY ALL) UNION ALL (FROM sent ORDER BY ALL LIMIT 1)
            UNION ALL (SELECT * REPLACE ('' AS {first}) FROM sent ORDER BY ALL LIMIT 1))
        TO '{path}' (FORMAT csv, HEADER)""")
    return Expected(tuple(tuple(str(value) for value in row) for row in rows), dirty, dirty)
