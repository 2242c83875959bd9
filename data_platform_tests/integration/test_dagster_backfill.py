"""`data-platform backfill` and `demo` on a real lake, in processes of their own."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from data_platform.cli.home import open_instance
from data_platform.settings import PROJECT_ROOT, Settings, load_settings
from data_platform.sources.sample import sample_path, write_sample

pytestmark = pytest.mark.slow
FIRST = date(2026, 1, 1)
COMMAND = Path(sys.executable).parent / "data-platform"
ORDERS = '+key:"published/fct_orders" or +key:"published/customer_segments"'


def platform(settings: Settings, *arguments: str, code: int = 0) -> Any:
    """What a command printed as JSON."""
    environment = os.environ | {"PLATFORM_HOME": str(settings.home)}
    command = [COMMAND, *arguments, "--format", "json"]
    done = subprocess.run(command, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)


def orders_per_day(settings: Settings) -> dict[str, int]:
    rows = platform(settings, "query", "SELECT order_date, count(*)::INTEGER AS n FROM published.fct_orders GROUP BY 1")
    return {row["order_date"]: row["n"] for row in rows}


def test_late_rows_rebuild_the_mart_days_they_belong_to(settings: Settings) -> None:
    write_sample(settings.landing_dir, start=FIRST, days=3, scale=0.05)
    platform(settings, "backfill", ORDERS, "--from", "2026-01-01", "--to", "2026-01-02")
    before = orders_per_day(settings)
    late = sample_path(settings.landing_dir, "orders", date(2026, 1, 3))
    with late.open(newline="") as file:
        header, *rows = list(csv.reader(file))
    known = next(row for row in rows if row[header.index("ordered_at")].startswith("2026-01-03"))
    belated = dict(zip(header, known, strict=True)) | {"order_id": "O9999999999", "ordered_at": "2026-01-01 10:00:00"}
    with late.open("a", newline="") as file:
        csv.writer(file).writerow([belated[name] for name in header])
    said = platform(settings, "backfill", ORDERS, "--from", "2026-01-03", "--to", "2026-01-03")
    after = orders_per_day(settings)
    found = platform(settings, "query", "SELECT order_date FROM published.fct_orders WHERE order_id = 'O9999999999'")
    assert found == [{"order_date": "2026-01-01"}]
    assert after["2026-01-01"] > before["2026-01-01"] and "2026-01-03" in after
    done = {row["asset"]: row["done"] for row in said["assets"]}
    assert done["raw/orders"] == 1 and done["marts/fct_orders"] >= 2 and done["published/fct_orders"] >= 2
    belated["ordered_at"] = "2026-01-03 10:00:00"
    with late.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows, [belated[name] for name in header]])
    platform(settings, "backfill", ORDERS, "--from", "2026-01-03", "--to", "2026-01-03")
    found = platform(settings, "query", "SELECT order_date FROM published.fct_orders WHERE order_id = 'O9999999999'")
    assert found == [{"order_date": "2026-01-03"}], "its old day gave it up after its new day had asked for it"
    counts = "SELECT (SELECT sum(order_count) FROM published.customer_segments)::INTEGER AS segments, (SELECT count(*) FROM published.fct_orders WHERE NOT is_cancelled)::INTEGER AS orders"
    (both,) = platform(settings, "query", counts)
    assert both["segments"] == both["orders"], "what hangs on the order's day is built after it"


def materialized(settings: Settings, *assets: str) -> dict[str, set[str]]:
    """Dagster's view: the partitions of each asset that are there."""
    with open_instance(settings) as instance:
        return {asset: instance.get_materialized_partitions(dg.AssetKey(asset.split("/"))) for asset in assets}


def test_an_interrupt_keeps_what_was_committed_and_resume_does_the_rest_and_no_more(settings: Settings) -> None:
    write_sample(settings.landing_dir, start=FIRST, days=40, scale=0.05)
    tables = ("raw/orders", "raw/events", "raw/payments")
    selection = " or ".join(f'key:"{table}"' for table in tables)
    arguments = ("backfill", selection, "--from", "2026-01-01", "--to", "2026-02-09")
    environment = os.environ | {"PLATFORM_HOME": str(settings.home)}
    running = subprocess.Popen(
        [COMMAND, *arguments],
        cwd=PROJECT_ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 400
    while not (settings.lake_dir / "data" / "raw").exists() and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)  # rows are being staged from here on
    running.send_signal(signal.SIGINT)
    out, said = running.communicate(timeout=400)
    assert running.returncode == 1, out + said
    assert "Ctrl-C again stops at once" in said and "Traceback" not in said
    found = re.search(r"(\d+) of 120 partitions are done\.\s+To go on: data-platform (backfill --resume \w+)", said)
    assert found, said
    with open_instance(settings) as instance:
        assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.CANCELED]
    before = {row["table"].replace(".", "/"): row["present"] for row in platform(settings, "status")}
    told = materialized(settings, *tables)
    assert {table: len(told[table]) for table in tables} == {table: before[table] for table in tables}
    assert sum(before.values()) == int(found[1]) < 120
    finished = platform(settings, *found[2].split())
    assert {row["asset"]: row["done"] for row in finished["assets"]} == {
        table: 40 - before[table] for table in tables if before[table] < 40
    }
    assert {len(keys) for keys in materialized(settings, *tables).values()} == {40}


def checks_of(settings: Settings, asset: str) -> set[tuple[str, str | None, bool]]:
    """Every evaluation of the asset's checks: its name, the partition that it is about, and whether it passed."""
    with open_instance(settings) as instance:
        events = [
            entry.get_dagster_event().asset_check_evaluation_data
            for run in instance.get_runs()
            for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        ]
    key = dg.AssetKey(asset.split("/"))
    return {(event.check_name, event.partition, event.passed) for event in events if event.asset_key == key}


def test_one_bad_day_of_many_is_named_and_the_others_are_published_through_all_layers(settings: Settings) -> None:
    write_sample(settings.landing_dir, start=FIRST, days=5, scale=0.05)
    days = [f"2026-01-0{number}" for number in range(1, 6)]
    broken = sample_path(settings.landing_dir, "orders", date(2026, 1, 3))
    header, *lines = broken.read_text().splitlines()
    # Customers that no rule lets pass: more than the contract's limit would be set aside.
    bad = [",".join(["nobody" if name == "customer_id" else value for name, value in zip(header.split(","), line.split(","), strict=False)]) for line in lines]  # fmt: skip
    broken.write_text("\n".join([header, *bad * 3]) + "\n")
    said = platform(settings, "backfill", ORDERS, "--from", days[0], "--to", days[-1], code=1)
    fates = {(row["asset"], row["partition"]): row["fate"] for row in said["problems"]}
    assert fates["staging/orders", days[2]] == "failed"
    assert fates["marts/fct_orders", days[2]] == fates["published/fct_orders", days[2]] == "blocked"
    assert {partition for _, partition in fates} == {days[2]}
    good = set(days) - {days[2]}
    chain = ("staging/orders", "marts/fct_orders", "published/fct_orders")
    assert materialized(settings, "raw/orders", *chain) == {"raw/orders": set(days)} | dict.fromkeys(chain, good)
    assert set(orders_per_day(settings)) == good
    partitions = {partition for _, partition, passed in checks_of(settings, "staging/orders") if not passed}
    assert days[2] in partitions, "the bad day's checks are its own"
    found = platform(settings, "status", "--gaps", ORDERS, "--from", days[0], "--to", days[-1])
    kinds = {(gap["asset"], gap["partition"]): gap["gap"] for gap in found["gaps"]}
    assert kinds["staging/orders", days[2]] == "failed" and kinds["marts/fct_orders", days[2]] == "missing"
    assert {partition for _, partition in kinds} == {days[2]}


SHORT_DEMO = ("demo", "--days", "2", "--scale", "0.1")


@pytest.fixture(scope="module")
def demo_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "platform"


@pytest.fixture(scope="module")
def demo(demo_home: Path) -> Any:
    """What a short demo said the first time it was typed."""
    return platform(load_settings(home=demo_home), *SHORT_DEMO)


def without_versions(said: Any) -> Any:
    """A demo's rows, hashes, rules and figures: what must be equal from one to the next."""
    tables = [{key: row[key] for key in row if key != "published"} for row in said["tables"]]
    return tables, said["rules"], said["figures"]


def test_the_demo_accounts_for_every_row_and_publishes_every_mart(demo: Any) -> None:
    assert len(demo["figures"]) == 5 and all(figure["value"] is not None for figure in demo["figures"])
    staging = [row for row in demo["tables"] if row["table"].startswith("staging.")]
    assert len(staging) == 6
    for row in staging:
        assert row["read"] == row["accepted"] + row["quarantined"] + row["merged"] > 0
    assert all(row["published"] for row in demo["tables"] if row["table"].startswith("marts."))


def test_the_demo_typed_twice_has_the_same_rows_hashes_and_figures(demo: Any, demo_home: Path) -> None:
    again = platform(load_settings(home=demo_home), *SHORT_DEMO)
    assert all(row["content hash"] for row in again["tables"])
    assert without_versions(again) == without_versions(demo)


@pytest.mark.long
@pytest.mark.postgres
def test_a_postgres_catalog_gives_the_same_rows_hashes_and_figures(
    demo: Any, settings: Settings, new_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORM_CATALOG", new_database())
    on_postgres = platform(settings, *SHORT_DEMO)
    assert without_versions(on_postgres) == without_versions(demo)
    assert not (settings.lake_dir / "catalog.sqlite").exists()
