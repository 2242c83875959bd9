"""What a backfill was asked for, kept as tags of its Dagster runs; and what is left of one that did not end.

Which partitions were meant follows from the ledger as it was when the backfill began, and what is done from the ledger as
it is now: so a killed process needs no notes of its own.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta

import dagster as dg
from filelock import FileLock, Timeout

from data_platform.assets.naming import table_of
from data_platform.cli.engine import BACKFILL_TAG, events_of, made_in
from data_platform.cli.gaps import Kind, chosen
from data_platform.cli.plan import Item, Plan
from data_platform.cli.stale import mart_of, with_dependents
from data_platform.errors import UsageError, did_you_mean
from data_platform.lake.standings import Standings
from data_platform.lake.storage import storage_errors
from data_platform.partitions import window_of
from data_platform.settings import Settings

SELECTION, START, END, ONLY, SINCE, ENDED = (
    f"{BACKFILL_TAG}_{name}" for name in ("selection", "from", "to", "only", "since", "ended")
)
KINDS: Mapping[str, Kind] = {"missing": "missing", "failed": "failed", "stale": "stale"}
LATEST_RUNS, LOOKED_AT = 500, 20  # runs and backfills among which the last one that did not end is looked for


@dataclass(frozen=True)
class Request:
    """A selection, a range of days and at most one kind of partition. `since` is the lake's snapshot when it began."""

    selection: str
    start: date | None = None
    end: date | None = None
    only: Kind | None = None
    since: int = -1

    @property
    def tags(self) -> dict[str, str]:
        """The request as tags of a run."""
        stated = {
            SELECTION: self.selection, START: _text(self.start), END: _text(self.end), ONLY: self.only or "",
            SINCE: str(self.since),
        }  # fmt: skip
        return {name: value for name, value in stated.items() if value}

    @property
    def command(self) -> str:
        """What to type for the same, without what was done."""
        options = [("--from", _text(self.start)), ("--to", _text(self.end))]
        words = [f"{name} {value}" for name, value in options if value]
        kind = {"missing": ["--only-missing"], "failed": ["--only-failed"], "stale": ["--stale"], None: []}[self.only]
        return " ".join(["data-platform backfill", shlex.quote(self.selection), *words, *kind])


def request_of(tags: Mapping[str, str]) -> Request:
    """The request that a run's tags state."""
    start, end = (date.fromisoformat(tags[name]) if name in tags else None for name in (START, END))
    return Request(tags[SELECTION], start, end, KINDS.get(tags.get(ONLY, "")), int(tags.get(SINCE, -1)))


@dataclass(frozen=True)
class Begun:
    """A backfill that began: its id, what it was asked for, and its runs, latest first."""

    backfill_id: str
    request: Request
    runs: tuple[dg.DagsterRun, ...]

    @property
    def run_ids(self) -> list[str]:
        return [run.run_id for run in self.runs]

    @property
    def ended(self) -> bool:
        return any(ENDED in run.tags for run in self.runs)


def begun(instance: dg.DagsterInstance, backfill_id: str | None) -> Iterator[Begun]:
    """The backfill with this id, or the latest ones, newest first. Raises `UsageError` for an id that none has."""
    tags: dict[str, str | list[str]] = {BACKFILL_TAG: backfill_id} if backfill_id else {}
    runs = instance.get_runs(dg.RunsFilter(tags=tags), limit=None if backfill_id else LATEST_RUNS)
    grouped: dict[str, list[dg.DagsterRun]] = {}
    for run in runs:
        if SELECTION in run.tags:
            grouped.setdefault(run.tags[BACKFILL_TAG], []).append(run)
    if backfill_id and backfill_id not in grouped:
        known = {value for _, values in instance.get_run_tags([BACKFILL_TAG]) for value in values}
        raise UsageError(
            f"There is no backfill `{backfill_id}` to go on with.{did_you_mean(backfill_id, known)}",
            fix="leave the id out for the last one that did not end",
        )
    for found, own in grouped.items():
        yield Begun(found, request_of(own[-1].tags), tuple(own))


def go_on_command(instance: dg.DagsterInstance, backfill_id: str, request: Request) -> str:
    """What to type to go on with a backfill that was stopped: the same again where it was stopped before its first run."""
    has_begun = instance.get_runs_count(dg.RunsFilter(tags={BACKFILL_TAG: backfill_id}))
    return f"data-platform backfill --resume {backfill_id}" if has_begun else request.command


def left_of(plan: Plan, request: Request, then: Standings, now: Standings) -> Plan:
    """What is left of a request over `plan`: of the partitions that it meant by the ledger of `then`, those that were not
    committed since, with what hangs on them."""
    if request.only == "stale":
        # Mart days follow from the rows that were screened meanwhile, so they are looked up afresh.
        return chosen(plan, now, "stale")
    meant = plan if request.only is None else chosen(plan, then, request.only)
    left = {
        asset: [key for key in keys if not is_done(meant, Item(asset, key), now, request.since)]
        for asset, keys in meant.keys.items()
    }
    return with_dependents(plan, left)


def done_of(plan: Plan, now: Standings, since: int) -> int:
    """How many partitions of the plan were committed or published after the snapshot `since`."""
    return sum(is_done(plan, item, now, since) for item in plan.items())


def is_done(plan: Plan, item: Item, now: Standings, since: int) -> bool:
    """Whether the latest attempt was committed after the snapshot `since`; for a published view, whether it shows what
    the plan has of its mart."""
    if item.asset.path[0] != "published":
        found = now.of.get((table_of(item.asset), item.partition))
        return found is not None and found.is_good and found.committed is not None and found.committed > since
    mart = now.of.get((mart_of(item.asset), item.partition))
    if mart is None or mart.committed is None or mart.committed > now.shown.get(mart_of(item.asset), -1):
        return False
    source = Item(dg.AssetKey(["marts", item.asset.path[-1]]), item.partition)
    return item.partition not in plan.keys.get(source.asset, ()) or is_done(plan, source, now, since)


def last_day(plan: Plan) -> date | None:
    """The last day of the plan's partitions: a range without an end would grow until somebody resumes it."""
    ends = [
        window[1]
        for asset, keys in plan.keys.items()
        if (window := window_of(plan.definitions[asset], keys[-1])) is not None
    ]
    return (max(ends) - timedelta(microseconds=1)).date() if ends else None


def tell_dagster(instance: dg.DagsterInstance, begun: Begun, plan: Plan, now: Standings) -> list[Item]:
    """Reports the partitions that the backfill committed and that Dagster was not told of, because the process died in
    between; returns them."""
    told = {item for run_id in begun.run_ids for item in made_in(events_of(instance, run_id))}
    runs, untold = set(begun.run_ids), list[Item]()
    for item in plan.items():
        found = now.of.get((table_of(item.asset), item.partition))
        ours = item.asset.path[0] == "published" or (found is not None and found.run_id in runs)
        if ours and item not in told and is_done(plan, item, now, begun.request.since):
            untold.append(item)
            metadata = {"backfill": begun.backfill_id} | ({"dagster/row_count": found.rows or 0} if found else {})
            made = dg.AssetMaterialization(
                item.asset, "Committed; the process died before it could say so.", metadata, item.partition or None
            )
            instance.report_runless_asset_event(made)
    return untold


@contextmanager
def alone(settings: Settings, backfill_id: str) -> Iterator[None]:
    """Holds the backfill, so that no second process goes on with it. Raises `UsageError` when one does."""
    path = settings.home / "backfills" / f"{backfill_id}.lock"
    with storage_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, timeout=0):
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
    except Timeout:
        raise UsageError(
            f"Backfill `{backfill_id}` is running still.", fix="wait for it, or stop it with Ctrl-C there"
        ) from None


def _text(day: date | None) -> str:
    return day.isoformat() if day else ""
