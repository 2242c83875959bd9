"""dbt's yml against the contracts it is generated from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from data_platform.contracts import dbt_yml
from data_platform.contracts.registry import contract
from data_platform.errors import ContractError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    copy = tmp_path / "dbt"
    shutil.copytree(dbt_yml.DBT_DIR, copy, ignore=shutil.ignore_patterns("target", "logs"))
    return copy


def test_the_committed_files_say_what_the_contracts_say() -> None:
    assert dbt_yml.drifted() == [], "run `python -m data_platform.contracts.dbt_yml`"


def test_an_edited_file_has_drifted_and_is_written_again(project: Path) -> None:
    path = project / dbt_yml.MARTS
    path.write_text(path.read_text().replace("data_type: varchar", "data_type: text", 1))
    assert dbt_yml.drifted(project) == [path]
    assert dbt_yml.write(project) == [path]
    assert dbt_yml.drifted(project) == []


def test_a_model_without_a_contract_is_refused(project: Path) -> None:
    (project / "models/marts/dim_custmers.sql").write_text("select 1 as a")
    with pytest.raises(ContractError, match=r"`dim_custmers` has no contract"):
        dbt_yml.mart_contracts(project)


def test_every_column_and_every_rule_dbt_can_express_is_there() -> None:
    (text,) = (text for path, text in dbt_yml.render().items() if path.name == "_marts.yml")
    models = {model["name"]: model for model in yaml.safe_load(text)["models"]}
    orders = contract("marts.fct_orders")
    columns = {column["name"]: column for column in models["fct_orders"]["columns"]}
    assert list(columns) == list(orders.columns)
    assert columns["order_id"]["data_tests"] == ["not_null", "unique"]
    assert columns["gross_amount"]["data_type"] == "decimal(18,2)"
    accepted, related = columns["status"]["data_tests"][1], columns["customer_id"]["data_tests"][1]
    assert set(accepted["accepted_values"]["arguments"]["values"]) == {
        "placed",
        "paid",
        "shipped",
        "delivered",
        "cancelled",
        "returned",
    }
    assert related["relationships"]["arguments"] == {"to": "ref('dim_customers')", "field": "customer_id"}
    assert models["daily_revenue"]["data_tests"][0]["unique_together"]["arguments"]["columns"] == [
        "revenue_date",
        "country_code",
    ]
    assert orders.grain in models["fct_orders"]["description"]
