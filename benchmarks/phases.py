"""Where the platform's time goes: functions of the package wrapped with clocks, wall and CPU seconds by phase.

A phase's seconds are its own, without those of the phases it calls. CPU is the whole process's, the engine's threads
too: what two threads do at once, as they do when files are read, counts in both. Nothing is changed but the clocks, and
nothing here is imported unless it is asked for.
"""

from __future__ import annotations

import functools
import importlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

Name = str | Callable[..., str]


def _layer(*arguments: Any, **_: Any) -> str:
    """The layer of the table that `Lake.stage` was told."""
    return f"{arguments[2].split('.')[0]}: stage to Parquet"


def _committed(*arguments: Any, **keywords: Any) -> str:
    slices = arguments[1] if len(arguments) > 1 else keywords.get("slices", ())
    return f"{slices[0].table.split('.')[0] if slices else 'ops'}: commit"


CLOCKS: tuple[tuple[str, str, Name], ...] = (
    ("data_platform.assets.raw", "load_raw", "raw: wait for the readers, whose time is below"),
    ("data_platform.sources.reader", "scan", "raw: scan bytes (sha256, lines, UTF-8)"),
    ("data_platform.sources.reader", "check_unchanged", "raw: file unchanged?"),
    ("data_platform.sources.reader_csv", "read_header", "raw: header"),
    ("data_platform.sources.reader_csv", "read_fast", "raw: parse CSV to spool"),
    ("data_platform.sources.reader_csv", "read_careful", "raw: parse CSV carefully"),
    ("data_platform.sources.landing", "Job.query", "raw: count and content hash"),
    ("data_platform.lake.lake", "Lake.stage", _layer),
    ("data_platform.lake.lake", "Lake.stage_many", _layer),
    ("data_platform.lake.lake", "Lake.commit", _committed),
    ("data_platform.lake.lake", "Lake.ensure_table", "ensure tables"),
    ("data_platform.lake.staging", "flush", "commit: fsync"),
    ("data_platform.quality.judging", "decide_keys", "staging: keys within the load"),
    ("data_platform.quality.keys", "_decide_taken", "staging: keys that other partitions have"),
    ("data_platform.quality.judging", "_keep_rows", "staging: keep rows of broken ones"),
    ("data_platform.quality.screening", "judge", "staging: judge (cast, rules, references)"),
    ("data_platform.quality.screening", "later_holders", "staging: later holders of keys"),
    ("data_platform.quality.screening", "counts_and_facts", "staging: counts, content hash, days"),
    ("data_platform.quality.screening", "samples", "staging: samples"),
    ("data_platform.quality.screening", "history_of", "staging: history and bands"),
    ("data_platform.quality.screening", "refuse_taken_keys", "staging: keys taken meanwhile?"),
    ("data_platform.assets.dbt_runner", "_parsed", "mart: dbt's manifest"),
    ("data_platform.assets.dbt_runner", "_build", "mart: dbt build"),
    ("data_platform.assets.dbt_build", "overtaken", "mart: overtaken?"),
    ("data_platform.quality.audit", "_judge", "mart: judge"),
    ("data_platform.quality.candidate", "_find_taken", "mart: repeated keys"),
    ("data_platform.quality.candidate", "_add_elsewhere", "mart: keys that other partitions have"),
    ("data_platform.quality.audit", "_count", "mart: count and content hash"),
    ("data_platform.quality.audit", "samples", "mart: samples"),
    ("data_platform.quality.audit", "history_of", "mart: history and bands"),
    ("data_platform.assets.published", "publish_passing", "publish"),
    ("dagster", "DagsterInstance.handle_new_event", "Dagster: store events"),
    ("dagster", "DagsterInstance.create_run_for_job", "Dagster: create run"),
    ("dagster", "DagsterInstance.create_run", "Dagster: create run"),
    ("data_platform.cli.engine", "_run_in_process", "Dagster: the rest of the run"),
    ("data_platform.cli.engine", "Engine._events", "engine: read the events back"),
    ("data_platform.cli.engine", "next_run", "engine: choose the next run"),
    ("data_platform.cli.engine", "Engine._block", "engine: block"),
    ("data_platform.cli.backfill", "open_instance", "Dagster: open the instance"),
    ("data_platform.cli.backfill", "held_part", "after: held rows"),
    ("data_platform.cli.backfill", "stale_part", "after: stale days"),
    ("data_platform.cli.backfill", "waiting_part", "after: waiting days"),
)


class Phases:
    """Seconds and calls by phase, over all threads."""

    def __init__(self) -> None:
        self._spent: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
        self._open = threading.local()
        self._lock = threading.Lock()

    def clock(self, function: Callable[..., Any], name: Name) -> Callable[..., Any]:
        """The function, timed."""

        @functools.wraps(function)
        def timed(*arguments: Any, **keywords: Any) -> Any:
            stack: list[list[float]] = self._open.__dict__.setdefault("stack", [])
            stack.append([0.0, 0.0])
            wall, cpu = time.perf_counter(), time.process_time()
            try:
                return function(*arguments, **keywords)
            finally:
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
                inner = stack.pop()
                if stack:
                    stack[-1][0] += wall
                    stack[-1][1] += cpu
                phase = name if isinstance(name, str) else name(*arguments, **keywords)
                with self._lock:
                    spent = self._spent[phase]
                    spent[:] = spent[0] + wall - inner[0], spent[1] + cpu - inner[1], spent[2] + 1

        return timed

    def table(self) -> dict[str, dict[str, float]]:
        """Phase → wall and CPU seconds and calls; the longest first."""
        ordered = sorted(self._spent, key=lambda name: -self._spent[name][0])
        return {
            name: dict(zip(("wall", "cpu", "calls"), (round(found, 3) for found in self._spent[name]), strict=True))
            for name in ordered
        }


def measured() -> Phases:
    """Wraps what `CLOCKS` names, where it is there, and returns the clocks."""
    phases = Phases()
    for module, path, name in CLOCKS:
        owner: Any = importlib.import_module(module)
        *classes, attribute = path.split(".")
        for part in classes:
            owner = getattr(owner, part)
        if hasattr(owner, attribute):
            setattr(owner, attribute, phases.clock(getattr(owner, attribute), name))
    return phases
