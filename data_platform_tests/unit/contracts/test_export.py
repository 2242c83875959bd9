"""A definition is the same text for the same contract, and its changes are told in words."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pandera.ibis as pa
import pytest

from data_platform.contracts.differences import differences
from data_platform.contracts.export import canonical, definition, fingerprint
from data_platform.contracts.measures import Threshold
from data_platform.contracts.model import Contract, ForeignKey, Key, PythonRule, column
from data_platform.contracts.partitioning import by
from data_platform.contracts.registry import contract, contracts
from data_platform.settings import PROJECT_ROOT


class Parcels(pa.DataFrameModel):
    """Parcels."""

    parcel_id: str = column(description="Number", str_matches=r"^P\d+$")
    state: str = column(description="State", isin=["sent", "lost", "here"])
    weight_g: int = column(description="Weight", gt=0)
    sent_at: dt.datetime = column(description="Sent")

    @pa.dataframe_check(name="light", description="light")
    def light(cls, data):  # type: ignore[no-untyped-def]
        return data.table.weight_g < 100


class Changed(pa.DataFrameModel):
    """Parcels."""

    state: str = column(description="State, in words", isin=["here", "lost", "sent"], nullable=True)
    parcel_id: str = column(description="Number", str_matches=r"^P\d{4}$")
    weight_g: float = column(description="Weight", gt=0, source="weight")
    sent_on: dt.date = column(description="Sent", format="%d/%m/%Y")

    @pa.dataframe_check(name="light", description="light")
    def light(cls, data):  # type: ignore[no-untyped-def]
        # comments are no part of it
        return data.table.weight_g < 200


def made(model: Any, **stated: Any) -> Contract:
    return Contract("staging.parcels", model, "one row per parcel", "a@example.com", **stated)


FIRST = made(Parcels, key=Key(("parcel_id",)), partition=by("arrival_date", "day"), event_time="sent_at")


def said(old: Contract, new: Contract) -> list[str]:
    return [str(found) for found in differences(definition(old), definition(new))]


def test_every_contract_can_be_exported_and_read_back() -> None:
    for found in contracts():
        assert json.loads(canonical(found)) == definition(found), found.name
    assert len({fingerprint(found) for found in contracts()}) == len(contracts())


@pytest.mark.parametrize("seed", ["1", "2"])
def test_another_process_gives_the_same_fingerprint(seed: str) -> None:
    code = (
        "from data_platform.contracts.registry import contract\n"
        "from data_platform.contracts.export import fingerprint\n"
        "print(fingerprint(contract('staging.orders')))"
    )
    environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": str(PROJECT_ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == fingerprint(contract("staging.orders"))


def test_words_for_people_and_the_version_are_no_part_of_the_definition() -> None:
    assert fingerprint(replace(FIRST, owner="b@example.com", grain="one row", version=7)) == fingerprint(FIRST)
    assert fingerprint(replace(FIRST, actions={"weight_g.gt": "flag"})) != fingerprint(FIRST)


def test_nothing_changed_is_no_difference() -> None:
    assert said(FIRST, made(Parcels, key=Key(("parcel_id",)), partition=FIRST.partition, event_time="sent_at")) == []


def test_each_change_of_a_column_or_a_rule_is_told() -> None:
    second = made(Changed, key=Key(("parcel_id",)), partition=FIRST.partition, actions={"parcel_id.matches": "warn"})
    assert said(FIRST, second) == [
        "column `sent_on` added: DATE, not null",
        "column `sent_at` removed",
        "column `state` may be null now",
        "column `weight_g`: type DOUBLE, was BIGINT",
        "column `weight_g`: read from `weight`, was `weight_g`",
        "columns stand in another order: `state`, `parcel_id`, `weight_g`",
        "rule `sent_on.cast` added: expected text that is a DATE, else quarantine",
        "rule `sent_on.not_null` added: expected a value, else quarantine",
        "rule `sent_at.cast` removed: expected text that is a TIMESTAMP",
        "rule `state.not_null` removed: expected a value",
        "rule `sent_at.not_null` removed: expected a value",
        "rule `sent_at.future` removed: expected not after the partition it arrived in",
        "rule `sent_at.late` removed: expected not before the partition it arrived in",
        "rule `weight_g.cast`: expected text that is a DOUBLE, was text that is a BIGINT",
        "rule `parcel_id.matches`: action warn, was quarantine",
        "rule `parcel_id.matches`: expected matches ^P\\d{4}$, was matches ^P\\d+$",
        "rule `light`: the check behind the same words is another",
        "event time: none, was `sent_at`",
    ]


def test_keys_parents_and_partitions_are_told() -> None:
    parent = ForeignKey("state", "staging.states", "state")
    second = replace(
        FIRST, key=Key(("parcel_id", "state"), "table"), partition=by("month", "month"), foreign_keys=(parent,)
    )
    kinds = {found.kind: found.said for found in differences(definition(FIRST), definition(second))}
    assert kinds["key changed"] == "key: (parcel_id, state) once per table, was (parcel_id) once per partition"
    assert kinds["foreign key added"] == "foreign key added: `state` to `staging.states`.`state`"
    assert kinds["partition changed"] == "partitioned by `month` (month), was `arrival_date` (day)"
    third = replace(second, foreign_keys=(replace(parent, held=True),), key=None)
    assert said(second, third)[-1] == (
        "foreign key: `state` to `staging.states`.`state`, held, was `state` to `staging.states`.`state`"
    )
    assert "key: none, was (parcel_id, state) once per table" in said(second, third)
    assert said(third, replace(third, foreign_keys=()))[-1].startswith("foreign key removed")


def test_drift_the_limit_and_the_code_of_a_python_rule_are_part_of_the_definition() -> None:
    def light(frame: Any) -> Any:
        return frame.weight_g < 100

    def heavy(frame: Any) -> Any:
        return frame.weight_g > 100

    def ruled(holds: Any) -> Contract:
        return replace(FIRST, python_rules=(PythonRule("odd", ("weight_g",), holds, "an odd one"),))

    assert said(FIRST, replace(FIRST, drift="evolve", quarantine_limit=0.5)) == [
        "drift: evolve, was freeze", "quarantine limit: 0.5, was 0.2",
    ]  # fmt: skip
    assert said(ruled(light), ruled(light)) == []
    assert said(ruled(light), ruled(heavy)) == ["rule `odd`: the check behind the same words is another"]
    assert fingerprint(ruled(light)) != fingerprint(ruled(heavy))


def test_an_alert_threshold_is_told() -> None:
    alerting = replace(FIRST, thresholds={"weight_g.gt": Threshold(alert_above=0.05)})
    assert said(FIRST, alerting) == ["rule `weight_g.gt`: alerts above 0.05, was None"]


def test_a_definition_recorded_before_these_were_kept_makes_no_difference() -> None:
    now = definition(
        replace(FIRST, drift="evolve", quarantine_limit=0.5, python_rules=(PythonRule("odd", (), len, "odd"),))
    )
    rules = [{**rule, "states": {}} if rule["kind"] == "python" else rule for rule in now["rules"]]
    before = {name: value for name, value in now.items() if name not in ("drift", "quarantine_limit")}
    old = {
        **before,
        "rules": [{name: value for name, value in rule.items() if name != "alert_above"} for rule in rules],
    }
    assert differences(old, now) == []
