"""Whether tables are as fresh as their contracts promise, judged per partition from the ledger.

Dagster's own policy looks at the last materialisation of a table, whichever partition it was: backfilling an old day
turns a stale table green. Here the newest partition that can be expected decides. Loading is not started from here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import dagster as dg
import duckdb

from data_platform.automation.alerts import Alert, send
from data_platform.contracts.model import Contract
from data_platform.contracts.partitioning import Dimension
from data_platform.contracts.registry import contracts
from data_platform.errors import PlatformError
from data_platform.lake.lake import get_lake
from data_platform.lake.ledger import Load, loads_since, utc_now
from data_platform.lake.publish import published_version
from data_platform.settings import get_settings

CATALOG = "the catalog"


@dataclass(frozen=True)
class Freshness:
    """The verdict on one table. `expected` is the newest partition that must be there, `newest` the newest that is;
    both are `None` for an unpartitioned table. `since` is when it became stale; `None` when fresh or never loaded."""

    table: str
    ok: bool
    expected: str | None = None
    newest: str | None = None
    since: datetime | None = None

    @property
    def said(self) -> str:
        wanted = f"partition `{self.expected}` is expected" if self.expected else "it is older than its contract allows"
        return f"`{self.table}` is stale: {wanted}, the newest is {f'`{self.newest}`' if self.newest else 'none'}."


def judge(now: datetime, contract: Contract, loads: Sequence[Load], first_day: date) -> Freshness:
    """Judges a table at `now` (UTC, no zone) by what readers of it can see: the committed loads of a staging table, the
    published loads of a mart. `contract.freshness` is the greatest age of the data: from the end of the newest
    partition's window or, for a table without time partitions, from its last load. A table is partitioned by at most
    one time; its other dimensions do not count. Nothing is expected of partitions before `first_day`, nor of a table whose
    partitions ended long ago and that nobody has begun to load: never loaded is a breach only where rows still come."""
    allowed = contract.freshness
    assert allowed is not None, f"`{contract.name}` promises no freshness"
    dimension = next((part for part in contract.partition.dimensions if part.grain != "static"), None)
    if dimension is None:
        finished = max((load.finished_at for load in loads if load.finished_at), default=None)
        if finished is None:
            return Freshness(contract.name, ok=False)
        is_young = now - finished <= allowed
        newest_load = f"{finished:%Y-%m-%d %H:%M} UTC"
        return Freshness(contract.name, is_young, None, newest_load, None if is_young else finished + allowed)
    expected = expected_start(now, dimension, allowed, first_day)
    if not loads and _is_archive(now, dimension, allowed):
        return Freshness(contract.name, True, _key(dimension, expected))
    starts = [_start(contract, dimension, load.partition_key) for load in loads]
    # A partition of days to come says nothing about those that are over.
    newest = max((start for start in starts if start <= now), default=None)
    if expected is None or (newest is not None and newest >= expected):
        return Freshness(contract.name, True, _key(dimension, expected), _key(dimension, newest))
    since = None
    if newest is not None:
        _, end = dimension.window(_key(dimension, newest) or "")
        _, next_end = dimension.window(_key(dimension, end) or "")
        since = max(end + allowed, next_end)
    return Freshness(contract.name, False, _key(dimension, expected), _key(dimension, newest), since)


def expected_start(now: datetime, dimension: Dimension, allowed: timedelta, first_day: date) -> datetime | None:
    """The start of the newest partition that must be there: the oldest whose data is not older than `allowed`, but none
    that is not over yet. `None` while no partition is due."""
    oldest_allowed = now - allowed
    floor = _floor(dimension, oldest_allowed)
    expected = min(
        floor if floor < oldest_allowed else _before(dimension, floor), _before(dimension, _floor(dimension, now))
    )
    if dimension.end is not None:
        expected = min(expected, _before(dimension, datetime.combine(dimension.end, time.min)))
    first = _floor(dimension, datetime.combine(dimension.start or first_day, time.min))
    return expected if expected >= first else None


def _is_archive(now: datetime, dimension: Dimension, allowed: timedelta) -> bool:
    return dimension.end is not None and datetime.combine(dimension.end, time.min) + allowed < now


def _floor(dimension: Dimension, moment: datetime) -> datetime:
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if dimension.grain == "hour":
        return day.replace(hour=moment.hour)
    return day if dimension.grain == "day" else day.replace(day=1)


def _before(dimension: Dimension, start: datetime) -> datetime:
    return _floor(dimension, start - timedelta(microseconds=1))


def _key(dimension: Dimension, start: datetime | None) -> str | None:
    return None if start is None else dimension.key(start if dimension.grain == "hour" else start.date())


def _start(contract: Contract, dimension: Dimension, key: str) -> datetime:
    value = contract.partition.values(key)[dimension.column]
    assert isinstance(value, date), f"`{key}` is no time"
    return value if isinstance(value, datetime) else datetime.combine(value, time.min)


def visible_loads(con: duckdb.DuckDBPyConnection) -> dict[str, list[Load]]:
    """By table, the committed loads that a reader sees: all of staging; of a mart, those that its published version
    holds."""
    found: dict[str, list[Load]] = {}
    for load in loads_since(con, -1, outcome="committed"):
        found.setdefault(load.asset, []).append(load)
    for asset in [name for name in found if name.startswith("marts.")]:
        version = published_version(con, asset)
        found[asset] = [load for load in found[asset] if version is not None and load.snapshot_id <= version]
    return found


def stale_alert(contract: Contract, verdict: Freshness) -> Alert:
    day = (verdict.expected or "")[:10]
    layer = "published" if contract.layer == "marts" else contract.layer
    period = f" --from {day} --to {day}" if day else ""
    return Alert(
        kind="freshness", subject=f"`{contract.name}` is stale", broke=verdict.said, owner=contract.owner,
        since=verdict.since.replace(tzinfo=UTC) if verdict.since else None,
        command=f"data-platform backfill '+key:\"{layer}/{contract.table}\"'{period}",
    )  # fmt: skip


def _verdicts(now: datetime) -> Mapping[str, tuple[Freshness | None, Alert]]:
    """Every promised table's verdict with its alert, by name. A catalog that cannot be read is a breach of its own:
    then nothing is known of the tables."""
    try:
        con = get_lake().connect(read_only=True)
        try:
            loads = visible_loads(con)
        finally:
            con.close()
    except (PlatformError, duckdb.Error) as error:
        text = str(error).splitlines()[0]
        alert = Alert(
            "freshness", "Freshness cannot be judged", text, "platform", "data-platform doctor", now.replace(tzinfo=UTC)
        )
        return {CATALOG: (None, alert)}
    found: dict[str, tuple[Freshness | None, Alert]] = {}
    # A raw table is late when its staging table is: one alert is enough.
    for contract in (*contracts("staging"), *contracts("marts")):
        if contract.freshness is not None:
            verdict = judge(now, contract, loads.get(contract.name, []), get_settings().start_date)
            found[contract.name] = (verdict, stale_alert(contract, verdict))
    return found


@dg.sensor(
    name="freshness", minimum_interval_seconds=300, default_status=dg.DefaultSensorStatus.RUNNING,
    description="Alerts once when a table becomes staler than its contract allows, and again only after it recovered.",
)  # fmt: skip
def freshness_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """The cursor holds the names of the tables that are stale and were told."""
    told = set(json.loads(context.cursor or "[]"))
    verdicts = _verdicts(utc_now())
    stale = {name for name, (verdict, _) in verdicts.items() if verdict is None or not verdict.ok}
    failed = send([verdicts[name][1] for name in sorted(stale - told)], get_settings())
    if failed:
        context.log.warning(f"Not told: {', '.join(failed)}. The alerts are in `alerts.jsonl`.")
    # While the catalog is away nothing is known of the tables: what was told of them stands.
    context.update_cursor(json.dumps(sorted(stale | (told if CATALOG in stale else set()))))
    return dg.SkipReason(f"Stale: {', '.join(sorted(stale)) or 'none'}.")
