"""What `--help` and `status` must not wait for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SLOW = ("dagster", "pandera", "ibis", "pandas", "dbt", "sqlglot")


def _loads(arguments: list[str]) -> set[str]:
    code = (
        "import sys; sys.argv = ['data-platform', *sys.argv[1:]]\n"
        "from data_platform.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit as left:\n    assert not left.code, left.code\n"
        "print('MODULES', *sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("MODULES")[2].split())


def test_help_imports_nothing_slow() -> None:
    loaded = _loads(["--help"])
    assert not loaded & {*SLOW, "duckdb", "pyarrow"}


@pytest.mark.usefixtures("home")
def test_status_imports_nothing_slow_once_it_knows_the_tables() -> None:
    assert "pandera" in _loads(["status"]), "the first time it asks the contracts"
    assert not _loads(["status"]) & set(SLOW)


@pytest.mark.slow
def test_the_definitions_cost_at_most_1_3_times_the_libraries_they_stand_on(home: Path) -> None:
    """In CPU seconds: whoever else is at work on the machine is not the import's cost."""
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    codes = {"ours": "import data_platform.definitions", "theirs": "import dagster, dagster_dbt, duckdb, pandera.ibis"}
    for code in codes.values():  # dbt's project is parsed once per change, and modules are compiled once
        _cpu_seconds(code, environment)
    turns = [{name: _cpu_seconds(code, environment) for name, code in codes.items()} for _ in range(4)]
    # The least of a few turns: a cold cache or a busy sibling core costs seconds that are nobody's.
    spent = {name: min(turn[name] for turn in turns) for name in codes}
    assert spent["ours"] <= 1.3 * spent["theirs"], turns


def _cpu_seconds(code: str, environment: dict[str, str]) -> float:
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime
