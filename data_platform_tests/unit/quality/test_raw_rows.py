"""Rows that an earlier contract loaded are judged by what came, wherever that contract put it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pandera.ibis as pa
import pytest

from data_platform.contracts.model import REGISTRY, Contract, Drift, Key, column, table
from data_platform.contracts.partitioning import by
from data_platform.contracts.raw import raw_contract
from data_platform.quality import decide
from data_platform.quality.against import judge_lake
from data_platform.quality.inbox import Pick
from data_platform.quality.screening import screen
from data_platform_tests.unit.quality.test_screening import DAY, NEXT, rows

Land = Any


def made(drift: Drift = "evolve", **columns: Any) -> Contract:
    """A contract of texts `id` and what else is stated."""
    body = {"id": column(description="Number"), **columns}
    model = type(
        "Grown", (pa.DataFrameModel,), {**body, "__doc__": "Rows.", "__annotations__": dict.fromkeys(body, str)}
    )
    REGISTRY.pop("staging.grown", None)
    table(
        "staging.grown", grain="one row per id", owner="a@example.com", partition=by("arrival_date", "day"),
        key=Key(("id",)), drift=drift,
    )(model)  # fmt: skip
    REGISTRY["raw.grown"] = raw_contract(REGISTRY["staging.grown"])
    return REGISTRY["staging.grown"]


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    for name in ("staging.grown", "raw.grown"):
        REGISTRY.pop(name, None)


def _extra(**found: object) -> Mapping[str, object]:
    return {"_extra": json.dumps(found)}


def _screen(lake: Any, contract: Contract, day: str = DAY) -> Any:
    (outcome,) = screen(lake, contract, [day], "run")
    assert outcome.committed, outcome.load.error
    return outcome.load


TIER = column(description="Tier", isin=["gold"])


def _with_a_tier_that_nobody_knew(lake: Any, land: Land, drift: Drift = "evolve") -> None:
    land_under = made(drift)
    land("grown", DAY, [{"id": "1"} | _extra(tier="gold", other="x"), {"id": "2"} | _extra(tier="tin"), {"id": "3"}])
    _screen(lake, land_under)


@pytest.mark.parametrize("loads_another_day", [False, True])
def test_a_column_that_the_contract_learned_of_is_judged_in_rows_that_came_before(lake, land, loads_another_day):
    _with_a_tier_that_nobody_knew(lake, land)
    wider = made(tier=TIER)
    if loads_another_day:
        land("grown", NEXT, [{"id": "9", "tier": "gold"}])
        assert _screen(lake, wider, NEXT).rows_accepted == 1
    with lake.connect(read_only=True) as con:
        assert judge_lake(con, wider).by_rule == {
            "tier.isin": {"to_quarantine": 1, "to_accept": 0},
            "tier.not_null": {"to_quarantine": 1, "to_accept": 0},
        }
    load = _screen(lake, wider)
    assert (load.rows_accepted, load.by_rule) == (1, {"tier.isin": 1, "tier.not_null": 1})
    kept = rows(lake, f"SELECT id, tier, _extra FROM lake.staging.grown WHERE arrival_date = '{DAY}'")
    assert kept == [("1", "gold", '{"other":"x"}')], "what no contract knows stays an extra"
    assert rows(lake, "SELECT reasons FROM lake.quarantine.grown WHERE _record = 2") == [
        ("tier: expected one of gold, got `tin`",)
    ]


def test_rows_set_aside_for_an_unknown_column_come_back_once_the_contract_knows_it(lake, land):
    _with_a_tier_that_nobody_knew(lake, land, "quarantine")
    assert rows(lake, "SELECT _record, rules FROM lake.quarantine.grown ORDER BY 1") == [
        (1, "record.shape"), (2, "record.shape"),
    ]  # fmt: skip
    wider = made("quarantine", tier=column(description="Tier", nullable=True))
    load = _screen(lake, wider)
    assert (load.rows_accepted, load.by_rule) == (2, {"record.shape": 1}), "one record has another unknown column"


def test_a_fix_sees_and_changes_a_column_that_the_raw_table_does_not_have(lake, land):
    _with_a_tier_that_nobody_knew(lake, land)
    wider = made(tier=TIER)
    with lake.connect() as con:
        con.execute("UPDATE lake.quarantine.grown SET status = status")
        screen(lake, wider, [DAY], "run")
        pick = Pick(wider, rule="tier.isin")
        found = decide.propose(con, pick, decide.assignments(wider, ["tier = replace(tier, 'tin', 'gold')"]))
        assert (found.changed, found.accepted) == (1, 1)
        decide.fix(lake, con, pick, {"tier": "replace(tier, 'tin', 'gold')"}, "a new name")
    assert _screen(lake, wider).rows_accepted == 2


def test_a_header_that_was_a_column_of_its_own_and_is_an_alias_by_now_is_found(lake, land):
    before = made(mail=column(description="Mail"))
    land("grown", DAY, [{"id": "1", "mail": "a@b.c"}])
    _screen(lake, before)
    after = made(address=column(description="Mail", source="e-mail", aliases=("mail", 'e"mail/*')))
    land("grown", NEXT, [{"id": "2"} | _extra(**{'e"mail/*': "d@e.f"})])
    assert _screen(lake, after).rows_accepted == 1 and _screen(lake, after, NEXT).rows_accepted == 1
    assert rows(lake, "SELECT address FROM lake.staging.grown ORDER BY id") == [("a@b.c",), ("d@e.f",)]
