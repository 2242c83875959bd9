"""PLATFORM_HOME made ready: its folders and Dagster's instance settings. Nothing of the lake's content here."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from data_platform.cli.output import Format, emit, note
from data_platform.lake.attach import refuse_misleading_home
from data_platform.lake.storage import storage_errors, translate
from data_platform.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

    from data_platform.automation.stuck import Stuck

DAGSTER_YAML = """\
# Written once by `data-platform init`; edit it as you like. All state stays in this folder.
telemetry:
  enabled: false
nux:
  enabled: false
# Dagster's own SQLite files, with the connections to them kept open: a quarter of the time per event.
event_log_storage:
  module: data_platform.event_log
  class: PooledSqliteEventLogStorage
# A run that never starts, or never stops, is ended. Runs whose process died are found by the sensor `stuck_runs`.
run_monitoring:
  enabled: true
  start_timeout_seconds: 600
# Two runs at once are what a laptop bears; commits to the lake queue at its gate anyway.
concurrency:
  runs:
    max_concurrent_runs: 2
"""


def prepare_home(settings: Settings) -> list[Path]:
    """Makes the folders and `dagster.yaml` that are missing, and returns what was made. Raises `StorageError`, also
    where all is there and may not be written, and `SettingsError`."""
    refuse_misleading_home(settings)
    made = []
    for folder in (settings.home, settings.landing_dir, settings.lake_dir, settings.dagster_dir):
        if not folder.is_dir():
            with storage_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
            made.append(folder)
    with storage_errors(settings.home), tempfile.NamedTemporaryFile(dir=settings.home, prefix=".probe-"):
        pass
    instance = settings.dagster_dir / "dagster.yaml"
    if not instance.exists():
        with storage_errors(instance):
            instance.write_text(DAGSTER_YAML)
        made.append(instance)
    return made


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The Dagster instance under PLATFORM_HOME, which is the one that the web UI and the daemon show, to write to. Runs
    that a killed process left behind are reported failed first. Close it."""
    from data_platform.automation.stuck import report_stuck

    prepare_home(settings)
    instance = _instance(settings)
    for stuck in report_stuck(instance, settings):
        note(f"Run {stuck.run.run_id} was still shown as running. {stuck.cause}")
    return instance


def _instance(settings: Settings) -> dg.DagsterInstance:
    import dagster as dg
    from sqlalchemy.exc import OperationalError

    try:
        with storage_errors(settings.dagster_dir):
            return dg.DagsterInstance.from_config(str(settings.dagster_dir))
    except OperationalError as error:
        raise translate(OSError(str(error.orig)), settings.dagster_dir) from None


def left_running(settings: Settings) -> list[Stuck]:
    """Runs that Dagster shows as running and whose process is dead, with the cause; nothing is changed."""
    from data_platform.automation.stuck import stuck_runs

    if not (settings.dagster_dir / "dagster.yaml").exists():
        return []
    with _instance(settings) as instance:
        return stuck_runs(instance, settings)


def init_command(settings: Settings, form: Format) -> None:
    made = prepare_home(settings)
    rows = [
        {"path": str(path), "made": path in made}
        for path in (settings.home, settings.landing_dir, settings.lake_dir, settings.dagster_dir)
    ]
    emit({"home": str(settings.home), "made": [str(path) for path in made]}, form, [("", rows)])
