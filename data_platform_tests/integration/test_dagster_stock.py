"""Dagster's own commands and the platform's see one instance, one location name, the same runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path

import dagster as dg
import pytest
import yaml

from data_platform.cli.home import open_instance
from data_platform.settings import PROJECT_ROOT, Settings
from data_platform.sources.sample import sample_path, write_sample

FIRST = date(2026, 1, 1)
BIN = Path(sys.executable).parent


def run(settings: Settings, *command: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PLATFORM_HOME": str(settings.home), "DAGSTER_HOME": str(settings.dagster_dir)}
    done = subprocess.run(
        [BIN / command[0], *command[1:]], cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
    return done


@pytest.fixture
def shop(settings: Settings) -> Settings:
    """Three days of the sample shop, landed."""
    write_sample(settings.landing_dir, start=FIRST, days=3, scale=0.05)
    run(settings, "data-platform", "init")
    return settings


def status(settings: Settings, asset: str, days: int = 3) -> dict[str, str]:
    keys = [f"2026-01-0{day}" for day in range(1, days + 1)]
    with open_instance(settings) as instance:
        found = instance.get_status_by_partition(
            dg.AssetKey(asset.split("/")),
            keys,
            dg.DailyPartitionsDefinition(start_date=settings.start_date.isoformat()),
        )
    return {key: value.value for key, value in (found or {}).items() if value}


def test_both_ways_to_load_the_code_call_it_by_one_name() -> None:
    ours = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["tool"]["dg"]["project"]
    (theirs,) = yaml.safe_load((PROJECT_ROOT / "workspace.yaml").read_text())["load_from"]
    assert ours["code_location_name"] == theirs["python_module"]["location_name"]
    assert ours["code_location_target_module"] == theirs["python_module"]["module_name"]


@pytest.mark.slow
def test_runs_of_every_command_land_in_one_instance_and_one_lake(shop: Settings) -> None:
    run(shop, "dg", "launch", "--assets", "raw/orders", "--partition", "2026-01-01")
    run(shop, "dg", "launch", "--assets", "raw/orders", "--partition-range", "2026-01-02...2026-01-03")
    materialize = ("dagster", "asset", "materialize", "-m", "data_platform.definitions")
    run(shop, *materialize, "--select", "raw/products", "--partition", "2026-01-02")
    run(shop, "data-platform", "backfill", "raw/customers", "--from", "2026-01-01", "--to", "2026-01-03")
    assert status(shop, "raw/orders") == dict.fromkeys(("2026-01-01", "2026-01-02", "2026-01-03"), "MATERIALIZED")
    assert status(shop, "raw/products") == {"2026-01-02": "MATERIALIZED"}
    with open_instance(shop) as instance:
        runs = instance.get_runs()
        assert len(runs) == 4 and {found.job_name for found in runs} == {"__ASSET_JOB"}
        assert all(found.is_success for found in runs)
    said = json.loads(run(shop, "data-platform", "status", "--format", "json").stdout)
    present = {row["table"]: row["present"] for row in said}
    assert (present["raw.orders"], present["raw.products"], present["raw.customers"]) == (3, 1, 3)


@pytest.mark.slow
def test_a_range_with_a_missing_day_keeps_the_good_days_whoever_runs_it(shop: Settings) -> None:
    sample_path(shop.landing_dir, "orders", date(2026, 1, 2)).unlink()
    expected = {"2026-01-01": "MATERIALIZED", "2026-01-02": "FAILED", "2026-01-03": "MATERIALIZED"}
    failed = run(shop, "dg", "launch", "--assets", "raw/orders", "--partition-range", "2026-01-01...2026-01-03", code=1)
    assert "`shop/orders/2026-01-02.csv` is not there." in failed.stdout + failed.stderr
    assert status(shop, "raw/orders") == expected
    selection = "raw/orders or key:raw/customers or key:staging/customers or key:staging/orders"
    done = run(
        shop, "data-platform", "backfill", selection.replace("raw/orders", "key:raw/orders", 1),
        "--from", "2026-01-01", "--to", "2026-01-03", "--format", "json", code=1,
    )  # fmt: skip
    said = json.loads(done.stdout)
    assert [(problem["asset"], problem["partition"], problem["fate"]) for problem in said["problems"]] == [
        ("raw/orders", "2026-01-02", "failed"),
        ("staging/orders", "2026-01-02", "blocked"),
    ]
    assert status(shop, "staging/orders") == expected, "what was blocked was planned, and is not there"
    assert status(shop, "staging/customers") == dict.fromkeys(expected, "MATERIALIZED")
    assert said["resume"] == ["data-platform backfill 'key:\"raw/orders\"+' --from 2026-01-02 --to 2026-01-02"]
    assert "Traceback" not in done.stderr
