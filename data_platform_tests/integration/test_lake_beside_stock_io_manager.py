"""`LakeIOManager` beside the stock `DuckDBPandasIOManager`: the same four inputs to both. Ours keeps the data right in
all four; the stock one does not, which is why there is one of ours."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from dagster_duckdb import DuckDBResource

from data_platform.lake import ledger
from data_platform.lake.io_manager import LakeIOManager
from data_platform.lake.lake import get_lake

stock = pytest.importorskip(
    "dagster_duckdb_pandas", reason="dagster-duckdb-pandas is not installed: NOT compared with the stock IO manager"
)
DAYS = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-02-01")
FIRST = {"day": pd.Timestamp("2026-01-01"), "buyer": "Ann", "seller": "Bob", "amount": 5}
SECOND = {"day": pd.Timestamp("2026-01-01"), "buyer": "Cat", "seller": "Dan", "amount": 6}
Rows = list[tuple[Any, ...]]


class Side:
    """One of the two IO managers with its table."""

    def __init__(self, manager: Any, query: Callable[[str], Rows]) -> None:
        self.manager, self.query = manager, query

    def write(self, frame: pd.DataFrame) -> bool:
        """Materializes the first day with this frame; False when the run failed."""

        @dg.asset(key=["staging", "trades"], partitions_def=DAYS, metadata={"partition_expr": "day"})
        def trades() -> pd.DataFrame:
            return frame

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = dg.materialize(
                [trades], partition_key="2026-01-01", resources={"io_manager": self.manager}, raise_on_error=False
            )
        return result.success

    def rows(self, columns: str = "buyer, seller, amount") -> Rows:
        return self.query(f"SELECT {columns} FROM staging.trades ORDER BY ALL")


@pytest.fixture
def ours() -> Side:
    def query(sql: str) -> Rows:
        con = get_lake().connect()
        try:
            return con.execute(sql.replace("staging.trades", "lake.staging.trades")).fetchall()
        finally:
            con.close()

    return Side(LakeIOManager(), query)


@pytest.fixture
def theirs(tmp_path: Path) -> Side:
    path = str(tmp_path / "stock.duckdb")

    def query(sql: str) -> Rows:
        with DuckDBResource(database=path).get_connection() as con:
            return con.execute(sql).fetchall()

    return Side(stock.DuckDBPandasIOManager(database=path), query)


def test_reordered_columns_go_by_name_and_the_stock_one_swaps_them(ours: Side, theirs: Side) -> None:
    reordered = pd.DataFrame([FIRST])[["day", "seller", "buyer", "amount"]]
    for side in (ours, theirs):
        assert side.write(pd.DataFrame([FIRST]))
        assert side.write(reordered)
    assert ours.rows() == [("Ann", "Bob", 5)]
    assert theirs.rows() == [("Bob", "Ann", 5)], "the stock IO manager no longer swaps reordered columns"


def test_a_failing_rerun_keeps_the_old_rows_and_the_stock_one_loses_them(ours: Side, theirs: Side) -> None:
    broken = pd.DataFrame([SECOND | {"amount": "six"}])
    for side in (ours, theirs):
        assert side.write(pd.DataFrame([FIRST]))
        assert not side.write(broken)
    assert ours.rows() == [("Ann", "Bob", 5)]
    assert theirs.rows() == [], "the stock IO manager no longer loses the old partition"


def test_an_empty_frame_empties_the_day_and_says_so_and_the_stock_one_leaves_no_trace(ours: Side, theirs: Side) -> None:
    empty = pd.DataFrame([FIRST]).iloc[:0]
    assert ours.write(empty)
    assert ours.rows() == []
    (load,) = ledger.latest_loads(get_lake().connect(), "staging.trades")
    assert (load.partition_key, load.outcome, load.rows_accepted) == ("2026-01-01", "committed", 0)
    theirs.write(empty)
    assert theirs.query("SELECT count(*) FROM duckdb_tables()") == [(0,)], "the stock one made the table"


def test_an_added_column_is_added_and_the_stock_one_loses_the_day(ours: Side, theirs: Side) -> None:
    wider = pd.DataFrame([SECOND | {"currency": "EUR"}])
    for side in (ours, theirs):
        assert side.write(pd.DataFrame([FIRST]))
    assert ours.write(wider)
    assert ours.rows("buyer, seller, amount, currency") == [("Cat", "Dan", 6, "EUR")]
    assert not theirs.write(wider)
    assert theirs.rows() == [], "the stock IO manager no longer loses the old partition"
