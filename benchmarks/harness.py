"""Parts that run separately: candidates by turns, each run a process of its own in an empty folder, medians. What is
measured is in `groups/`; what becomes of the rows in `results.py`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

TAIL = 3000


@dataclass(frozen=True)
class Command:
    """One run. The last line it prints is JSON with `seconds`, those of the job without imports."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    folder: Path


@dataclass(frozen=True)
class Candidate:
    """Something that does the part's job. `command` is given the part's inputs and an empty folder; `scale` tells how
    many times smaller its job is; `repeats` replaces the part's."""

    name: str
    command: Callable[[Path, Path], Command]
    scale: float = 1.0
    repeats: int | None = None


@dataclass(frozen=True)
class Row:
    """One line of the result: what `ours` took or gave, `limit` what the hand-written one did, `ratio` the two as the
    aim has them; `peers` by name. `size` is where the plots put it."""

    case: str
    unit: str
    ours: float
    limit: float | None = None
    ratio: float | None = None
    aim: str = ""
    peers: Mapping[str, float] = field(default_factory=dict)
    size: float | None = None
    said: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value not in (None, "", {})}


Run = dict[str, Any]
Runs = Mapping[str, Sequence[Run]]


@dataclass(frozen=True)
class Part:
    """A job with its candidates. `prepare` makes the inputs in a folder; `rows` makes the result of all runs, scaled."""

    name: str
    prepare: Callable[[Path], None]
    candidates: Sequence[Candidate]
    rows: Callable[[Runs], list[Row]]
    repeats: int = 5


@dataclass(frozen=True)
class Scale:
    """How much to measure: tiny and a few times for CI, or in full; `sizes` replace a group's own."""

    quick: bool = False
    sizes: tuple[int, ...] = ()
    repeats: int | None = None

    def sized(self, quick: Sequence[int], full: Sequence[int]) -> tuple[int, ...]:
        return self.sizes or tuple(quick if self.quick else full)

    def times(self, full: int = 5) -> int:
        return self.repeats or (1 if self.quick else full)


@dataclass(frozen=True)
class Group:
    """Parts about one question. `combine` adds rows that compare parts: it gets their rows by the part's name."""

    name: str
    title: str
    parts: Callable[[Scale], Sequence[Part]]
    combine: Callable[[Mapping[str, Sequence[Row]]], list[Row]] = lambda rows: []  # noqa: ARG005


def run_part(part: Part, say: Callable[[str], None]) -> list[Row]:
    """Prepares, runs all candidates by turns and returns the rows. Raises `RuntimeError` with what a run printed."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        inputs = Path(folder) / "inputs"
        inputs.mkdir()
        part.prepare(inputs)
        runs: dict[str, list[Run]] = {candidate.name: [] for candidate in part.candidates}
        for turn in range(part.repeats):
            for candidate in part.candidates:
                if turn < (candidate.repeats or part.repeats):
                    found = run_once(candidate, inputs, Path(folder))
                    runs[candidate.name].append(found)
                    say(f"{part.name}, {candidate.name}: {found['seconds']:.2f} s, {found['peak_mib']:.0f} MiB")
        return part.rows(runs)


def run_once(candidate: Candidate, inputs: Path, folder: Path) -> Run:
    """One run in a process of its own: what it printed, its wall seconds and peak memory, and `seconds` scaled up."""
    scratch = folder / "scratch"
    scratch.mkdir()
    command, output = candidate.command(inputs, scratch), folder / "output"
    try:
        with output.open("w+b") as printed, (folder / "errors").open("w+b") as errors:
            started = time.perf_counter()
            process = subprocess.Popen(
                command.arguments, cwd=command.folder, env=dict(command.environment), stdout=printed, stderr=errors
            )
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
            printed.seek(0)
            errors.seek(0)
            lines, said = printed.read().decode().splitlines(), errors.read().decode()
        if process.returncode or not lines:
            raise RuntimeError(f"{candidate.name} failed ({process.returncode}):\n{' '.join(lines)}\n{said[-TAIL:]}")
        found: Run = json.loads(lines[-1])
    finally:
        shutil.rmtree(scratch)
    seconds = found.get("seconds", wall) * candidate.scale
    cpu = usage.ru_utime + usage.ru_stime
    return found | {"seconds": seconds, "wall": wall, "cpu": cpu, "peak_mib": usage.ru_maxrss / 1024}


def middle(runs: Sequence[Run], name: str = "seconds") -> float:
    """The median of one figure over runs."""
    return float(median(run[name] for run in runs))


def python(module: str, *arguments: object) -> list[str]:
    """The command line of one of these modules."""
    return [sys.executable, "-m", module, *map(str, arguments)]
