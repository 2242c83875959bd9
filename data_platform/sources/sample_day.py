"""Clean days of the sample shop as DuckDB SQL: every value is a hash of (seed, day, number), nothing is drawn.

`build_days` leaves one table `rows_<table>` per feed, with the feed's columns as text and in front of them
`f` (number of the file's day), `i` (position in the file, from 0), `role` (0 clean, 1 late, 2 sent again from the day before), `moment` (event time in
seconds since 1970) and `not_before` (the earliest second the event could have had on this day). Planting of defects
and writing of files are elsewhere.

Numbers rather than state: customers and products are numbered by the day they came, so that "a customer of the last
two years" or "a product on sale" is arithmetic. What an order refers to is in the files of the order's own day:
whoever ordered sent an update, and the price list carries every product on sale. A day is thus whole by itself.
"""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from math import inf, sqrt

import duckdb

from data_platform.errors import UsageError
from data_platform.sources import sample_words as words

EPOCH = date(2016, 1, 1)  # day number 0: four digits last until 2043
FIRST_DAY, LAST_DAY = date(2020, 1, 1), date(2042, 12, 31)
COLUMNS: dict[str, tuple[str, ...]] = {
    "customers": ("customer_id", "email", "full_name", "country_code", "signed_up_at", "updated_at"),
    "products": ("product_id", "product_name", "category", "unit_price", "updated_at"),
    "orders": ("order_id", "customer_id", "status", "country_code", "total_amount", "ordered_at"),
    "order_items": ("order_id", "line_number", "product_id", "quantity", "unit_price", "ordered_at"),
    "payments": ("payment_id", "order_id", "method", "status", "amount", "paid_at"),
    "events": ("event_id", "session_id", "customer_id", "event_type", "page_url", "occurred_at"),
}
EVENT_TIME = {
    "customers": "updated_at", "products": "updated_at", "orders": "ordered_at",
    "order_items": "ordered_at", "payments": "paid_at", "events": "occurred_at",
}  # fmt: skip
LATE_SHARE = 0.002
AGAIN_SHARE = 0.0015
_WEEKDAYS = (1.0, 0.95, 0.95, 1.0, 1.1, 1.2, 0.8)
_MEMORY_DAYS = 700  # customers who signed up longer ago no longer order
_SHELF_DAYS = 200  # days a product stays on sale
_MAX_ORDERS = 690_000  # order numbers have six digits within a day, of which the top is kept for planted rows


@dataclass(frozen=True)
class Day:
    """The sizes of one day: all of them follow from (seed, day, scale)."""

    day: date
    seed: int
    x: int
    signups: int
    launches: int
    orders: int
    sessions: int
    orders_before: int
    sessions_before: int


def day_of(day: date, *, seed: int, scale: float) -> Day:
    """The sizes of `day`. Raises `UsageError` for a day the shop does not know or a scale its numbers cannot hold."""
    if not FIRST_DAY <= day <= LAST_DAY:
        raise UsageError(
            f"`{day}` is outside the sample shop's life, {FIRST_DAY} to {LAST_DAY}.", fix="choose another --start"
        )
    if not 0 < scale < inf:
        raise UsageError(f"`--scale {scale}` is not above zero.", fix="choose a scale such as 0.05, 1 or 10")
    x = (day - EPOCH).days
    orders = _busy(60, 1350, scale, x, seed)
    if orders > _MAX_ORDERS:
        raise UsageError(
            f"`--scale {scale}` is more than a day's order numbers hold.", fix="choose --scale 250 and more --days"
        )
    return Day(
        day=day, seed=seed, x=x,
        signups=max(2, round(110 * scale)), launches=max(1, round(2 * sqrt(scale))),
        orders=orders, sessions=_busy(30, 1400, scale, x, seed),
        orders_before=_busy(60, 1350, scale, x - 1, seed), sessions_before=_busy(30, 1400, scale, x - 1, seed),
    )  # fmt: skip


def _busy(least: int, usual: int, scale: float, x: int, seed: int) -> int:
    """How much a day brings: growth over the years, the weekday, and a little weather."""
    growth = min(max(1 + 0.0003 * (x - 3653), 0.7), 1.6)  # 3653: 2026-01-01
    weekday = _WEEKDAYS[(x + EPOCH.weekday()) % 7]
    weather = 0.95 + (zlib.crc32(f"{seed}|{x}|weather".encode()) % 1001) / 10_000
    return max(least, round(usual * scale * growth * weekday * weather))


def prepare(con: duckdb.DuckDBPyConnection, seed: int) -> None:
    """Creates the macros and word tables of a connection, once. `seed` goes into every hash."""
    salt = {name: f"hash({int(seed)}, '{name}')" for name in ("customer", "product", "order", "session")}
    # `hash(a, b)` xors the last argument in, so draws from it would move together; hashing the xor again parts them.
    con.execute(f"""
        CREATE OR REPLACE MACRO pick(b, k, m) AS (hash(xor(b, k::UBIGINT)) % m::UBIGINT)::BIGINT;
        CREATE OR REPLACE MACRO unit(b, k) AS (hash(xor(b, k::UBIGINT)) >> 11)::DOUBLE / 9007199254740992;
        CREATE OR REPLACE MACRO ts(s) AS make_timestamp(s * 1000000)::VARCHAR;
        CREATE OR REPLACE MACRO eur(cents) AS (cents::DECIMAL(9, 0) * 0.01)::VARCHAR;
        CREATE OR REPLACE MACRO midnight(x) AS (x + {(EPOCH - date(1970, 1, 1)).days}) * 86400;
        CREATE OR REPLACE MACRO customer_id(c) AS 'C' || lpad((c % 90000000)::VARCHAR, 8, '0');
        CREATE OR REPLACE MACRO product_id(p) AS 'P' || lpad((p % 900000)::VARCHAR, 6, '0');
        CREATE OR REPLACE MACRO numbered(letter, x, n, room) AS letter || (x::BIGINT * room + n)::VARCHAR;
        CREATE OR REPLACE MACRO customer_hash(c) AS hash(c, {salt["customer"]});
        CREATE OR REPLACE MACRO product_hash(p) AS hash(p, {salt["product"]});
        CREATE OR REPLACE MACRO order_hash(x, n) AS hash(n, x, {salt["order"]});
        CREATE OR REPLACE MACRO session_hash(x, s) AS hash(s, x, {salt["session"]});
        CREATE OR REPLACE MACRO second_of_day(b) AS CASE WHEN pick(b, 4, 20) = 0 THEN pick(b, 2, 86400)
            ELSE 21600 + (pick(b, 2, 64800) + pick(b, 3, 64800)) // 2 END;
        CREATE OR REPLACE MACRO shopper(b, x, signups) AS
            signups * (x + 1) - 1 - floor(unit(b, 1) * unit(b, 1) * signups * {_MEMORY_DAYS})::BIGINT;
        CREATE OR REPLACE MACRO signed_up(c, signups) AS midnight(c // signups) + pick(customer_hash(c), 2, 84600);
        CREATE OR REPLACE MACRO price(p, x) AS (
            (3 + floor(unit(product_hash(p), 1) * unit(product_hash(p), 2) * 140)::BIGINT) * 100
            + [99, 50, 95, 0][1 + pick(product_hash(p), 3, 4)]
        ) * CASE WHEN pick(product_hash(p), x // 7, 12) = 0 THEN 4 ELSE 5 END // 5;
    """)
    for name, columns, rows in _word_tables():
        typed = ", ".join(f"{column} {kind}" for column, kind in columns)
        con.execute(f"CREATE OR REPLACE TABLE {name} ({typed})")
        con.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(columns))})", rows)


def _word_tables() -> list[tuple[str, list[tuple[str, str]], list[tuple[object, ...]]]]:
    """Name, columns and rows of each table of words."""
    key, text = [("k", "BIGINT")], [("word", "VARCHAR")]
    lists = {
        "country_slots": words.COUNTRY_SLOTS, "abroad": words.ABROAD, "mail_domains": words.MAIL_DOMAINS,
        "adjectives": words.ADJECTIVES, "variants": words.VARIANTS, "pages": words.PAGES,
    }  # fmt: skip
    tables: list[tuple[str, list[tuple[str, str]], list[tuple[object, ...]]]] = []
    for name, values in lists.items():
        tables.append((name, key + text, [(k, word) for k, word in enumerate(values)]))
    nouns = [(category, noun) for category, found in words.NOUNS.items() for noun in found]
    tables.append(("nouns", [*key, ("category", "VARCHAR"), *text], [(k, *pair) for k, pair in enumerate(nouns)]))
    for name, by_country in (("first_names", words.FIRST_NAMES), ("last_names", words.LAST_NAMES)):
        rows = [(code, k, word, _ascii(word)) for code, found in by_country.items() for k, word in enumerate(found)]
        tables.append((name, [("country_code", "VARCHAR"), *key, *text, ("mail", "VARCHAR")], [*rows]))
    return tables


def _ascii(name: str) -> str:
    plain = name.lower()
    for letter, ascii_letter in (("ø", "o"), ("ł", "l"), ("ß", "ss"), ("æ", "ae")):
        plain = plain.replace(letter, ascii_letter)
    return "".join(c for c in unicodedata.normalize("NFD", plain) if "a" <= c <= "z")


def build_days(con: duckdb.DuckDBPyConnection, sizes: Sequence[Day]) -> None:
    """Creates `rows_<table>` for every feed of the days, which share one scale and seed. Many small days at once:
    a statement costs more than a small day's rows."""
    fields = ", ".join(f"({d.x}, {d.orders}, {d.sessions}, {d.orders_before}, {d.sessions_before})" for d in sizes)
    con.execute(f"""
        CREATE OR REPLACE TABLE days AS
        SELECT day_of_file.*,
            greatest(1, round({LATE_SHARE} * orders))::BIGINT AS late_orders,
            round({LATE_SHARE} * sessions)::BIGINT AS late_sessions,
            greatest(1, round({AGAIN_SHARE} * orders))::BIGINT AS orders_again,
            round({AGAIN_SHARE} * 4 * sessions)::BIGINT AS sessions_again,
            hash({sizes[0].seed}, x) AS noise
        FROM (VALUES {fields}) AS day_of_file(x, orders, sessions, orders_before, sessions_before)
    """)
    signups, launches = sizes[0].signups, sizes[0].launches
    for statement in (
        _orders(signups), _items(launches), _ORDERS_TEXT, _ITEMS_TEXT, _customers(signups), _products(launches), _PAYMENTS,
        _events(signups, launches),
    ):  # fmt: skip
        con.execute(statement)


def _orders(signups: int) -> str:
    """`day_orders`: the days' orders, the late ones, and those sent again; one row per order, values typed. `f` is the
    day of the file, `x` that of the order's number. Every 20th order ends in a refund, so that its first payment
    surely exists and can be sent again on the next day."""
    return f"""
    CREATE OR REPLACE TABLE day_orders AS
    WITH numbers AS (
        SELECT x AS f, x, n, n AS i, (n >= orders)::INT AS role
        FROM (SELECT x, orders, unnest(range(orders + late_orders)) AS n FROM days)
        UNION ALL SELECT x, x - 1, 20 * ((noise % 1000 + j * (last // orders_again)) % last)::BIGINT + 7,
            orders + late_orders + j, 2
            FROM (SELECT *, orders_before // 20 AS last, unnest(range(least(orders_again, orders_before // 20))) AS j FROM days)
    ), hashed AS (
        SELECT *, order_hash(x, n) AS b FROM numbers
    ), shopped AS (
        SELECT *, CASE role WHEN 1 THEN x - 1 - pick(b, 6, 3) ELSE x END AS business_x,
            shopper(b, x - CASE role WHEN 1 THEN 4 ELSE 0 END, {signups}) AS c
        FROM hashed
    )
    SELECT * EXCLUDE (business_x), midnight(business_x) AS day_start,
        CASE WHEN c // {signups} = business_x
            THEN greatest(midnight(x) + second_of_day(b), signed_up(c, {signups}) + 600)
            ELSE midnight(business_x) + second_of_day(b) END AS moment,
        CASE WHEN n % 20 = 7 THEN ['returned', 'cancelled'][1 + pick(b, 5, 2)]
            WHEN pick(b, 5, 100) < 8 THEN 'placed' WHEN pick(b, 5, 100) < 38 THEN 'paid'
            WHEN pick(b, 5, 100) < 73 THEN 'shipped' WHEN pick(b, 5, 100) < 96 THEN 'delivered'
            ELSE 'cancelled' END AS status,
        CASE WHEN pick(b, 7, 100) < 35 THEN 1 WHEN pick(b, 7, 100) < 60 THEN 2 WHEN pick(b, 7, 100) < 77 THEN 3
            WHEN pick(b, 7, 100) < 88 THEN 4 WHEN pick(b, 7, 100) < 95 THEN 5 ELSE 6 END AS line_count,
        country.word AS home, abroad.word AS away, numbered('O', x, n, 1000000) AS order_id
    FROM shopped
    JOIN country_slots AS country ON country.k = pick(customer_hash(c), 1, {len(words.COUNTRY_SLOTS)})
    JOIN abroad ON abroad.k = pick(b, 10, {len(words.ABROAD)})
    """


def _items(launches: int) -> str:
    """`day_items`: the lines of `day_orders`, typed. Popular shelf places stay popular when their product changes."""
    live = _SHELF_DAYS * launches
    return f"""
    CREATE OR REPLACE TABLE day_items AS
    WITH counted AS (
        SELECT *, sum(line_count) OVER (PARTITION BY f ORDER BY i)::BIGINT - line_count AS before
        FROM (SELECT f, x, i, role, order_id, moment, day_start, line_count, b FROM day_orders)
    ), lines AS (
        SELECT f, x, i, role, order_id, moment, day_start, line, before + line - 1 AS line_i, hash(line, b) AS lb
        FROM (SELECT *, unnest(range(1, line_count + 1)) AS line FROM counted)
    ), placed AS (
        SELECT *, {launches} * (x - {_SHELF_DAYS - 1}) AS lowest,
            (floor(unit(lb, 1) * unit(lb, 1) * {live})::BIGINT * 7919) % {live} AS place
        FROM lines
    ), chosen AS (
        SELECT *, lowest + ((place - lowest % {live}) + {live}) % {live} AS p,
            CASE WHEN pick(lb, 2, 200) = 0 THEN 24 WHEN pick(lb, 2, 100) < 70 THEN 1 ELSE 2 + pick(lb, 3, 4) END AS quantity
        FROM placed
    )
    SELECT f, i, role, order_id, moment, day_start, line, line_i, p, quantity, price(p, x) AS cents FROM chosen
    """


_ORDERS_TEXT = """
    CREATE OR REPLACE TABLE rows_orders AS
    WITH totals AS (SELECT f, i, sum(quantity * cents)::BIGINT AS total FROM day_items GROUP BY f, i)
    SELECT f, i, role, moment, day_start AS not_before,
        order_id, customer_id(c) AS customer_id, status, CASE WHEN pick(b, 11, 25) = 0 THEN away ELSE home END AS country_code,
        eur(total) AS total_amount, ts(moment) AS ordered_at, x, n, b, total
    FROM day_orders JOIN totals USING (f, i)
    """

_ITEMS_TEXT = """
    CREATE OR REPLACE TABLE rows_order_items AS
    SELECT f, line_i AS i, role, moment, day_start AS not_before,
        order_id, line::VARCHAR AS line_number, product_id(p) AS product_id, quantity::VARCHAR AS quantity,
        eur(cents) AS unit_price, ts(moment) AS ordered_at
    FROM day_items WHERE role < 2
    """


def _customers(signups: int) -> str:
    """New customers, whoever ordered, and a few late updates of customers too old to order (so: never twice)."""
    old = signups * 90
    return f"""
    CREATE OR REPLACE TABLE rows_customers AS
    WITH seen AS (
        SELECT f, c, min(moment) FILTER (role = 0) - 90 AS ordered, 0 AS role FROM day_orders GROUP BY f, c
        UNION ALL SELECT x, unnest(range({signups} * x, {signups} * (x + 1))), NULL, 0 FROM days
        UNION ALL SELECT x, {signups} * (x - {_MEMORY_DAYS + 100}) + ((noise % {old} + j * ({old} // late)) % {old})::BIGINT, NULL, 1
            FROM (SELECT x, noise, orders_again AS late, unnest(range(orders_again)) AS j FROM days)
    ), once AS (
        SELECT f, c, role, min(ordered) AS ordered, customer_hash(c) AS b FROM seen GROUP BY f, c, role
    ), timed AS (
        SELECT *, signed_up(c, {signups}) AS signed, hash(b, f) AS db, midnight(f) AS day_start FROM once
    ), updated AS (
        SELECT *, greatest(day_start, signed) AS not_before, CASE
            WHEN role = 1 THEN day_start - 86400 * (1 + pick(db, 1, 3)) + pick(db, 2, 86400)
            WHEN c // {signups} = f THEN greatest(signed, coalesce(ordered, 0))
            ELSE greatest(day_start, coalesce(ordered, day_start + pick(db, 2, 86400))) END AS moment
        FROM timed
    )
    SELECT f, row_number() OVER (PARTITION BY f ORDER BY role, c) - 1 AS i, role, moment, not_before, customer_id(c) AS customer_id,
        first.mail || '.' || last.mail || (c % 9973)::VARCHAR || '@' || domain.word AS email,
        first.word || ' ' || last.word AS full_name, country.word AS country_code,
        ts(signed) AS signed_up_at, ts(moment) AS updated_at
    FROM updated
    JOIN country_slots AS country ON country.k = pick(b, 1, {len(words.COUNTRY_SLOTS)})
    JOIN first_names AS first ON first.country_code = country.word AND first.k = pick(b, 3, 8)
    JOIN last_names AS last ON last.country_code = country.word AND last.k = pick(b, 4, 10)
    -- a customer changes the mail provider about once in 400 days
    JOIN mail_domains AS domain ON domain.k = pick(b, 1000 + (f + c % 400) // 400, {len(words.MAIL_DOMAINS)})
    """


def _products(launches: int) -> str:
    """The price list: every product on sale; every third day also the ones just withdrawn, late."""
    return f"""
    CREATE OR REPLACE TABLE rows_products AS
    WITH listed AS (
        SELECT x AS f, unnest(range({launches} * (x - {_SHELF_DAYS - 1}), {launches} * (x + 1))) AS p, 0 AS role FROM days
        UNION ALL SELECT x, {launches} * (x - {_SHELF_DAYS + 5}) + unnest(range({launches})), 1 FROM days WHERE x % 3 = 0
    ), hashed AS (
        SELECT *, product_hash(p) AS b, midnight(f - role * 2) + pick(hash(product_hash(p), f), 1, 7200) + 60 AS moment FROM listed
    )
    SELECT f, row_number() OVER (PARTITION BY f ORDER BY role, p) - 1 AS i, role, moment, midnight(f) AS not_before,
        product_id(p) AS product_id, adjectives.word || ' ' || nouns.word || variants.word AS product_name, nouns.category,
        eur(price(p, f)) AS unit_price, ts(moment) AS updated_at
    FROM hashed
    JOIN adjectives ON adjectives.k = pick(b, 4, {len(words.ADJECTIVES)})
    JOIN nouns ON nouns.k = pick(b, 5, {sum(map(len, words.NOUNS.values()))})
    JOIN variants ON variants.k = pick(b, 6, {len(words.VARIANTS)})
    """


# Up to three per order: a failed try, the capture, a refund; numbered apart so that each follows from its order.
# None is booked after its order's day: what happens on a later day arrives with that day.
_PAYMENTS = """
    CREATE OR REPLACE TABLE rows_payments AS
    WITH kinds AS (
        SELECT *, unnest([0, 1, 2]) AS kind FROM rows_orders
        WHERE n % 20 = 7 OR status IN ('paid', 'shipped', 'delivered')
    ), kept AS (
        SELECT *, moment + CASE kind WHEN 0 THEN 20 ELSE 60 + pick(b, 8, 1500) END
            + CASE kind WHEN 2 THEN 600 + pick(b, 9, 3600) ELSE 0 END AS paid
        FROM kinds
        WHERE kind = 1 OR (kind = 0 AND n % 12 = 5 AND role < 2) OR (kind = 2 AND n % 20 = 7 AND role < 2)
    ), timed AS (SELECT * REPLACE (least(paid, not_before + 86399) AS moment) FROM kept)
    SELECT f, row_number() OVER (PARTITION BY f ORDER BY role, n, kind) - 1 AS i, role, moment, not_before,
        numbered('T', x, CASE kind WHEN 0 THEN 700000 + n // 12 WHEN 1 THEN n ELSE 800000 + n // 20 END, 1000000) AS payment_id,
        order_id, ['card', 'card', 'card', 'paypal', 'paypal', 'bank_transfer', 'voucher'][1 + pick(b, 12, 7)] AS method,
        ['failed', 'captured', 'refunded'][1 + kind] AS status, eur(total) AS amount, ts(moment) AS paid_at
    FROM timed
    """


def _events(signups: int, launches: int) -> str:
    """Sessions of up to seven page events; a third put something into the cart, a tenth buy."""
    return f"""
    CREATE OR REPLACE TABLE rows_events AS
    WITH numbers AS (
        SELECT x AS f, x, s, s AS place, (s >= sessions)::INT AS role
        FROM (SELECT x, sessions, unnest(range(sessions + late_sessions)) AS s FROM days)
        UNION ALL SELECT x, x - 1, ((noise % 1000 + j * (sessions_before // sessions_again)) % sessions_before)::BIGINT,
            sessions + late_sessions + j, 2
            FROM (SELECT *, unnest(range(least(sessions_again, sessions_before))) AS j FROM days)
    ), hashed AS (
        SELECT *, session_hash(x, s) AS b FROM numbers
    ), deep AS (
        SELECT *, CASE WHEN pick(b, 5, 100) < 65 THEN 0 WHEN pick(b, 5, 100) < 82 THEN 1
            WHEN pick(b, 5, 100) < 90 THEN 2 ELSE 3 END AS depth FROM hashed
    ), sized AS (
        SELECT *, greatest(depth + 1, 1 + pick(b, 6, 7)) AS size,
            midnight(x - CASE role WHEN 1 THEN 1 + pick(b, 7, 3) ELSE 0 END) AS day_start,
            second_of_day(b) AS first_second, 20 + pick(b, 9, 60) AS pace,
            CASE WHEN depth = 3 OR pick(b, 8, 100) < 35 THEN shopper(b, x - 4, {signups}) END AS c
        FROM deep
    ), counted AS (
        -- of a session sent again only its first event
        SELECT *, CASE role WHEN 2 THEN 1 ELSE size END AS sent,
            sum(sent) OVER (PARTITION BY f ORDER BY place)::BIGINT - sent AS before
        FROM sized
    ), stepped AS (
        SELECT *, unnest(range(0, sent)) AS pos FROM counted
    ), typed AS (
        SELECT *, hash(pos, b) AS pb, CASE WHEN depth > size - 1 - pos AND pos > 0
            THEN ['add_to_cart', 'checkout', 'purchase'][depth - (size - 1 - pos)]
            WHEN pos % 2 = 1 THEN 'product_view' ELSE 'page_view' END AS event_type,
            day_start + least(first_second + pos * pace, 86399) AS moment
        FROM stepped
    )
    SELECT f, before + pos AS i, role, moment, day_start AS not_before,
        numbered('E', x, s * 10 + pos, 100000000) AS event_id, lower(to_hex(b)) AS session_id, customer_id(c) AS customer_id, event_type,
        CASE event_type WHEN 'add_to_cart' THEN '/cart' WHEN 'checkout' THEN '/checkout' WHEN 'purchase' THEN '/checkout/thank-you'
            WHEN 'product_view' THEN '/products/'
                || product_id({launches} * (x - {_SHELF_DAYS - 1}) + pick(pb, 1, {_SHELF_DAYS * launches}))
            ELSE pages.word END AS page_url,
        ts(moment) AS occurred_at
    FROM typed JOIN pages ON pages.k = pick(pb, 2, {len(words.PAGES)})
    """
