"""What must not be in the repository's files, and what the lock must hold."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).relative_to(ROOT).as_posix()
# The invoices are one source among others: these files make it one, and no other code may know it.
INVOICES = re.compile(r"online.?retail", re.IGNORECASE)
INVOICE_FILES = re.compile(
    r"""^(Makefile|README\.md|CHANGELOG\.md|docs/.*|\.ci/run
    |data_platform/(contracts/tables|sources)/online_retail\w*\.py
    |dbt/models/.*\.yml|dbt/models/.*online_retail\w*\.sql
    |data_platform_tests/.*online_retail\w*\.\w+|data_platform_tests/conventions/test_repository\.py)$""",
    re.VERBOSE,
)
REGISTRIES = re.compile(r"py" r"pi\.org|python" r"hosted|npm" r"js\.org|deb" r"ian\.org|extensions\.duck" r"db\.org")
MACHINE_PATHS = re.compile(r"(?<![\w.$}~*/-])/(?:wo" r"rk|ro" r"ot|home|Users|opt)/\w")


@cache
def _texts() -> dict[str, str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = {}
    for name in filter(None, listed.split("\0")):
        try:
            found[name] = (ROOT / name).read_text()
        except (UnicodeDecodeError, FileNotFoundError):
            continue
    return found


def _mentions(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{number} {line.strip()[:100]}"
        for name, text in _texts().items()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_file_names_a_package_registry() -> None:
    assert _mentions(REGISTRIES) == []


def test_no_file_names_a_path_of_one_machine() -> None:
    assert _mentions(MACHINE_PATHS) == []


def test_only_the_files_that_declare_the_invoices_mention_them() -> None:
    strays = [found for found in _mentions(INVOICES) if not INVOICE_FILES.match(found.split(":")[0])]
    assert strays == []


def test_the_lock_pins_and_hashes_every_package() -> None:
    entries = re.split(r"\n(?=[a-z])", _texts()["requirements.lock"].split("\n", 2)[2])
    assert len(entries) > 100
    for entry in entries:
        assert re.match(r"[a-z0-9.\-]+==[\w.]+ ", entry), entry[:80]
        assert "--hash=sha256:" in entry, f"no hash: {entry[:80]}"


def test_the_lock_holds_what_the_requirements_ask_for() -> None:
    pinned = set(re.findall(r"^([a-z0-9.\-]+)==", _texts()["requirements.lock"], re.MULTILINE))
    for source in ("requirements.in", "requirements-dev.in"):
        wanted = re.findall(r"^([a-z0-9\-]+)", _texts()[source], re.MULTILINE)
        assert wanted
        assert set(wanted) <= pinned


def test_every_dependency_has_its_reason() -> None:
    reasons = _texts()["docs/decisions/0001-dependencies.md"].replace(
        "duckdb and its three extension packages", "duckdb-extension-"
    )
    for source in ("requirements.in", "requirements-dev.in"):
        for name in re.findall(r"^([a-z0-9\-]+)", _texts()[source], re.MULTILINE):
            shown = "duckdb-extension-" if name.startswith("duckdb") else name
            assert shown in reasons, f"`{name}` has no reason in docs/decisions/0001-dependencies.md"
