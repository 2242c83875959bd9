"""A table is compared with what its source states of the file: rows, sums and hash, from a control file beside it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Annotated, Any

import pandera.ibis as pa
import pytest
from pandera.dtypes import Decimal

from data_platform.contracts.measures import source_hash, source_rows, source_sum
from data_platform.contracts.model import REGISTRY, Contract, Key, column
from data_platform.contracts.partitioning import by
from data_platform.contracts.raw import raw_contract
from data_platform.errors import ContractError
from data_platform.lake.ledger import latest_loads
from data_platform.lake.outcomes import Outcome, RuleResult
from data_platform.quality import decide
from data_platform.quality.inbox import Pick
from data_platform.quality.screening import screen
from data_platform.sources.declare import Feed
from data_platform.sources.load import load_raw
from data_platform.sources.registry import check_control

DAY, NEXT = "2026-01-05", "2026-01-06"
FEED = Feed("staging.bookings", "{key}.csv", "csv", control="{key}.control.json")
# Record 2 is set aside, record 3 a duplicate that merges: the source sent them all the same.
FILE = b"id,Amount,ratio,state\n1,10.10,0.1,new\n2,20.20,0.2,lost\n3,30.30,0.3,new\n3,30.30,0.3,new\n"
TRUE: dict[str, Any] = {
    "rows": 4,
    "sums": {"Amount": "90.90", "ratio": 0.9},
    "sha256": hashlib.sha256(FILE).hexdigest(),
}


class Bookings(pa.DataFrameModel):
    """Bookings."""

    booking_id: str = column(description="Number", source="id")
    amount: Annotated[Decimal, 18, 2, None] = column(description="Amount", source="Amount")
    ratio: float = column(description="Ratio")
    state: str = column(description="State", isin=["new", "old"])


@pytest.fixture
def bookings(monkeypatch: pytest.MonkeyPatch) -> Contract:
    found = Contract(
        "staging.bookings", Bookings, "one row per booking", "a@example.com", partition=by("arrival_date", "day"),
        key=Key(("booking_id",)), quarantine_limit=1,
        measures=(source_rows("fail"), source_sum("amount", action="fail"), source_sum("ratio"), source_hash()),
    )  # fmt: skip
    monkeypatch.setitem(REGISTRY, found.name, found)
    monkeypatch.setitem(REGISTRY, "raw.bookings", raw_contract(found))
    return found


def _load(lake: Any, contract: Contract, stated: Any, file: bytes = FILE, feed: Feed = FEED) -> Outcome:
    landing = lake.settings.landing_dir
    landing.mkdir(parents=True, exist_ok=True)
    (landing / f"{DAY}.csv").write_bytes(file)
    if stated is not None:
        text = stated if isinstance(stated, str) else json.dumps(stated)
        (landing / f"{DAY}.control.json").write_text(text)
    (raw,) = load_raw(lake, feed, [DAY], "run")
    assert raw.committed, raw.load.error
    return screen(lake, contract, [DAY], "run")[0]


def _verdicts(outcome: Outcome) -> dict[str, RuleResult]:
    return {
        result.rule: result for result in outcome.rules if result.rule.startswith("source") or "source_" in result.rule
    }


def test_what_adds_up_passes_and_the_ledger_has_what_was_stated(lake, bookings):
    outcome = _load(lake, bookings, TRUE)
    assert outcome.committed, outcome.load.error
    assert (outcome.load.rows_accepted, outcome.load.rows_quarantined, outcome.load.rows_merged) == (2, 1, 1)
    found = _verdicts(outcome)
    assert all(result.passed for result in found.values()), found
    assert found["source_rows"].actual == "rows: 4; the source states 4"
    assert found["amount.source_sum"].actual == "sum: 90.90; the source states 90.90"
    with lake.connect() as con:
        (raw,) = latest_loads(con, "raw.bookings")
    assert raw.stated == TRUE | {"file": f"{DAY}.control.json", "sums": {"Amount": "90.90", "ratio": "0.9"}}


@pytest.mark.parametrize(
    ("rule", "wrong", "said"),
    [
        ("source_rows", {"rows": 5}, "rows: 4; the source states 5"),
        ("amount.source_sum", {"sums": {"amount": "90.91", "ratio": 0.9}}, "sum: 90.90; the source states 90.91"),
        ("ratio.source_sum", {"sums": {"Amount": 90.9, "ratio": "0.9001"}}, "the source states 0.9001"),
        ("source_hash", {"sha256": "0" * 64}, f"the source states {'0' * 64}"),
    ],
)
def test_what_does_not_add_up_breaks_its_rule_and_no_other(lake, bookings, rule, wrong, said):
    outcome = _load(lake, bookings, TRUE | wrong)
    found = _verdicts(outcome)
    assert [name for name, result in found.items() if not result.passed] == [rule]
    assert said in found[rule].actual
    fails = bookings.rule(rule).action == "fail"
    assert outcome.committed is not fails and (said in outcome.load.error) is fails


def test_a_text_that_is_no_number_is_missing_in_the_sum_and_said(lake, bookings):
    outcome = _load(lake, bookings, TRUE, FILE.replace(b"20.20", b"twenty"))
    assert (
        _verdicts(outcome)["amount.source_sum"].actual == "sum: 70.70; the source states 90.90; 1 texts are no numbers"
    )


def test_a_sum_may_be_declared_to_be_about_right(lake, bookings):
    near = replace(bookings, measures=(source_sum("amount", within=0.05),))
    assert near.rules[-2].expected == "the sum that the source states, within 0.05"
    for stated, holds in (("90.95", True), ("90.85", True), ("90.96", False)):
        outcome = _load(lake, near, {"sums": {"amount": stated}})
        assert _verdicts(outcome)["amount.source_sum"].passed is holds, stated


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        (None, f"`{DAY}.control.json` was not there when the file was read"),
        ("rows: 4", "is not what a control file is"),
        ('{"rows": null}', "is not what a control file is"),
        ('{"sums": {"amount": "NaN"}}', "is not what a control file is"),
        ('{"count": 4}', "an object with `rows`, `sums`, `sha256`"),
        ({}, f"the source does not state it in `{DAY}.control.json`"),
    ],
)
def test_what_the_source_does_not_state_could_not_be_evaluated_and_that_is_a_failure(lake, bookings, stated, said):
    outcome = _load(lake, bookings, stated)
    assert not outcome.committed and said in outcome.load.error
    assert all(not result.passed and said in result.actual for result in _verdicts(outcome).values())


def test_an_empty_file_of_which_nothing_was_to_come_adds_up(lake, bookings):
    outcome = _load(lake, replace(bookings, measures=(source_rows("fail"), source_sum("amount", action="fail"))),
                    {"rows": 0, "sums": {"amount": 0}}, FILE.splitlines(keepends=True)[0])  # fmt: skip
    assert outcome.committed, outcome.load.error


def test_a_fix_of_a_row_does_not_change_what_the_source_sent(lake, bookings):
    _load(lake, bookings, TRUE)
    pick, sets = Pick(bookings, record=2), decide.assignments(bookings, ["amount = '99.00'", "state = 'new'"])
    with lake.connect() as con:
        decide.propose(con, pick, sets)
        decide.fix(lake, con, pick, sets, "mended")
    (outcome,) = screen(lake, bookings, [DAY], "again")
    assert outcome.committed and outcome.load.rows_accepted == 3
    assert _verdicts(outcome)["amount.source_sum"].passed


def test_a_feed_and_a_contract_that_do_not_fit_are_refused(bookings, monkeypatch):
    with pytest.raises(ContractError, match="`source_rows` compares with control totals"):
        check_control(replace(FEED, control=None))
    with pytest.raises(ContractError, match="not one per partition"):
        replace(FEED, control="all.json")
    mart = replace(bookings, name="marts.bookings", measures=(source_rows(),))
    with pytest.raises(ContractError, match="which only staging tables have"):
        _ = mart.rules
