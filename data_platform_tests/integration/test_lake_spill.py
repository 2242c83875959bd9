"""Queries larger than memory spill to the disk: several processes of one home at once, none into the other's blocks."""

from __future__ import annotations

import multiprocessing as mp
from multiprocessing.queues import Queue
from pathlib import Path

import pytest

from data_platform.lake.lake import Lake
from data_platform.settings import load_settings

ROWS = 1_500_000
spawn = mp.get_context("spawn")


def sort_much(home: str, factor: int, done: Queue) -> None:
    """Sorts more text than fits into memory and adds up what came out."""
    lake = Lake(load_settings(home=home, catalog=None, memory="120MB", threads=2))
    with lake.connect() as con:
        sql = f"SELECT range * {factor} AS a, md5(range::VARCHAR) AS b FROM range({ROWS}) ORDER BY b"
        row = con.execute(f"SELECT sum(a)::BIGINT, count(*) FROM (FROM ({sql}))").fetchone()
        spilled = list(Path(home, "tmp").glob("spill-*/*"))
    done.put((factor, row, len(spilled)))


@pytest.mark.slow
def test_three_processes_that_spill_at_once_get_their_own_rows_back(home: Path) -> None:
    done = spawn.Queue()
    processes = [spawn.Process(target=sort_much, args=(str(home), factor, done)) for factor in (1, 2, 3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    total = ROWS * (ROWS - 1) // 2
    found = sorted(done.get(timeout=5) for _ in processes)
    assert [(factor, row) for factor, row, _ in found] == [(f, (f * total, ROWS)) for f in (1, 2, 3)]
    assert max(spilled for *_, spilled in found) > 0, "nothing was spilled: the test says nothing"
