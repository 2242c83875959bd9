"""The soak: pipelines that load every hour for two simulated days while what they stand on fails now and then.

    python -m benchmarks.soak [--pipelines 47] [--hours 48] [--faults 0.02] [--seed 7]

In one process, two pipelines at a time. A fault is injected where it would happen: a drop file on a share that is
away, a session that the catalog ends before or after COMMIT was heard, a stage that times out, another program that
locks the catalog. Most pass within the platform's own retries; some outlast them, and the next hour's run takes the
missing partitions along, as a scheduled `backfill --only-failed` does. One file is broken for good. At the end every
partition is compared with what its file was made from, and what is not right must have been alerted.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import psutil

from benchmarks.soak_tables import FIRST, Expected, Pipeline, hours, pipelines, write_files
from data_platform.automation.alerts import Alert, send
from data_platform.lake import points, retrying
from data_platform.lake.lake import Lake
from data_platform.lake.outcomes import Outcome
from data_platform.lake.upkeep import find_orphans, upkeep
from data_platform.quality.screening import screen
from data_platform.settings import load_settings
from data_platform.sources.load import load_raw

RESULTS = Path(__file__).parent / "results" / "soak.json"
LANES = 2
POINTS = {  # where each kind of fault strikes; `share` does where a drop file is opened
    "lost before commit": "before commit", "lost after commit": "after commit", "stage": "before stage", "lock": "before begin",
}  # fmt: skip
KINDS = ("share", *POINTS)
LOCKED_SECONDS = 0.3
OTHER_PROGRAM = """
import sqlite3, sys, time
other = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
other.execute("BEGIN IMMEDIATE")
print("begun", flush=True)
time.sleep(float(sys.argv[2]))
other.execute("ROLLBACK")
"""
OUTLASTING = 0.2  # the share of faults that the platform's own retries do not outlast
UPKEEP_HOURS = 2
KEEP_DAYS = 8 / 1440  # eight minutes of the clock, as long as a simulated day takes


@dataclass
class Fault:
    """What a pipeline meets in one hour, `left` times."""

    kind: str
    left: int


@dataclass
class Soak:
    """The state of a run; `missing` are partitions that the next hour takes along."""

    lake: Lake
    faults: Mapping[tuple[int, str], Fault]
    missing: dict[int, list[str]] = field(default_factory=dict)
    met: Counter[str] = field(default_factory=Counter)
    caught_up: int = 0
    samples: list[dict[str, float]] = field(default_factory=list)
    here: threading.local = field(default_factory=threading.local)

    def run(self, pipeline: Pipeline, hour: str, last: bool = False) -> None:
        """One pipeline's hour: its own partition, and those it still lacks."""
        behind = self.missing.pop(pipeline.number, [])
        keys = [*behind, *([] if last else [hour])]
        if not keys:
            return
        self.here.fault = None if last else self.faults.get((pipeline.number, hour))
        raw = load_raw(self.lake, pipeline.feed, keys, f"hour {hour}")
        loaded = [outcome.partition_key for outcome in raw if outcome.committed]
        done = {o.partition_key for o in screen(self.lake, pipeline.contract, loaded, f"hour {hour}") if o.committed}
        self.here.fault = None
        self.caught_up += len(done & set(behind))
        left = [key for key in keys if key not in done]
        if left:
            self.missing[pipeline.number] = left
            self._alert(pipeline, [outcome for outcome in raw if not outcome.committed], left)

    def _alert(self, pipeline: Pipeline, failed: list[Outcome], left: list[str]) -> None:
        cause = failed[0].load.error if failed else "staging was not committed"
        broke = f"`{pipeline.contract.name}` lacks {', '.join(left)}: {cause}"
        command = f"data-platform backfill 'key:\"raw/{pipeline.contract.table}\"+' --only-failed"
        send(
            [Alert("run_failure", pipeline.contract.name, broke, pipeline.contract.owner, command)], self.lake.settings
        )

    def strike(self, point: str) -> None:
        """What the platform's named points call; does what the fault of this thread's pipeline says."""
        fault: Fault | None = getattr(self.here, "fault", None)
        if fault is None or not fault.left or point != POINTS.get(fault.kind):
            return
        self._meet(fault)
        if fault.kind == "stage":
            raise TimeoutError("the share did not answer in time")
        if fault.kind == "lock":
            _lock(Path(str(self.lake.attachment.catalog)))
            return
        raise duckdb.IOException("server closed the connection unexpectedly")

    def open_file(self, path: Path) -> None:
        """What opening a drop file meets; files are opened in threads of their own."""
        fault = self.faults.get((int(path.parent.name), path.stem)) if path.parent.parent.name == "soak" else None
        if fault is not None and fault.kind == "share" and fault.left:
            self._meet(fault)
            raise ConnectionResetError("the share is away")

    def _meet(self, fault: Fault) -> None:
        fault.left -= 1
        self.met[fault.kind] += 1


def _lock(catalog: Path) -> None:
    """Another program writes to the catalog for a while; returns when it has begun. A process of its own, because a second
    SQLite in this one shares its file locks, and so takes away the log that the first has open."""
    begun = threading.Event()

    def hold() -> None:
        command = [sys.executable, "-c", OTHER_PROGRAM, str(catalog), str(LOCKED_SECONDS)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout
            other.stdout.readline()
            begun.set()

    threading.Thread(target=hold, daemon=True).start()
    begun.wait(30)


@contextmanager
def striking(soak: Soak) -> Iterator[None]:
    """Faults happen within the block: at named points, and where drop files are opened."""
    original = Path.open

    def opened(path: Path, *arguments: Any, **keywords: Any) -> Any:
        if path.suffix == ".csv":
            soak.open_file(path)
        return original(path, *arguments, **keywords)

    points.listen(soak.strike)
    Path.open = opened  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        points.listen(None)
        Path.open = original  # type: ignore[method-assign]


def plan_faults(found: list[Pipeline], keys: list[str], share: float, seed: int) -> dict[tuple[int, str], Fault]:
    """Which pipeline meets what in which hour: `share` of all hours of all pipelines."""
    chance = random.Random(seed)
    places = [(pipeline.number, key) for pipeline in found for key in keys]
    faults = {}
    for place in chance.sample(places, round(share * len(places))):
        kind = chance.choice(KINDS)
        lasts = 2 * retrying.ATTEMPTS if chance.random() < OUTLASTING else chance.randint(1, 2)
        faults[place] = Fault(kind, 1 if kind == "lock" else lasts)
    return faults


def run(home: Path, pipeline_count: int, hour_count: int, share: float, seed: int) -> dict[str, Any]:
    """The whole soak in an empty folder; its figures."""
    found, keys = pipelines(pipeline_count), hours(hour_count)
    settings = load_settings(home=home, landing=home / "landing", threads=1, start_date=FIRST)
    expected = write_files(settings.landing_dir, found, hour_count)
    broken = (found[-1].number, keys[hour_count // 2])
    (settings.landing_dir / found[-1].feed.path.format(key=broken[1])).write_bytes(b"")
    soak = Soak(Lake(settings), plan_faults(found, keys, share, seed))
    planned, started = sum(fault.left for fault in soak.faults.values()), time.monotonic()
    with striking(soak), ThreadPoolExecutor(LANES) as lanes:
        for number, key in enumerate(keys, 1):
            begun = time.monotonic()
            list(lanes.map(lambda pipeline, key=key: soak.run(pipeline, key), found))  # type: ignore[misc]
            if number % UPKEEP_HOURS == 0:
                upkeep(soak.lake, keep_days=KEEP_DAYS, readers=timedelta(0))
            soak.samples.append(_sample(settings.home, time.monotonic() - begun))
            print(f"hour {number}: {soak.samples[-1]}", file=sys.stderr, flush=True)
        list(lanes.map(lambda pipeline: soak.run(pipeline, "the end", last=True), found))
    wrong = _wrong(soak.lake, found, expected)
    with closing(soak.lake.connect()) as con:
        orphans = len(find_orphans(soak.lake, con).files)
    alerts = [json.loads(line) for line in (home / "alerts.jsonl").read_text().splitlines()]
    told = {place for place in wrong if any(place[1] in alert["broke"] for alert in alerts)}
    soak.lake.close()
    return {
        "pipelines": pipeline_count, "hours": hour_count, "partitions": len(expected), "seed": seed,
        "seconds": round(time.monotonic() - started), "places_with_faults": len(soak.faults), "faults_planned": planned,
        "faults_met": dict(soak.met), "caught_up_by_a_later_hour": soak.caught_up,
        "right": len(expected) - len(wrong), "right_share": 1 - len(wrong) / len(expected),
        "wrong": sorted(f"{number:02} {key}" for number, key in wrong), "wrong_and_alerted": len(told),
        "broken_for_good": f"{broken[0]:02} {broken[1]}", "orphans": orphans, "samples": soak.samples,
    }  # fmt: skip


def _sample(home: Path, seconds: float) -> dict[str, float]:
    """What must not grow: resident memory, open files, temporary files. And the seconds of the hour."""
    process = psutil.Process()
    left = sum(len(files) for _, _, files in os.walk(home / "tmp"))
    rss = round(process.memory_info().rss / 2**20)
    return {"seconds": round(seconds, 1), "rss_mib": rss, "handles": process.num_fds(), "temporary_files": left}


def _wrong(lake: Lake, found: list[Pipeline], expected: Mapping[tuple[int, str], Expected]) -> set[tuple[int, str]]:
    """The partitions that are not what their file was made from: other keys, or other rows merged or set aside."""
    wrong = set()
    with closing(lake.connect(read_only=True)) as con:
        for pipeline in found:
            assert pipeline.contract.key is not None
            stated = {key: fates for number, key, *fates in _fates(con, pipeline)}
            names = ", ".join(f"{name}::VARCHAR" for name in pipeline.contract.key.columns)
            rows: dict[str, list[tuple[str, ...]]] = {}
            for key, *values in con.execute(
                f"SELECT strftime(arrival_hour, '%Y-%m-%d-%H:%M'), {names} FROM lake.{pipeline.contract.name} ORDER BY ALL"
            ).fetchall():
                rows.setdefault(key, []).append(tuple(values))
            for (number, key), wanted in expected.items():
                if number == pipeline.number:
                    is_right = sorted(rows.get(key, [])) == sorted(wanted.keys)
                    if not is_right or stated.get(key) != [wanted.merged, wanted.quarantined]:
                        wrong.add((number, key))
    return wrong


def _fates(con: duckdb.DuckDBPyConnection, pipeline: Pipeline) -> list[tuple[Any, ...]]:
    return con.execute(
        f"SELECT {pipeline.number}, partition_key, rows_merged, rows_quarantined FROM lake.ops.loads "
        f"WHERE asset = '{pipeline.contract.name}' AND outcome = 'committed' "
        "QUALIFY row_number() OVER (PARTITION BY partition_key ORDER BY snapshot_id DESC) = 1"
    ).fetchall()


def main() -> None:
    """Runs the soak, prints its figures and writes them to `benchmarks/results/soak.json`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pipelines", type=int, default=47)
    parser.add_argument("--hours", type=int, default=48)
    parser.add_argument("--faults", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=7)
    stated = parser.parse_args()
    retrying.FIRST_WAIT_SECONDS = 0.05  # an hour is simulated too
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        figures = run(Path(folder), stated.pipelines, stated.hours, stated.faults, stated.seed)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps({name: value for name, value in figures.items() if name != "samples"}, indent=2))


if __name__ == "__main__":
    main()
