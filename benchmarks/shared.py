"""The candidates that several groups share: the platform, DuckDB by hand, the stock pairing, on the same drop files."""

from __future__ import annotations

from pathlib import Path

from benchmarks.copy import ROOT, environment, new_home, project
from benchmarks.harness import Candidate, Command, python
from benchmarks.lines import days_of, generate

EVERYTHING = 'key:"raw/bench_products"+ or key:"raw/bench_lines"+'
OURS, BY_HAND, STOCK = "ours", "DuckDB by hand", "stock pairing"


class Inputs:
    """Prepares a part: `landing/` with the drop files."""

    def __init__(self, lines: int, days: int, dirty: bool = True) -> None:
        self.lines, self.days, self.dirty = lines, days, dirty
        self.bytes = 0

    def __call__(self, folder: Path) -> None:
        self.bytes = generate(folder / "landing", self.lines, self.days, dirty=self.dirty)


def ours(days: int, *flags: str, selection: str = EVERYTHING, name: str = OURS, **platform: str) -> Candidate:
    """`data-platform backfill` of the first days."""

    def command(inputs: Path, scratch: Path) -> Command:
        first, last = days_of(days)[0], days_of(days)[-1]
        home = new_home(scratch / "home")
        variables = environment(project(), home, PLATFORM_LANDING=str(inputs / "landing"), **platform)
        return Command(python("benchmarks.ours", selection, first, last, *flags), variables, project())

    return Candidate(name, command)


def by_hand(days: int) -> Candidate:
    """The hand-written script."""

    def command(inputs: Path, scratch: Path) -> Command:
        arguments = python("benchmarks.by_hand", inputs / "landing", scratch / "out", days)
        return Command(arguments, environment(ROOT, scratch), ROOT)

    return Candidate(BY_HAND, command)


def stock(days: int, of: int, repeats: int) -> Candidate:
    """The stock pairing in one process, on the first `days` of `of` days."""

    def command(inputs: Path, scratch: Path) -> Command:
        return Command(python("benchmarks.stock", days), _stock(inputs, scratch), ROOT)

    return Candidate(STOCK, command, scale=of / days, repeats=repeats)


def stock_backfill(partitions: int, name: str, repeats: int) -> Candidate:
    """Dagster's own backfill of the stock pairing, on the first days."""

    def command(inputs: Path, scratch: Path) -> Command:
        return Command(python("benchmarks.stock_backfill", partitions), _stock(inputs, scratch), ROOT)

    return Candidate(name, command, repeats=repeats)


def _stock(inputs: Path, scratch: Path) -> dict[str, str]:
    home = scratch / "dagster"
    home.mkdir()
    return environment(ROOT, scratch) | {
        "DAGSTER_HOME": str(home), "BENCH_LANDING": str(inputs / "landing"), "BENCH_DUCKDB": str(scratch / "stock.duckdb"),
    }  # fmt: skip
