"""Readers of `published.*` poll while days are loaded, one of which fails its audit: they never see a bad row."""

from __future__ import annotations

import json
import multiprocessing
import time
from pathlib import Path
from typing import Any

from data_platform.contracts.registry import contract
from data_platform.lake.lake import Lake
from data_platform.lake.publish import publish
from data_platform.quality.audit import build_mart
from data_platform.settings import load_settings

BAD_DAY, GOOD_DAY = "2026-01-05", "2026-01-06"
REVENUE = contract("marts.daily_revenue")
POLL_SECONDS = 0.05


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


def _poll(home: str, ready: Any, stop: Any, file: str) -> None:
    lake = Lake(load_settings(home=home, threads=1))
    seen: list[Any] = []
    with lake.connect(read_only=True) as con:
        while not stop.is_set():
            rows = con.execute(
                "SELECT revenue_date::VARCHAR, order_count FROM lake.published.daily_revenue ORDER BY 1"
            ).fetchall()
            if not seen or seen[-1] != rows:
                seen.append(rows)
            ready.set()
            time.sleep(POLL_SECONDS)  # the reader's own rhythm, not a wait for something
    Path(file).write_text(json.dumps(seen))


def test_a_polling_reader_sees_the_good_day_and_never_a_bad_row(tmp_path):
    home = tmp_path / "home"
    lake = Lake(load_settings(home=home, threads=1))
    assert build(lake, {BAD_DAY: 5, GOOD_DAY: 6}, "first") == [True, True]
    spawn = multiprocessing.get_context("spawn")
    ready, stop, file = spawn.Event(), spawn.Event(), tmp_path / "seen.json"
    reader = spawn.Process(target=_poll, args=(str(home), ready, stop, str(file)))
    reader.start()
    assert ready.wait(60)
    for round_number in range(1, 6):
        assert build(lake, {BAD_DAY: -1, GOOD_DAY: 100 * round_number}, f"round {round_number}") == [False, True]
    stop.set()
    reader.join(timeout=60)
    assert reader.exitcode == 0
    seen = [dict(rows) for rows in json.loads(file.read_text())]
    assert {rows[BAD_DAY] for rows in seen} == {5}
    assert {rows[GOOD_DAY] for rows in seen} <= {6, 100, 200, 300, 400, 500}
    assert len(seen) > 1  # it read while days were published
