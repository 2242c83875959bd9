"""What every contract must state."""

from __future__ import annotations

import pytest

from data_platform.contracts.model import Contract
from data_platform.contracts.registry import contracts


@pytest.mark.parametrize("contract", contracts(), ids=lambda contract: contract.name)
def test_every_contract_describes_its_table_and_each_column(contract: Contract) -> None:
    assert contract.description, f"`{contract.name}` has no docstring"
    assert contract.grain and contract.owner
    assert contract.columns, f"`{contract.name}` has no columns"
    undescribed = [name for name, column in contract.columns.items() if not column.description]
    assert not undescribed, f"`{contract.name}` leaves {undescribed} without a description"


@pytest.mark.parametrize("contract", contracts(), ids=lambda contract: contract.name)
def test_every_contract_has_rules_that_resolve(contract: Contract) -> None:
    assert contract.rules, f"`{contract.name}` judges nothing"
    assert len({rule.name for rule in contract.rules}) == len(contract.rules), "two rules share a name"


@pytest.mark.parametrize("contract", contracts(), ids=lambda contract: contract.name)
def test_a_key_and_the_time_columns_are_columns_of_the_table(contract: Contract) -> None:
    stated = [
        *(contract.key.columns if contract.key else ()),
        *filter(None, (contract.event_time, contract.business_time)),
    ]
    assert set(stated) <= set(contract.columns)
    if contract.layer == "marts":
        assert set(contract.partition.columns) <= set(contract.columns)
