"""Every command that the documents show is typed here as it stands there, against a week of the sample shop, but for its
dates: the week ends yesterday. What they show of parcels is done in a copy of the project.

Blocks marked `sh` are shell; `make` targets are checked to exist, because CI runs them itself.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from data_platform.settings import PROJECT_ROOT
from data_platform_tests.serving import ask, serving

BIN = Path(sys.executable).parent
PAGES = (
    "README.md",
    *sorted(path.relative_to(PROJECT_ROOT).as_posix() for path in (PROJECT_ROOT / "docs").rglob("*.md")),
)
SERVERS = {"dg dev", "dagster dev -w workspace.yaml"}
UI = "http://127.0.0.1:3000"  # what both servers take when nothing is said, and what the README names
DAYS = 7
PARCELS = "parcels"
ASSETS = "{ assetNodes { assetKey { path } } runsOrError { ... on Runs { results { runId status } } } }"


def blocks(page: str, language: str) -> list[str]:
    text = (PROJECT_ROOT / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands() -> list[tuple[str, str]]:
    """(page, command) in the order of the pages, operations first: its first command loads the week."""
    pages = sorted(PAGES, key=lambda page: page != "docs/operations.md")
    lines = [(page, line) for page in pages for block in blocks(page, "sh") for line in block.splitlines()]
    shown = [(page, re.sub(r"\s+#.*$", "", line)) for page, line in lines]
    return [(page, line) for page, line in shown if line]


def first_day() -> date:
    return datetime.now(UTC).date() - timedelta(days=DAYS)


def in_the_week(line: str) -> str:
    """The line with January's days as days of the week."""
    return re.sub(r"2026-01-(\d\d)", lambda found: str(first_day() + timedelta(days=int(found[1]) - 1)), line)


SHOWN = commands()
FIRST_READ = ("README.md", "docs/operations.md", "docs/inbox.md")  # what CI types; `make test-slow` types all
# A line that several pages show is typed once, where it comes first.
FIRST_SHOWN = {line: page for page, line in reversed(SHOWN)}
TYPED = [
    pytest.param(page, line, id=f"{page}: {line}", marks=[] if page in FIRST_READ else pytest.mark.long)
    for page, line in SHOWN
    if FIRST_SHOWN[line] == page
    if line not in SERVERS and not line.startswith("make ") and PARCELS not in line and "dbt_yml" not in line
]


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a person who has landed a week of drop files and loaded nothing yet."""
    home = tmp_path_factory.mktemp("docs") / "platform"
    environment = os.environ | {
        "PLATFORM_HOME": str(home), "DAGSTER_HOME": str(home / "dagster"), "PLATFORM_START_DATE": str(first_day()),
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip
    said = typed(f"data-platform sample --start {first_day()} --days {DAYS} --scale 0.01", environment)
    assert said.returncode == 0, said.stderr
    return environment


def typed(line: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    # The page says where Dagster's home is by default; here it is in the environment already.
    line = line if not line.startswith("export DAGSTER_HOME=") else "true"
    return subprocess.run(
        ["bash", "-c", in_the_week(line)],
        cwd=PROJECT_ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(("page", "line"), TYPED)
def test_a_command_of_the_documents_does_what_it_is_shown_for(page: str, line: str, week: dict[str, str]) -> None:
    done = typed(line, week)
    # Dagster's own commands above load staging alone, and doctor says which days of the marts that leaves behind.
    is_told = line == "data-platform doctor" and "marts lack rows of" in done.stdout
    assert done.returncode == is_told, f"{page}: {line}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("line", sorted(SERVERS))
def test_a_server_shows_the_assets_and_the_runs(line: str, week: dict[str, str], tmp_path: Path) -> None:
    with serving(line.split(), UI, week, PROJECT_ROOT, tmp_path / "server.log"):
        found = ask(UI, ASSETS)
    layers = {node["assetKey"]["path"][0] for node in found["assetNodes"]}
    assert layers == {"raw", "staging", "marts", "published"}
    assert "SUCCESS" in {run["status"] for run in found["runsOrError"]["results"]}


def test_the_documents_show_the_servers_that_are_tested() -> None:
    assert {line for _, line in SHOWN} >= SERVERS


def test_the_targets_that_the_documents_name_are_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", (PROJECT_ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        word for page in PAGES for word in re.findall(r"`?\bmake ([a-z][a-z-]*)", (PROJECT_ROOT / page).read_text())
    }
    assert named & targets
    assert {name for page, line in SHOWN if line.startswith("make ") for name in [line.split()[1]]} <= targets


@pytest.mark.slow
def test_the_source_and_the_mart_that_the_documents_add_run_as_they_stand_there(tmp_path: Path) -> None:
    project, home = tmp_path / "project", tmp_path / "platform"
    for name in ("data_platform", "dbt", "pyproject.toml", "workspace.yaml"):
        source = PROJECT_ROOT / name
        ignored = shutil.ignore_patterns("__pycache__", "target", "logs")
        shutil.copytree(source, project / name, ignore=ignored) if source.is_dir() else shutil.copy(source, project)
    environment = os.environ | {
        "PLATFORM_HOME": str(home), "DAGSTER_HOME": str(home / "dagster"), "PYTHONPATH": str(project),
        "PLATFORM_START_DATE": "2026-01-01", "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip
    for page in ("README.md", "docs/marts.md"):
        for shown in blocks(page, "python"):
            files = re.split(r"^# (data_platform/\S+\.py)\n", shown, flags=re.MULTILINE)[1:]
            for name, text in zip(files[::2], files[1::2], strict=True):
                (project / name).write_text(text)
        for model in blocks(page, "sql"):
            (project / "dbt/models/marts/parcels_by_day.sql").write_text(model)
        for line in (line for block in blocks(page, "sh") for line in block.splitlines()):
            if PARCELS in line or "dbt_yml" in line:
                _type_there(line, project, environment)
    found = _type_there("data-platform query --format json 'FROM published.parcels_by_day'", project, environment)
    assert json.loads(found) == [{"sent_date": "2026-01-05", "parcel_count": 1, "weight_g": 1200}]
    aside = _type_there("data-platform query --format json 'FROM lake.quarantine.parcels'", project, environment)
    assert [row["rules"] for row in json.loads(aside)] == ["weight_g.gt"]
    assert _type_there("python -m data_platform.contracts.dbt_yml --check", project, environment) == ""


def _type_there(line: str, project: Path, environment: dict[str, str]) -> str:
    # The command's script belongs to this project; the module is the copy's.
    line = re.sub(r"^data-platform ", "python -m data_platform ", line)
    done = subprocess.run(
        ["bash", "-c", line], cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout
