"""The machine that measured: what it is, and how fast it was while it did. No benchmark here."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("dagster", "duckdb", "pandera", "dbt-duckdb", "pandas", "pyarrow")
PROBE = 10_000_000


def described() -> dict[str, Any]:
    """CPU, cores, memory and versions."""
    return {
        "cpu": _first("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }


def probe() -> float:
    """CPU seconds of a loop of 10 million additions: a shared machine's speed may differ by a factor from hour to hour."""
    started, total = time.process_time(), 0
    for number in range(PROBE):
        total += number
    return round(time.process_time() - started, 3)


def commit() -> str:
    """What is measured: the last commit, and whether files of the package or of the benchmarks differ from it."""
    watched = (
        "data_platform",
        "dbt",
        "benchmarks/*.py",
        "benchmarks/groups",
        "benchmarks/project",
        "requirements.lock",
    )
    head = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--", *watched)
    return f"{head}+changes" if changed else head


def _git(*arguments: str) -> str:
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _first(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
