"""Readers of `published.*` poll while days are loaded, one of which fails its audit: they never see a bad row."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from data_platform.contracts.registry import contract
from data_platform.lake.lake import Lake
from data_platform.lake.publish import publish
from data_platform.quality.audit import build_mart
from data_platform.settings import PROJECT_ROOT, load_settings
from data_platform.sources.sample import sample_path, write_sample

BAD_DAY, GOOD_DAY = "2026-01-05", "2026-01-06"
REVENUE = contract("marts.daily_revenue")
POLL_SECONDS = 0.05
DAYS = (date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3))
LINES = """
    SELECT order_date::VARCHAR, [count(*)::VARCHAR, sum(line_amount)::VARCHAR, bit_xor(hash(order_id, line_number))::VARCHAR]
    FROM lake.published.fct_order_items GROUP BY 1 ORDER BY 1"""


def build(lake: Lake, orders: dict[str, int], run_id: str) -> list[bool]:
    """Builds and publishes these days with this many orders each; one row per day."""
    values = ", ".join(f"(DATE '{day}', 'DE', {count}, 1, 0, 10.00, 10.00)" for day, count in orders.items())
    with lake.connect() as con:
        con.execute(
            f"CREATE TEMP TABLE candidate AS SELECT * FROM (VALUES {values}) AS t({', '.join(REVENUE.columns)})"
        )
        outcomes = build_mart(lake, REVENUE, con, "candidate", list(orders), run_id)
    publish(lake, ["marts.daily_revenue"], run_id)
    return [outcome.committed for outcome in outcomes]


REVENUE_ROWS = "SELECT revenue_date::VARCHAR, order_count FROM lake.published.daily_revenue ORDER BY 1"


def _poll(home: str, sql: str, ready: Any, stop: Any, file: str) -> None:
    """Asks every 50 ms and keeps each answer that differs from the one before."""
    lake = Lake(load_settings(home=home, threads=1))
    seen: list[Any] = []
    with lake.connect(read_only=True) as con:
        while not stop.is_set():
            rows = con.execute(sql).fetchall()
            if not seen or seen[-1] != rows:
                seen.append(rows)
            ready.set()
            time.sleep(POLL_SECONDS)  # the reader's own rhythm, not a wait for something
    Path(file).write_text(json.dumps(seen))


@contextmanager
def reading(home: Path, sql: str, folder: Path) -> Iterator[list[Any]]:
    """A process that polls while the block runs; the list is filled when the block ends."""
    spawn = multiprocessing.get_context("spawn")
    ready, stop, file = spawn.Event(), spawn.Event(), folder / "seen.json"
    answers: list[Any] = []
    reader = spawn.Process(target=_poll, args=(str(home), sql, ready, stop, str(file)))
    reader.start()
    assert ready.wait(60)
    try:
        yield answers
    finally:
        stop.set()
        reader.join(timeout=60)
    assert reader.exitcode == 0
    answers += json.loads(file.read_text())


def test_a_polling_reader_sees_the_good_day_and_never_a_bad_row(tmp_path):
    home = tmp_path / "home"
    lake = Lake(load_settings(home=home, threads=1))
    assert build(lake, {BAD_DAY: 5, GOOD_DAY: 6}, "first") == [True, True]
    with reading(home, REVENUE_ROWS, tmp_path) as answers:
        for round_number in range(1, 6):
            assert build(lake, {BAD_DAY: -1, GOOD_DAY: 100 * round_number}, f"round {round_number}") == [False, True]
    seen = [dict(rows) for rows in answers]
    assert {rows[BAD_DAY] for rows in seen} == {5}
    assert {rows[GOOD_DAY] for rows in seen} <= {6, 100, 200, 300, 400, 500}
    assert len(seen) > 1  # it read while days were published


# What leads to the order lines that readers see; and the same without the lines' own files, which stay as they are.
LINE_TABLES = '+key:"published/fct_order_items"'
ORDERS = 'key:"raw/orders" or key:"staging/orders" or key:"marts/fct_order_items"+1'


def _backfill(home: Path, selection: str, first: date, last: date) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PLATFORM_HOME": str(home), "PLATFORM_START_DATE": str(DAYS[0])}
    command = [
        sys.executable,
        "-m",
        "data_platform",
        "backfill",
        selection,
        "--from",
        str(first),
        "--to",
        str(last),
        "--format",
        "json",
    ]
    return subprocess.Popen(
        command, cwd=PROJECT_ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )


def _drop_last(file: Path, wanted: str) -> None:
    """Removes the last record of a CSV file whose first value is `wanted`."""
    lines = file.read_text().splitlines(keepends=True)
    found = max(number for number, line in enumerate(lines) if line.split(",")[0].strip('"') == wanted)
    file.write_text("".join(lines[:found] + lines[found + 1 :]))


@pytest.mark.slow
def test_of_two_days_loaded_at_once_by_two_processes_the_bad_one_keeps_its_rows(tmp_path: Path) -> None:
    """An order is taken out of the bad day's file while its lines stay; a line out of the good day's."""
    home = tmp_path / "home"
    settings = load_settings(home=home, start_date=DAYS[0], threads=1)
    write_sample(settings.landing_dir, start=DAYS[0], days=len(DAYS), scale=0.05)
    assert _backfill(home, LINE_TABLES, DAYS[0], DAYS[-1]).wait(300) == 0
    lake, (_, bad, good) = Lake(settings), DAYS
    with lake.connect(read_only=True) as con:
        before = dict(con.execute(LINES).fetchall())
        for day, table in ((bad, "orders"), (good, "order_items")):
            wanted = con.execute(f"""
                SELECT max(order_id) FROM lake.staging.orders JOIN lake.published.fct_order_items USING (order_id)
                WHERE arrival_date = DATE '{day}' AND order_date = DATE '{day}'""").fetchone()
            _drop_last(sample_path(settings.landing_dir, table, day), wanted[0])
    with reading(home, LINES, tmp_path) as answers:
        loads = [_backfill(home, ORDERS, bad, bad), _backfill(home, LINE_TABLES, good, good)]
        said = [json.loads(load.communicate(timeout=300)[0]) for load in loads]
    failed = [{(row["asset"], row["partition"]) for row in found["problems"]} for found in said]
    assert ("marts/fct_order_items", str(bad)) in failed[0]
    # The good day's file has late lines of the bad day too: whichever command builds that day last is told of it.
    assert {partition for found in failed for _, partition in found} == {str(bad)}
    shown = [dict(rows) for rows in answers]
    assert {tuple(rows[str(bad)]) for rows in shown} == {tuple(before[str(bad)])}
    counts = [int(rows[str(good)][0]) for rows in shown]
    assert (counts[0], counts[-1], len(set(counts))) == (int(before[str(good)][0]), counts[0] - 1, 2)
