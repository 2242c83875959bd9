"""The inbox below the command line: picking rows, deciding, and what a screening makes of the decisions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from data_platform.cli.inbox import _beside
from data_platform.contracts.model import Contract
from data_platform.contracts.registry import contract
from data_platform.errors import UsageError
from data_platform.quality import decide, inbox
from data_platform.quality.inbox import Pick
from data_platform.quality.screening import screen
from data_platform.quality.second_look import arrived
from data_platform_tests.unit.quality.test_screening import DAY, NEXT, customer, order, rows

CUSTOMERS = contract("staging.customers")
ORDERS = contract("staging.orders")


def _customers(lake: Any, land: Any) -> None:
    land("customers", DAY, [
        customer(), customer(customer_id="C00000002", email=" BOB@Example.com,"),
        customer(customer_id="C00000003", email="nobody"), customer(customer_id="C00000004", country_code="XX"),
        {"_defect": "too few fields"},
    ])  # fmt: skip
    assert screen(lake, CUSTOMERS, [DAY], "first")[0].committed


def _fix(lake: Any, pick: Pick, *sets: str) -> decide.Proposal:
    with lake.connect() as con:
        wanted = decide.assignments(pick.contract, sets)
        found = decide.propose(con, pick, wanted)
        decide.fix(lake, con, pick, wanted, "they send capitals")
    return found


def _statuses(lake: Any, table: str = "customers") -> dict[int, str]:
    return dict(rows(lake, f"SELECT _record, status FROM lake.quarantine.{table} ORDER BY 1"))


def _emails(lake: Any) -> list[str]:
    return [email for (email,) in rows(lake, "SELECT email FROM lake.staging.customers ORDER BY 1")]


def _load(lake: Any, contract: Contract = CUSTOMERS, day: str = DAY) -> Any:
    (outcome,) = screen(lake, contract, [day], "again")
    assert outcome.committed, outcome.load.error
    return outcome.load


def test_a_fix_says_what_would_become_of_the_rows_and_changes_nothing_yet(lake, land):
    _customers(lake, land)
    with lake.connect() as con:
        pick = Pick(CUSTOMERS, rule="email.matches")
        found = decide.propose(con, pick, decide.assignments(CUSTOMERS, ["email = lower(trim(email, ' ,'))"]))
    assert (found.changed, found.unchanged, found.unreadable) == (1, 1, 0)
    assert (found.accepted, found.still_broken) == (1, {})
    assert found.examples[0]["email, after"] == "b*** (15 characters)", "personal data is masked"
    assert set(_statuses(lake).values()) == {"open"} and rows(lake, "FROM lake.ops.patches") == []


def test_a_fixed_row_lands_once_when_its_partition_is_screened_again_and_the_row_as_it_came_stays_in_raw(lake, land):
    _customers(lake, land)
    _fix(lake, Pick(CUSTOMERS, rule="email.matches"), "email = lower(trim(email, ' ,'))")
    assert _statuses(lake) == {2: "fixed", 3: "open", 4: "open", 5: "open"}
    assert _emails(lake) == ["ann@example.com"], "a fix alone moves nothing"
    before = dict(rows(lake, "SELECT _record, quarantined_at FROM lake.quarantine.customers"))
    load = _load(lake)
    assert (load.rows_read, load.rows_accepted, load.rows_quarantined) == (5, 2, 3)
    since = dict(rows(lake, "SELECT _record, quarantined_at FROM lake.quarantine.customers"))
    assert since == {record: before[record] for record in since}, "who still waits has waited since then"
    assert _emails(lake) == ["ann@example.com", "bob@example.com"]
    assert rows(lake, "SELECT email FROM lake.raw.customers WHERE _record = 2") == [(" BOB@Example.com,",)]
    assert _load(lake).content_hash == load.content_hash, "a second screening moves nothing"


def test_a_fix_that_does_not_help_leaves_the_row_open_with_what_came_and_a_second_fix_builds_on_the_first(lake, land):
    _customers(lake, land)
    pick = Pick(CUSTOMERS, record=3)
    first = _fix(lake, pick, "email = email || '@example'", "full_name = 'Cid'")
    assert first.still_broken == {"email.matches": 1} and first.accepted == 0
    _load(lake)
    assert _statuses(lake)[3] == "open"
    assert '"email":"nobody"' in rows(lake, 'SELECT "row" FROM lake.quarantine.customers WHERE _record = 3')[0][0]
    _fix(lake, pick, "email = email || '.com'")
    _load(lake)
    landed = rows(lake, "SELECT email, full_name FROM lake.staging.customers WHERE _record = 3")
    assert landed == [("nobody@example.com", "Cid")]


def test_a_column_can_be_emptied_and_a_record_that_cannot_be_read_is_left_alone(lake, land):
    _customers(lake, land)
    found = _fix(
        lake,
        Pick(CUSTOMERS, partition=DAY),
        "country_code = CASE WHEN country_code = 'XX' THEN NULL ELSE country_code END",
    )
    assert (found.changed, found.unchanged, found.unreadable) == (1, 2, 1)
    assert found.still_broken == {"country_code.not_null": 1}


def test_a_discarded_row_stays_out_of_every_later_load_of_its_file_and_in_the_count(lake, land):
    _customers(lake, land)
    with lake.connect() as con:
        action = decide.discard(lake, con, Pick(CUSTOMERS, record=3), "a test account")
        assert action.rows == 1
    assert _statuses(lake)[3] == "discarded"
    load = _load(lake)
    assert (load.rows_quarantined, load.rows_discarded) == (4, 1)
    assert _statuses(lake)[3] == "discarded"
    reasons = rows(lake, "SELECT reasons FROM lake.quarantine.customers WHERE _record = 3")[0][0]
    assert reasons.endswith("; discarded: a test account")
    taken = rows(lake, "SELECT action, rows, reason, made_by <> '' FROM lake.ops.actions")
    assert taken == [("discard", 1, "a test account", True)]


def test_a_row_that_has_become_good_stays_discarded_and_is_no_rival_for_its_key(lake, land):
    land("customers", DAY, [customer(), customer(email="bad", updated_at=f"{DAY} 12:00:00")])
    _load(lake)
    with lake.connect() as con:
        decide.discard(lake, con, Pick(CUSTOMERS, record=2), "a duplicate by mistake")
    land("customers", DAY, [customer(), customer(email="ann@example.org", updated_at=f"{DAY} 12:00:00")])
    load = _load(lake)
    assert (load.rows_accepted, load.rows_merged, load.rows_discarded) == (1, 0, 1)
    assert _emails(lake) == ["ann@example.com"]
    assert rows(lake, "SELECT rules, reasons FROM lake.quarantine.customers") == [
        ("", "discarded: a duplicate by mistake")
    ]


def test_another_version_of_the_file_is_not_patched(lake, land):
    _customers(lake, land)
    _fix(lake, Pick(CUSTOMERS, rule="email.matches"), "email = 'x@example.com'")
    with lake.connect() as con:
        con.execute("UPDATE lake.raw.customers SET _file_hash = 'another'")
    assert _load(lake).rows_quarantined == 4


def test_personal_data_is_masked_where_people_look_and_kept_where_it_is_stored(lake, land):
    _customers(lake, land)
    with lake.connect() as con:
        found = inbox.shown(con, Pick(CUSTOMERS, record=3), 10)[0]
    assert "nobody" not in str(found) and found["row"]["email"] == "n*** (6 characters)"
    assert found["why"].startswith("email.matches: expected ")
    stored = rows(lake, 'SELECT "row", reasons FROM lake.quarantine.customers WHERE _record = 3')[0]
    assert "nobody" in stored[0] and "nobody" in stored[1]


def test_the_summary_counts_by_rule_and_status(lake, land):
    _customers(lake, land)
    with lake.connect() as con:
        found = inbox.summary(con, Pick(CUSTOMERS))
    assert [(row["rule"], row["status"], row["rows"], row["first"]) for row in found] == [
        ("email.matches", "open", 2, DAY), ("country_code.isin", "open", 1, DAY), ("record.parse", "open", 1, DAY),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("email", "cannot be read as"),
        ("emial = 'x'", "Did you mean `email`?"),
        ("email = 'x' WHERE true", "cannot be read as"),
        ("email = y.email FROM lake.staging.customers AS y", "cannot be read as"),
        ("email = 'x' RETURNING email", "cannot be read as"),
        ("email = 'x'; DROP TABLE t", "cannot be read as"),
        ("email = 'x', email = 'y'", "gives `email` twice"),
    ],
)
def test_what_is_no_assignment_is_refused(given, said):
    with pytest.raises(UsageError, match=said.replace("?", r"\?")):
        decide.assignments(CUSTOMERS, [given])


def test_an_expression_that_cannot_be_evaluated_is_refused_with_the_engines_words(lake, land):
    _customers(lake, land)
    with lake.connect() as con, pytest.raises(UsageError, match="cannot be evaluated"):
        decide.propose(con, Pick(CUSTOMERS, record=3), {"email": "nonsense(email)"})
    with lake.connect() as con, pytest.raises(UsageError, match=r"no column `emial`\. Did you mean `email`"):
        decide.propose(con, Pick(CUSTOMERS, record=3), {"email": "lower(emial)"})
    with lake.connect() as con, pytest.raises(UsageError) as caught:
        decide.propose(con, Pick(CUSTOMERS, record=3), {"email": "cast(email as integer)"})
    assert "Conversion Error on a value of some row" in str(caught.value), "the value is personal"
    with lake.connect() as con, pytest.raises(UsageError) as caught:
        decide.propose(con, Pick(CUSTOMERS, record=3), {"email": "error(email)"})
    assert "nobody" not in str(caught.value)


@pytest.mark.parametrize("sql", ["upper(email)", "upper(EMAIL)", "concat_ws(',', COLUMNS('email'))"])
def test_what_an_expression_takes_from_personal_data_is_masked(lake, land, sql):
    _customers(lake, land)
    with lake.connect() as con:
        found = decide.propose(con, Pick(CUSTOMERS, record=4), {"country_code": sql})
    assert found.examples[0]["country_code, after"].lower() == "a*** (15 characters)"


def test_a_column_of_the_row_that_is_named_like_one_of_the_inbox_says_so():
    shown = _beside({"status": "open", "why": "x", "row": {"status": "lost", "order_id": "1"}})
    assert shown == {"status": "open", "why": "x", "status (row)": "lost", "order_id": "1"}


def test_what_the_engine_says_of_a_value_is_masked(lake, land):
    _customers(lake, land)
    with lake.connect() as con, pytest.raises(UsageError, match="Conversion Error on a value of some row") as caught:
        decide.propose(con, Pick(CUSTOMERS, record=3), {"email": "CAST(email AS INTEGER)"})
    assert "nobody" not in str(caught.value)


def test_a_rule_or_status_that_does_not_exist_is_refused(lake, land):
    _customers(lake, land)
    with lake.connect() as con, pytest.raises(UsageError, match=r"Did you mean `email\.matches`\?"):
        inbox.require_rule(con, Pick(CUSTOMERS, rule="email.match"))
    with pytest.raises(UsageError, match="Did you mean `open`"):
        Pick(CUSTOMERS, status="opne")


@pytest.fixture
def holding() -> Contract:
    """Orders that wait for their customer."""
    return replace(ORDERS, foreign_keys=tuple(replace(fk, held=True) for fk in ORDERS.foreign_keys))


def test_a_child_waits_for_its_parent_whenever_that_arrives(lake, land, holding):
    land("customers", DAY, [customer()])
    _load(lake)
    land("orders", DAY, [order(1), order(2, customer_id="C00000009"), order(3, customer_id="C00000009", status="lost")])
    load = _load(lake, holding)
    assert (load.rows_accepted, load.rows_quarantined, load.rows_held) == (1, 2, 1)
    assert _statuses(lake, "orders") == {2: "held", 3: "open"}
    with lake.connect() as con:
        assert arrived(con, holding) == []
    land("customers", NEXT, [customer(customer_id="C00000009")])
    _load(lake, day=NEXT)
    with lake.connect() as con:
        assert arrived(con, holding) == [DAY]
    load = _load(lake, holding)
    assert (load.rows_accepted, load.rows_held) == (2, 0) and _statuses(lake, "orders") == {3: "open"}


def test_orphans_that_are_held_do_not_fail_the_load(lake, land, holding):
    land("customers", DAY, [customer()])
    _load(lake)
    land("orders", DAY, [order(number, customer_id="C00000009") for number in range(60)])
    assert _load(lake, holding).rows_held == 60


def test_a_fix_leaves_discarded_rows_discarded(lake, land):
    _customers(lake, land)
    with lake.connect() as con:
        decide.discard(lake, con, Pick(CUSTOMERS, record=2), "not ours")
    found = _fix(lake, Pick(CUSTOMERS, rule="email.matches"), "email = 'x@example.com'")
    assert found.changed == 1
    assert _statuses(lake) == {2: "discarded", 3: "fixed", 4: "open", 5: "open"}
    _load(lake)
    assert _statuses(lake) == {2: "discarded", 4: "open", 5: "open"}


def test_rows_of_a_rule_that_the_contract_has_no_more_can_be_worked(lake, land):
    _customers(lake, land)
    with lake.connect() as con:
        con.execute(
            "UPDATE lake.quarantine.customers SET rules = 'old.rule', first_rule = 'old.rule' WHERE _record = 3"
        )
        pick = Pick(CUSTOMERS, rule="old.rule")
        inbox.require_rule(con, pick)
        (row,) = inbox.shown(con, pick, 5)
        assert row["why"] == "old.rule: a rule that the contract has no more"
        assert decide.discard(lake, con, pick, "history").rows == 1


def test_a_child_that_was_fixed_waits_for_the_parent_it_was_given(lake, land, holding):
    land("customers", DAY, [customer()])
    _load(lake)
    land("orders", DAY, [order(1, customer_id="C0000000X")])
    _load(lake, holding)
    _fix(lake, Pick(holding, record=1), "customer_id = 'C00000009'")
    _load(lake, holding)
    assert _statuses(lake, "orders") == {1: "held"}
    land("customers", NEXT, [customer(customer_id="C00000009")])
    _load(lake, day=NEXT)
    with lake.connect() as con:
        assert arrived(con, holding) == [DAY]
    assert _load(lake, holding).rows_accepted == 1


def test_discarding_the_rows_that_fail_a_load_lets_it_through(lake, land):
    land("customers", DAY, [customer(), customer(customer_id="C00000002", email="bad")])
    assert screen(lake, CUSTOMERS, [DAY], "first")[0].committed
    with lake.connect() as con:
        decide.discard(lake, con, Pick(CUSTOMERS, record=2), "known")
    strict = replace(CUSTOMERS, actions={"email.matches": "fail"})
    load = _load(lake, strict)
    assert (load.rows_accepted, load.rows_discarded, load.by_rule) == (1, 1, {})
