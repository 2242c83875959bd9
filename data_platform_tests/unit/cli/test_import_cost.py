"""What `--help` and `status` must not wait for."""

from __future__ import annotations

import subprocess
import sys

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
