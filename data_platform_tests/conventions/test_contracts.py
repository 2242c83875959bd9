"""What every contract must state."""

from __future__ import annotations

from data_platform.contracts.registry import contracts


def test_every_contract_describes_its_table_and_each_column() -> None:
    assert len(contracts()) > 10
    for contract in contracts():
        stated = [contract.description, contract.grain, contract.owner, contract.columns, contract.rules]
        assert all(stated), f"`{contract.name}` leaves something of {stated} out"
        undescribed = [name for name, column in contract.columns.items() if not column.description]
        assert undescribed == [], f"`{contract.name}` has columns without a description"


def test_no_two_rules_of_a_contract_share_a_name() -> None:
    for contract in contracts():
        names = [rule.name for rule in contract.rules]
        assert sorted(set(names)) == sorted(names), f"`{contract.name}`"


def test_the_columns_a_contract_points_to_are_its_own() -> None:
    for contract in contracts():
        key = contract.key.columns if contract.key else ()
        times = [name for name in (contract.event_time, contract.business_time) if name]
        days = contract.partition.columns if contract.layer == "marts" else ()
        assert {*key, *times, *days} <= set(contract.columns), f"`{contract.name}`"
