"""`partitions`: what a partition costs. A year in one backfill beside the stock backfill, days without rows, and whether
many cost more each than few.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.harness import Candidate, Group, Part, Row, Runs, Scale, middle
from benchmarks.lines import days_of
from benchmarks.shared import BY_HAND, OURS, Inputs, by_hand, ours, stock_backfill

YEAR, LINES_A_DAY = 365, 10_000
FITTED = (30, 60)
SMALL_DAY = 1_000
EMPTY_HEADER = "meter_id,litres,unit\n"
AIM_STOCK, AIM_EMPTY_SECONDS, AIM_PER_PARTITION = 0.1, 60, 1.2
EACH = "seconds per partition"


def parts(scale: Scale) -> list[Part]:
    """The year; the empty year; 100 and 1,000 small partitions. Quick: few small ones, since a stock backfill alone
    takes most of a minute before its first run."""
    if scale.quick:
        return [_small(count, scale) for count in (5, 20)]
    year = [_year(YEAR, FITTED, scale), _empty(YEAR, scale)]
    return [*year, *(_small(count, scale) for count in (100, 1_000))]


def _year(days: int, fitted: tuple[int, int], scale: Scale) -> Part:
    names = [f"stock backfill of {count}" for count in fitted]
    stock = [stock_backfill(count, name, scale.times(3)) for count, name in zip(fitted, names, strict=True)]

    def rows(runs: Runs) -> list[Row]:
        mine, hand = middle(runs[OURS]), middle(runs[BY_HAND])
        few, many = (middle(runs[name]) for name in names)
        each = (many - few) / (fitted[1] - fitted[0])
        theirs = few + each * (days - fitted[0])
        said = (
            f"{mine / hand:.1f} × the time by hand; the stock backfill took {few:.0f} s for {fitted[0]} and {many:.0f} s for "
            f"{fitted[1]}: {each:.1f} s per partition, extrapolated to {days}"
        )
        more = {"fitted": dict(zip(map(str, fitted), (few, many), strict=True)), "each": each, "days": days}
        case = f"{days} × {LINES_A_DAY:,} lines to published, against the stock backfill"
        return [
            Row(case, "s", mine, hand, mine / theirs, f"≤ {AIM_STOCK}", {"stock backfill": theirs}, days, said, more)
        ]

    inputs = Inputs(days * LINES_A_DAY, days)
    return Part(f"a year of {days}", inputs, [ours(days), by_hand(days), *stock], rows, scale.times(5))


def _empty(days: int, scale: Scale) -> Part:
    def prepare(folder: Path) -> None:
        files = folder / "landing" / "bench" / "empty"
        files.mkdir(parents=True)
        for day in days_of(days):
            (files / f"{day}.csv").write_text(EMPTY_HEADER)

    def rows(runs: Runs) -> list[Row]:
        seconds = middle(runs[OURS])
        case, aim = f"{days} days without rows, raw to staging, 5 rules", f"≤ {AIM_EMPTY_SECONDS} s for {YEAR}"
        return [
            Row(case, "s", seconds, AIM_EMPTY_SECONDS * days / YEAR, seconds / AIM_EMPTY_SECONDS / days * YEAR, aim)
        ]

    candidate = ours(days, selection='key:"raw/bench_empty"+')
    return Part(f"{days} empty days", prepare, [candidate], rows, scale.times(5))


def _small(count: int, scale: Scale) -> Part:
    def rows(runs: Runs) -> list[Row]:
        seconds = middle(runs[OURS])
        case = f"{count:,} × {SMALL_DAY:,} lines to published"
        return [Row(case, "s", seconds, size=count, said=f"{1000 * seconds / count:.0f} ms per partition")]

    candidates: list[Candidate] = [ours(count)]
    return Part(f"{count:,} small days", Inputs(count * SMALL_DAY, count), candidates, rows, scale.times(5))


def combine(rows: Mapping[str, Sequence[Row]]) -> list[Row]:
    """Seconds per partition of many against few."""
    small = sorted(
        (row for name, found in rows.items() if "small" in name for row in found), key=lambda row: row.size or 0
    )
    if len(small) < 2:
        return []
    many, few = (row.ours / (row.size or 1) for row in (small[-1], small[0]))
    case = f"{EACH}, {small[-1].size:,.0f} against {small[0].size:,.0f}"
    return [Row(case, "s", many, few, many / few, f"≤ {AIM_PER_PARTITION}")]


GROUP = Group("partitions", "Partitions", parts, combine)
