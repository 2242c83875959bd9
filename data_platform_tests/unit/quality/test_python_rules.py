"""Rules in Python: rows go through pandas in batches, and what cannot be evaluated has failed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from data_platform.contracts.model import Contract, PythonRule
from data_platform.contracts.registry import contract
from data_platform.quality import python_rules
from data_platform.quality.screening import screen
from data_platform_tests.unit.quality.test_screening import DAY, load_customer, order, rows

ORDERS = contract("staging.orders")


def _even(frame: pd.DataFrame) -> pd.Series:
    return frame["order_id"].str[-1].astype(int) % 2 == 0


def _with(holds: Any, **stated: Any) -> Contract:
    rule = PythonRule("even_number", ("order_id", "total_amount"), holds, "an even order number")
    return replace(ORDERS, python_rules=(rule,), **stated)


def test_rows_that_break_it_are_set_aside_with_the_row_as_it_came(lake, land, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(python_rules, "BATCH_ROWS", 3)
    load_customer(lake, land)
    land("orders", DAY, [order(number) for number in range(8)])
    (outcome,) = screen(lake, _with(_even), [DAY], "run")
    assert (outcome.load.rows_accepted, outcome.load.by_rule) == (4, {"even_number": 4})
    (kept, *_) = rows(lake, 'SELECT rules, reasons, "row" FROM lake.quarantine.orders ORDER BY _record')
    assert kept[0] == "even_number" and "O0000000001" in kept[2] and "an even order number" in kept[1]


def test_it_may_only_flag(lake, land):
    load_customer(lake, land)
    land("orders", DAY, [order(1), order(2)])
    screen(lake, _with(_even, actions={"even_number": "flag"}), [DAY], "run")
    assert rows(lake, "SELECT _flags FROM lake.staging.orders ORDER BY order_id") == [("even_number",), (None,)]


@pytest.mark.parametrize(
    "holds",
    [
        lambda frame: frame["no_such_column"] > 0,
        lambda _: pd.Series([True]),
        lambda frame: frame["order_id"],
    ],
)
def test_what_cannot_be_evaluated_is_a_failure(lake, land, holds):
    load_customer(lake, land)
    land("orders", DAY, [order(1), order(2)])
    (outcome,) = screen(lake, _with(holds), [DAY], "run")
    assert not outcome.committed and "`even_number` could not be evaluated" in outcome.load.error


def test_nobody_knows_is_no_pass(lake, land):
    load_customer(lake, land)
    land("orders", DAY, [order(1), order(2)])
    (outcome,) = screen(lake, _with(lambda frame: pd.Series([pd.NA, True], dtype="boolean")), [DAY], "run")
    assert outcome.load.by_rule == {"even_number": 1}
