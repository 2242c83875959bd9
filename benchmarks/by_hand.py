"""The physical limit: what somebody who knows DuckDB would write for these order lines, and no more.

    python -m benchmarks.by_hand LANDING OUT DAYS

Reads the drop files, lands them with record numbers, casts, judges the same rules, keeps the latest of lines that come
twice, joins the products and writes raw, staging, quarantine and mart to Parquet by day. It has no catalog, no record of
loads, no hashes, no versions; a day that fails takes all the others along.
"""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import duckdb

from benchmarks.lines import CHANNELS, COLUMNS, STATUSES, days_of, lines_file, products_file

FORMAT = "FORMAT parquet, COMPRESSION zstd"
FILES_AT_ONCE = os.cpu_count() or 1
PHASES: dict[str, dict[str, float]] = {}


def run(landing: Path, out: Path, days: int) -> dict[str, int]:
    """Loads all days; returns the rows by fate."""
    with duckdb.connect() as con:
        con.execute("SET preserve_insertion_order = false")
        for name, step in (("raw", raw), ("judge", judge), ("stage", stage), ("mart", mart)):
            wall, cpu = time.perf_counter(), time.process_time()
            step(con, landing, out, days)
            PHASES[name] = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "calls": 1}
        rows = con.execute("SELECT fate, count(*) FROM fated GROUP BY 1").fetchall()
    return {str(fate): int(count) for fate, count in rows}


def raw(con: duckdb.DuckDBPyConnection, landing: Path, out: Path, days: int) -> None:
    """Each file to one Parquet file, all text, with its record numbers: numbering is the work of one thread, so as many
    files at a time as there are processors."""
    columns = ", ".join(f"'{name}': 'VARCHAR'" for name in COLUMNS)

    def land(day: date) -> None:
        folder = out / "raw" / f"arrival_date={day}"
        folder.mkdir(parents=True)
        path = lines_file(landing, day)
        con.cursor().execute(f"""
            COPY (SELECT *, row_number() OVER () AS _record, '{path.name}' AS _file FROM read_csv('{path}',
                auto_detect=false, header=true, columns={{{columns}}}, delim=',', quote='"', escape='"', strict_mode=true))
            TO '{folder}/rows.parquet' ({FORMAT})""")

    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        list(pool.map(land, days_of(days)))


def judge(con: duckdb.DuckDBPyConnection, landing: Path, out: Path, days: int) -> None:  # noqa: ARG001
    """Casts and rules in one scan, then what comes twice."""
    texts = ", ".join(f"NULLIF(trim({name}), '') AS {name}" for name in COLUMNS)
    con.execute(f"CREATE TEMP TABLE products AS SELECT product_id, category FROM read_csv('{products_file(landing)}')")
    con.execute(f"""
        CREATE TEMP TABLE judged AS
        WITH texts AS (
            SELECT {texts}, _record, _file, arrival_date
            FROM read_parquet('{out}/raw/*/*.parquet', hive_partitioning=true, hive_types={{'arrival_date': DATE}})),
        typed AS (
            SELECT order_id, TRY_CAST(line_number AS BIGINT) AS line_number, customer_id, product_id, status, channel,
                TRY_CAST(quantity AS BIGINT) AS quantity, TRY_CAST(unit_price AS DECIMAL(18, 2)) AS unit_price,
                TRY_CAST(ordered_at AS TIMESTAMP) AS ordered_at, _record, _file, arrival_date
            FROM texts)
        SELECT typed.*, NULLIF(concat_ws(',',
            CASE WHEN order_id IS NULL OR NOT regexp_matches(order_id, '^O\\d{{10}}$') THEN 'order_id' END,
            CASE WHEN line_number IS NULL OR line_number < 1 THEN 'line_number' END,
            CASE WHEN customer_id IS NULL THEN 'customer_id' END,
            CASE WHEN products.product_id IS NULL THEN 'product_id' END,
            CASE WHEN status IS NULL OR status NOT IN {STATUSES} THEN 'status' END,
            CASE WHEN channel IS NULL OR channel NOT IN {CHANNELS} THEN 'channel' END,
            CASE WHEN quantity IS NULL OR quantity NOT BETWEEN 1 AND 1000 THEN 'quantity' END,
            CASE WHEN unit_price IS NULL OR unit_price < 0 THEN 'unit_price' END,
            CASE WHEN ordered_at IS NULL OR ordered_at >= arrival_date + 1 THEN 'ordered_at' END), '') AS rules
        FROM typed LEFT JOIN products ON typed.product_id = products.product_id;
        CREATE TEMP TABLE twice AS
            SELECT order_id, line_number FROM judged WHERE rules IS NULL GROUP BY ALL HAVING count(*) > 1;
        CREATE TEMP TABLE older AS
            SELECT rid FROM (
                SELECT judged.rowid AS rid, row_number() OVER (
                    PARTITION BY order_id, line_number ORDER BY ordered_at DESC, _file DESC, _record DESC) AS place
                FROM judged SEMI JOIN twice USING (order_id, line_number) WHERE rules IS NULL)
            WHERE place > 1;
        CREATE TEMP VIEW fated AS
            SELECT judged.*, CASE WHEN rules IS NOT NULL THEN 'quarantined' WHEN older.rid IS NOT NULL THEN 'merged'
                ELSE 'accepted' END AS fate
            FROM judged LEFT JOIN older ON judged.rowid = older.rid""")


def stage(con: duckdb.DuckDBPyConnection, landing: Path, out: Path, days: int) -> None:  # noqa: ARG001
    """The rows by fate, each to the files of its day."""
    for fate, folder, columns in (("accepted", "staging", "rules, fate"), ("quarantined", "quarantine", "fate")):
        con.execute(f"""
            COPY (SELECT * EXCLUDE ({columns}) FROM fated WHERE fate = '{fate}')
            TO '{out}/{folder}' ({FORMAT}, PARTITION_BY (arrival_date))""")


def mart(con: duckdb.DuckDBPyConnection, landing: Path, out: Path, days: int) -> None:  # noqa: ARG001
    """The accepted lines with their product's category, by business day."""
    con.execute(f"""
        COPY (SELECT order_id, line_number, ordered_at::DATE AS order_date, customer_id, product_id, category, status,
            channel, quantity, unit_price, (quantity * unit_price)::DECIMAL(18, 2) AS line_amount
            FROM read_parquet('{out}/staging/*/*.parquet') JOIN products USING (product_id))
        TO '{out}/mart' ({FORMAT}, PARTITION_BY (order_date))""")


def main() -> None:
    """Runs the script and prints its seconds and rows as JSON."""
    landing, out, days = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    started = time.perf_counter()
    rows = run(landing, out, days)
    print(json.dumps({"seconds": time.perf_counter() - started, "rows": rows, "phases": PHASES}))


if __name__ == "__main__":
    main()
