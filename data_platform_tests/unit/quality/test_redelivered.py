"""The same bytes delivered again on another day: what is decided about a record holds in its own partition alone."""

from __future__ import annotations

from typing import Any

from data_platform.contracts.registry import contract
from data_platform.quality import decide, inbox
from data_platform.quality.inbox import Pick
from data_platform.quality.screening import screen
from data_platform_tests.unit.quality.test_screening import DAY, NEXT, customer, load_customer, order, rows

ORDERS = contract("staging.orders")
FILE = [order(1), order(2)]


def _delivered_twice(lake: Any, land: Any, days: tuple[str, str] = (DAY, NEXT)) -> None:
    load_customer(lake, land)
    for day in days:
        land("orders", day, FILE, file_hash="the same")
    assert all(outcome.committed for outcome in screen(lake, ORDERS, days, "first"))


def _kept(lake: Any) -> Any:
    return rows(lake, "SELECT arrival_date::VARCHAR, order_id FROM lake.staging.orders ORDER BY ALL")


def test_discarding_a_redelivered_file_keeps_the_rows_that_were_delivered_first(lake, land):
    _delivered_twice(lake, land)
    before = _kept(lake)
    with lake.connect() as con:
        assert decide.discard(lake, con, Pick(ORDERS, rule="key", partition=NEXT), "sent twice").rows == 2
    assert all(outcome.committed for outcome in screen(lake, ORDERS, [DAY, NEXT], "again"))
    assert _kept(lake) == before == [(DAY, "O0000000001"), (DAY, "O0000000002")]


def test_a_fix_of_a_redelivered_row_leaves_the_accepted_one_as_it_is(lake, land):
    _delivered_twice(lake, land)
    with lake.connect() as con:
        pick = Pick(ORDERS, rule="key", partition=NEXT, record=1)
        proposed = decide.propose(con, pick, decide.assignments(ORDERS, ["order_id = 'O0000000009'"]))
        assert (proposed.changed, proposed.accepted) == (1, 1)
        decide.fix(lake, con, pick, {"order_id": "'O0000000009'"}, "another order")
    assert rows(lake, "SELECT arrival_date::VARCHAR, status FROM lake.quarantine.orders WHERE _record = 1") == [
        (NEXT, "fixed")
    ]
    with lake.connect() as con:
        version = con.execute("FROM ducklake_current_snapshot('lake')").fetchone()[0]
        screen(lake, ORDERS, [DAY, NEXT], "again")
        assert inbox.left(con, ORDERS, version) == 1
    assert _kept(lake) == [(DAY, "O0000000001"), (DAY, "O0000000002"), (NEXT, "O0000000009")]


def test_a_patch_of_an_earlier_version_names_no_partition_and_holds_in_each_until_one_is_made_there(lake, land):
    model = contract("staging.customers")
    for day in (DAY, NEXT):
        land("customers", day, [customer(email="nobody")], file_hash="the same")
    screen(lake, model, [DAY, NEXT], "first")
    with lake.connect() as con:
        pick = Pick(model, rule="email.matches", partition=DAY)
        decide.propose(con, pick, decide.assignments(model, ["email = 'old@example.com'"]))
        decide.fix(lake, con, pick, {"email": "'old@example.com'"}, "then")
        con.execute("ALTER TABLE lake.ops.patches DROP COLUMN partition_key")
    lake.close()
    screen(lake, model, [DAY, NEXT], "again")
    emails = "SELECT email FROM lake.staging.customers ORDER BY arrival_date"
    assert rows(lake, emails) == [("old@example.com",), ("old@example.com",)]
    with lake.connect() as con:
        con.execute("""INSERT INTO lake.ops.patches BY NAME
            SELECT * REPLACE ('2026-01-06' AS partition_key, '{"email": "new@example.com"}' AS changes) FROM lake.ops.patches""")
    assert all(outcome.committed for outcome in screen(lake, model, [DAY, NEXT], "again"))
    assert rows(lake, emails) == [("old@example.com",), ("new@example.com",)]
