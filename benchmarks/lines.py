"""The input of the benchmarks: drop files of order lines and products, made by DuckDB. About 71 bytes a line; one line
in a hundred is dirty, in eight ways by turns. Nothing is loaded here.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import duckdb

FIRST_DAY = date(2023, 1, 1)
PRODUCTS = 50_000
CATEGORIES = ("books", "garden", "kitchen", "music", "sports", "toys")
STATUSES = ("placed", "paid", "shipped", "delivered", "cancelled", "returned")
CHANNELS = ("web", "app", "store", "phone")
COLUMNS = (
    "order_id", "line_number", "customer_id", "product_id", "status", "channel", "quantity", "unit_price", "ordered_at",
)  # fmt: skip
KINDS_OF_DIRT = 8


def days_of(count: int) -> list[date]:
    """The first `count` days of the benchmarks' calendar."""
    return [FIRST_DAY + timedelta(days=number) for number in range(count)]


def lines_file(landing: Path, day: date) -> Path:
    return landing / "bench" / "lines" / f"{day}.csv"


def products_file(landing: Path) -> Path:
    return landing / "bench" / "products" / f"{FIRST_DAY}.csv"


def generate(landing: Path, lines: int, days: int, *, dirty: bool = True) -> int:
    """Writes `lines` order lines in `days` files of equal size, and the products; returns the bytes of the lines."""
    with duckdb.connect() as con:
        _products(con, products_file(landing))
        for number, (day, first, count) in enumerate(_shares(lines, days)):
            path = lines_file(landing, day)
            path.parent.mkdir(parents=True, exist_ok=True)
            con.execute(f"COPY ({_lines_sql(first, count, day, number, dirty)}) TO '{path}' (FORMAT csv, HEADER)")
    return sum(lines_file(landing, day).stat().st_size for day in days_of(days))


def _shares(lines: int, days: int) -> Iterator[tuple[date, int, int]]:
    """Each day with its first line and the number of its lines."""
    first = 0
    for number, day in enumerate(days_of(days), 1):
        last = lines * number // days
        yield day, first, last - first
        first = last


def _products(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    con.execute(f"""
        COPY (SELECT 'P' || lpad(i::VARCHAR, 6, '0') AS product_id, 'Product ' || i AS product_name,
            {list(CATEGORIES)}[1 + i % {len(CATEGORIES)}] AS category, TIMESTAMP '{FIRST_DAY} 00:00:00' AS updated_at
        FROM range({PRODUCTS}) AS t(i)) TO '{path}' (FORMAT csv, HEADER)""")


def _lines_sql(first: int, count: int, day: date, salt: int, dirty: bool) -> str:
    """An order has four lines. Kind 0 of the dirt sends a line's key again, so one of the two is merged."""
    kind = f"CASE WHEN i % 100 = 99 AND i > {first} THEN (i // 100) % {KINDS_OF_DIRT} ELSE -1 END" if dirty else "-1"
    return f"""
        WITH numbered AS (
            SELECT i, {kind} AS k, (hash(i + {salt}) >> 1)::BIGINT AS h FROM range({first}, {first + count}) AS t(i)),
        named AS (SELECT *, CASE WHEN k = 0 THEN i - 1 ELSE i END AS n FROM numbered)
        SELECT
            CASE WHEN k = 7 THEN 'X' ELSE 'O' END || lpad((n // 4)::VARCHAR, 10, '0') AS order_id,
            1 + n % 4 AS line_number,
            CASE WHEN k = 5 THEN '' ELSE 'C' || lpad((h % 1000003)::VARCHAR, 8, '0') END AS customer_id,
            CASE WHEN k = 4 THEN 'P999999' ELSE 'P' || lpad((h % {PRODUCTS})::VARCHAR, 6, '0') END AS product_id,
            CASE WHEN k = 3 THEN 'lost' ELSE {list(STATUSES)}[1 + h % {len(STATUSES)}] END AS status,
            {list(CHANNELS)}[1 + h % {len(CHANNELS)}] AS channel,
            CASE WHEN k = 1 THEN 0 ELSE 1 + h % 9 END AS quantity,
            CASE WHEN k = 2 THEN 'n/a' ELSE printf('%.2f', (h % 99999) / 100.0) END AS unit_price,
            strftime(TIMESTAMP '{day}' + to_seconds(h % 86400)
                + CASE WHEN k = 6 THEN INTERVAL 2 DAY ELSE INTERVAL 0 DAY END, '%Y-%m-%d %H:%M:%S') AS ordered_at
        FROM named"""
