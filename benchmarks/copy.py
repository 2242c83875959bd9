"""A throw-away copy of the project with the benchmarks' contracts, feeds and mart in it, as somebody would add them."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ADDED = Path(__file__).resolve().parent / "project"
PARSED = "parsed"
QUIET = {"DAGSTER_DISABLE_TELEMETRY": "yes", "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DO_NOT_TRACK": "1"}


@cache
def project() -> Path:
    """The copy of this process, made once: the project, the benchmarks' files, and dbt's yml from the contracts."""
    folder = tempfile.TemporaryDirectory(prefix="bench-project-")
    atexit.register(folder.cleanup)
    target = Path(folder.name)
    ignored = shutil.ignore_patterns("__pycache__", "target", "logs")
    for name in ("data_platform", "dbt"):
        shutil.copytree(ROOT / name, target / name, ignore=ignored)
    for name in ("pyproject.toml", "workspace.yaml"):
        shutil.copy(ROOT / name, target)
    shutil.copytree(ADDED, target, dirs_exist_ok=True, ignore=ignored)
    for code in (["-m", "data_platform.contracts.dbt_yml"], ["-c", "import data_platform.definitions"]):
        variables = environment(target, target / PARSED)
        subprocess.run([sys.executable, *code], cwd=target, env=variables, check=True, capture_output=True)
    return target


def new_home(home: Path) -> Path:
    """An empty `PLATFORM_HOME` in which dbt's project is parsed, as it is once per change of the project."""
    home.mkdir(parents=True)
    shutil.copytree(project() / PARSED / "dbt", home / "dbt")
    return home


def environment(root: Path, home: Path, **platform: str) -> dict[str, str]:
    """The environment of a process that runs the project in `root`: no setting of the developer's own, a home of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PLATFORM_", "DAGSTER_"))}
    return kept | QUIET | {
        "PYTHONPATH": os.pathsep.join((str(root), str(ROOT))), "PYTHONWARNINGS": "ignore",
        "PLATFORM_HOME": str(home), "DAGSTER_HOME": str(home / "dagster"), **platform,
    }  # fmt: skip
