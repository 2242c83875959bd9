"""The same kill script against `LakeIOManager` and the stock `DuckDBPandasIOManager`: a process that writes a day anew is
killed after it deleted the old rows. Ours keeps the day; the stock one loses it."""

from __future__ import annotations

import multiprocessing as mp
from pathlib import Path

import pytest
from dagster_duckdb import DuckDBResource

from data_platform.lake.lake import get_lake
from data_platform_tests.integration.stock_workers import ROWS, materialise

pytest.importorskip(
    "dagster_duckdb_pandas", reason="dagster-duckdb-pandas is not installed: NOT compared with the stock IO manager"
)
pytestmark = pytest.mark.slow
spawn = mp.get_context("spawn")
GENERATIONS = "SELECT generation, count(*) FROM staging.trades GROUP BY 1"


def write(home: Path, database: Path | None, generation: int, point: str = "") -> int | None:
    """Writes in a process of its own and returns how it ended."""
    process = spawn.Process(
        target=materialise, args=(str(home), str(database) if database else None, generation, point)
    )
    process.start()
    process.join(180)
    return process.exitcode


def test_a_kill_after_the_delete_loses_the_day_of_the_stock_io_manager(home: Path, tmp_path: Path) -> None:
    database = tmp_path / "stock.duckdb"
    assert write(home, database, 1) == 0
    with DuckDBResource(database=str(database)).get_connection() as con:
        assert con.execute(GENERATIONS).fetchall() == [(1, ROWS)]
    assert write(home, database, 2, "after delete") == -9
    with DuckDBResource(database=str(database)).get_connection() as con:
        assert con.execute(GENERATIONS).fetchall() == [], "the stock IO manager no longer loses the day"


def test_a_kill_at_the_same_point_leaves_our_day_as_it_was_and_the_next_run_replaces_it(home: Path) -> None:
    assert write(home, None, 1) == 0
    with get_lake().connect() as con:
        asked = GENERATIONS.replace("staging.trades", "lake.staging.trades")
        for point in ("after delete", "before commit"):
            assert write(home, None, 2, point) == -9
            assert con.execute(asked).fetchall() == [(1, ROWS)]
        assert write(home, None, 2) == 0
        assert con.execute(asked).fetchall() == [(2, ROWS)]
