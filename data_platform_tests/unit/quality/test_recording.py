"""The history of contracts: recorded with the load that first commits under them, and only then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from data_platform.contracts.export import fingerprint
from data_platform.contracts.registry import contract
from data_platform.lake import recorded
from data_platform.quality.audit import build_mart
from data_platform.quality.recording import both
from data_platform.quality.screening import screen
from data_platform_tests.unit.quality.test_screening import DAY, NEXT, customer

CUSTOMERS = contract("staging.customers")


def history(lake: Any, name: str = CUSTOMERS.name) -> list[recorded.Recorded]:
    with lake.connect() as con:
        return recorded.history(con, name)


def test_a_contract_is_recorded_once_and_again_when_its_definition_or_its_version_changes(lake, land):
    land("customers", DAY, [customer()])
    land("customers", NEXT, [customer()])
    assert history(lake) == []
    screen(lake, CUSTOMERS, [DAY], "first")
    screen(lake, CUSTOMERS, [DAY, NEXT], "second")
    (first,) = history(lake)
    assert (first.version, first.fingerprint, first.run_id) == (1, fingerprint(CUSTOMERS), "first")
    milder = replace(CUSTOMERS, actions={"email.matches": "flag"})
    assert screen(lake, milder, [DAY], "third")[0].committed
    screen(lake, replace(milder, version=2), [DAY], "fourth")
    screen(lake, CUSTOMERS, [DAY], "back")
    assert [(row.version, row.run_id) for row in history(lake)] == [
        (1, "first"),
        (1, "third"),
        (2, "fourth"),
        (1, "back"),
    ]


def test_a_load_that_fails_records_no_contract(lake, land):
    land("customers", DAY, [customer()], read=2)
    assert not screen(lake, CUSTOMERS, [DAY], "bad")[0].committed
    assert history(lake) == []


def test_a_mart_is_recorded_with_its_build_and_not_with_a_failed_one(lake):
    mart = contract("marts.dim_products")
    row = "'P1' AS product_id, 'Pen' AS product_name, 'pens' AS category, {} AS unit_price, now()::TIMESTAMP AS updated_at"
    for price, run, known in ((-1, "bad", []), (1, "good", ["good"]), (2, "again", ["good"])):
        with lake.connect() as con:
            build_mart(lake, mart, con, f"(SELECT {row.format(price)})", [""], run)
        assert [found.run_id for found in history(lake, mart.name)] == known


def test_checks_run_in_order_and_none_is_none():
    seen: list[str] = []
    assert both(None, None) is None
    check = both(lambda con: seen.append("a"), None, lambda con: seen.append("b"))
    assert check is not None
    check(None)  # type: ignore[arg-type]
    assert seen == ["a", "b"]
