"""`limit`: drop files of order lines to published rows, beside the hand-written DuckDB script and the stock pairing: in one
process, which spares it a process per run and step, and by Dagster's own backfill, as people run it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.harness import Group, Part, Row, Runs, Scale, middle
from benchmarks.shared import BY_HAND, OURS, STOCK, Inputs, by_hand, ours, stock, stock_backfill

LINES_A_DAY = 500_000
AIM, AIM_PER_ROW = 1.5, 1.2
LARGEST_WITH_STOCK = 5_000_000
BACKFILL = "stock backfill"


def parts(scale: Scale) -> list[Part]:
    """A part per size; the stock pairing takes part up to 5 million lines, on a tenth of the days."""
    return [_part(lines, scale) for lines in scale.sized((100_000,), (1_000_000, 5_000_000, 50_000_000))]


def _part(lines: int, scale: Scale) -> Part:
    days = max(10, lines // LINES_A_DAY)
    inputs = Inputs(lines, days)
    candidates = [ours(days), by_hand(days)]
    if lines <= LARGEST_WITH_STOCK:
        candidates.append(stock(max(1, days // 10), days, scale.times(3)))
    if lines == LARGEST_WITH_STOCK:
        candidates.append(stock_backfill(days, BACKFILL, scale.times(3)))

    def rows(runs: Runs) -> list[Row]:
        _agree(runs)
        return [_row(inputs, runs)]

    return Part(f"{lines:,} lines", inputs, candidates, rows, scale.times(5))


def _agree(runs: Runs) -> None:
    """All that did the whole job must have found the same rows."""
    found = {name: run["rows"] for name in (OURS, BY_HAND) for run in runs[name]}
    if found[OURS] != found[BY_HAND]:
        raise RuntimeError(f"The candidates do not agree about the rows: {found}")


def _row(inputs: Inputs, runs: Runs) -> Row:
    mine, hand, size = middle(runs[OURS]), middle(runs[BY_HAND]), inputs.bytes / 1e6
    peers, said = {}, f"{size / mine:.1f} MB/s of CSV; by hand {size / hand:.1f}"
    if runs.get(STOCK):
        theirs = middle(runs[STOCK])
        peers = {STOCK: theirs}
        said += f"; {theirs / mine:.1f} × as fast as the stock pairing in one process (a tenth of it measured, scaled)"
    if runs.get(BACKFILL):
        peers[BACKFILL] = middle(runs[BACKFILL])
        said += f"; {peers[BACKFILL] / mine:.1f} × as fast as Dagster's backfill of it"
    more = {
        "mb_s": size / mine, "by_hand_mb_s": size / hand, "csv_mb": size, "days": inputs.days,
        "seconds_per_million_rows": mine / inputs.lines * 1e6,
        "peak_mib": {name: middle(found, "peak_mib") for name, found in runs.items()},
        "rows": runs[OURS][0]["rows"],
    }  # fmt: skip
    case = f"{inputs.lines:,} lines, {inputs.days} files, to published"
    return Row(case, "s", mine, hand, mine / hand, f"≤ {AIM}", peers, inputs.lines, said, more)


def combine(rows: Mapping[str, Sequence[Row]]) -> list[Row]:
    """Seconds per row at the largest size against the second largest."""
    ordered = sorted((row for found in rows.values() for row in found), key=lambda row: row.size or 0)
    if len(ordered) < 2:
        return []
    smaller, larger = ordered[-2:]
    costs = [row.ours / (row.size or 1) * 1e6 for row in (larger, smaller)]
    case = f"seconds per million rows, {larger.size:,.0f} against {smaller.size:,.0f}"
    return [Row(case, "s", costs[0], costs[1], costs[0] / costs[1], f"≤ {AIM_PER_ROW}")]


GROUP = Group("limit", "From drop files to published rows", parts, combine)
