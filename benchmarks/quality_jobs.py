"""The jobs of the group `quality`: each reads a Parquet file of orders, judges 8 rules (a regular expression and uniqueness
among them), writes the accepted rows to one place and the others, with the names of the rules they broke, to another.

Run as `python -m benchmarks.quality_jobs JOB SOURCE OUT MEMORY`: one job in a process of its own, which prints seconds
(imports aside), peak memory and rows. Nothing is compared here.
"""

from __future__ import annotations

import datetime as dt
import importlib
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

STATUSES = ["placed", "paid", "shipped", "cancelled"]
EMAIL = r"^[a-z0-9._]+@[a-z0-9]+\.[a-z]+$"


def generate(path: Path, rows: int, bad: float) -> None:
    """`rows` orders, of which this share breaks one of the rules, spread evenly over them."""
    import duckdb

    every = round(1 / bad) if bad else 0
    broken = f"(i % {every} = 0)" if every else "false"
    pick = f"CASE WHEN {broken} THEN (i // {every or 1}) % 7 ELSE -1 END"
    duckdb.execute(f"""
        COPY (SELECT
            CASE WHEN k = 0 THEN 'O' || lpad((i - 1)::VARCHAR, 10, '0') ELSE 'O' || lpad(i::VARCHAR, 10, '0') END AS id,
            CASE WHEN k = 1 THEN 'nobody' ELSE 'user' || (i % 100000) || '@example.com' END AS email,
            CASE WHEN k = 2 THEN -1.5 ELSE (i % 10000) / 100.0 END::DOUBLE AS amount,
            CASE WHEN k = 3 THEN 0 ELSE 1 + i % 9 END::INTEGER AS quantity,
            CASE WHEN k = 4 THEN 'lost' ELSE {STATUSES}[1 + i % 4] END AS status,
            CASE WHEN k = 5 THEN NULL ELSE 'C' || lpad((i % 50000)::VARCHAR, 8, '0') END AS customer,
            CASE WHEN k = 6 THEN TIMESTAMP '1999-01-01' ELSE TIMESTAMP '2026-01-01' + to_seconds(i % 86400) END AS placed_at
        FROM (SELECT i, {pick} AS k FROM range({rows}) AS t(i))) TO '{path}' (FORMAT parquet)""")


def contract() -> Any:
    """The rules as a contract of ours."""
    import pandera.ibis as pa

    from data_platform.contracts.model import REGISTRY, Key, column, table

    @table("marts.benched", grain="one row per order", owner="bench@example.com", key=Key(("id",)))
    class Benched(pa.DataFrameModel):
        """Orders."""

        id: str = column(description="Order", str_length={"min_value": 11, "max_value": 11})
        email: str = column(description="E-mail", str_matches=EMAIL, nullable=True)
        amount: float = column(description="Amount", ge=0, nullable=True)
        quantity: int = column(description="Units", ge=1, nullable=True)
        status: str = column(description="Status", isin=STATUSES, nullable=True)
        customer: str = column(description="Customer")
        placed_at: dt.datetime = column(description="Moment", ge=dt.datetime(2000, 1, 1), nullable=True)

    return REGISTRY["marts.benched"]


def _duckdb(memory: str, scratch: Path) -> Any:
    import duckdb

    con = duckdb.connect()
    con.execute(
        f"SET memory_limit = '{memory}'; SET preserve_insertion_order = false; SET temp_directory = '{scratch}'"
    )
    return con


def ours(source: Path, out: Path, memory: str) -> None:
    """The contract compiled to one scan, as the audit of a mart judges its candidate."""
    from data_platform.lake.sql import names, text
    from data_platform.quality.candidate import judge_rows
    from data_platform.quality.compiler import Judge

    con, judging = _duckdb(memory, out), Judge.of(contract())
    judge_rows(con, judging, f"'{source}'")
    rules = ", ".join(f"CASE WHEN _broken & {bit} <> 0 THEN {text(name)} END" for name, bit in judging.bits())
    columns = names(judging.contract.columns)
    con.execute(f"""
        COPY (SELECT {columns}, CASE WHEN _broken <> 0 THEN concat_ws(',', {rules}) END AS rules,
            CASE WHEN _broken = 0 THEN 'good' ELSE 'bad' END AS fate FROM judged)
        TO '{out}' (FORMAT parquet, PARTITION_BY (fate), OVERWRITE_OR_IGNORE)""")


def ours_screening(source: Path, out: Path, memory: str) -> None:
    """Judging alone: a bit per rule for every row, nothing written."""
    from data_platform.quality.candidate import judge_rows
    from data_platform.quality.compiler import Judge

    con = _duckdb(memory, out)
    judge_rows(con, Judge.of(contract()), f"'{source}'")
    con.execute("SELECT _broken, count(*) FROM judged GROUP BY 1").fetchall()


def by_hand(source: Path, out: Path, memory: str) -> None:
    """What somebody who knows DuckDB would write for this one table."""
    con = _duckdb(memory, out)
    con.execute(f"""
        CREATE TEMP TABLE twice AS SELECT id FROM '{source}' GROUP BY id HAVING count(*) > 1;
        CREATE TEMP TABLE judged AS SELECT o.*, concat_ws(',',
            CASE WHEN o.id IS NULL OR length(o.id) <> 11 THEN 'id' END,
            CASE WHEN NOT regexp_matches(email, '{EMAIL}') THEN 'email' END,
            CASE WHEN amount < 0 THEN 'amount' END, CASE WHEN quantity < 1 THEN 'quantity' END,
            CASE WHEN status NOT IN {tuple(STATUSES)} THEN 'status' END, CASE WHEN customer IS NULL THEN 'customer' END,
            CASE WHEN placed_at < TIMESTAMP '2000-01-01' THEN 'placed_at' END, CASE WHEN twice.id IS NOT NULL THEN 'key' END) AS rules
        FROM '{source}' AS o LEFT JOIN twice ON o.id = twice.id;
        COPY (SELECT * EXCLUDE rules FROM judged WHERE rules = '') TO '{out}/good.parquet' (FORMAT parquet);
        COPY (FROM judged WHERE rules <> '') TO '{out}/bad.parquet' (FORMAT parquet)""")


def _pandera(pa: Any, text: Any, moment: Any) -> Any:
    return pa.DataFrameSchema({
        "id": pa.Column(text, pa.Check.str_length(11, 11), unique=True),
        "email": pa.Column(text, pa.Check.str_matches(EMAIL), nullable=True),
        "amount": pa.Column(float, pa.Check.ge(0), nullable=True), "quantity": pa.Column("int32" if text is str else int, pa.Check.ge(1)),
        "status": pa.Column(text, pa.Check.isin(STATUSES), nullable=True), "customer": pa.Column(text, nullable=False),
        "placed_at": pa.Column(moment, pa.Check.ge(dt.datetime(2000, 1, 1)), nullable=True),
    })  # fmt: skip


def on_pandas(source: Path, out: Path, _memory: str) -> None:
    """pandera's lazy validation, its failure cases joined to the rows by their labels."""
    import pandas as pd
    import pandera.pandas as pa

    frame = pd.read_parquet(source)
    schema, bad = _pandera(pa, str, "datetime64[us]"), pd.Series(dtype=object)
    try:
        schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        cases = errors.failure_cases.dropna(subset=["index"])
        bad = cases.groupby("index")["column"].agg(",".join)
    frame[~frame.index.isin(bad.index)].to_parquet(out / "good.parquet")
    frame.loc[bad.index].assign(rules=bad).to_parquet(out / "bad.parquet")


def on_polars(source: Path, out: Path, _memory: str) -> None:
    """The same on polars."""
    import pandera.polars as pa
    import polars as pl

    frame = pl.read_parquet(source)
    schema = _pandera(pa, pl.String, pl.Datetime("us"))
    schema.columns["quantity"] = pa.Column(pl.Int32, pa.Check.ge(1), name="quantity")
    bad = pl.DataFrame(schema={"index": pl.Int64, "rules": pl.String})
    try:
        schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        cases = errors.failure_cases.drop_nulls("index").with_columns(pl.col("index").cast(pl.Int64))
        bad = cases.group_by("index").agg(pl.col("column").str.join(",").alias("rules"))
    numbered = frame.with_row_index("index").with_columns(pl.col("index").cast(pl.Int64))
    numbered.join(bad, on="index", how="anti").drop("index").write_parquet(out / "good.parquet")
    numbered.join(bad, on="index").write_parquet(out / "bad.parquet")


def on_great_expectations(source: Path, out: Path, _memory: str) -> None:
    """Great Expectations on pandas with `COMPLETE` results, the only ones that name every row."""
    import great_expectations as gx
    import pandas as pd
    from great_expectations import expectations as expect

    frame = pd.read_parquet(source)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("orders").add_dataframe_asset("orders")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    suite = gx.ExpectationSuite("orders", expectations=[
        expect.ExpectColumnValueLengthsToEqual(column="id", value=11), expect.ExpectColumnValuesToBeUnique(column="id"),
        expect.ExpectColumnValuesToMatchRegex(column="email", regex=EMAIL),
        expect.ExpectColumnValuesToBeBetween(column="amount", min_value=0),
        expect.ExpectColumnValuesToBeBetween(column="quantity", min_value=1),
        expect.ExpectColumnValuesToBeInSet(column="status", value_set=STATUSES),
        expect.ExpectColumnValuesToNotBeNull(column="customer"),
        expect.ExpectColumnValuesToBeBetween(column="placed_at", min_value=dt.datetime(2000, 1, 1)),
    ])  # fmt: skip
    results = batch.validate(suite, result_format={"result_format": "COMPLETE"}).results
    cases = [
        (index, result.expectation_config.type)
        for result in results
        for index in result.result["unexpected_index_list"] or ()
    ]
    bad = pd.DataFrame(cases, columns=["index", "rule"]).groupby("index")["rule"].agg(",".join)
    frame[~frame.index.isin(bad.index)].to_parquet(out / "good.parquet")
    frame.loc[bad.index].assign(rules=bad).to_parquet(out / "bad.parquet")


JOBS: dict[str, Callable[[Path, Path, str], None]] = {
    "ours": ours, "screening": ours_screening, "duckdb": by_hand, "pandas": on_pandas, "polars": on_polars,
    "great_expectations": on_great_expectations,
}  # fmt: skip


IMPORTS = {
    "pandas": ("pandera.pandas",), "polars": ("pandera.polars", "polars"), "great_expectations": ("great_expectations",),
    "ours": ("data_platform.quality.candidate",), "screening": ("data_platform.quality.candidate",),
}  # fmt: skip


def main(job: str, source: Path, out: Path, memory: str) -> None:
    """Runs one job and prints a line of JSON."""
    for module in ("duckdb", "pandas", *IMPORTS.get(job, ())):
        importlib.import_module(module)
    if job in ("ours", "screening"):
        contract()
    duckdb = sys.modules["duckdb"]
    started = time.perf_counter()
    JOBS[job](source, out, memory)
    seconds = time.perf_counter() - started
    found = {"seconds": seconds, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    for name in ("good", "bad"):
        files = [str(path) for path in (*out.glob(f"{name}.parquet"), *out.glob(f"fate={name}/*"))]
        if files:
            (found[name],) = duckdb.execute("SELECT count(*) FROM read_parquet($1)", [files]).fetchone()
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
