"""Failed runs and failed checks, seen by ticking the sensors on an instance that runs jobs in this process."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from data_platform.automation.failures import (
    Place,
    check_failure_sensor,
    new_failures,
    retry_command,
    run_failure_sensor,
)
from data_platform.settings import Settings

DAYS = dg.DailyPartitionsDefinition("2026-01-01")
ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """On disk, as SQLite: the event log then has one file per run, which the ephemeral one has not."""
    folder = str(tmp_path_factory.mktemp("dagster"))
    with dg.DagsterInstance.local_temp(folder, overrides={"telemetry": {"enabled": False}}) as instance:
        yield instance


def _alerts(settings: Settings) -> list[dict[str, Any]]:
    path = settings.home / "alerts.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class Daemon:
    """Ticks a sensor and keeps its cursor."""

    def __init__(self, instance: dg.DagsterInstance, sensor: dg.SensorDefinition) -> None:
        self.instance, self.sensor = instance, sensor
        self.cursor: str | None = None
        self.tick()

    def tick(self) -> Any:
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, definitions=dg.Definitions(sensors=[self.sensor])
        )
        found = self.sensor.evaluate_tick(context)
        self.cursor = found.cursor
        return found


@dg.asset(key=["staging", "orders"], partitions_def=DAYS)
def broken() -> None:
    try:
        raise ValueError("`landing/shop/orders/2026-01-02.csv` is not there: password=hunter2")
    except ValueError as error:
        raise RuntimeError("outer") from error


@dg.asset(key=["raw", "orders"], partitions_def=DAYS)
def refused() -> None:
    raise dg.Failure("1 partition failed.", metadata={"resume": "data-platform backfill 'key:\"raw/orders\"+'"})


@dg.asset(
    key=["staging", "customers"], partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run(),
    check_specs=[dg.AssetCheckSpec(name, asset=["staging", "customers"]) for name in ("bad", "poor", "good")],
)  # fmt: skip
def checked(context: dg.AssetExecutionContext) -> Iterator[Any]:
    key = dg.AssetKey(["staging", "customers"])
    sample = dg.MetadataValue.table(
        [dg.TableRecord({"email": "a*** (9 characters)"})], dg.TableSchema([dg.TableColumn("email")])
    )
    for partition in context.partition_keys:
        context.log_event(
            dg.AssetCheckEvaluation(
                asset_key=key, check_name="bad", passed=False, severity=ERROR, partition=partition,
                metadata={"sample": sample}, description="expected an address; 2 rows break it",
            )
        )  # fmt: skip
    yield dg.MaterializeResult()
    yield dg.AssetCheckResult(
        check_name="bad", passed=False, severity=ERROR, description="expected an address; 4 rows break it"
    )
    yield dg.AssetCheckResult(check_name="poor", passed=False, severity=WARN)
    yield dg.AssetCheckResult(check_name="good", passed=True)


@dg.asset
def fine() -> None: ...


def _run(instance: dg.DagsterInstance, asset: dg.AssetsDefinition, **tags: str) -> dg.ExecuteInProcessResult:
    partition = None if tags else "2026-01-02"
    return dg.materialize([asset], instance=instance, partition_key=partition, tags=tags, raise_on_error=False)


def test_a_run_that_failed_in_the_command_lines_own_process_is_told_once(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    daemon = Daemon(instance, run_failure_sensor)
    run = _run(instance, broken).dagster_run
    assert run.remote_job_origin is None, "a run without a code location is what this test is about"
    daemon.tick()
    daemon.tick()
    (alert,) = _alerts(settings)
    assert alert["kind"] == "run_failure"
    assert alert["subject"] == "Run of `staging/orders` failed"
    assert alert["broke"] == (
        f"Run `{run.run_id}` failed for `2026-01-02`: ValueError: `landing/shop/orders/2026-01-02.csv` is not there: password=***"
    )
    assert alert["owner"] == "shop-data@example.com"
    assert alert["command"] == "data-platform backfill 'key:\"staging/orders\"' --from 2026-01-02 --to 2026-01-02"
    assert alert["since"]


def test_a_failure_that_knows_how_to_resume_says_so(instance: dg.DagsterInstance, settings: Settings) -> None:
    daemon = Daemon(instance, run_failure_sensor)
    _run(instance, refused)
    daemon.tick()
    (alert,) = _alerts(settings)
    assert alert["broke"].endswith("1 partition failed.")
    assert alert["command"] == "data-platform backfill 'key:\"raw/orders\"+'"


def test_a_run_that_succeeds_tells_nobody(instance: dg.DagsterInstance, settings: Settings) -> None:
    runs, checks = Daemon(instance, run_failure_sensor), Daemon(instance, check_failure_sensor)
    dg.materialize([fine], instance=instance)
    runs.tick()
    checks.tick()
    assert _alerts(settings) == []


def test_a_failed_check_is_told_once_with_its_partitions_and_sample(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    daemon = Daemon(instance, check_failure_sensor)
    start, end = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
    assert _run(instance, checked, **{start: "2026-01-02", end: "2026-01-03"}).success
    daemon.tick()
    daemon.tick()
    (alert,) = _alerts(settings)
    assert alert["kind"] == "check_failure"
    assert alert["subject"] == "Check `bad` of `staging/customers` failed"
    assert alert["broke"] == (
        "Check `bad` of `staging/customers` failed for `2026-01-02`, `2026-01-03`: expected an address; 4 rows break it."
    )
    assert alert["sample"] == [{"email": "a*** (9 characters)"}]
    assert alert["command"] == "data-platform backfill 'key:\"staging/customers\"' --from 2026-01-02 --to 2026-01-03"
    _run(instance, checked)
    daemon.tick()
    assert len(_alerts(settings)) == 2, "another evaluation that fails is another breach"


def test_a_check_that_fails_while_its_run_goes_on_is_told_before_the_run_ends(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    daemon = Daemon(instance, check_failure_sensor)
    seen = []

    @dg.asset(key=["staging", "payments"], check_specs=[dg.AssetCheckSpec("bad", asset=["staging", "payments"])])
    def slow(context: dg.AssetExecutionContext) -> Iterator[Any]:
        context.log_event(
            dg.AssetCheckEvaluation(
                asset_key=dg.AssetKey(["staging", "payments"]), check_name="bad", passed=False, severity=ERROR
            )
        )
        daemon.tick()
        seen.extend(_alerts(settings))
        yield dg.MaterializeResult()
        yield dg.AssetCheckResult(passed=True, check_name="bad")

    dg.materialize([slow], instance=instance)
    daemon.tick()
    assert len(seen) == 1
    assert len(_alerts(settings)) == 1


def test_a_run_that_goes_on_for_days_is_told_of_once(instance: dg.DagsterInstance, settings: Settings) -> None:
    run = instance.create_run_for_job(
        dg.Definitions([checked]).resolve_implicit_global_asset_job_def(), status=dg.DagsterRunStatus.STARTED
    )
    place = Place(datetime.now(UTC))
    new_failures(instance, place)
    evaluation = dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(["staging", "customers"]), check_name="bad", passed=False, severity=ERROR, metadata={}
    )
    try:
        instance.report_dagster_event(
            dg.DagsterEvent(
                dg.DagsterEventType.ASSET_CHECK_EVALUATION.value, run.job_name, event_specific_data=evaluation
            ),
            run.run_id,
        )
        assert len(new_failures(instance, place)) == 1
        place.since += timedelta(days=2)  # other runs went on meanwhile
        new_failures(instance, place)
        assert new_failures(instance, Place.from_cursor(place.to_cursor())) == []
    finally:
        instance.report_run_canceled(run)


@pytest.mark.parametrize(
    ("keys", "period"),
    [
        (["2026-01-05-03:00"], " --from 2026-01-05 --to 2026-01-05"),
        (["EU|2026-01-05", "US|2026-01-07"], " --from 2026-01-05 --to 2026-01-07"),
        (["north"], ""),
        ([], ""),
    ],
)
def test_the_command_of_an_alert_names_days_whatever_the_partitions_are(keys: list[str], period: str) -> None:
    assert retry_command([dg.AssetKey("a")], keys) == f"data-platform backfill 'key:\"a\"'{period}"


def test_history_before_the_first_tick_wakes_nobody(instance: dg.DagsterInstance, settings: Settings) -> None:
    _run(instance, checked)
    daemon = Daemon(instance, check_failure_sensor)
    daemon.tick()
    assert _alerts(settings) == []


def test_the_alert_of_a_check_whose_rows_wait_in_the_inbox_names_the_command_that_shows_them(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    command = "data-platform quarantine show payments --rule method.isin"

    @dg.asset(key=["staging", "payments"], check_specs=[dg.AssetCheckSpec("bad", asset=["staging", "payments"])])
    def loaded() -> Iterator[Any]:
        yield dg.MaterializeResult()
        yield dg.AssetCheckResult(passed=False, check_name="bad", severity=ERROR, metadata={"inbox": command})

    daemon = Daemon(instance, check_failure_sensor)
    dg.materialize([loaded], instance=instance)
    daemon.tick()
    assert [alert["command"] for alert in _alerts(settings)] == [command]


def test_the_sensors_that_watch_run_without_being_asked() -> None:
    assert run_failure_sensor.default_status == dg.DefaultSensorStatus.RUNNING
    assert check_failure_sensor.default_status == dg.DefaultSensorStatus.RUNNING
