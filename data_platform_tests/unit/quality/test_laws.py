"""Laws of screening, for any rows: each row has one fate, the counts add up, and order does not matter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_platform.contracts.registry import contract
from data_platform.quality import decide
from data_platform.quality.inbox import Pick
from data_platform.quality.screening import screen
from data_platform_tests.unit.quality.test_screening import customer, order

DAY = "2026-01-05"
PRODUCTS = contract("staging.products")
texts = st.sampled_from([None, "", " ", "P000001", "P000002", "P000003", "nonsense", "Ã©clair", "🙂", "O'Neil; --"])
amounts = st.sampled_from(
    [None, "", "1.00", "1.0", "0", "-3", "1,50", "nan", "inf", "1e2", "0.001", "99999999999999999999"]
)
times = st.sampled_from([None, f"{DAY} 10:00:00", f"{DAY} 11:00:00", "2026-01-04 10:00:00", "2026-01-06 00:00:00", "x"])
rows = st.lists(
    st.fixed_dictionaries({"product_id": texts, "product_name": texts, "category": texts, "unit_price": amounts, "updated_at": times}),
    max_size=25,
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows, st.randoms(use_true_random=False))
def test_every_row_has_one_fate_whatever_it_holds(lake, land, found, random):
    land("products", DAY, found)
    load = screen(lake, PRODUCTS, [DAY], "run")[0].load
    assert load.outcome == "committed", load.error
    assert load.rows_read == len(found) == load.rows_accepted + load.rows_quarantined + load.rows_merged
    with lake.connect() as con:
        kept = con.execute(
            "SELECT count(*), count(DISTINCT product_id), count(DISTINCT _record) FROM lake.staging.products"
        ).fetchone()
        aside = con.execute(
            "SELECT count(*), count(DISTINCT _record), count(*) FILTER (WHERE rules = '') FROM lake.quarantine.products"
        ).fetchone()
        both = con.execute(
            "SELECT count(*) FROM lake.staging.products JOIN lake.quarantine.products USING (_record)"
        ).fetchone()
    assert kept == (load.rows_accepted,) * 3
    assert aside == (load.rows_quarantined, load.rows_quarantined, 0)
    assert both == (0,)

    shuffled = sorted(found, key=lambda _: random.random())
    land("products", DAY, shuffled)
    again = screen(lake, PRODUCTS, [DAY], "again")[0].load
    assert (again.rows_accepted, again.rows_quarantined, again.rows_merged) == (
        load.rows_accepted, load.rows_quarantined, load.rows_merged,
    )  # fmt: skip


EVENTS = contract("staging.events")
FRAMES = 100  # days that are screened in one go
CELLS: dict[str, list[str | None]] = {
    "event_id": [None, "", "x", *(f"E{number:012d}" for number in range(60))],
    "session_id": [None, " ", "S1", "🙂", "Ã©"],
    "customer_id": [None, "", "C1"],
    "event_type": ["page_view", "purchase", "checkout", "nothing", ""],
    "page_url": ["/", "/a", "/ä?b=c,d", "a", None],
    "occurred_at": ["{day} 10:00:00", "{day} 10:00:00", "{day}T23:00:00-05:00", "{day}T00:00:00+15:00", "2020-01-01 00:00:00", "x", ""],
}  # fmt: skip


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=(pytest.mark.slow, pytest.mark.long)) for seed in range(1, 100))]
)
def test_read_is_accepted_and_quarantined_and_merged_for_any_hundred_frames(lake, land_days, seed):
    """`read` is what was generated; the fates are counted in the tables and not taken from the ledger."""
    random = Random(seed)
    frames = {day: _frame(random, day) for day in _days(random)}
    land_days("events", frames)
    loads = {outcome.partition_key: outcome.load for outcome in screen(lake, EVENTS, list(frames), "run")}
    with lake.connect() as con:
        counted = {
            table: dict(con.execute(f"SELECT strftime(arrival_date, '%Y-%m-%d'), count(*) FROM lake.{table} GROUP BY ALL").fetchall())
            for table in ("staging.events", "quarantine.events")
        }  # fmt: skip
        gone = con.execute("""
            SELECT strftime(arrival_date, '%Y-%m-%d'), count(*) FROM lake.raw.events AS raw
            ANTI JOIN (SELECT arrival_date, _record FROM lake.staging.events
                UNION ALL SELECT arrival_date, _record FROM lake.quarantine.events) USING (arrival_date, _record)
            GROUP BY ALL""").fetchall()
    merged = dict(gone)
    for day, rows in frames.items():
        kept, aside = (counted[table].get(day, 0) for table in ("staging.events", "quarantine.events"))
        assert len(rows) == kept + aside + merged.get(day, 0), day
        load = loads[day]
        assert (load.rows_read, load.rows_accepted, load.rows_quarantined, load.rows_merged) == (
            len(rows), kept, aside, merged.get(day, 0),
        )  # fmt: skip
    assert sum(map(len, frames.values())) > sum(merged.values()) > 0
    assert counted["staging.events"] and counted["quarantine.events"]


def _days(random: Random) -> list[str]:
    first = date(2025, 1, 1) + timedelta(days=random.randrange(300))
    return [(first + timedelta(days=number)).isoformat() for number in range(FRAMES)]


def _frame(random: Random, day: str) -> list[dict[str, str | None]]:
    """Up to 30 rows: from a few keys, so that days have keys twice and share them; now and then an unreadable record."""
    good = random.random()  # some days are clean, some nothing but dirt
    rows: list[dict[str, str | None]] = []
    for _ in range(random.randrange(31)):
        key = random.choice(CELLS["event_id"][3:])
        row = {name: texts[0] for name, texts in CELLS.items()} | {"event_id": key, "session_id": "S"}
        if random.random() > good:
            row = {name: random.choice(texts) for name, texts in CELLS.items()}
        row = {name: text and text.replace("{day}", day) for name, text in row.items()}
        rows.append(row if random.random() < 0.97 else {"_defect": "too few fields"})
    return rows


ORDERS = contract("staging.orders")
CUSTOMERS = contract("staging.customers")
HOLDING = replace(
    ORDERS, quarantine_limit=1.0, foreign_keys=tuple(replace(fk, held=True) for fk in ORDERS.foreign_keys)
)
STATUSES = ("open", "held", "fixed", "discarded")


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 4))])
def test_read_is_in_the_table_or_has_a_status_or_was_merged_after_fix_discard_and_replay(lake, land_days, seed):
    random = Random(seed)
    known = [f"C{number:08d}" for number in range(12)]
    early, late = known[:6], known[6:9]  # the last three never come
    frames = {day: _orders(random, day, known) for day in _days(random)[:8]}
    first, second = list(frames)[:2]
    land_days("customers", {first: [customer(customer_id=name, updated_at=f"{first} 09:00:00") for name in early]})
    assert screen(lake, CUSTOMERS, [first], "run")[0].committed
    land_days("orders", frames)
    seen = [_accounted(lake, frames)]
    with lake.connect() as con:
        decide.discard(lake, con, Pick(HOLDING, rule="status.isin"), "a test shop")
        comma = Pick(HOLDING, rule="total_amount.cast")
        wanted = decide.assignments(HOLDING, ["total_amount = replace(total_amount, ',', '.')"])
        decide.propose(con, comma, wanted)
        decide.fix(lake, con, comma, wanted, "a decimal comma")
    seen.append(_accounted(lake, frames))
    land_days("customers", {second: [customer(customer_id=name, updated_at=f"{second} 09:00:00") for name in late]})
    assert screen(lake, CUSTOMERS, [second], "run")[0].committed
    seen += [_accounted(lake, frames), _accounted(lake, frames)]
    tables, fixed, arrived, again = seen
    assert tables["held"] > arrived["held"] > 0, "some parents came, some never do"
    assert fixed["discarded"] > 0 == tables["discarded"] and fixed["table"] > tables["table"]
    assert again == arrived, "a second replay moves no row"


def _orders(random: Random, day: str, customers: list[str]) -> list[dict[str, Any]]:
    def one() -> dict[str, Any]:
        return order(
            random.randrange(400), ordered_at=f"{day} 10:00:00", customer_id=random.choice(customers),
            status=random.choice(["paid", "paid", "paid", "lost"]), total_amount=random.choice(["12.50", "12.50", "1,50", "x"]),
        )  # fmt: skip

    return [one() if random.random() < 0.95 else {"_defect": "too few fields"} for _ in range(random.randrange(40))]


def _accounted(lake: Any, frames: Mapping[str, list[dict[str, Any]]]) -> Counter[str]:
    """Screens all days and counts where the rows are, in the tables; each day must account for all it was given."""
    merged: Counter[str] = Counter()
    for outcome in screen(lake, HOLDING, list(frames), "replay"):
        assert outcome.committed, outcome.load.error
        merged[outcome.partition_key] = outcome.load.rows_merged
    total: Counter[str] = Counter()
    with lake.connect() as con:
        for day, rows in frames.items():
            at = f"WHERE arrival_date = DATE '{day}'"
            found = Counter(
                dict(con.execute(f"SELECT status, count(*) FROM lake.quarantine.orders {at} GROUP BY 1").fetchall())
            )
            found["table"] = con.execute(f"SELECT count(*) FROM lake.staging.orders {at}").fetchone()[0]
            found["merged"] = merged[day]
            assert set(found) <= {"table", "merged", *STATUSES} and found.total() == len(rows), day
            total += found
    return total
