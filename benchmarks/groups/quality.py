"""`quality`: judging rows by a contract, beside SQL by hand and pandera. The jobs and the measuring are `quality.py`'s."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import Group, Part, Row, Runs, Scale

ROWS, QUICK_ROWS = 10_000_000, 200_000
AIM = 1.25
MEMORY = "8GB"
PEERS = ("pandas", "polars", "great_expectations")


def parts(scale: Scale) -> list[Part]:
    """One part: `benchmarks.quality` alternates its own runs. In full it has all peers, when they are installed."""
    (rows,) = scale.sized((QUICK_ROWS,), (ROWS,))[:1]

    def made(_: Runs) -> list[Row]:
        from benchmarks import quality

        peers = PEERS if quality.PEERS.exists() and not scale.quick else PEERS[:1]
        return _rows(
            quality.compare(
                rows, scale.times(5), ["ours", *([] if scale.quick else ["screening"]), "duckdb", *peers], MEMORY
            )
        )

    return [Part(f"{rows:,} rows", _nothing, [], made, scale.times(5))]


def _nothing(folder: Path) -> None:
    """The jobs make their own files."""


def _rows(found: Sequence[dict[str, Any]]) -> list[Row]:
    by_share: dict[float, dict[str, dict[str, Any]]] = {}
    for line in found:
        by_share.setdefault(line["bad"], {})[line["job"]] = line
    rows = []
    for bad, jobs in by_share.items():
        mine, hand = jobs["ours"]["seconds"], jobs["duckdb"]["seconds"]
        peers = {name: line["seconds"] for name, line in jobs.items() if name not in ("ours", "duckdb")}
        case = f"{jobs['ours']['rows']:,} rows judged by 8 rules, {bad:.0%} bad"
        peaks = {name: line["peak_mib"] for name, line in jobs.items()}
        said = f"peak {', '.join(f'{name} {peak:,} MiB' for name, peak in peaks.items())}; {_scaled(jobs)}"
        rows.append(Row(case, "s", mine, hand, mine / hand, f"≤ {AIM}", peers, said=said, more={"peak_mib": peaks}))
    return rows


def _scaled(jobs: dict[str, dict[str, Any]]) -> str:
    parts = [f"{name} on {line['rows']:,} rows, scaled" for name, line in jobs.items() if line["scaled_by"] > 1]
    return "; ".join(parts) or "all on the same rows"


GROUP = Group("quality", "Judging rows", parts)
