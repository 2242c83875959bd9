"""What the lake's tests run in processes of their own: writers and readers. Each is spawned, as Dagster's steps are."""

from __future__ import annotations

import os
import signal
import time
from datetime import date, timedelta
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier, Event

from data_platform.errors import KeyConflict, PlatformError
from data_platform.lake.lake import Lake, Slice
from data_platform.lake.outcomes import LoadRecord
from data_platform.settings import load_settings

TABLE = "staging.orders"
COLUMNS = {"order_id": "BIGINT", "writer": "INTEGER", "arrival_date": "DATE"}
FIRST = date(2026, 1, 1)
ROWS = 50
POLL_SECONDS = 0.05


def open_lake(home: str, catalog: str | None) -> Lake:
    return Lake(load_settings(home=home, catalog=catalog, threads=1))


def write_days(home: str, catalog: str | None, worker: int, days: list[int], start: Barrier, done: Queue) -> None:
    """Overwrites its days, one commit each, and reports what went wrong and how long the gate made each commit wait."""
    lake = open_lake(home, catalog)
    con = lake.connect()
    lake.ensure_table(con, TABLE, COLUMNS, ("arrival_date",))
    start.wait(60)
    errors: list[str] = []
    waits: list[float] = []
    for day in days:
        arrival = FIRST + timedelta(days=day)
        try:
            file = lake.stage(
                con,
                TABLE,
                f"SELECT range AS order_id, {worker} AS writer FROM range({ROWS})",
                {"arrival_date": arrival},
            )
            load = LoadRecord(
                TABLE, arrival.isoformat(), f"run-{worker}", "committed", rows_read=ROWS, rows_accepted=ROWS
            )
            lake.commit([Slice(TABLE, {"arrival_date": arrival}, (file,) if file else ())], [load])
            waits.append(lake.gate.waited)
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
    done.put((worker, errors, waits))


def read_counts(home: str, catalog: str | None, days: int, start: Barrier, stop: Event, done: Queue) -> None:
    """Counts each day over and over: a day has its rows once, at every moment, and as often in the ledger's eyes."""
    lake = open_lake(home, catalog)
    con = lake.connect(read_only=True)
    start.wait(60)
    wrong: list[str] = []
    reads = 0
    while not stop.wait(POLL_SECONDS) or reads == 0:
        try:
            counts = con.execute(f"SELECT arrival_date, count(*) FROM lake.{TABLE} GROUP BY 1").fetchall()
            wrong += [f"{day}: {count} rows" for day, count in counts if count != ROWS]
            if len(counts) != days:
                wrong.append(f"{len(counts)} days")
        except Exception as error:
            wrong.append(f"{type(error).__name__}: {error}")
        reads += 1
    done.put(("reader", wrong, reads))


def claim_key(home: str, catalog: str | None, day: int, start: Barrier, done: Queue) -> None:
    """Loads the key 1 into a day, unless another day has it when the gate is ours."""
    lake = open_lake(home, catalog)
    con = lake.connect()
    arrival = FIRST + timedelta(days=day)
    file = lake.stage(con, TABLE, "SELECT 1 AS order_id, 0 AS writer", {"arrival_date": arrival})
    start.wait(60)

    def once(inside) -> None:
        (days,) = inside.execute(f"SELECT count(DISTINCT arrival_date) FROM lake.{TABLE} WHERE order_id = 1").fetchone()
        if days > 1:
            raise KeyConflict(f"`{TABLE}`: the key 1 is in another partition already.")

    try:
        load = LoadRecord(TABLE, arrival.isoformat(), "run", "committed")
        lake.commit([Slice(TABLE, {"arrival_date": arrival}, (file,) if file else ())], [load], check=once)
        done.put("won")
    except PlatformError as error:
        done.put(type(error).__name__)


def die_between_stage_and_commit(home: str, catalog: str | None) -> None:
    """Stages other rows for the first day, starts the transaction, and is killed before COMMIT."""
    lake = open_lake(home, catalog)
    con = lake.connect()
    file = lake.stage(con, TABLE, "SELECT 99 AS order_id, 9 AS writer", {"arrival_date": FIRST})
    load = LoadRecord(TABLE, FIRST.isoformat(), "killed", "committed")
    lake.commit(
        [Slice(TABLE, {"arrival_date": FIRST}, (file,) if file else ())], [load],
        check=lambda _: os.kill(os.getpid(), signal.SIGKILL),
    )  # fmt: skip


def hold_gate(home: str, catalog: str | None, held: Event, release: Event) -> None:
    with open_lake(home, catalog).gate.hold():
        held.set()
        release.wait(60)


def open_new_lake(home: str, catalog: str | None, start: Barrier, done: Queue) -> None:
    """Opens a lake that may not exist yet, and makes a table in it, at the same moment as others do."""
    start.wait(60)
    try:
        began = time.monotonic()
        lake = open_lake(home, catalog)
        lake.ensure_table(None, TABLE, COLUMNS, ("arrival_date",))
        lake.connect().execute(f"SELECT * FROM lake.ops.loads, lake.{TABLE} LIMIT 0")
        done.put(("ok", time.monotonic() - began))
    except Exception as error:
        done.put((f"{type(error).__name__}: {error}", 0.0))
