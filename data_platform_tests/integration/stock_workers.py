"""One asset materialised by our IO manager or by the stock one, in a process that the chaos' killer ends at a point."""

from __future__ import annotations

import os
import warnings
from typing import Any

import dagster as dg
import pandas as pd

from data_platform.chaos.worker import Plan, killer
from data_platform.lake import points
from data_platform.lake.io_manager import LakeIOManager
from data_platform.settings import get_settings

DAYS = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-02-01")
DAY = "2026-01-01"
ROWS = 5


def stock_manager(database: str) -> dg.IOManagerDefinition:
    """The stock IO manager, whose one addition is that it names the moment between its delete and its insert."""
    from dagster_duckdb import build_duckdb_io_manager
    from dagster_duckdb_pandas.duckdb_pandas_type_handler import DuckDBPandasTypeHandler

    class Handler(DuckDBPandasTypeHandler):
        def handle_output(self, context: Any, table_slice: Any, obj: Any, connection: Any) -> Any:
            points.reached("after delete")
            return super().handle_output(context, table_slice, obj, connection)

    return build_duckdb_io_manager([Handler()]).configured({"database": database})


def materialise(home: str, database: str | None, generation: int, point: str) -> None:
    """Writes the day's rows of a generation, and dies at the point, if it is reached."""
    os.environ["PLATFORM_HOME"] = home
    get_settings.cache_clear()
    points.listen(killer(Plan(0, point), os.getppid()))

    @dg.asset(key=["staging", "trades"], partitions_def=DAYS, metadata={"partition_expr": "day"})
    def trades() -> pd.DataFrame:
        return pd.DataFrame({"day": [pd.Timestamp(DAY)] * ROWS, "generation": generation, "number": range(ROWS)})

    manager = stock_manager(database) if database else LakeIOManager()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dg.materialize([trades], partition_key=DAY, resources={"io_manager": manager})
