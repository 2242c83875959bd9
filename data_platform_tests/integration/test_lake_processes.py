"""Many processes on one lake, on both catalogs: nobody loses a commit, and readers never see a half of one."""

from __future__ import annotations

import multiprocessing as mp
import os
import statistics
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from data_platform.errors import GateTimeout
from data_platform.lake.lake import Lake, Slice, slices_of
from data_platform_tests.integration.lake_workers import (
    COLUMNS,
    FIRST,
    ROWS,
    TABLE,
    claim_key,
    die_between_stage_and_commit,
    hold_gate,
    open_lake,
    open_new_lake,
    read_counts,
    write_days,
)  # fmt: skip

spawn = mp.get_context("spawn")


def run(target: Callable[..., None], *args: Any) -> mp.process.BaseProcess:
    process = spawn.Process(target=target, args=args)
    process.start()
    return process


def seeded(home: Path, catalog: str | None, days: int) -> Lake:
    """A lake whose first days hold their rows, written by writer -1."""
    lake = open_lake(str(home), catalog)
    con = lake.connect()
    lake.ensure_table(con, TABLE, COLUMNS, ("arrival_date",))
    files = lake.stage_many(
        con, TABLE,
        f"SELECT range % {ROWS} AS order_id, -1 AS writer, DATE '{FIRST}' + (range // {ROWS})::INTEGER AS arrival_date "
        f"FROM range({ROWS * days})",
    )  # fmt: skip
    lake.commit(slices_of(files))
    return lake


def rows(lake: Lake, sql: str) -> list[tuple[Any, ...]]:
    con = lake.connect()
    try:
        return con.execute(sql).fetchall()
    finally:
        con.close()


def overwrite(home: Path, catalog: str | None, days: list[list[int]], readers: int) -> tuple[Lake, list[float]]:
    """A writer per list of days overwrites them, one commit each, while others read. Returns the waits for the gate, one
    per commit, once nobody erred and every reader saw whole days only."""
    count = len({day for own in days for day in own})
    lake = seeded(home, catalog, count)
    start, stop, done = spawn.Barrier(len(days) + readers), spawn.Event(), spawn.Queue()
    writing = [run(write_days, str(home), catalog, w, own, start, done) for w, own in enumerate(days)]
    reading = [run(read_counts, str(home), catalog, count, start, stop, done) for _ in range(readers)]
    written = [done.get(timeout=600) for _ in writing]
    stop.set()
    read = [done.get(timeout=120) for _ in reading]
    for process in (*writing, *reading):
        process.join(60)
    assert [errors for _, errors, _ in written if errors] == []
    assert [wrong for _, wrong, _ in read if wrong] == []
    assert all(reads > 5 for _, _, reads in read), "the readers did not read meanwhile"
    return lake, [wait for _, _, waits in written for wait in waits]


def test_eight_processes_overwrite_48_days_while_two_read_and_nobody_errs(home: Path, catalog: str | None) -> None:
    lake, waits = overwrite(home, catalog, [list(range(w, 48, 8)) for w in range(8)], readers=2)
    assert len(waits) == 48
    found = rows(
        lake, f"SELECT arrival_date, min(writer), max(writer), count(*) FROM lake.{TABLE} GROUP BY 1 ORDER BY 1"
    )
    assert found == [(FIRST + timedelta(days=day), day % 8, day % 8, ROWS) for day in range(48)]
    assert rows(lake, "SELECT count(*), count(DISTINCT partition_key) FROM lake.ops.loads") == [(48, 48)]


@pytest.mark.slow
@pytest.mark.long
def test_eight_writers_make_twenty_commits_each_on_shared_days_while_four_read(home: Path, catalog: str | None) -> None:
    """Each writer overwrites all twenty days, in an order of its own; the waits are printed with `-rP`."""
    days = [[(day + 5 * w) % 20 for day in range(20)] for w in range(8)]
    lake, waits = overwrite(home, catalog, days, readers=4)
    assert len(waits) == 160
    assert rows(lake, "SELECT count(*), count(DISTINCT load_id) FROM lake.ops.loads") == [(160, 160)]
    found = rows(lake, f"SELECT count(DISTINCT writer), count(*) FROM lake.{TABLE} GROUP BY arrival_date")
    assert found == [(1, ROWS)] * 20, "each day is wholly one writer's"
    latest = dict(rows(lake, "SELECT partition_key, arg_max(run_id, snapshot_id) FROM lake.ops.loads GROUP BY 1"))
    shown = rows(lake, f"SELECT arrival_date::VARCHAR, 'run-' || any_value(writer) FROM lake.{TABLE} GROUP BY 1")
    assert dict(shown) == latest, "the last commit of a day is what it shows"
    cuts = statistics.quantiles(waits, n=100)
    kind = "postgres" if catalog else "sqlite"
    print(f"{kind}: 160 commits, wait per commit p50 {cuts[49]:.3f} s, p99 {cuts[98]:.3f} s, most {max(waits):.3f} s")


def test_a_key_loaded_into_two_days_at_once_is_won_by_one_process(home: Path, catalog: str | None) -> None:
    lake = open_lake(str(home), catalog)
    lake.ensure_table(None, TABLE, COLUMNS, ("arrival_date",))
    start, done = spawn.Barrier(2), spawn.Queue()
    processes = [run(claim_key, str(home), catalog, day, start, done) for day in (0, 1)]
    assert sorted(done.get(timeout=60) for _ in processes) == ["KeyConflict", "won"]
    assert rows(lake, f"SELECT count(*) FROM lake.{TABLE} WHERE order_id = 1") == [(1,)]
    assert rows(lake, "SELECT count(*) FROM lake.ops.loads") == [(1,)], "the loser's ledger row is undone with its rows"
    assert len(list((home / "lake" / "data" / "staging").rglob("*.parquet"))) == 1, "the loser's file is removed"


def test_a_writer_killed_before_commit_leaves_the_old_rows_and_frees_the_gate(home: Path, catalog: str | None) -> None:
    lake = seeded(home, catalog, 1)
    process = run(die_between_stage_and_commit, str(home), catalog)
    process.join(60)
    assert process.exitcode == -9
    assert rows(lake, f"SELECT min(writer), max(writer), count(*) FROM lake.{TABLE}") == [(-1, -1, ROWS)]
    assert rows(lake, "SELECT count(*) FROM lake.ops.loads WHERE run_id = 'killed'") == [(0,)]
    con = lake.connect()
    file = lake.stage(con, TABLE, "SELECT 1 AS order_id, 2 AS writer", {"arrival_date": FIRST})
    assert file is not None
    lake.commit([Slice(TABLE, {"arrival_date": FIRST}, (file,))])
    assert rows(lake, f"SELECT order_id, writer FROM lake.{TABLE}") == [(1, 2)]


def test_a_gate_held_too_long_is_an_error_that_names_the_holder(home: Path, catalog: str | None) -> None:
    lake = open_lake(str(home), catalog)
    lake.connect().close()
    held, release = spawn.Event(), spawn.Event()
    process = run(hold_gate, str(home), catalog, held, release)
    assert held.wait(60)
    with pytest.raises(GateTimeout, match=f"process {process.pid}"), lake.gate.hold(timeout=0.2):
        pass
    release.set()
    process.join(30)
    with lake.gate.hold(timeout=10) as waited:
        assert waited < 10


def test_a_lake_opened_first_by_six_processes_at_once_is_made_once(home: Path, catalog: str | None) -> None:
    start, done = spawn.Barrier(6), spawn.Queue()
    processes = [run(open_new_lake, str(home), catalog, start, done) for _ in range(6)]
    assert [word for word, _ in (done.get(timeout=90) for _ in processes)] == ["ok"] * 6
    lake = open_lake(str(home), catalog)
    made = rows(
        lake, "SELECT count(*) FROM ducklake_snapshots('lake') WHERE list_contains(changes['schemas_created'], 'raw')"
    )
    assert made == [(1,)]
    option = rows(
        lake, "SELECT value FROM __ducklake_metadata_lake.ducklake_metadata WHERE key = 'data_inlining_row_limit'"
    )
    assert option == [("0",)]


def test_a_child_born_by_fork_uses_an_engine_and_a_gate_of_its_own(home: Path) -> None:
    lake = seeded(home, None, 1)
    with lake.gate.hold():
        child = os.fork()
        if child == 0:
            try:
                with pytest.raises(GateTimeout), lake.gate.hold(timeout=0.2):
                    pass
                os._exit(0 if len(rows(lake, f"SELECT * FROM lake.{TABLE}")) == ROWS else 1)
            except BaseException:
                os._exit(2)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert len(rows(lake, f"SELECT * FROM lake.{TABLE}")) == ROWS
