"""Judging rows: ours beside a hand-written DuckDB script, pandera on pandas and on polars, and Great Expectations.

All do the same job (`quality_jobs.py`), each run in a process of its own; runs alternate, medians count.

    python -m benchmarks.quality --rows 10000000 --repeats 5 [--peers duckdb,pandas,polars,great_expectations]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.quality_jobs import generate

SHARES = (0.0, 0.01, 0.2)
SLOW = ("pandas", "polars", "great_expectations")
SLOW_REPEATS = 3
SCALED = {"great_expectations": 0.1}  # the share of the rows that a peer is given
RESULTS = Path(__file__).parent / "results" / "quality.json"
PEERS = Path(__file__).parent / ".venv" / "bin" / "python"


def run(job: str, source: Path, memory: str) -> dict[str, float]:
    """One run in a process of its own: seconds, peak MiB, rows accepted and set aside."""
    python = str(PEERS) if job in SLOW and PEERS.exists() else sys.executable
    with tempfile.TemporaryDirectory() as out:
        code = [python, "-m", "benchmarks.quality_jobs", job, str(source), out, memory]
        done = subprocess.run(code, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{job} failed:\n{done.stderr[-2000:]}")
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return found


def compare(rows: int, repeats: int, jobs: list[str], memory: str) -> list[dict[str, Any]]:
    """A row per share of bad rows and job; a job in `SCALED` gets a part of the rows and is scaled, which is said."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for bad in SHARES:
            sources = {}
            for size in {int(rows * SCALED.get(job, 1)) for job in jobs}:
                sources[size] = Path(folder) / f"{size}_{bad}.parquet"
                generate(sources[size], size, bad)
            taken: dict[str, list[dict[str, float]]] = {job: [] for job in jobs}
            for number in range(repeats):
                for job in jobs:
                    if job in SLOW and number >= SLOW_REPEATS:
                        continue
                    taken[job].append(run(job, sources[int(rows * SCALED.get(job, 1))], memory))
                    print(f"{bad:.0%} {job}: {taken[job][-1]}", file=sys.stderr, flush=True)
            for job in jobs:
                scale = 1 / SCALED.get(job, 1)
                found.append({
                    "bad": bad, "job": job, "rows": round(rows / scale), "scaled_by": scale, "runs": len(taken[job]),
                    "seconds": round(median(run["seconds"] for run in taken[job]) * scale, 2),
                    "peak_mib": round(median(run["peak_mib"] for run in taken[job])),
                    "set_aside": taken[job][0].get("bad"),
                })  # fmt: skip
            for source in sources.values():
                source.unlink()
    return found


def main() -> None:
    """Runs the comparison, prints a Markdown table, writes `benchmarks/results/quality.json`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peers", default="duckdb,pandas,polars,great_expectations")
    parser.add_argument("--memory", default="8GB")
    stated = parser.parse_args()
    jobs = ["ours", "screening", *filter(None, stated.peers.split(","))]
    found = compare(stated.rows, stated.repeats, jobs, stated.memory)
    mine = {row["bad"]: row["seconds"] for row in found if row["job"] == "ours"}
    print("| bad | job | seconds | of ours | peak MiB | rows | runs |\n| --- | --- | --- | --- | --- | --- | --- |")
    for row in found:
        ratio = f"{row['seconds'] / mine[row['bad']]:.2f} ×"
        print(
            f"| {row['bad']:.0%} | {row['job']} | {row['seconds']} | {ratio} | {row['peak_mib']:,} | {row['rows']:,} | {row['runs']} |"
        )
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"repeats": stated.repeats, "memory": stated.memory, "runs": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
