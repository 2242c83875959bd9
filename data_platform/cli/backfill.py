"""`data-platform backfill`: the run with a progress bar, the result in words. Which partitions are meant is `gaps.py` and
`resume.py`, the plan in words `estimate.py`; going on with one that did not end is `go_on.py`."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import dagster as dg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from data_platform.assets.naming import table_of
from data_platform.assets.outcomes import resume_command
from data_platform.cli.engine import Engine, Report
from data_platform.cli.estimate import show_plan
from data_platform.cli.freed import freed_rows
from data_platform.cli.gaps import Kind, before_marts, chosen, ledger_of, stale_marts
from data_platform.cli.home import open_instance
from data_platform.cli.interrupts import telling
from data_platform.cli.output import Format, emit, fail, note
from data_platform.cli.plan import Item, Plan, make_plan
from data_platform.cli.resume import (
    ENDED,
    Request,
    alone,
    done_of,
    go_on_command,
    last_day,
)
from data_platform.cli.stale import held_part, stale_part, waiting_part
from data_platform.cli.streams import EventFiles, others_go_to
from data_platform.lake.lake import Lake, get_lake
from data_platform.lake.ledger import fates_of_runs
from data_platform.settings import Settings

Days = tuple[date | None, date | None]
SHOWN = 20
ONLY: Mapping[str, Kind] = {"--only-missing": "missing", "--only-failed": "failed", "--stale": "stale"}
NOTHING = {"missing": "Every partition was loaded", "failed": "No latest attempt failed", "stale": "Nothing is stale"}


@dataclass(frozen=True)
class Going:
    """A backfill that can be gone on with: its request, its id, and the runs that an earlier process made."""

    request: Request
    backfill_id: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    earlier: tuple[str, ...] = ()


def backfill_command(
    settings: Settings, selection: str, days: Days, *, dry_run: bool, form: Format, only: Kind | None = None
) -> None:
    """Prints the plan, or runs it and prints what became of it. Leaves with 1 when a partition failed. With `only` the
    plan is of the partitions of this kind and what hangs on them."""
    defs, lake = load_definitions(), get_lake()
    whole, now = make_plan(defs, selection, *days), ledger_of(lake)
    plan = whole if only is None else chosen(whole, now, only)
    if dry_run:
        show_plan(plan, now, form)
    elif only is not None and not plan.size:
        emit(report_data(Report("")), form, [])
        note(f"{NOTHING[only]}: there is nothing to do.")
    else:
        request = Request(selection, days[0], days[1] or last_day(whole), only, now.version)
        going = Going(request)
        with alone(settings, going.backfill_id):
            run_and_tell(settings, defs, plan, whole, going, form)


def run_and_tell(settings: Settings, defs: dg.Definitions, plan: Plan, whole: Plan, going: Going, form: Format) -> None:
    """Runs the plan, and what it leads to within `whole`, and prints what became of it. Leaves with 1 when a partition
    failed, or somebody stopped it."""
    try:
        report = run_plan(settings, defs, plan, whole, going)
    except KeyboardInterrupt:
        done = done_of(plan, ledger_of(get_lake()), going.request.since)
        with open_instance(settings) as instance:
            command = go_on_command(instance, going.backfill_id, going.request)
        fail(
            f"Stopped. What was committed stays: {done} of {plan.size} partitions are done.\nTo go on: {command}",
            1,
        )
    data = report_data(report)
    _add_rows(data)
    emit(
        data,
        form,
        [("Assets", data["assets"]), *([("Not done", data["problems"][:SHOWN])] if data["problems"] else [])],
    )
    aside = [row["asset"].removeprefix("staging/") for row in data["assets"] if row.get("quarantined")]
    if aside:
        note(f"Rows were set aside: data-platform quarantine list {aside[0] if len(aside) == 1 else ''}".rstrip())
    for row in freed_rows():
        note(f"{row.said}. To judge them again: {row.command}")
    if not report.succeeded:
        hidden = len(data["problems"]) - SHOWN
        if hidden > 0 and form is Format.table:
            note(f"… and {hidden} more; --format json names them all.")
        for command in data["resume"]:
            note(f"When the cause is mended: {command}")
        note(f"Or all that is left of this backfill: data-platform backfill --resume {going.backfill_id}")
        raise SystemExit(1)


def _add_rows(data: dict[str, Any]) -> None:
    """Adds to each asset the fates of the rows that its partitions brought, where the ledger has them."""
    runs = [run["run_id"] for run in data["runs"]]
    fates = get_lake().read(lambda con: fates_of_runs(con, runs))
    for row in data["assets"]:
        row |= fates.get(row["asset"].replace("/", "."), {})


def load_definitions() -> dg.Definitions:
    """The platform's definitions; importing them takes seconds, so it happens where they are needed."""
    from data_platform.definitions import defs

    return defs


def run_plan(
    settings: Settings, defs: dg.Definitions, plan: Plan, around: Plan | None = None, going: Going | None = None
) -> Report:
    """Runs the plan with a progress bar on stderr, and then, within the assets of `around` (of the plan itself, if that
    is not given), what waited for these rows, the mart days that they touched, and last those that waited for a key.
    The runs of a backfill that is `going` can be gone on with."""
    log, whole, lake = settings.home / "logs" / "backfill.log", around or plan, get_lake()
    with open_instance(settings) as instance, others_go_to(log) as stderr, _bar(stderr) as progress:
        task, seen, events = progress.add_task("", total=plan.size), set[Item](), EventFiles(settings.dagster_dir)

        def on_done(item: Item) -> None:
            seen.add(item)
            progress.update(task, completed=len(seen), description=item.asset.to_user_string())

        def prepare(run_id: str) -> None:
            instance.get_records_for_run(run_id, limit=1)  # makes the run's event file
            events.hold(run_id)

        engine = Engine(defs, instance, on_done, prepare)
        if going is not None:
            engine.tags, engine.report = going.request.tags, Report(going.backfill_id)

        def follow(found: Plan) -> Report:
            progress.update(task, total=len({*seen, *found.items()}))
            return engine.run(found)

        try:
            with telling(partial(progress.console.print, soft_wrap=True)):
                report = _run_all(engine, follow, plan, whole, lake, going)
        finally:
            events.close()
        if going is not None and report.succeeded and report.runs:
            instance.add_run_tags(report.runs[-1].run_id, {ENDED: "yes"})
    return report


def _run_all(
    engine: Engine, follow: Callable[[Plan], Report], plan: Plan, whole: Plan, lake: Lake, going: Going | None
) -> Report:
    """The plan, and then what it leads to. What is stale of the marts only the screened rows can tell."""
    only_stale = going is not None and going.request.only == "stale"
    report = engine.run(before_marts(plan) if only_stale else plan)
    if only_stale:
        report = follow(stale_marts(whole, ledger_of(lake)))
    report = follow(held_part(whole, lake, rows_tell=only_stale))
    runs = [*(going.earlier if going else ()), *(run.run_id for run in report.runs)]
    lost = [item for item, fate in report.fates.items() if fate != "done"]
    report = follow(stale_part(whole, lake, runs, lost))
    return follow(waiting_part(whole, lake, [run.run_id for run in report.runs]))


def _bar(stderr: Any) -> Progress:
    return Progress(
        TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn(), TextColumn("partitions"),
        TimeElapsedColumn(), TimeRemainingColumn(), console=Console(file=stderr, force_terminal=stderr.isatty()),
    )  # fmt: skip


def report_data(report: Report) -> dict[str, Any]:
    """What became of it: per asset the partitions by fate, then each one that is not done with its cause."""
    by_asset: dict[dg.AssetKey, list[Item]] = {}
    for item in report.fates:
        by_asset.setdefault(item.asset, []).append(item)
    assets = [
        {"asset": asset.to_user_string()}
        | {fate: sum(report.fates[item] == fate for item in items) for fate in ("done", "failed", "blocked")}
        for asset, items in by_asset.items()
    ]
    problems = [
        {
            "asset": item.asset.to_user_string(),
            "partition": item.partition,
            "fate": fate,
            "cause": report.causes.get(item, ""),
        }
        for item, fate in sorted(report.fates.items(), key=lambda pair: (pair[1] != "failed", str(pair[0])))
        if fate != "done"
    ]
    runs = [vars(run) for run in report.runs]
    return {
        "backfill": report.backfill_id,
        "assets": assets,
        "problems": problems,
        "runs": runs,
        "resume": resume(report),
    }


def resume(report: Report) -> list[str]:
    """What to type once the causes are mended: one command for all assets that failed on the same partitions. What hangs
    on an unpartitioned table is made again for the days of this backfill."""
    failed: dict[dg.AssetKey, list[str]] = {}
    for item in report.having("failed"):
        failed.setdefault(item.asset, []).append(item.partition)
    alike: dict[tuple[str, ...], dict[dg.AssetKey, list[str]]] = {}
    for asset, keys in failed.items():
        alike.setdefault(tuple(sorted(keys)), {})[asset] = keys
    every_day = [item.partition for item in report.fates if item.partition]
    return [
        resume_command(assets if keys != ("",) else dict.fromkeys(assets, every_day))
        + (" --only-failed" if _apart(keys) and _in_ledger(assets) else "")
        for keys, assets in alike.items()
    ]


def _in_ledger(failed: Mapping[dg.AssetKey, Sequence[str]]) -> bool:
    """Whether the ledger has each of these as failed: a step that died has recorded nothing."""
    now = ledger_of(get_lake()).of
    found = [now.get((table_of(asset), key)) for asset, keys in failed.items() for key in keys]
    return all(standing is not None and not standing.is_good for standing in found)


def _apart(keys: Sequence[str]) -> bool:
    """Whether the days of a table's partitions have others between them, which are good."""
    days = [date.fromisoformat(key[:10]) for key in keys if re.match(r"\d{4}-\d\d-\d\d", key)]
    return any(later - earlier > timedelta(days=1) for earlier, later in pairwise(sorted(days)))
