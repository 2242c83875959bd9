"""The platform's side: a backfill as `data-platform backfill` runs it, in this process, in a copy of the project.

    python -m benchmarks.ours SELECTION FIRST_DAY LAST_DAY [--phases] [--profile FILE]

The clock starts when definitions are imported and dbt's project is parsed: these are the group `start`. `--phases` adds
the seconds by phase, `--profile` writes what cProfile saw of the main thread.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import time
from datetime import date
from typing import Any


def run(selection: str, first: date, last: date, profile: str | None = None) -> dict[str, Any]:
    """Plans and runs a backfill; returns seconds, rows by fate and the partitions that were done."""
    from data_platform.cli.backfill import load_definitions, run_plan
    from data_platform.cli.plan import make_plan
    from data_platform.settings import get_settings

    settings, definitions = get_settings(), load_definitions()
    definitions.resolve_asset_graph()
    started = time.perf_counter()
    plan = make_plan(definitions, selection, first, last)
    with _profiled(profile):
        report = run_plan(settings, definitions, plan)
    seconds = time.perf_counter() - started
    if not report.succeeded:
        raise SystemExit("\n".join(dict.fromkeys(report.causes.values())))
    return {"seconds": seconds, "partitions": len(report.fates), "rows": _rows()}


def _profiled(path: str | None) -> Any:
    from contextlib import contextmanager

    @contextmanager
    def written() -> Any:
        profiler = cProfile.Profile(time.thread_time)
        if path:
            profiler.enable()
        yield
        if path:
            profiler.disable()
            profiler.dump_stats(path)

    return written()


def _rows() -> dict[str, int]:
    """Rows of the lines by fate, and rows that readers see."""
    from data_platform.lake.lake import get_lake

    sql = """SELECT sum(rows_accepted), sum(rows_quarantined), sum(rows_merged) FROM lake.ops.loads
        WHERE asset = 'staging.bench_lines' AND outcome = 'committed'"""
    with get_lake().connect(read_only=True) as con:
        fates = con.execute(sql).fetchone() or (None, None, None)
    return {
        name: int(count or 0) for name, count in zip(("accepted", "quarantined", "merged"), fates, strict=True) if count
    }


def main() -> None:
    """Runs the backfill and prints its figures as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("selection")
    parser.add_argument("first", type=date.fromisoformat)
    parser.add_argument("last", type=date.fromisoformat)
    parser.add_argument("--phases", action="store_true")
    parser.add_argument("--profile")
    stated = parser.parse_args()
    phases = None
    if stated.phases:
        from benchmarks.phases import measured

        phases = measured()
    found = run(stated.selection, stated.first, stated.last, stated.profile)
    print(json.dumps(found | ({"phases": phases.table()} if phases else {})))


if __name__ == "__main__":
    main()
