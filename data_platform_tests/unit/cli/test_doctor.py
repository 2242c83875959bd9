"""What the doctor sees, and what it says to do about it. One real thing is broken in each test."""

from __future__ import annotations

import multiprocessing
from datetime import date
from pathlib import Path

import pytest

from data_platform.cli import doctor
from data_platform.cli.home import prepare_home
from data_platform.errors import SettingsError
from data_platform.lake.lake import get_lake
from data_platform.lake.outcomes import LoadRecord
from data_platform.settings import Settings, get_settings, load_settings


def seen(settings: Settings) -> dict[str, doctor.Check]:
    return {check.check: check for make in doctor.HERE for check in doctor.safely(make, settings)}


def test_a_home_that_is_made_and_loaded_is_well(loaded: Settings) -> None:
    prepare_home(loaded)
    checks = seen(loaded)
    for name in ("home", "disk", "catalog", "gate", "published", "dagster.yaml", "DAGSTER_HOME", "dbt"):
        assert checks[name].ok and not checks[name].fix, checks[name]
    assert "1 views" in checks["published"].found


def test_a_home_that_is_not_made_names_the_command(settings: Settings) -> None:
    checks = seen(settings)
    assert not checks["dagster.yaml"].ok and checks["dagster.yaml"].fix == "data-platform init"
    assert not settings.lake_dir.exists(), "looking makes no lake"


def test_a_home_that_the_engine_would_misread_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path / "stage=prod" / "home")
    (check,) = doctor.safely(doctor.check_home, settings)
    assert not check.ok and "`stage=prod`" in check.found and "PLATFORM_HOME" in check.fix
    with pytest.raises(SettingsError, match="`stage=prod`"):
        prepare_home(settings)
    assert not settings.home.exists()


def test_a_day_whose_last_load_failed(loaded: Settings) -> None:
    checks = seen(loaded)
    assert not checks["loads"].ok and "`staging.orders` failed: `2026-01-02`" in checks["loads"].found
    assert checks["loads"].fix.startswith("data-platform status staging.orders")
    get_lake().commit([], [LoadRecord("staging.orders", "2026-01-02", "run", "committed")])
    assert seen(loaded)["loads"].ok
    get_lake().commit([], [LoadRecord("staging.gone", "2026-01-02", "run", "committed")])
    get_lake().record_failures([LoadRecord("staging.gone", "2026-01-02", "run", "failed", error="no file")])
    assert seen(loaded)["loads"].ok, "a table without a contract is history"


@pytest.mark.slow
@pytest.mark.long
def test_rows_that_no_mart_shows(loaded: Settings) -> None:
    checks = {check.check: check for check in doctor.safely(doctor.check_marts, loaded)}
    assert checks["marts"].ok and "early rows" not in checks
    days = (date(2025, 12, 30), date(2026, 1, 2), date(2026, 1, 3))
    get_lake().commit([], [
        LoadRecord("staging.orders", "2026-01-02", "run", "committed", business_days=days),
        LoadRecord("staging.customers", "2026-01-02", "run", "committed", business_days=(date(2025, 12, 1),)),
    ])  # fmt: skip
    checks = {check.check: check for check in doctor.safely(doctor.check_marts, loaded)}
    assert not checks["marts"].ok and checks["marts"].fix.endswith("--from 2026-01-02 --to 2026-01-03")
    assert "rows of 1 days before 2026-01-01" in checks["early rows"].found, "customers are in a dimension"
    assert "PLATFORM_START_DATE=2025-12-30" in checks["early rows"].fix


def test_a_published_view_whose_version_is_gone(loaded: Settings) -> None:
    with get_lake().connect() as con:
        version = con.execute("SELECT max(snapshot_id) FROM ducklake_snapshots('lake')").fetchone()
        assert version
        con.execute("CREATE TABLE lake.staging.later (a INTEGER)")
        view = "CREATE OR REPLACE VIEW lake.published.dim_products AS SELECT product_id FROM lake.marts.dim_products"
        con.execute(f"{view} AT (VERSION => {version[0]})")
        con.execute(f"CALL ducklake_expire_snapshots('lake', versions => [{version[0]}])")
    check = seen(loaded)["published"]
    assert not check.ok and "`published.dim_products`" in check.found
    assert check.fix == "data-platform backfill published/dim_products"


def test_a_data_file_that_is_gone_is_named_with_its_table(loaded: Settings) -> None:
    assert seen(loaded)["files"].ok
    (file,) = (loaded.lake_dir / "data" / "staging" / "orders").rglob("*.parquet")
    file.unlink()
    check = seen(loaded)["files"]
    assert not check.ok and "`staging.orders` lacks 1 of its files" in check.found and file.name in check.fix


def test_a_damaged_catalog(loaded: Settings) -> None:
    get_lake().close()
    for path in loaded.lake_dir.glob("catalog.sqlite*"):
        path.write_bytes(b"this is no database" * 300)
    check = seen(loaded)["catalog"]
    assert not check.ok and "damaged" in check.found and check.fix


def test_dagster_commands_that_would_start_an_empty_instance(
    loaded: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_home(loaded)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    get_settings.cache_clear()
    check = seen(get_settings())["DAGSTER_HOME"]
    assert not check.ok and check.fix == f"export DAGSTER_HOME={loaded.dagster_dir}"


def _hold(started: multiprocessing.synchronize.Event, done: multiprocessing.synchronize.Event) -> None:
    with get_lake().gate.hold():
        started.set()
        done.wait(60)


def test_a_gate_that_another_process_holds_is_named_with_its_holder(loaded: Settings) -> None:
    spawn = multiprocessing.get_context("spawn")
    started, done = spawn.Event(), spawn.Event()
    other = spawn.Process(target=_hold, args=(started, done))
    other.start()
    try:
        assert started.wait(60)
        assert f"process {other.pid}" in seen(loaded)["gate"].found
    finally:
        done.set()
        other.join()


def test_an_installed_version_that_is_not_the_locked_one(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(doctor.LOCK.read_text().replace("duckdb==1.5.5", "duckdb==1.5.4", 1))
    monkeypatch.setattr(doctor, "LOCK", lock)
    check = seen(settings)["versions"]
    assert not check.ok and "duckdb 1.5.5, locked 1.5.4" in check.found and check.fix == "make clean setup"


def test_a_check_that_cannot_be_made_is_one_that_failed_and_the_others_go_on(settings: Settings) -> None:
    def check_broken(_: Settings) -> list[doctor.Check]:
        raise RuntimeError("no idea")

    (check,) = doctor.safely(check_broken, settings)  # type: ignore[arg-type]
    assert check.check == "broken" and not check.ok and "no idea" in check.found


@pytest.mark.slow
def test_the_whole_examination_also_loads_the_definitions(settings: Settings) -> None:
    checks = {check.check: check for check in doctor.examine()}
    assert checks["definitions"].ok, checks["definitions"]
