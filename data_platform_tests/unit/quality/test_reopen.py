"""The way back from a fix or a discard, whether the row is in quarantine still or was accepted."""

from __future__ import annotations

import json
from typing import Any

from data_platform.contracts.registry import contract
from data_platform.quality import reopen, replay
from data_platform.quality.decide import discard
from data_platform.quality.inbox import Pick
from data_platform.quality.screening import screen
from data_platform.settings import get_settings
from data_platform_tests.unit.cli.test_commands import data_platform
from data_platform_tests.unit.quality.test_inbox import CUSTOMERS, _customers, _emails, _fix, _load, _statuses
from data_platform_tests.unit.quality.test_screening import DAY, NEXT, customer, rows

REASON = "it was right as it came"


def _reopen(lake: Any, pick: Pick, action: str | None = None) -> tuple[reopen.Withdrawal, list[str]]:
    with lake.connect() as con:
        found = reopen.propose(con, pick, action)
        reopen.reopen(lake, con, pick, found, REASON)
        return found, list(replay.waiting(con, pick).partitions)


def test_a_row_that_a_fix_let_in_is_judged_as_it_came_again(lake, land):
    _customers(lake, land)
    _fix(lake, Pick(CUSTOMERS, rule="email.matches"), "email = lower(trim(email, ' ,'))")
    _load(lake)
    assert _emails(lake) == ["ann@example.com", "bob@example.com"]
    found, partitions = _reopen(lake, Pick(CUSTOMERS, rule="email.matches"))
    assert (found.fixes, found.discards, found.accepted, partitions) == (1, 0, 1, [DAY])
    assert "bob@example.com" in _emails(lake), "taking it back alone moves nothing"
    load = _load(lake)
    assert (load.rows_accepted, load.rows_quarantined) == (1, 4)
    assert _statuses(lake) == {2: "open", 3: "open", 4: "open", 5: "open"}
    assert _load(lake).content_hash == load.content_hash
    with lake.connect() as con:
        assert reopen.pending(con, Pick(CUSTOMERS)) == [], "a load has met it"
    assert rows(lake, "SELECT action, rows, detail, reason, partitions FROM lake.ops.actions ORDER BY made_at") [1:] == [
        ("reopen", 1, "fixes: 1, discards: 0", REASON, f'["{DAY}"]')
    ]  # fmt: skip


def test_a_discarded_row_is_open_again_and_comes_in_once_the_contract_lets_it(lake, land):
    _customers(lake, land)
    with lake.connect() as con:
        discard(lake, con, Pick(CUSTOMERS, record=4), "another country")
    _load(lake)
    found, partitions = _reopen(lake, Pick(CUSTOMERS, status="discarded"))
    assert (found.discards, found.rows, partitions) == (1, 1, [DAY])
    assert _statuses(lake)[4] == "open"
    load = _load(lake)
    assert (load.rows_discarded, load.by_rule["country_code.isin"]) == (0, 1)


def test_rows_of_one_decision_are_picked_by_its_action_and_what_came_after_it_counts(lake, land):
    for day in (DAY, NEXT):
        land("customers", day, [customer(email="nobody"), customer(customer_id="C00000002", email="none")])
    screen(lake, CUSTOMERS, [DAY, NEXT], "first")
    with lake.connect() as con:
        first = discard(lake, con, Pick(CUSTOMERS, partition=DAY), "not ours")
        second = discard(lake, con, Pick(CUSTOMERS, partition=NEXT), "not ours")
        assert reopen.propose(con, Pick(CUSTOMERS), first.action_id).rows == 2
        assert reopen.propose(con, Pick(CUSTOMERS, record=2), second.action_id).rows == 1
        assert reopen.propose(con, Pick(contract("staging.orders"))).rows == 0, "a table without decisions"
    found, partitions = _reopen(lake, Pick(CUSTOMERS), second.action_id)
    assert (found.rows, partitions) == (2, [NEXT])
    with lake.connect() as con:
        assert reopen.propose(con, Pick(CUSTOMERS), second.action_id).rows == 0, "it is taken back already"
        discard(lake, con, Pick(CUSTOMERS, partition=NEXT, record=1), "and yet")
    screen(lake, CUSTOMERS, [DAY, NEXT], "again")
    found = rows(lake, "SELECT arrival_date::VARCHAR, _record, status FROM lake.quarantine.customers ORDER BY ALL")
    assert found == [(DAY, 1, "discarded"), (DAY, 2, "discarded"), (NEXT, 1, "discarded"), (NEXT, 2, "open")]


def test_a_decision_of_an_earlier_version_is_taken_back_where_it_is_meant(lake, land):
    for day in (DAY, NEXT):
        land("customers", day, [customer(email="nobody")], file_hash="the same")
    screen(lake, CUSTOMERS, [DAY, NEXT], "first")
    with lake.connect() as con:
        discard(lake, con, Pick(CUSTOMERS, partition=DAY), "not ours")
        for column in ("partition_key", "rules"):
            con.execute(f"ALTER TABLE lake.ops.patches DROP COLUMN {column}")
    lake.close()
    screen(lake, CUSTOMERS, [DAY, NEXT], "again")
    found, partitions = _reopen(lake, Pick(CUSTOMERS, rule="email.matches", partition=NEXT))
    assert (found.discards, partitions) == (1, [NEXT])
    screen(lake, CUSTOMERS, [DAY, NEXT], "again")
    found = rows(lake, "SELECT arrival_date::VARCHAR, status FROM lake.quarantine.customers ORDER BY ALL")
    assert found == [(DAY, "discarded"), (NEXT, "open")]


def test_the_command_says_what_it_would_take_back_and_takes_it_back(lake, land, monkeypatch):
    _customers(lake, land)
    with lake.connect() as con:
        action = discard(lake, con, Pick(CUSTOMERS, record=4), "another country").action_id
    monkeypatch.setenv("PLATFORM_HOME", str(lake.settings.home))
    get_settings.cache_clear()
    asked = ("quarantine", "reopen", "quarantine/customers", "--format", "json")
    dry = data_platform(*asked, "--status", "discarded", "--record", "4", "--reason", REASON, "--dry-run")
    assert json.loads(dry.stdout) | {"reason": ""} == {
        "table": "staging.customers", "rows": 1, "fixes": 0, "discards": 1, "accepted_by_now": 0, "reason": "",
        "dry_run": True, "action": None,
    }  # fmt: skip
    assert _statuses(lake)[4] == "discarded"
    for wrong, said in (
        (("--reason", REASON), "--action"),
        (("--reason", " ", "--record", "4"), "`--reason` is empty"),
        (("--reason", REASON, "--record", "3"), "No fix or discard of `staging.customers` is meant"),
    ):
        result = data_platform(*asked, *wrong)
        assert result.exit_code == 2 and said in result.stderr
    done = data_platform(*asked, "--action", action, "--reason", REASON)
    assert json.loads(done.stdout)["action"] and "quarantine replay customers" in done.stderr
    assert _statuses(lake)[4] == "open"


def test_the_list_names_a_command_that_shows_rows_which_break_no_rule(lake, land, monkeypatch):
    land("customers", DAY, [customer(), customer(customer_id="C00000002", email="bad")])
    screen(lake, CUSTOMERS, [DAY], "first")
    with lake.connect() as con:
        discard(lake, con, Pick(CUSTOMERS, record=2), "known")
    land("customers", DAY, [customer(), customer(customer_id="C00000002")])
    _load(lake)
    monkeypatch.setenv("PLATFORM_HOME", str(lake.settings.home))
    get_settings.cache_clear()
    assert "quarantine show customers --status discarded" in data_platform("quarantine", "list", "customers").stderr
    assert data_platform("quarantine", "show", "customers", "--status", "discarded").exit_code == 0
