"""`memory`: how much is resident while rows that do not fit are loaded, with `PLATFORM_MEMORY=2GB`."""

from __future__ import annotations

from benchmarks.groups.limit import LINES_A_DAY
from benchmarks.harness import Group, Part, Row, Runs, Scale, middle
from benchmarks.shared import OURS, Inputs, ours

LIMIT, AIM_MIB = "2GB", 3 * 1024


def parts(scale: Scale) -> list[Part]:
    """A part per size. Quick: none, for few rows say nothing of a limit."""
    return [_part(lines, scale) for lines in scale.sized((), (10_000_000, 30_000_000, 100_000_000))]


def _part(lines: int, scale: Scale) -> Part:
    days = max(10, lines // LINES_A_DAY)

    def rows(runs: Runs) -> list[Row]:
        peak, seconds = middle(runs[OURS], "peak_mib"), middle(runs[OURS])
        case, said = f"{lines:,} lines to published, PLATFORM_MEMORY={LIMIT}", f"{seconds:.0f} s"
        return [Row(case, "MiB", peak, AIM_MIB, peak / AIM_MIB, "≤ 3 GiB resident", size=lines, said=said)]

    candidate = ours(days, PLATFORM_MEMORY=LIMIT)
    return Part(f"{lines:,} lines", Inputs(lines, days), [candidate], rows, scale.times(1))


GROUP = Group("memory", "Memory", parts)
