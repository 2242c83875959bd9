"""A source that the project does not know: drafted from its file by the commands of docs/contracts.md, landed, loaded and
changed, in a copy of the project."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from data_platform.settings import PROJECT_ROOT
from data_platform_tests.end_to_end.test_docs import BIN, PARCELS, blocks

pytestmark = [pytest.mark.slow, pytest.mark.long]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    copied = tmp_path / "project"
    for name in ("data_platform", "dbt", "pyproject.toml", "workspace.yaml"):
        source, ignored = PROJECT_ROOT / name, shutil.ignore_patterns("__pycache__", "target", "logs")
        copied.mkdir(exist_ok=True)
        shutil.copytree(source, copied / name, ignore=ignored) if source.is_dir() else shutil.copy(source, copied)
    return copied


def typed(line: str, project: Path) -> str:
    home = project.parent / "platform"
    environment = os.environ | {
        "PLATFORM_HOME": str(home), "DAGSTER_HOME": str(home / "dagster"), "PYTHONPATH": str(project),
        "PLATFORM_START_DATE": "2026-01-01", "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip
    # The command's script belongs to this project; the module is the copy's.
    line = re.sub(r"^data-platform ", "python -m data_platform ", re.sub(r"\s+#.*$", "", line))
    done = subprocess.run(
        ["bash", "-c", line], cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_a_draft_is_clean_and_loads_its_own_sample(project: Path) -> None:
    for line in (line for block in blocks("docs/contracts.md", "sh") for line in block.splitlines() if PARCELS in line):
        typed(line, project)
    written = "data_platform/contracts/tables/parcels.py data_platform/sources/parcels.py"
    typed(f"ruff check --no-cache {written} && ruff format --no-cache --check {written}", project)
    rows = json.loads(typed("data-platform query --format json 'FROM lake.staging.parcels ORDER BY ALL'", project))
    assert [(row["parcel_no"], row["price"], row["_flags"]) for row in rows] == [
        ("P001", "4.90", "sent_at.late"), ("P002", "5.90", "sent_at.late"), ("P003", None, "sent_at.late"),
    ]  # fmt: skip
    assert json.loads(typed("data-platform query --format json 'FROM lake.quarantine.parcels'", project)) == []
    (first,) = json.loads(typed("data-platform contract history parcels --format json", project))
    assert (first["version"], first["flag"]) == (1, None)

    contract = project / "data_platform/contracts/tables/parcels.py"
    contract.write_text(contract.read_text().replace("nullable=True, ge=0", "ge=5"))
    said = [found["said"] for found in json.loads(typed("data-platform contract diff parcels --format json", project))]
    assert said == [
        "column `price` must not be null any more", "rule `price.not_null` added: expected a value, else quarantine",
        "rule `price.ge`: expected ge 5, was ge 0",
    ]  # fmt: skip
    found = json.loads(typed("data-platform contract diff parcels --against lake --format json", project))
    assert found["by_rule"] == {
        "price.ge": {"to_quarantine": 1, "to_accept": 0}, "price.not_null": {"to_quarantine": 1, "to_accept": 0},
    }  # fmt: skip
    assert (found["rows"], found["to_quarantine"]) == (3, 2)
