"""A judge of the sample shop's files that shares no code with the product: hand-written SQL over what the files say.

`judge` reads every file of a landing folder with Python's csv and json (Parquet with DuckDB) and answers with the
rules each record breaks.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import duckdb
import pyarrow as pa

COUNTRIES = "'AT','BE','CH','DE','DK','ES','FR','GB','IE','IT','NL','NO','PL','PT','SE','US'"
COLUMNS = {
    "customers": "customer_id email full_name country_code signed_up_at updated_at",
    "products": "product_id product_name category unit_price updated_at",
    "orders": "order_id customer_id status country_code total_amount ordered_at",
    "order_items": "order_id line_number product_id quantity unit_price ordered_at",
    "payments": "payment_id order_id method status amount paid_at",
    "events": "event_id session_id customer_id event_type page_url occurred_at",
}
TIMES = {
    "customers": "updated_at",
    "products": "updated_at",
    "orders": "ordered_at",
    "order_items": "ordered_at",
    "payments": "paid_at",
    "events": "occurred_at",
}
KEYS = {
    "customers": "customer_id",
    "products": "product_id",
    "orders": "order_id",
    "order_items": "order_id || '|' || line_number",
    "payments": "payment_id",
    "events": "event_id",
}
MOJIBAKE = "chr(195) || '[' || chr(128) || '-' || chr(191) || ']|' || chr(65533)"


def _money(column: str, low: str) -> dict[str, str]:
    rule = "gt" if low.startswith("<=") else "ge"
    number = f"TRY_CAST({column} AS DECIMAL(18,2))"
    return {f"{column}.cast": f"{number} IS NULL AND {column} IS NOT NULL", f"{column}.{rule}": f"{number} {low} 0"}


RULES: dict[str, dict[str, str]] = {
    "customers": {
        "email.matches": "NOT regexp_full_match(email, '[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+([.][A-Za-z0-9-]+)+')",
        "full_name.matches": f"regexp_matches(full_name, {MOJIBAKE})",
        "country_code.isin": f"country_code NOT IN ({COUNTRIES})",
        "customer_id.matches": "NOT regexp_full_match(customer_id, 'C[0-9]{8}')",
        "signed_up_at.cast": "TRY_CAST(signed_up_at AS TIMESTAMP) IS NULL",
        "updated_after_signup": "TRY_CAST(updated_at AS TIMESTAMP) < TRY_CAST(signed_up_at AS TIMESTAMP)",
    },
    "products": {
        "product_id.matches": "NOT regexp_full_match(product_id, 'P[0-9]{6}')",
        "product_name.matches": f"regexp_matches(product_name, {MOJIBAKE})",
        **_money("unit_price", "<="),
    },
    "orders": {
        "order_id.matches": "NOT regexp_full_match(order_id, 'O[0-9]{10}')",
        "status.isin": "status NOT IN ('placed','paid','shipped','delivered','cancelled','returned')",
        "country_code.isin": f"country_code NOT IN ({COUNTRIES})",
        **_money("total_amount", "<"),
    },
    "order_items": {
        "line_number.cast": "NOT regexp_full_match(line_number, '[0-9]+')",
        "line_number.ge": "TRY_CAST(line_number AS INT) < 1",
        "quantity.cast": "NOT regexp_full_match(quantity, '-?[0-9]+')",
        "quantity.in_range": "regexp_full_match(quantity, '-?[0-9]+') AND TRY_CAST(quantity AS INT) NOT BETWEEN 1 AND 1000",
        **_money("unit_price", "<"),
    },
    "payments": {
        "payment_id.matches": "NOT regexp_full_match(payment_id, 'T[0-9]{10}')",
        "method.isin": "method NOT IN ('card','paypal','bank_transfer','voucher')",
        "status.isin": "status NOT IN ('captured','refunded','failed')",
        **_money("amount", "<="),
    },
    "events": {
        "event_id.matches": "NOT regexp_full_match(event_id, 'E[0-9]{12}')",
        "event_type.isin": "event_type NOT IN ('page_view','product_view','add_to_cart','checkout','purchase')",
        "page_url.startswith": "page_url NOT LIKE '/%'",
    },
}
REFERENCES = (
    ("orders", "customer_id", "customers"),
    ("order_items", "order_id", "orders"),
    ("order_items", "product_id", "products"),
    ("payments", "order_id", "orders"),
)


def read(con: duckdb.DuckDBPyConnection, landing: Path) -> None:
    """Makes a table per feed: `file`, `record`, `day` and the columns as text, blank text as NULL."""
    for table, columns in COLUMNS.items():
        names = columns.split()
        rows: list[tuple[object, ...]] = []
        for path in sorted((landing / "shop" / table).iterdir()):
            file = path.relative_to(landing).as_posix()
            found = _records(con, path)
            for number, record in enumerate(found, start=1):
                rows.append((file, number, path.name[:10], *((record[name] or "").strip() or None for name in names)))
        kinds = {"file": pa.string(), "record": pa.int64(), "day": pa.string(), **dict.fromkeys(names, pa.string())}
        columns_of = list(zip(*rows, strict=True)) or [()] * len(kinds)
        arrays = [pa.array(values, kind) for values, kind in zip(columns_of, kinds.values(), strict=True)]
        con.register("read_rows", pa.Table.from_arrays(arrays, names=list(kinds)))
        con.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT * REPLACE (day::DATE AS day) FROM read_rows")
        con.unregister("read_rows")


def _records(con: duckdb.DuckDBPyConnection, path: Path) -> list[dict[str, str | None]]:
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file, strict=True))
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    relation = con.sql(f"SELECT * FROM read_parquet('{path}')")
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


def judge(con: duckdb.DuckDBPyConnection, landing: Path) -> None:
    """Reads the files and makes the table `broken`: file, record, rule. `key` stands for a row of another day's key
    as well as for the losers among a day's copies (`key.merged`)."""
    read(con, landing)
    con.execute("CREATE OR REPLACE TABLE broken (file VARCHAR, record BIGINT, rule VARCHAR)")
    for table, columns in COLUMNS.items():
        at = f"TRY_CAST({TIMES[table]} AS TIMESTAMP)"
        optional = ("customer_id",) if table == "events" else ()
        rules = {f"{column}.not_null": f"{column} IS NULL" for column in columns.split() if column not in optional}
        rules |= RULES[table]
        rules[f"{TIMES[table]}.cast"] = f"{at} IS NULL AND {TIMES[table]} IS NOT NULL"
        rules[f"{TIMES[table]}.future"] = f"{at} >= day + 1"
        rules[f"{TIMES[table]}.late"] = f"{at} < day"
        for rule, broken in rules.items():
            con.execute(f"INSERT INTO broken SELECT file, record, '{rule}' FROM {table} WHERE ({broken}) IS TRUE")
    for table, column, parent in REFERENCES:
        con.execute(
            f"""
            INSERT INTO broken SELECT file, record, '{column}.exists' FROM {table} AS child
            WHERE {column} IS NOT NULL AND NOT EXISTS (
                FROM {parent} AS parent ANTI JOIN bad USING (file, record)
                WHERE parent.{column} = child.{column} AND parent.day <= child.day)
        """.replace("bad USING", "(SELECT file, record FROM broken WHERE rule NOT LIKE '%.late') AS bad USING")
        )
    for table, key in KEYS.items():
        good = f"{table} ANTI JOIN (SELECT file, record FROM broken WHERE rule NOT LIKE '%.late') AS bad USING (file, record)"
        con.execute(f"""
            CREATE OR REPLACE TABLE keyed AS SELECT file, record, day, {key} AS key, row_number() OVER (
                PARTITION BY day, {key} ORDER BY TRY_CAST({TIMES[table]} AS TIMESTAMP) DESC, record DESC) AS place FROM {good}
        """)
        con.execute("INSERT INTO broken SELECT file, record, 'key.merged' FROM keyed WHERE place > 1")
        if table not in ("customers", "products"):
            con.execute("""
                INSERT INTO broken SELECT file, record, 'key' FROM keyed AS later WHERE place = 1
                AND EXISTS (FROM keyed AS sooner WHERE sooner.key = later.key AND sooner.day < later.day)
            """)
