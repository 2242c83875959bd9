"""`start`: what one pays before anything is loaded. Importing the definitions, and one partition from the CLI, beside a
bare Dagster project that imports the same. Whole processes, wall seconds.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.copy import environment, new_home, project
from benchmarks.harness import Candidate, Command, Group, Part, Row, Runs, Scale, middle, python
from benchmarks.lines import FIRST_DAY, generate
from benchmarks.shared import OURS

AIM = 1.3
BARE, BACKFILL, DAGSTER = "bare project", "data-platform backfill", "dagster asset materialize"
LIBRARIES = "import dagster, dagster_dbt, duckdb, pandera.ibis"
DEFINITIONS = "import data_platform.definitions"
SAYS = "; print('{}')"


def parts(scale: Scale) -> list[Part]:
    """The import; the smallest run there is."""
    times = scale.times(5)
    return [
        Part("import", _prepare, [_import(OURS, DEFINITIONS), _import(BARE, LIBRARIES)], _imports, times),
        Part("one partition", _prepare, [_backfill(), _ours_by_dagster(), _bare()], _partition, times),
    ]


def _prepare(folder: Path) -> None:
    """A small file of lines, and homes in which each candidate has run once: what is paid once per home, such as the
    schemas of Dagster's databases, is nobody's start."""
    new_home(folder / "home")
    (folder / "bare").mkdir()
    generate(folder / "landing", 1_000, 1)
    for number, candidate in enumerate((_backfill(), _bare())):
        scratch = folder / str(number)
        scratch.mkdir()
        command = candidate.command(folder, scratch)
        subprocess.run(
            command.arguments, env=dict(command.environment), cwd=command.folder, check=True, capture_output=True
        )


def _ours(inputs: Path) -> dict[str, str]:
    return environment(project(), inputs / "home", PLATFORM_LANDING=str(inputs / "landing"))


def _candidate(name: str, arguments: Sequence[str], *, module: str = "") -> Candidate:
    """A process that prints an empty JSON object when it has done its work."""

    def command(inputs: Path, scratch: Path) -> Command:
        variables = _ours(inputs) | {
            "BENCH_LANDING": str(inputs / "landing"),
            "BENCH_OUT": str(scratch / "lines.parquet"),
        }
        if module == "bare":
            variables |= {"DAGSTER_HOME": str(inputs / "bare")}
        return Command([*arguments], variables, project())

    return Candidate(name, command)


def _import(name: str, code: str) -> Candidate:
    return _candidate(name, [sys.executable, "-c", code + SAYS])


def _backfill() -> Candidate:
    day = FIRST_DAY.isoformat()
    asset = 'key:"raw/bench_lines"'
    return _candidate(
        BACKFILL, [*python("benchmarks.quietly", "data_platform", "backfill", asset, "--from", day, "--to", day)]
    )


def _ours_by_dagster() -> Candidate:
    return _candidate(DAGSTER, _materialize("raw/bench_lines", "data_platform.definitions"))


def _bare() -> Candidate:
    return _candidate(BARE, _materialize("lines", "benchmarks.bare"), module="bare")


def _materialize(asset: str, module: str) -> list[str]:
    day = FIRST_DAY.isoformat()
    arguments = ("asset", "materialize", "--select", asset, "--partition", day, "-m", module)
    return python("benchmarks.quietly", "dagster", *arguments)


def _imports(runs: Runs) -> list[Row]:
    return [_row("importing the definitions, against the four libraries", runs, OURS)]


def _partition(runs: Runs) -> list[Row]:
    return [_row(f"one asset, one partition: `{name}`", runs, name) for name in (BACKFILL, DAGSTER)]


def _row(case: str, runs: Runs, name: str) -> Row:
    mine, bare = middle(runs[name], "wall"), middle(runs[BARE], "wall")
    cpu = middle(runs[name], "cpu") / middle(runs[BARE], "cpu")
    return Row(
        case, "s", mine, bare, mine / bare, f"≤ {AIM}", said=f"{cpu:.2f} × in CPU seconds", more={"cpu_ratio": cpu}
    )


GROUP = Group("start", "Start", parts)
