"""Runs a plan in this process: one Dagster run for the whole range when all is well, and after a failure more runs
for what can still be done, over contiguous ranges, until nothing is left. No words for people here.

A failed step keeps Dagster from running anything downstream of it in the same run, good days included; so the
partitions that were not reached, and hang on no failed one, are carried on in further runs.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Literal

import dagster as dg

from data_platform.assets.outcomes import CAUSES
from data_platform.assets.progress import listening
from data_platform.automation.stuck import process_tags
from data_platform.cli.plan import Definition, Item, Plan, Wave
from data_platform.lake import stopping
from data_platform.partitions import RANGE_TAGS, name_of
from data_platform.settings import get_settings

Fate = Literal["done", "failed", "blocked"]
FAILURE_REASON = "dagster/failure_reason"
BACKFILL_TAG = "data_platform/backfill"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class RunSummary:
    """One Dagster run of the backfill."""

    run_id: str
    assets: tuple[str, ...]
    first: str
    last: str
    succeeded: bool


@dataclass
class Report:
    """What became of each asset partition. `causes` has the reason of those that are not done."""

    backfill_id: str
    fates: dict[Item, Fate] = field(default_factory=dict)
    causes: dict[Item, str] = field(default_factory=dict)
    runs: list[RunSummary] = field(default_factory=list)

    def having(self, fate: Fate) -> list[Item]:
        return [item for item, found in self.fates.items() if found == fate]

    @property
    def succeeded(self) -> bool:
        return all(fate == "done" for fate in self.fates.values())


def _nothing(_: object) -> None:
    pass


@dataclass
class Engine:
    """Runs plans against an instance. `on_done` is told of each item when it is over; `prepare` is called with the id
    of each run before it starts; every run has the `tags`."""

    defs: dg.Definitions
    instance: dg.DagsterInstance
    on_done: Callable[[Item], None] = _nothing
    prepare: Callable[[str], None] = _nothing
    tags: Mapping[str, str] = field(default_factory=dict)
    report: Report = field(default_factory=lambda: Report(uuid.uuid4().hex[:8]))

    def run(self, plan: Plan) -> Report:
        """Runs a plan to its end. Failures are in the report, never raised; an interrupt is, once the report has what was
        done until then."""
        for wave in plan.waves:
            self._wave(plan, wave)
        return self.report

    def _wave(self, plan: Plan, wave: Wave) -> None:
        left = {Item(asset, key): None for asset in wave.assets for key in plan.keys[asset]}
        for item in left:
            self.report.fates.pop(item, None)
        while True:
            self._block(plan, left)
            if not left:
                return
            if stopping.asked():
                raise KeyboardInterrupt
            items = next_run(plan, wave, list(left), self._lost())
            before = len(left)
            for item, fate, cause in self._execute(items):
                self._settle(item, fate, cause)
                left.pop(item, None)
            if len(left) == before:  # nothing moved: whatever it is, it will not move by trying again
                for item in items:
                    self._settle(item, "failed", "the run ended before it was reached")
                    left.pop(item, None)

    def _lost(self) -> set[Item]:
        return {item for item, fate in self.report.fates.items() if fate != "done"}

    def _settle(self, item: Item, fate: Fate, cause: str = "") -> None:
        self.report.fates[item] = fate
        if cause:
            self.report.causes[item] = cause
        self.on_done(item)

    def _block(self, plan: Plan, left: dict[Item, None]) -> None:
        """Settles what hangs on a partition that failed. Items come in topological order, so once is enough."""
        lost = list(self._lost())
        for item in list(left):
            parent = next((other for other in lost if plan.depends(item, other)), None)
            if parent is not None:
                self._settle(item, "blocked", f"needs `{parent}`, which is not done")
                lost.append(item)
                del left[item]

    def _execute(self, items: Sequence[Item]) -> list[tuple[Item, Fate, str]]:
        assets = list(dict.fromkeys(item.asset for item in items))
        keys = list(dict.fromkeys(item.partition for item in items if item.partition))
        run_id = str(uuid.uuid4())
        self.prepare(run_id)
        try:
            with listening(lambda asset, key: self.on_done(Item(asset, key))):
                result = _run_in_process(self, assets, keys, run_id)
            succeeded, error = result.success, ""
        except dg.DagsterExecutionInterruptedError:
            raise KeyboardInterrupt from None
        except dg.DagsterError as failure:
            succeeded, error = False, str(failure)
        names = tuple(asset.to_user_string() for asset in assets)
        self.report.runs.append(RunSummary(run_id, names, keys[0] if keys else "", keys[-1] if keys else "", succeeded))
        events = events_of(self.instance, run_id)
        if self._was_interrupted(run_id):
            self.report.fates |= dict.fromkeys(made_in(events) & set(items), "done")
            raise KeyboardInterrupt
        return list(self._fates(items, events, error))

    def _was_interrupted(self, run_id: str) -> bool:
        """Dagster takes Ctrl-C for itself and ends the run as failed or canceled, as if a step had died."""
        run = self.instance.get_run_by_id(run_id)
        canceled = run is not None and run.status == dg.DagsterRunStatus.CANCELED
        return canceled or (run is not None and run.tags.get(FAILURE_REASON) == "UNEXPECTED_TERMINATION")

    def _fates(
        self, items: Sequence[Item], events: Sequence[dg.DagsterEvent], error: str
    ) -> Iterator[tuple[Item, Fate, str]]:
        made = made_in(events)
        failures = {event.step_key: event for event in events if event.event_type_value == "STEP_FAILURE"}
        for item in items:
            failure = failures.get(self._step(item.asset))
            if item in made:
                yield item, "done", ""
            elif failure is not None:
                yield item, "failed", _cause(failure, item)
            elif error:
                yield item, "failed", error

    def _step(self, asset: dg.AssetKey) -> str:
        return self.defs.resolve_assets_def(asset).node_def.name


def events_of(instance: dg.DagsterInstance, run_id: str) -> list[dg.DagsterEvent]:
    """Materialisations and failed steps of a run; from the instance, because events that an asset logs itself are not in
    the run's result."""
    kinds = {dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.STEP_FAILURE}
    found: list[dg.DagsterEvent] = []
    cursor = None
    while True:
        page = instance.get_records_for_run(run_id, cursor=cursor, of_type=kinds)
        found += [event for record in page.records if (event := record.event_log_entry.dagster_event) is not None]
        if not page.has_more:
            return found
        cursor = page.cursor


def made_in(events: Sequence[dg.DagsterEvent]) -> set[Item]:
    """The partitions that the events say are materialised."""
    return {
        Item(event.asset_key, event.partition or "")
        for event in events
        if event.event_type_value == "ASSET_MATERIALIZATION" and event.asset_key
    }


def next_run(plan: Plan, wave: Wave, left: Sequence[Item], lost: Collection[Item] = ()) -> list[Item]:
    """The items of the next run: the first contiguous range of partitions that lack the same assets, with the
    unpartitioned assets that these feed (again, if need be) and those that nothing else in `left` feeds."""
    missing: dict[str, set[dg.AssetKey]] = {}
    for item in left:
        if item.partition:
            missing.setdefault(item.partition, set()).add(item.asset)
    if not missing or wave.definition is None:
        return [item for item in left if not item.partition]
    keys = _first_range(wave.definition, missing)
    partitioned = missing[keys[0]]
    waiting = set().union(*missing.values())
    chosen = []
    for asset in wave.assets:
        if asset in partitioned:
            chosen += [Item(asset, key) for key in keys]
        elif plan.definitions[asset] is None and Item(asset) not in lost:
            fed = plan.ancestors(asset) & waiting
            if fed & partitioned or (Item(asset) in left and not fed):
                chosen.append(Item(asset))
    return chosen


def _first_range(definition: Definition, missing: Mapping[str, set[dg.AssetKey]]) -> list[str]:
    """The first keys in a row that miss the same assets. A range of a multi-partition is no row of keys: one alone."""
    ordered = definition.get_partition_keys()
    start = next(index for index, key in enumerate(ordered) if key in missing)
    if name_of(definition) == "multi":
        return [ordered[start]]
    same = takewhile(lambda key: missing.get(key) == missing[ordered[start]], ordered[start:])
    return list(same)


def _run_in_process(
    engine: Engine, assets: list[dg.AssetKey], keys: list[str], run_id: str
) -> dg.ExecuteInProcessResult:
    tags = {BACKFILL_TAG: engine.report.backfill_id, **process_tags(get_settings()), **engine.tags}
    if len(keys) > 1:
        tags |= dict(zip(RANGE_TAGS, (keys[0], keys[-1]), strict=True))
    return engine.defs.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=engine.instance, asset_selection=assets, run_id=run_id, tags=tags, run_config=QUIET,
        partition_key=keys[0] if len(keys) == 1 else None, raise_on_error=False,
    )  # fmt: skip


def _cause(failure: dg.DagsterEvent, item: Item) -> str:
    """The cause the step named for this partition, or else what the step died of."""
    data = failure.step_failure_data
    stated = data.user_failure_data
    named = stated.metadata.get(CAUSES) if stated else None
    causes = named.value if named is not None and isinstance(named.value, dict) else {}
    cause = causes.get(item.asset.to_user_string(), {}).get(item.partition)
    if cause:
        return str(cause)
    if stated and stated.description:
        return stated.description
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    said = (error.message if error else str(failure.message)).strip()
    # Dagster puts the class before the words; of ours the words say all.
    return re.sub(r"^data_platform\.errors\.\w+: ", "", said)
