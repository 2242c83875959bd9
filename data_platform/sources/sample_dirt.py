"""The defects the sample shop plants, and the truth about them. Each is an extra row beside a clean one.

A defect clones a clean row under a number of its own and breaks it, so that no clean row turns bad and no clean row
refers to a bad one. `plant_dirt` leaves `dirt_<table>` beside `rows_<table>`, and `truth`: one row per labelled row.
Late rows and rows sent again come from `sample_day`; only their labels are written here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

import duckdb

from data_platform.sources.sample_day import COLUMNS, EPOCH, EVENT_TIME

SHARE = 0.0015  # of a table's rows, per defect
KEYS = {
    "customers": ("customer_id",), "products": ("product_id",), "orders": ("order_id",),
    "order_items": ("order_id", "line_number"), "payments": ("payment_id",), "events": ("event_id",),
}  # fmt: skip
# Numbers of planted rows: above those of clean rows, below those of orphans, which nothing ever has.
_DIRTY_KEY = {
    "customers": "'C' || (90000000 + d)", "products": "'P' || (900000 + d)", "orders": "numbered('O', x, 860000 + d, 1000000)",
    "payments": "numbered('T', x, 860000 + d, 1000000)", "events": "numbered('E', x, 90000000 + d, 100000000)",
    "order_items": "(line_number::INT + 100 * (1 + defect))::VARCHAR",
}  # fmt: skip
_BLANK = "CASE j % 2 WHEN 0 THEN NULL ELSE '  ' END"
_NO_ORDER = "numbered('O', x, 999999 - j, 1000000)"
_BAD_TIME = "left({at}, 4) || '-13-45 10:00:00'"
_FUTURE = "ts(moment + 86400 * (1 + j % 30))"


@dataclass(frozen=True)
class Defect:
    """One way a row is bad: `changes` maps a column to the SQL of its broken text, over the clean row, `j` (the copy's
    number), `d` (the planted row's number) and `moment`. `rules` are those the contract must break, in its order."""

    table: str
    kind: str
    rules: str
    changes: dict[str, str] = field(default_factory=dict)
    fate: str = "quarantined"


def _copy(table: str, changes: dict[str, str]) -> Defect:
    return Defect(table, "duplicate_within_day", "key", changes, "merged")


def _timed(table: str) -> tuple[Defect, ...]:
    """What every table has: a missing key, an exact copy, a broken time and a time to come."""
    key, at = KEYS[table][0], EVENT_TIME[table]
    return (
        Defect(table, "missing_key", f"{key}.not_null", {key: _BLANK}),
        _copy(table, {}),
        Defect(table, "bad_cast", f"{at}.cast", {at: _BAD_TIME.format(at=at)}),
        Defect(table, "future_time", f"{at}.future", {at: _FUTURE}),
    )


DEFECTS: tuple[Defect, ...] = (
    *_timed("customers"),
    _copy("customers", {"email": "'old.' || email"}),
    Defect("customers", "bad_email", "email.matches", {
        "email": "CASE j % 4 WHEN 0 THEN replace(email, '@', '.at.') WHEN 1 THEN split_part(email, '@', 1) || '@'"
        " WHEN 2 THEN '@' || split_part(email, '@', 2) ELSE replace(email, '@', ' @') END",
    }),
    Defect("customers", "misencoded_text", "full_name.matches", {
        "full_name": "CASE j % 3 WHEN 0 THEN 'JosÃ© GarcÃ\u00ada' WHEN 1 THEN 'J\ufffdrg M\ufffdller'"
        " ELSE 'BjÃ¶rn ' || full_name END",
    }),
    Defect("customers", "unknown_status", "country_code.isin", {"country_code": "['XX', 'UK', 'de'][1 + j % 3]"}),
    Defect("customers", "two_defects", "email.matches,country_code.isin", {"email": "'none'", "country_code": "'ZZ'"}),
    *_timed("products"),
    _copy("products", {"product_name": "product_name || ' (old)'"}),
    Defect("products", "bad_cast", "unit_price.cast", {"unit_price": "'EUR ' || unit_price"}),
    Defect("products", "negative_amount", "unit_price.gt", {"unit_price": "CASE j % 2 WHEN 0 THEN '-' || unit_price ELSE '0.00' END"}),
    Defect("products", "misencoded_text", "product_name.matches", {
        "product_name": "CASE j % 2 WHEN 0 THEN 'CafÃ© Mug, CrÃ¨me' ELSE 'Caf\ufffd Mug, Cr\ufffdme' END",
    }),
    Defect("products", "two_defects", "unit_price.cast,product_name.matches", {"product_name": "'CafÃ© Mug'", "unit_price": "'n/a'"}),
    *_timed("orders"),
    _copy("orders", {"status": "'placed'"}),
    Defect("orders", "bad_cast", "total_amount.cast", {"total_amount": "replace(total_amount, '.', ',')"}),
    Defect("orders", "negative_amount", "total_amount.ge", {"total_amount": "'-' || total_amount"}),
    Defect("orders", "unknown_status", "status.isin", {"status": "['teleported', 'Paid', 'unknown'][1 + j % 3]"}),
    Defect("orders", "unknown_status", "country_code.isin", {"country_code": "'XX'"}),
    Defect("orders", "orphan", "customer_id.exists", {"customer_id": "'C' || (99999999 - j)"}),
    Defect("orders", "two_defects", "status.isin,total_amount.ge", {"status": "'lost'", "total_amount": "'-1.00'"}),
    *_timed("order_items"),
    _copy("order_items", {"quantity": "(quantity::INT + 1)::VARCHAR"}),
    Defect("order_items", "bad_cast", "quantity.cast", {"quantity": "['two', '1.5', '1e'][1 + j % 3]"}),
    Defect("order_items", "negative_amount", "unit_price.ge", {"unit_price": "'-' || unit_price"}),
    Defect("order_items", "negative_amount", "quantity.in_range", {"quantity": "'-' || quantity"}),
    Defect("order_items", "orphan", "product_id.exists", {"product_id": "'P' || (999999 - j)"}),
    Defect("order_items", "orphan", "order_id.exists", {"order_id": _NO_ORDER}),
    Defect("order_items", "two_defects", "quantity.in_range,unit_price.ge", {"quantity": "'0'", "unit_price": "'-0.01'"}),
    *_timed("payments"),
    _copy("payments", {"method": "'voucher'"}),
    Defect("payments", "bad_cast", "amount.cast", {"amount": "replace(amount, '.', ',')"}),
    Defect("payments", "negative_amount", "amount.gt", {"amount": "'-' || amount"}),
    Defect("payments", "unknown_status", "status.isin", {"status": "'pending?'"}),
    Defect("payments", "unknown_status", "method.isin", {"method": "' CARD '"}),
    Defect("payments", "orphan", "order_id.exists", {"order_id": _NO_ORDER}),
    Defect("payments", "two_defects", "amount.cast,method.isin", {"amount": "'free'", "method": "'barter'"}),
    *_timed("events"),
    Defect("events", "unknown_status", "event_type.isin", {"event_type": "['hover', 'PAGE_VIEW'][1 + j % 2]"}),
    Defect("events", "two_defects", "event_type.isin,page_url.startswith", {"event_type": "'hover'", "page_url": "'about:blank'"}),
)  # fmt: skip


def prepare_dirt(con: duckdb.DuckDBPyConnection) -> None:
    """Creates the table `defects`: what is planted, and which day's turn it is (`rank` among `same` of its kind)."""
    rows = []
    for number, defect in enumerate(DEFECTS):
        same = [other for other, found in enumerate(DEFECTS) if found.kind == defect.kind]
        turn = (same.index(number) - len(defect.kind)) % len(same)
        rows.append(
            (number, defect.table, defect.kind, defect.rules, defect.fate, bool(defect.changes), turn, len(same))
        )
    con.execute("""CREATE OR REPLACE TABLE defects (
        defect BIGINT, "table" VARCHAR, kind VARCHAR, rules VARCHAR, fate VARCHAR, changed BOOLEAN, turn BIGINT, same BIGINT)""")
    con.executemany("INSERT INTO defects VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)


def plant_dirt(con: duckdb.DuckDBPyConnection) -> None:
    """Creates `dirt_<table>` for every feed from `rows_<table>`, and `truth` with columns f, day, table, file, record,
    key, kind, rules, fate, needs_day, rules_without, fate_without."""
    for table in COLUMNS:
        con.execute(_dirt(table))
    con.execute(f"CREATE OR REPLACE TABLE truth AS {' UNION ALL '.join(_labels(table) for table in COLUMNS)}")


def _dirt(table: str) -> str:
    """Clones spread evenly over the clean rows: of each defect a share of the table's rows, and of each kind at least
    one row a day, in a table that changes from day to day (so that a small shop of few days still shows each kind).
    `sub` 0 stands before its original, 2 behind it: a copy stands before (of equal times the later record wins), and
    every second changed copy behind, a minute older."""
    columns = ", ".join(f"{_changed(table, column)} AS {column}" for column in COLUMNS[table])
    return f"""
    CREATE OR REPLACE TABLE dirt_{table} AS
    WITH clean AS (
        SELECT f, count(*) AS clean FROM rows_{table} WHERE role = 0 GROUP BY f
    ), plan AS (
        SELECT f, clean, defect, fate = 'merged' AND changed AS may_shift, noise,
            greatest(round({SHARE} * clean), (f % same = turn)::INT)::BIGINT AS copies
        FROM clean JOIN days ON days.x = f, (SELECT * FROM defects WHERE "table" = '{table}')
    ), picks AS (
        SELECT f, defect, may_shift, j, ((hash(defect, noise) % clean::UBIGINT)::BIGINT + j * (clean // copies)) % clean AS i
        FROM (SELECT *, unnest(range(copies)) AS j FROM plan)
    ), cloned AS (
        SELECT defect, j, rows.*, CASE WHEN may_shift AND j % 2 = 1 AND moment - 60 >= not_before THEN 2 ELSE 0 END AS sub
        FROM picks JOIN rows_{table} AS rows USING (f, i)
    ), placed AS (
        SELECT * RENAME (f AS x), row_number() OVER (PARTITION BY f ORDER BY i, sub, defect, j) AS d FROM cloned
    )
    SELECT x AS f, i, sub, defect, d, i + CASE sub WHEN 2 THEN 1 ELSE 0 END + d AS record,
        {_key(table)} AS cloned_key, {columns} FROM placed
    """


def _changed(table: str, column: str) -> str:
    """The SQL of one column over all defects of a table."""
    cases = []
    for number, defect in enumerate(DEFECTS):
        if defect.table == table and column in defect.changes:
            cases.append(f"WHEN {number} THEN {defect.changes[column]}")
        elif defect.table == table and column == KEYS[table][-1] and defect.fate != "merged":
            cases.append(f"WHEN {number} THEN {_DIRTY_KEY[table]}")
    changed = f"CASE defect {' '.join(cases)} ELSE {column} END" if cases else column
    return f"CASE sub WHEN 2 THEN ts(moment - 60) ELSE {changed} END" if column == EVENT_TIME[table] else changed


def _key(table: str) -> str:
    return " || '|' || ".join(KEYS[table])


def _labels(table: str) -> str:
    """The truth of one table: planted rows; late rows; rows sent again, which are judged by `key` only when the day
    before was loaded. Loaded alone, such a row is a late one (its order or customer is sent again with it)."""
    day = f"make_date({(EPOCH - date(1970, 1, 1)).days} + f::INT)"
    file = f"'shop/{table}/' || {day} || '.{EXTENSIONS[table]}'"
    late = f"{EVENT_TIME[table]}.late"
    return f"""
    SELECT f, {day} AS day, '{table}' AS "table", {file} AS file, record,
        CASE WHEN fate = 'merged' THEN cloned_key ELSE {_key(table)} END AS key, kind, rules, fate,
        NULL::DATE AS needs_day, NULL::VARCHAR AS rules_without, NULL::VARCHAR AS fate_without
    FROM dirt_{table} JOIN defects USING (defect)
    UNION ALL
    SELECT f, {day}, '{table}', {file}, i + 1 + coalesce(planted, 0), {_key(table)},
        CASE role WHEN 1 THEN 'late_row' ELSE 'duplicate_across_days' END, CASE role WHEN 1 THEN '{late}' ELSE 'key' END,
        CASE role WHEN 1 THEN 'flagged' ELSE 'quarantined' END, CASE role WHEN 2 THEN {day} - 1 END,
        CASE role WHEN 2 THEN '{late}' END, CASE role WHEN 2 THEN 'flagged' END
    FROM rows_{table} LEFT JOIN (SELECT f, count(*) AS planted FROM dirt_{table} GROUP BY f) USING (f)
    WHERE role > 0
    """


EXTENSIONS = {
    "customers": "jsonl", "products": "csv", "orders": "csv", "order_items": "csv", "payments": "jsonl", "events": "parquet",
}  # fmt: skip
