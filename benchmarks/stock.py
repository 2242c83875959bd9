"""The stock pairing: Dagster with its `DuckDBPandasIOManager`, pandera on pandas, a partition at a time.

`defs` is what `dagster dev -f` serves. `python -m benchmarks.stock DAYS` materialises day by day in this process,
which spares it the process per run and step that a backfill pays. Same files, same rules; what it lacks: keys across
days, counts at the source, audits before readers see a row, a record of loads.
"""

# No `from __future__ import annotations`: Dagster reads annotations.
import json
import os
import sys
import time
from datetime import date
from pathlib import Path

import dagster as dg
import pandas as pd
import pandera.pandas as pa
from dagster_duckdb_pandas import DuckDBPandasIOManager

from benchmarks.lines import CHANNELS, COLUMNS, FIRST_DAY, STATUSES, days_of, lines_file, products_file

LANDING = Path(os.environ.get("BENCH_LANDING", "."))
DAYS = dg.DailyPartitionsDefinition(start_date=FIRST_DAY.isoformat())
BY_DAY = {"partition_expr": "CAST(arrival_date AS TIMESTAMP)"}
RULES = pa.DataFrameSchema({
    "order_id": pa.Column(str, pa.Check.str_matches(r"^O\d{10}$")),
    "line_number": pa.Column(float, pa.Check.ge(1)),
    "customer_id": pa.Column(str),
    "product_id": pa.Column(str),
    "status": pa.Column(str, pa.Check.isin(STATUSES)),
    "channel": pa.Column(str, pa.Check.isin(CHANNELS)),
    "quantity": pa.Column(float, pa.Check.in_range(1, 1000)),
    "unit_price": pa.Column(float, pa.Check.ge(0)),
    "ordered_at": pa.Column("datetime64[ns]"),
    "is_in_time": pa.Column(bool, pa.Check.eq(True)),
    "has_product": pa.Column(bool, pa.Check.eq(True)),
})  # fmt: skip


@dg.asset(key_prefix="bench")
def products() -> pd.DataFrame:
    """The products, whole."""
    return pd.read_csv(products_file(LANDING), dtype=str)[["product_id", "category"]]


@dg.asset(partitions_def=DAYS, metadata=BY_DAY, key_prefix="bench")
def raw(context: dg.AssetExecutionContext) -> pd.DataFrame:
    """A day's lines as text, numbered."""
    day = context.partition_key
    frame = pd.read_csv(lines_file(LANDING, date.fromisoformat(day)), dtype=str, keep_default_na=False)
    return frame.assign(record=range(1, len(frame) + 1), arrival_date=day)


@dg.multi_asset(
    partitions_def=DAYS,
    outs={
        "staging": dg.AssetOut(key_prefix="bench", metadata=BY_DAY),
        "quarantine": dg.AssetOut(key_prefix="bench", metadata=BY_DAY),
    },
    ins={"raw": dg.AssetIn(["bench", "raw"]), "products": dg.AssetIn(["bench", "products"])},
)
def screened(context: dg.AssetExecutionContext, raw: pd.DataFrame, products: pd.DataFrame):  # type: ignore[no-untyped-def]  # Dagster reads the return type
    """A day's lines, typed: the ones that keep the rules, the latest of each key, and the others."""
    frame = _typed(raw, products, pd.Timestamp(context.partition_key))
    bad = pd.Series(dtype=object)
    try:
        RULES.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        cases = errors.failure_cases.dropna(subset=["index"])
        bad = cases.groupby("index")["column"].agg(",".join)
    good = frame[~frame.index.isin(bad.index)].sort_values(["ordered_at", "record"])
    good = good.drop_duplicates(["order_id", "line_number"], keep="last")
    drop = ["is_in_time", "has_product"]
    return good.drop(columns=drop), frame.loc[bad.index].assign(rules=bad).drop(columns=drop)


def _typed(raw: pd.DataFrame, products: pd.DataFrame, day: pd.Timestamp) -> pd.DataFrame:
    texts = {name: raw[name].str.strip().replace("", None) for name in COLUMNS}
    frame = raw.assign(**texts)
    for name in ("line_number", "quantity", "unit_price"):
        frame[name] = pd.to_numeric(frame[name], errors="coerce")
    frame["ordered_at"] = pd.to_datetime(frame["ordered_at"], errors="coerce").astype("datetime64[ns]")
    frame["is_in_time"] = frame["ordered_at"] < day + pd.Timedelta(days=1)
    frame["has_product"] = frame["product_id"].isin(products["product_id"])
    return frame


@dg.asset(
    partitions_def=DAYS, metadata=BY_DAY, key_prefix="bench",
    ins={"staging": dg.AssetIn(["bench", "staging"]), "products": dg.AssetIn(["bench", "products"])},
)  # fmt: skip
def sales(staging: pd.DataFrame, products: pd.DataFrame) -> pd.DataFrame:
    """A day's lines with their product's category."""
    joined = staging.merge(products, on="product_id")
    return joined.assign(line_amount=(joined["quantity"] * joined["unit_price"]).round(2))


ASSETS = [products, raw, screened, sales]
defs = dg.Definitions(
    assets=ASSETS,
    resources={"io_manager": DuckDBPandasIOManager(database=os.environ.get("BENCH_DUCKDB", "stock.duckdb"))},
)


def main() -> None:
    """Materialises the products and then each day; prints seconds and rows as JSON."""
    days = [day.isoformat() for day in days_of(int(sys.argv[1]))]
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with dg.DagsterInstance.get() as instance:
        started = time.perf_counter()
        dg.materialize([products], instance=instance, resources=defs.resources, run_config=quiet)
        for day in days:
            dg.materialize(
                ASSETS, selection=[raw, screened, sales], partition_key=day, instance=instance, resources=defs.resources,
                run_config=quiet,
            )  # fmt: skip
        seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "rows": _rows()}))


def _rows() -> dict[str, int]:
    import duckdb

    with duckdb.connect(os.environ["BENCH_DUCKDB"]) as con:
        counted = {
            fate: con.execute(f"SELECT count(*) FROM bench.{table}").fetchone()
            for fate, table in (("accepted", "staging"), ("quarantined", "quarantine"))
        }
    return {fate: int(row[0]) for fate, row in counted.items() if row}


if __name__ == "__main__":
    main()
