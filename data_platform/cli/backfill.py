"""`data-platform backfill`: the plan in words, the run with a progress bar, the result in words."""

from __future__ import annotations

from datetime import date
from typing import Any

import dagster as dg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from data_platform.assets.outcomes import resume_command
from data_platform.cli.engine import Engine, Report
from data_platform.cli.freed import freed_rows
from data_platform.cli.home import open_instance
from data_platform.cli.output import Format, emit, note
from data_platform.cli.plan import Item, Plan, make_plan
from data_platform.cli.stale import held_part, stale_part, waiting_part
from data_platform.cli.streams import EventFiles, others_go_to
from data_platform.lake.lake import get_lake
from data_platform.partitions import name_of
from data_platform.settings import Settings

Days = tuple[date | None, date | None]
SHOWN = 20


def backfill_command(settings: Settings, selection: str, days: Days, *, dry_run: bool, form: Format) -> None:
    """Prints the plan, or runs it and prints what became of it. Leaves with 1 when a partition failed."""
    defs = load_definitions()
    plan = make_plan(defs, selection, *days)
    if dry_run:
        emit(plan_data(plan), form, [("Plan", plan_data(plan)["assets"])])
        return
    report = run_plan(settings, defs, plan)
    data = report_data(report)
    emit(
        data,
        form,
        [("Assets", data["assets"]), *([("Not done", data["problems"][:SHOWN])] if data["problems"] else [])],
    )
    for row in freed_rows():
        note(f"{row.said}. To judge them again: {row.command}")
    if not report.succeeded:
        hidden = len(data["problems"]) - SHOWN
        if hidden > 0 and form is Format.table:
            note(f"… and {hidden} more; --format json names them all.")
        for command in data["resume"]:
            note(f"When the cause is mended: {command}")
        raise SystemExit(1)


def load_definitions() -> dg.Definitions:
    """The platform's definitions; importing them takes seconds, so it happens where they are needed."""
    from data_platform.definitions import defs

    return defs


def run_plan(settings: Settings, defs: dg.Definitions, plan: Plan, around: Plan | None = None) -> Report:
    """Runs the plan with a progress bar on stderr, and then, within the assets of `around` (of the plan itself, if that
    is not given), what waited for these rows, the mart days that they touched, and last those that waited for a key."""
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

        def follow(found: Plan) -> Report:
            progress.update(task, total=len({*seen, *found.items()}))
            return engine.run(found)

        try:
            report = engine.run(plan)
            report = follow(held_part(whole, lake))
            lost = [item for item, fate in report.fates.items() if fate != "done"]
            report = follow(stale_part(whole, lake, [run.run_id for run in report.runs], lost))
            report = follow(waiting_part(whole, lake, [run.run_id for run in report.runs]))
        finally:
            events.close()
    return report


def _bar(stderr: Any) -> Progress:
    return Progress(
        TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn(), TextColumn("partitions"),
        TimeElapsedColumn(), TimeRemainingColumn(), console=Console(file=stderr, force_terminal=stderr.isatty()),
    )  # fmt: skip


def plan_data(plan: Plan) -> dict[str, Any]:
    """The plan as rows: in which run each asset is, and from which partition to which."""
    rows = []
    for number, wave in enumerate(plan.waves, 1):
        for asset in wave.assets:
            keys = plan.keys[asset]
            rows.append({
                "run": number, "asset": asset.to_user_string(), "partitioned by": name_of(plan.definitions[asset]),
                "partitions": len(keys) if keys[0] else 1, "first": keys[0], "last": keys[-1],
            })  # fmt: skip
    return {"partitions": plan.size, "runs": len(plan.waves), "assets": rows}


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
    """What to type once the causes are mended: one command for all assets that failed on the same partitions."""
    failed: dict[dg.AssetKey, list[str]] = {}
    for item in report.having("failed"):
        failed.setdefault(item.asset, []).append(item.partition)
    alike: dict[tuple[str, ...], dict[dg.AssetKey, list[str]]] = {}
    for asset, keys in failed.items():
        alike.setdefault(tuple(sorted(keys)), {})[asset] = keys
    return [resume_command(assets) for assets in alike.values()]
