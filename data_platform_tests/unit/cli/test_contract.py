"""`data-platform contract …` as a user meets it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from data_platform.cli import contract_new
from data_platform.contracts.export import canonical, fingerprint
from data_platform.contracts.model import REGISTRY
from data_platform.contracts.registry import contract
from data_platform.lake import ledger
from data_platform.lake.lake import get_lake
from data_platform.settings import Settings
from data_platform_tests.unit.cli.test_commands import data_platform

ORDERS = contract("staging.orders")


@pytest.fixture
def recorded(loaded: Settings) -> Settings:
    """`staging.orders` as it was under version 1, twice: its second definition came without a new version."""
    strict = replace(ORDERS, actions={"status.isin": "fail"})
    found = [(strict, 1), (ORDERS, 1), (replace(ORDERS, key=None), 2)]
    for place, (stated, version) in enumerate(found):
        row = {
            "asset": "staging.orders", "version": version, "fingerprint": fingerprint(stated),
            "definition": canonical(stated), "run_id": f"run-{place}", "recorded_at": ledger.utc_now(),
        }  # fmt: skip
        get_lake().commit((), check=lambda con, row=row: ledger.insert(con, "contracts", [row]))  # type: ignore[misc]
    return loaded


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("orders", "staging.orders"), ("staging/orders", "staging.orders"), ("raw.orders", "raw.orders"),
        ("daily_revenue", "marts.daily_revenue"), ("marts.daily_revenue", "marts.daily_revenue"),
    ],
)  # fmt: skip
def test_show_knows_a_table_of_each_layer_and_a_bare_name(settings: Settings, name: str, full: str) -> None:
    shown = json.loads(data_platform("contract", "show", name, "--format", "json").stdout)
    assert shown["name"] == full and shown["version"] == 1 and shown["columns"] and shown["owner"] and shown["grain"]
    assert bool(shown["rules"]) == (not full.startswith("raw."))
    assert not settings.lake_dir.exists(), "nothing is asked of the lake"


def test_show_has_columns_rules_and_the_key(settings: Settings) -> None:
    shown = json.loads(data_platform("contract", "show", "customers", "--format", "json").stdout)
    email = next(column for column in shown["columns"] if column["column"] == "email")
    assert (email["type"], email["nullable"], email["pii"], email["source"]) == ("VARCHAR", False, "email", "email")
    assert {"rule": "country_code.not_null", "action": "quarantine", "expected": "a value"} in shown["rules"]
    assert shown["key"] == {"columns": ["customer_id"], "scope": "partition"}
    said = data_platform("contract", "show", "customers").stdout
    assert "customer_id once per partition" in said and "arrival_date (day)" in said and "email.matches" in said


def test_a_name_that_is_none_names_the_nearest(settings: Settings) -> None:
    for name in ("ordrs", "staging.ordrs"):
        result = data_platform("contract", "show", name)
        assert result.exit_code == 2 and "orders`?" in result.stderr and result.stdout == ""


def test_history_says_what_changed_and_flags_a_version_that_was_not_raised(recorded: Settings) -> None:
    rows = json.loads(data_platform("contract", "history", "orders", "--format", "json").stdout)
    assert [(row["version"], row["flag"]) for row in rows] == [(1, None), (1, "version not raised"), (2, None)]
    assert rows[1]["changed"] == ["rule `status.isin`: action quarantine, was fail"]
    assert "key: none, was (order_id) once per table" in rows[2]["changed"]
    result = data_platform("contract", "history", "orders")
    assert "version not raised" in result.stdout and "contract diff staging.orders" in result.stderr


def test_history_of_a_table_that_was_never_loaded_is_empty(recorded: Settings) -> None:
    result = data_platform("contract", "history", "payments", "--format", "json")
    assert json.loads(result.stdout) == [] and "has committed" in result.stderr


def test_diff_compares_the_code_with_what_was_recorded_last_or_two_versions(recorded: Settings) -> None:
    result = data_platform("contract", "diff", "orders", "--format", "json")
    assert [found["change"] for found in json.loads(result.stdout)] == ["rule added", "key changed"]
    assert "The version is not raised: 1, recorded as 2." in result.stderr and result.exit_code == 0
    assert json.loads(data_platform("contract", "diff", "orders", "--from", "1", "--format", "json").stdout) == []
    between = json.loads(
        data_platform("contract", "diff", "orders", "--from", "1", "--to", "2", "--format", "json").stdout
    )
    assert [found["change"] for found in between] == ["rule removed", "key changed"]
    assert "no difference" in data_platform("contract", "diff", "orders", "--from", "1").stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("orders", "--from", "7"), "never recorded with version 7: there is 1, 2."),
        (("payments",), "nothing to compare with"),
        (("raw.orders",), "follows from `staging.orders`"),
        (("daily_revenue", "--against", "lake"), "only staging tables"),
        (("orders", "--against", "lake", "--from", "1"), "leave --from and --to out"),
        (("orders", "--against", "sea"), "sea"),
    ],
)
def test_diff_says_what_is_wrong(recorded: Settings, arguments: tuple[str, ...], said: str) -> None:
    result = data_platform("contract", "diff", *arguments)
    assert result.exit_code == 2 and said in result.stderr and result.stdout == ""


def test_without_a_lake_it_is_said_and_none_is_made(settings: Settings) -> None:
    for arguments in (("history",), ("diff",), ("diff", "--against", "lake")):
        result = data_platform("contract", arguments[0], "orders", *arguments[1:])
        assert result.exit_code == 2 and "There is no lake" in result.stderr and not settings.lake_dir.exists()


def test_a_lake_that_cannot_be_judged_is_one_message(recorded: Settings) -> None:
    result = data_platform("contract", "diff", "orders", "--against", "lake")
    assert result.exit_code == 1 and "cannot be judged on the lake as it is" in result.stderr
    assert "Traceback" not in result.stderr


def test_against_the_lake_of_a_table_without_loads_says_so(recorded: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REGISTRY, "staging.payments", replace(contract("staging.payments"), version=3))
    result = data_platform("contract", "diff", "payments", "--against", "lake", "--format", "json")
    assert result.exit_code == 0 and json.loads(result.stdout)["partitions"] == 0
    assert "0 rows of 0 partitions" in result.stderr


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project that `contract new` may write into."""
    for folder in ("contracts/tables", "sources"):
        (tmp_path / "project/data_platform" / folder).mkdir(parents=True)
    monkeypatch.setattr(contract_new, "PROJECT_ROOT", tmp_path / "project")
    monkeypatch.setattr(contract_new, "PACKAGE", tmp_path / "project/data_platform")
    (tmp_path / "tickets.csv").write_text("id,cost\n1,1.50\n2,2.50\n")
    return tmp_path / "project"


def test_new_writes_two_modules_once_and_says_what_is_next(project: Path, settings: Settings) -> None:
    sample = project.parent / "tickets.csv"
    result = data_platform("contract", "new", "tickets", "--from", str(sample), "--format", "json")
    said = json.loads(result.stdout)
    written = {str(path.relative_to(project)): path.read_text() for path in project.rglob("*.py")}
    assert said["files"] == written and len(written) == 2 and said["key"] == ["id"]
    assert f"data-platform land {sample} --feed tickets --partition yesterday --load" in result.stderr
    again = data_platform("contract", "new", "others", "--source", "tickets", "--from", str(sample))
    assert again.exit_code == 2 and "is there already; nothing was written" in again.stderr
    assert {str(path.relative_to(project)): path.read_text() for path in project.rglob("*.py")} == written


def test_new_with_dry_run_prints_the_modules_and_writes_none(project: Path, settings: Settings) -> None:
    sample = project.parent / "tickets.csv"
    result = data_platform("contract", "new", "tickets", "--source", "desk", "--from", str(sample), "--dry-run")
    assert "# data_platform/sources/desk.py" in result.stdout and '"desk/tickets/{key}.csv"' in result.stdout
    assert "class StagingTickets" in result.stdout and "Would write" in result.stderr
    assert list(project.rglob("*.py")) == [] and not settings.lake_dir.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("orders",), "has a contract already"),
        (("Tickets",), "cannot name a table"),
        (("tickets", "--source", "../x"), "cannot name a table or a module"),
        (("tickets", "--from", "nowhere.csv"), "is not a file"),
    ],
)
def test_new_says_what_is_wrong_and_writes_nothing(project: Path, arguments: tuple[str, ...], said: str) -> None:
    result = data_platform("contract", "new", "--from", str(project.parent / "tickets.csv"), *arguments)
    assert result.exit_code == 2 and said in result.stderr and result.stdout == ""
    assert list(project.rglob("*.py")) == []
