"""Alerts for what failed in a run: the run itself, and asset checks of severity ERROR. Staleness is `freshness.py`.

Both look at every run of the instance: those that the command line starts in its own process have no code location.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from data_platform.automation.alerts import Alert, send
from data_platform.contracts.registry import contracts
from data_platform.lake.outcomes import from_to
from data_platform.partitions import keys_of_run
from data_platform.settings import get_settings

SHOWN = 3
REMEMBERED = timedelta(days=1)
# A run's row may become visible a moment after the time that it carries.
OVERLAP = timedelta(seconds=5)
RUNNING = (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)


def owners_of(assets: Iterable[dg.AssetKey]) -> str:
    """Who answers for the assets, by their contracts: raw tables have their staging table's, published ones their mart's."""
    layers = {"raw": "staging", "published": "marts"}
    names = {f"{layers.get(key.path[0], key.path[0])}.{key.path[-1]}" for key in assets}
    return ", ".join(sorted({contract.owner for contract in contracts() if contract.name in names})) or "platform"


def shorten(names: Iterable[str]) -> str:
    """The first few names, each in backticks, and how many more there are."""
    known = sorted(names)
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    return ", ".join(f"`{name}`" for name in known[:SHOWN]) + more


def retry_command(assets: Iterable[dg.AssetKey], keys: Iterable[str]) -> str:
    """The command that makes these assets again, for the days of these partitions; `data-platform status` when the run
    does not say what it made."""
    names = sorted(f'key:"{key.to_user_string()}"' for key in assets)
    return f"data-platform backfill '{' or '.join(names)}'{from_to(keys)}" if names else "data-platform status"


def _innermost(error: Any) -> str:
    while error.cause is not None:
        error = error.cause
    return str(error.message).strip()


def run_alert(context: dg.RunFailureSensorContext) -> Alert:
    """What failed in a run: the assets of its failed steps (all its assets when none got that far), and why the first
    of them did."""
    run, instance = context.dagster_run, context.instance
    record = instance.get_run_record_by_id(run.run_id)
    causes, steps, commands = list[str](), set[str](), list[str]()
    for event in context.get_step_failure_events():
        steps.add(event.step_key or "")
        data = event.step_failure_data
        if data.user_failure_data:
            causes.append(data.user_failure_data.description or "")
            # Our own failures carry the command that resumes exactly what is missing.
            if "resume" in data.user_failure_data.metadata:
                commands.append(str(data.user_failure_data.metadata["resume"].value))
        elif data.error:
            causes.append(_innermost(data.error))
    planned = _planned(instance, run.run_id)
    failed = {asset for asset, step in planned.items() if step in steps} or set(planned)
    what = shorten(key.to_user_string() for key in failed) or f"`{run.job_name}`"
    partition = " to ".join(keys_of_run(run.tags))
    cause = next(filter(None, causes), context.failure_event.message)
    return Alert(
        kind="run_failure", subject=f"Run of {what} failed",
        broke=f"Run `{run.run_id}` failed{f' for `{partition}`' if partition else ''}: {cause}",
        since=datetime.fromtimestamp(record.end_time, UTC) if record and record.end_time else datetime.now(UTC),
        owner=owners_of(failed), command=commands[0] if commands else retry_command(failed, keys_of_run(run.tags)),
    )  # fmt: skip


def _planned(instance: dg.DagsterInstance, run_id: str) -> dict[dg.AssetKey, str | None]:
    """The assets that the run was to make, with the step of each. Runs in the caller's process state no selection."""
    page = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
    events = [record.event_log_entry.dagster_event for record in page.records]
    return {event.asset_key: event.step_key for event in events if event and event.asset_key}


@dg.run_failure_sensor(
    name="run_failures", monitor_all_code_locations=True, default_status=dg.DefaultSensorStatus.RUNNING,
    description="Alerts for every run that fails, whoever started it.",
)  # fmt: skip
def run_failure_sensor(context: dg.RunFailureSensorContext) -> None:
    failed = send([run_alert(context)], get_settings())
    if failed:
        context.log.warning(f"Not told: {', '.join(failed)}. The alert is in `alerts.jsonl`.")


@dataclass
class Place:
    """How far the check sensor has read: since when runs changed, and for each of them up to which event."""

    since: datetime
    runs: dict[str, tuple[str, float]] = field(default_factory=dict)

    @classmethod
    def from_cursor(cls, text: str) -> Place:
        row = json.loads(text)
        return cls(
            datetime.fromisoformat(row["since"]), {run: (cursor, at) for run, (cursor, at) in row["runs"].items()}
        )

    def to_cursor(self) -> str:
        return json.dumps({"since": self.since.isoformat(), "runs": self.runs})


def new_failures(instance: dg.DagsterInstance, place: Place) -> list[tuple[dg.AssetCheckEvaluation, float]]:
    """Failed evaluations of severity ERROR, with their times, that runs stored since `place`; moves `place` on.

    The stock SQLite event log has a file per run and no order across runs, hence a place in each run that changed."""
    changed = instance.get_run_records(dg.RunsFilter(updated_after=place.since - OVERLAP))
    running = instance.get_run_records(dg.RunsFilter(statuses=list(RUNNING)))
    found, records = [], {record.dagster_run.run_id: record for record in (*changed, *running)}
    for run_id, record in records.items():
        more = True
        cursor: str | None = place.runs.get(run_id, (None, 0.0))[0]
        while more:
            page = instance.get_records_for_run(run_id, cursor, dg.DagsterEventType.ASSET_CHECK_EVALUATION, limit=1000)
            for event in page.records:
                happened = event.event_log_entry.dagster_event
                evaluation = happened.event_specific_data if happened else None
                if isinstance(evaluation, dg.AssetCheckEvaluation) and _is_error(evaluation):
                    found.append((evaluation, event.event_log_entry.timestamp))
            cursor, more = page.cursor, page.has_more
        place.since = max(place.since, record.update_timestamp.replace(tzinfo=UTC))
        place.runs[run_id] = (cursor or "", record.update_timestamp.replace(tzinfo=UTC).timestamp())
    # A run that goes on for days does not change, and is read at every tick.
    oldest = (place.since - REMEMBERED).timestamp()
    place.runs = {run: seen for run, seen in place.runs.items() if run in records or seen[1] > oldest}
    return found


def _is_error(evaluation: dg.AssetCheckEvaluation) -> bool:
    return not evaluation.passed and evaluation.severity == dg.AssetCheckSeverity.ERROR


def check_alerts(failures: Sequence[tuple[dg.AssetCheckEvaluation, float]]) -> list[Alert]:
    """One alert per check: a bad year is one message, not 365."""
    grouped: dict[dg.AssetCheckKey, list[tuple[dg.AssetCheckEvaluation, float]]] = {}
    for evaluation, at in failures:
        grouped.setdefault(evaluation.asset_check_key, []).append((evaluation, at))
    return [_check_alert(key, group) for key, group in grouped.items()]


def _check_alert(key: dg.AssetCheckKey, group: Sequence[tuple[dg.AssetCheckEvaluation, float]]) -> Alert:
    asset, table = key.asset_key.to_user_string(), key.asset_key.path[-1]
    partitions = sorted({evaluation.partition for evaluation, _ in group if evaluation.partition})
    where = f" for {shorten(partitions)}" if partitions else ""
    # A range reports each bad partition, and then the rule over the whole range.
    whole = next((found for found, _ in reversed(group) if found.partition is None), group[-1][0])
    inbox = next(
        (found.metadata["inbox"].value for found in (whole, *(each for each, _ in group)) if "inbox" in found.metadata),
        None,
    )
    shows_rows = f'data-platform query "SELECT * FROM failed.{table} LIMIT 20"'
    return Alert(
        kind="check_failure", subject=f"Check `{key.name}` of `{asset}` failed",
        broke=f"Check `{key.name}` of `{asset}` failed{where}: {whole.description or 'no reason given'}.",
        since=datetime.fromtimestamp(min(at for _, at in group), UTC), owner=owners_of([key.asset_key]),
        command=shows_rows if key.asset_key.path[0] == "marts" else str(inbox or retry_command([key.asset_key], partitions)),
        sample=_sample(next((found.metadata["sample"] for found, _ in group if "sample" in found.metadata), None)),
    )  # fmt: skip


def _sample(value: dg.MetadataValue[Any] | None) -> tuple[Mapping[str, Any], ...]:
    """The rows that the check shows, which its author masked."""
    return tuple(record.data for record in value.records[:SHOWN]) if isinstance(value, dg.TableMetadataValue) else ()


@dg.sensor(
    name="check_failures", minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING,
    description="Alerts for every asset check that fails with severity ERROR, once per evaluation.",
)  # fmt: skip
def check_failure_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """The cursor is a `Place`. The first tick only sets it, as the run sensor's does: history wakes nobody."""
    if context.cursor is None:
        place = Place(datetime.now(UTC))
        new_failures(context.instance, place)
        context.update_cursor(place.to_cursor())
        return dg.SkipReason("Watching from now on.")
    place = Place.from_cursor(context.cursor)
    failures = new_failures(context.instance, place)
    failed = send(check_alerts(failures), get_settings())
    if failed:
        context.log.warning(f"Not told: {', '.join(failed)}. The alerts are in `alerts.jsonl`.")
    context.update_cursor(place.to_cursor())
    return dg.SkipReason(f"{len(failures)} failed evaluations are new.")
