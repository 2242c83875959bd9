"""The dbt project by itself: every model, test and unit test; and that dbt sees the lake as the platform does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.cli.main import dbtRunner

from data_platform.assets.dbt_runner import CANDIDATES, DBT_DIR, manifest_path
from data_platform.errors import ContractError
from data_platform.lake import dbt_plugin
from data_platform.lake.lake import Lake
from data_platform.lake.owners import sweep
from data_platform.settings import Settings


@pytest.fixture
def dbt(shop: Lake, tmp_path: Path) -> Iterator[Any]:
    """Runs dbt's own command, as a developer of models would; gives the results by node name."""

    def run(*arguments: str) -> dict[str, str]:
        target = manifest_path(shop.settings).parent
        places = ["--project-dir", str(DBT_DIR), "--profiles-dir", str(DBT_DIR), "--target-path", str(target)]
        places += ["--log-path", str(tmp_path), "--vars", json.dumps({"build_file": CANDIDATES})]
        result = dbtRunner().invoke([*arguments, *places, "--log-level", "none", "--no-write-json"])
        assert result.exception is None, result.exception
        return {run.node.name: str(run.status) for run in result.result.results}  # type: ignore[union-attr]

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        yield run
        dbt_plugin.release()


def test_every_model_test_and_unit_test_of_the_project_passes(dbt: Any) -> None:
    found = dbt("build")
    assert {name: status for name, status in found.items() if status not in ("success", "pass")} == {}
    assert found["a_refund_reduces_what_was_paid"] == "pass"
    assert found["relationships_fct_orders_customer_id__customer_id__ref_dim_customers_"] == "pass"


def _attached(con: duckdb.DuckDBPyConnection) -> Sequence[Any]:
    lake = con.execute("SELECT path, type FROM duckdb_databases() WHERE database_name = 'lake'").fetchall()
    settings = con.execute(
        "SELECT name, value FROM duckdb_settings() WHERE name IN ('python_enable_replacements', 'TimeZone', "
        "'autoinstall_known_extensions', 'autoload_known_extensions', 'ducklake_max_retry_count') ORDER BY 1"
    ).fetchall()
    options = con.execute("SELECT option_name, value FROM lake.options() ORDER BY ALL").fetchall()
    return [lake, settings, options]


def test_dbt_attaches_the_lake_as_the_platform_does_but_read_only(shop: Lake, tmp_path: Path) -> None:
    with dbt_plugin.attaching(shop.settings):
        plugin = BasePlugin.create("data_platform.lake.dbt_plugin", config={})
    config: dict[str, Any] = {}
    plugin.update_connection_config(None, config)  # type: ignore[arg-type]
    theirs = duckdb.connect(str(tmp_path / "candidates.duckdb"), config=config)
    plugin.configure_connection(theirs)
    ours = shop.connect()
    assert _attached(theirs) == _attached(ours)
    with pytest.raises(duckdb.Error, match="read-only"):
        theirs.execute("CREATE TABLE lake.marts.intruder AS SELECT 1 AS a")
    with pytest.raises(duckdb.Error, match="read-only"):
        theirs.execute("DELETE FROM lake.staging.orders")
    theirs.close()


def test_the_profile_holds_no_path_and_no_password() -> None:
    text = (DBT_DIR / "profiles.yml").read_text()
    for word in ("ATTACH", "password", "postgres", "catalog"):
        assert word not in text.split("data_platform:", 1)[1]


def test_a_project_that_cannot_be_parsed_names_the_file_and_leaves_nothing_behind(
    settings: Settings, tmp_path: Path
) -> None:
    project = tmp_path / "dbt"
    shutil.copytree(DBT_DIR, project, ignore=shutil.ignore_patterns("target", "logs"))
    (project / "models/marts/fct_payments.sql").write_text("select 1 from {{ ref('no_such_model') }}")
    with pytest.raises(ContractError, match=r"fct_payments\.sql.*no_such_model.*dbt parse"):
        manifest_path(settings, project)
    assert [path for path in (settings.home / "dbt").iterdir() if path.is_dir()] == []


def test_a_killed_build_is_swept_and_a_living_one_is_not(tmp_path: Path) -> None:
    from filelock import FileLock

    for name in ("dead", "alive"):
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}.lock").touch()
    with FileLock(tmp_path / "alive.lock"):
        assert sweep(tmp_path) == [tmp_path / "dead"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alive", "alive.lock"]


def test_release_closes_what_dbt_opened(dbt: Any) -> None:
    dbt("run", "--select", "dim_dates")
    dbt_plugin.release()
    with pytest.raises(Exception, match="before creation"):
        DuckDBConnectionManager.env()
