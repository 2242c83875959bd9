"""Judging rows: ours beside a hand-written DuckDB script and pandera on pandas and on polars.

All do the same job: read a Parquet file, judge 8 rules (a regular expression and uniqueness among them), write the accepted
rows to one file and the others, with the names of the rules they broke, to another. Each run is a process of its own; the
seconds are those of the job, imports aside, the memory is the process's peak. Runs alternate, medians count.

    python -m benchmarks.quality --rows 10000000 --repeats 5 [--peers duckdb,pandas,polars] [--slow-share 0.1]
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

STATUSES = ["placed", "paid", "shipped", "cancelled"]
EMAIL = r"^[a-z0-9._]+@[a-z0-9]+\.[a-z]+$"
SHARES = (0.0, 0.01, 0.2)
RESULTS = Path(__file__).parent / "results" / "quality.json"


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


def _duckdb(memory: str) -> Any:
    import duckdb

    con = duckdb.connect()
    con.execute(f"SET memory_limit = '{memory}'; SET preserve_insertion_order = false")
    return con


def ours(source: Path, out: Path, memory: str) -> None:
    """The contract compiled to one scan, uniqueness as the audit of a mart judges it."""
    from data_platform.lake.sql import names, text
    from data_platform.quality.compiler import Judge, broken_mask

    con, judging = _duckdb(memory), Judge.of(contract())
    bits, columns = judging.bits(), names(judging.contract.columns)
    con.execute(f"""
        CREATE TEMP TABLE judged AS SELECT {columns}, {broken_mask(judging.rules)} AS _broken FROM '{source}';
        CREATE TEMP TABLE taken AS SELECT id FROM judged GROUP BY id HAVING count(*) > 1;
        UPDATE judged SET _broken = _broken | {judging.key_bit}::UBIGINT FROM taken WHERE judged.id = taken.id""")
    rules = ", ".join(f"CASE WHEN _broken & {bit} <> 0 THEN {text(name)} END" for name, bit in bits)
    con.execute(f"""
        COPY (SELECT {columns} FROM judged WHERE _broken = 0) TO '{out}/good.parquet' (FORMAT parquet);
        COPY (SELECT {columns}, concat_ws(',', {rules}) AS rules FROM judged WHERE _broken <> 0) TO '{out}/bad.parquet' (FORMAT parquet)""")


def by_hand(source: Path, out: Path, memory: str) -> None:
    """What somebody who knows DuckDB would write for this one table."""
    con = _duckdb(memory)
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
    schema.columns["quantity"] = pa.Column(pl.Int32, pa.Check.ge(1))
    bad = pl.DataFrame(schema={"index": pl.Int64, "rules": pl.String})
    try:
        schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        cases = errors.failure_cases.drop_nulls("index").with_columns(pl.col("index").cast(pl.Int64))
        bad = cases.group_by("index").agg(pl.col("column").str.join(",").alias("rules"))
    numbered = frame.with_row_index("index").with_columns(pl.col("index").cast(pl.Int64))
    numbered.join(bad, on="index", how="anti").drop("index").write_parquet(out / "good.parquet")
    numbered.join(bad, on="index").write_parquet(out / "bad.parquet")


JOBS: dict[str, Callable[[Path, Path, str], None]] = {
    "ours": ours, "duckdb": by_hand, "pandas": on_pandas, "polars": on_polars,
}  # fmt: skip
SLOW = ("pandas", "polars")


def run(job: str, source: Path, memory: str) -> dict[str, float]:
    """One run in a process of its own: seconds, peak MiB, rows accepted and set aside."""
    with tempfile.TemporaryDirectory() as out:
        code = [
            sys.executable,
            "-m",
            "benchmarks.quality",
            "--job",
            job,
            "--source",
            str(source),
            "--out",
            out,
            "--memory",
            memory,
        ]
        done = subprocess.run(code, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{job} failed:\n{done.stderr[-2000:]}")
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return found


def _one(job: str, source: Path, out: Path, memory: str) -> None:
    import duckdb
    import pandas  # noqa: F401  # what the platform imports anyway is not the job's

    if job == "ours":
        contract()
    started = time.perf_counter()
    JOBS[job](source, out, memory)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    good, bad = (duckdb.sql(f"SELECT count(*) FROM '{out}/{name}.parquet'").fetchone()[0] for name in ("good", "bad"))  # type: ignore[index]
    print(json.dumps({"seconds": seconds, "peak_mib": peak, "good": good, "bad": bad}))


def compare(rows: int, repeats: int, jobs: list[str], slow_share: float, memory: str) -> list[dict[str, Any]]:
    """A row per share of bad rows and job; slow jobs get a part of the rows and are scaled, which is said."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for bad in SHARES:
            sources = {}
            for size in {rows, int(rows * slow_share)}:
                sources[size] = Path(folder) / f"{size}_{bad}.parquet"
                generate(sources[size], size, bad)
            taken: dict[str, list[dict[str, float]]] = {job: [] for job in jobs}
            for _ in range(repeats):
                for job in jobs:
                    taken[job].append(run(job, sources[int(rows * slow_share) if job in SLOW else rows], memory))
                    print(f"{bad:.0%} {job}: {taken[job][-1]}", file=sys.stderr, flush=True)
            for job in jobs:
                scale = 1 / slow_share if job in SLOW else 1.0
                found.append({
                    "bad": bad, "job": job, "rows": int(rows / scale), "scaled_by": scale,
                    "seconds": round(median(run["seconds"] for run in taken[job]) * scale, 2),
                    "peak_mib": round(median(run["peak_mib"] for run in taken[job])), "set_aside": taken[job][0]["bad"],
                })  # fmt: skip
            sources[rows].unlink()
    return found


def main() -> None:
    """Runs the comparison, prints a Markdown table, writes `benchmarks/results/quality.json`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peers", default="duckdb,pandas,polars")
    parser.add_argument("--slow-share", type=float, default=0.1)
    parser.add_argument("--memory", default="8GB")
    for name in ("job", "source", "out"):
        parser.add_argument(f"--{name}")
    stated = parser.parse_args()
    if stated.job:
        _one(stated.job, Path(stated.source), Path(stated.out), stated.memory)
        return
    found = compare(stated.rows, stated.repeats, ["ours", *stated.peers.split(",")], stated.slow_share, stated.memory)
    mine = {row["bad"]: row["seconds"] for row in found if row["job"] == "ours"}
    print("| bad | job | seconds | ours is | peak MiB | rows |\n| --- | --- | --- | --- | --- | --- |")
    for row in found:
        ratio = row["seconds"] / mine[row["bad"]]
        said = "" if row["job"] == "ours" else f"{ratio:.2f} × as fast"
        print(f"| {row['bad']:.0%} | {row['job']} | {row['seconds']} | {said} | {row['peak_mib']} | {row['rows']:,} |")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"repeats": stated.repeats, "memory": stated.memory, "runs": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
