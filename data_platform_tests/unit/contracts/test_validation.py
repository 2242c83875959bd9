"""A contract that states what cannot be meant is refused where it is declared, and the near name is told."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pandera.ibis as pa
import pytest

from data_platform.contracts import measures as m
from data_platform.contracts.measures import Threshold
from data_platform.contracts.model import REGISTRY, ForeignKey, Key, PythonRule, column, table
from data_platform.contracts.partitioning import by
from data_platform.contracts.registry import contracts
from data_platform.contracts.validation import check_parents
from data_platform.errors import ContractError

NAME = "staging.parcels"
STATED: dict[str, Any] = {
    "grain": "one row per parcel",
    "owner": "a@example.com",
    "partition": by("arrival_date", "day"),
}


class Parcels(pa.DataFrameModel):
    """Parcels."""

    parcel_id: str = column(description="Number", str_matches=r"^P\d+$")
    weight_g: int = column(description="Weight", gt=0, nullable=True)
    sent_at: dt.datetime = column(description="Sent")


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = dict(REGISTRY)
    yield
    REGISTRY.clear()
    REGISTRY.update(before)


def _judge(_frame: Any) -> Any: ...


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"key": Key(("parcel_ID",))}, r"the key names the column `parcel_ID`.*Did you mean `parcel_id`\?"),
        ({"event_time": "sent_on"}, r"`event_time` names the column `sent_on`.*`sent_at`\?"),
        ({"foreign_keys": (ForeignKey("parcelid", "staging.orders", "order_id"),)}, r"foreign key.*`parcel_id`\?"),
        ({"python_rules": (PythonRule("slow", ("weight",), _judge, "slow"),)}, r"the rule `slow` names.*`weight_g`\?"),
        ({"measures": (m.mean("weight", at_least=1),)}, r"`weight.mean` names the column `weight`.*`weight_g`\?"),
        ({"measures": (m.mean("parcel_id", at_least=1),)}, "is of numbers, and `parcel_id` is VARCHAR"),
        ({"measures": (m.lag_hours(at_most=24),)}, "needs an event time and a time partition"),
        ({"measures": (m.quantile("weight_g", 95, at_most=1),)}, "is at 95"),
        ({"measures": (m.row_count(),)}, "has no bound"),
        ({"measures": (m.row_count(at_least=9, at_most=1),)}, "at least 9 and at most 1"),
        ({"measures": (m.row_count(at_least=9), m.row_count(at_most=10))}, "two rules of the name `row_count`"),
        ({"python_rules": (PythonRule("weight_g.gt", ("weight_g",), _judge, "slow"),)}, "two rules of the name"),
        ({"python_rules": (PythonRule("heavy, late", ("weight_g",), _judge, "slow"),)}, "is no name of a rule"),
        ({"actions": {"weight_g.gt": "quarantin"}}, r"unknown action `quarantin`.*`quarantine`\?"),
        ({"nulls": {"weight_g.cast": "fail"}}, "`weight_g.cast` is never NULL"),
        ({"nulls": {"parcel_id.not_null": "pass"}}, "`parcel_id.not_null` is never NULL"),
        ({"nulls": {"as_usual": "fail"}}, "`as_usual` is never NULL"),
        ({"nulls": {"slow": "fail"}, "python_rules": (PythonRule("slow", ("weight_g",), _judge, "slow"),)}, "`slow` is"),
        ({"thresholds": {"as_usual": Threshold(warn_above=2)}}, "`as_usual` is about a partition, and a threshold"),
        ({"measures": (m.row_count(at_least=1),), "thresholds": {"row_count": Threshold(fail_above=2)}}, "`row_count` is"),
        ({"thresholds": {"weight_g.gt": Threshold(warn_above=9, fail_above=5)}}, "fail above 5 and to warn above 9"),
        ({"thresholds": {"weight_g.gt": Threshold(fail_above=-1)}}, "fail above -1 rows"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_where_it_is_declared(stated: dict[str, Any], said: str) -> None:
    with pytest.raises(ContractError, match=said):
        table(NAME, **STATED, **stated)(Parcels)
    assert NAME not in REGISTRY


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"one": {}, "ONE": {}}, "columns of the name, but for its case, `one`"),
        ({"one": {"source": "Number"}, "two": {"source": "number"}}, "columns for the header, but for its case, `number`"),
        ({"one": {}, "two": {"aliases": ("one",)}}, "columns for the header `one`"),
        ({"one": {}, "Arrival_Date": {}}, "columns of the name, but for its case, `arrival_date`"),
    ],
)  # fmt: skip
def test_columns_that_the_engine_cannot_tell_apart_are_refused(names: dict[str, Any], said: str) -> None:
    body = {name: column(description=name, **more) for name, more in names.items()}
    model = type(
        "Twice", (pa.DataFrameModel,), {**body, "__doc__": "Rows.", "__annotations__": dict.fromkeys(names, str)}
    )
    with pytest.raises(ContractError, match=said):
        table(NAME, **STATED)(model)


def test_what_can_be_meant_is_taken() -> None:
    table(
        NAME, **STATED, key=Key(("parcel_id",)), event_time="sent_at", nulls={"weight_g.gt": "fail"},
        thresholds={"weight_g.gt": Threshold(warn_above=0.5, fail_above=100), "key": Threshold(fail_above=1)},
        measures=(m.lag_hours(at_most=24), m.quantile("weight_g", 0.5, at_least=1)),
    )(Parcels)  # fmt: skip
    assert NAME in REGISTRY


def test_a_parent_that_is_not_there_is_told_when_all_are_known() -> None:
    assert contracts("staging")
    table(NAME, **STATED)(Parcels)
    for fk, said in (
        (ForeignKey("parcel_id", "staging.order", "order_id"), r"`staging.order`, which has no.*`staging.orders`\?"),
        (ForeignKey("parcel_id", "staging.orders", "orderid"), r"`orderid`, which `staging.orders` does.*`order_id`\?"),
        (ForeignKey("parcel_id", "staging.orders", "order_id", touches="x"), "`x`, which `staging.orders` does not"),
    ):
        with pytest.raises(ContractError, match=said):
            check_parents(REGISTRY | {NAME: replace(REGISTRY[NAME], foreign_keys=(fk,))})
    check_parents(REGISTRY)
