"""A bare Dagster project that imports what the platform imports, with one daily asset that loads one file."""

# No `from __future__ import annotations`: Dagster reads annotations.
import os

import dagster as dg
import dagster_dbt  # noqa: F401  # what is compared is the cost of imports
import duckdb
import pandera.ibis  # noqa: F401  # the same

from benchmarks.lines import FIRST_DAY

DAYS = dg.DailyPartitionsDefinition(start_date=FIRST_DAY.isoformat())


@dg.asset(partitions_def=DAYS)
def lines(context: dg.AssetExecutionContext) -> None:
    """The day's file as Parquet."""
    source = f"{os.environ['BENCH_LANDING']}/bench/lines/{context.partition_key}.csv"
    with duckdb.connect() as con:
        con.execute(
            f"COPY (FROM read_csv('{source}', all_varchar=true)) TO '{os.environ['BENCH_OUT']}' (FORMAT parquet)"
        )


# As the platform does: with the stock executor the step would import all of this again, in a process of its own.
defs = dg.Definitions(assets=[lines], executor=dg.in_process_executor)
