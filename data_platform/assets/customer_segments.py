"""`marts/customer_segments`: customers by recency, frequency and monetary value, scored in pandas.

Orders are summed per customer by the engine, so a frame has one row per customer and never one per order.
"""

# No `from __future__ import annotations`: Dagster reads the annotation of `context` and refuses it as text.
from datetime import date

import dagster as dg
import duckdb
import pandas as pd
import pyarrow as pa

from data_platform.assets.metadata import column_schema
from data_platform.assets.naming import asset_key, check_specs
from data_platform.assets.outcomes import canceled, report
from data_platform.assets.progress import done
from data_platform.contracts.registry import contract
from data_platform.lake import stopping
from data_platform.lake.commit import snapshot_id
from data_platform.lake.io_manager import LakeIOManager
from data_platform.lake.lake import get_lake
from data_platform.quality.audit import build_mart

SEGMENTS = contract("marts.customer_segments")
ORDERS = "marts.fct_orders"
PER_CUSTOMER = """
    customer_id, max(order_date) AS last_order_date, count(*) AS order_count,
    CAST(sum(gross_amount) AS DECIMAL(18, 2)) AS gross_amount"""


def segments(customers: pd.DataFrame, newest: date | None) -> pd.DataFrame:
    """Scores customers (`customer_id, last_order_date, order_count, gross_amount`, one row each) as of the day `newest`.

    Returns the contract's columns, by customer. Equal values have equal scores, whatever the order of the rows."""
    found = customers.sort_values("customer_id", ignore_index=True)
    ages = pd.to_datetime(newest or date.min) - pd.to_datetime(found["last_order_date"])
    found["recency_days"] = ages.dt.days
    found["recency_score"] = quintiles(-found["recency_days"])
    found["frequency_score"] = quintiles(found["order_count"])
    found["monetary_score"] = quintiles((found["gross_amount"] * 100).astype("int64"))
    found["segment"] = _segment(found["recency_score"], found["frequency_score"] + found["monetary_score"])
    return found[list(SEGMENTS.columns)]


def quintiles(values: pd.Series) -> pd.Series:
    """1 (lowest) to 5 by rank; ties share the middle of the ranks they take, so one customer alone scores 3."""
    ranks = (values.rank(method="min") + values.rank(method="max")).astype("int64")
    return 1 + 5 * (ranks - 1) // (2 * max(len(values), 1))


def _segment(recency: pd.Series, value: pd.Series) -> pd.Series:
    """The segment of a recency score (1 to 5) and the sum of the two other scores (2 to 10)."""
    is_recent = recency >= 3
    segment = pd.Series("lost", index=recency.index, dtype="object")
    segment[~is_recent & (value >= 6)] = "at_risk"
    segment[is_recent] = "promising"
    segment[is_recent & (value >= 6)] = "loyal"
    segment[(recency >= 4) & (value >= 8)] = "champions"
    return segment


@dg.asset(
    key=asset_key(SEGMENTS.name),
    ins={
        "orders": dg.AssetIn(
            key=asset_key(ORDERS), input_manager_key="lake_io_manager", metadata={"allow_missing_partitions": True}
        )
    },
    resource_defs={"lake_io_manager": LakeIOManager()},
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="marts",
    kinds={"pandas", "duckdb"},
    owners=[SEGMENTS.owner],
    description=f"{SEGMENTS.description} Grain: {SEGMENTS.grain}.",
    code_version=str(SEGMENTS.version),
    metadata={
        "dagster/column_schema": column_schema(SEGMENTS),
        "dagster/table_name": f"lake.{SEGMENTS.name}",
        "grain": SEGMENTS.grain,
        "key": "customer_id",
    },
    check_specs=check_specs(SEGMENTS),
)
def customer_segments(context: dg.AssetExecutionContext, orders: duckdb.DuckDBPyRelation) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Audited like every mart before it is committed: the frame is the candidate."""
    if stopping.asked():
        raise canceled(context)
    lake, key = get_lake(), asset_key(SEGMENTS.name)
    version = lake.read(snapshot_id)  # before the rows are read: what changes meanwhile makes this table stale
    (newest,) = orders.aggregate("max(order_date)").fetchone() or (None,)
    summed = orders.filter("NOT is_cancelled").aggregate(PER_CUSTOMER, "customer_id")
    frame = segments(summed.to_arrow_table().to_pandas(), newest)
    con = lake.connect()
    try:
        con.register("candidate_segments", pa.Table.from_pandas(frame, preserve_index=False))
        outcomes = build_mart(
            lake, SEGMENTS, con, "candidate_segments", [""], context.run_id,
            on_done=lambda outcome: done(key, outcome.partition_key), built_from=version,
        )  # fmt: skip
    finally:
        con.close()
    return report(context, key, outcomes)
