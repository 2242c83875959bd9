"""The house rules a machine can check in Python: who imports whom, who reads the environment, how long a file is."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "data_platform"
MODULES = sorted(PACKAGE.rglob("*.py"))
CODE = [
    path
    for folder in (PACKAGE, ROOT / "data_platform_tests", ROOT / "benchmarks")
    for path in sorted(folder.rglob("*.py"))
    if ".venv" not in path.parts
]
FLOORS = {
    "errors": 0, "settings": 1, "contracts": 2, "lake": 3, "sources": 4, "quality": 4, "partitions": 5, "event_log": 5,
    "assets": 6, "automation": 7, "chaos": 7, "definitions": 8, "cli": 9, "__main__": 10,
}  # fmt: skip
DAGSTER_ROOMS = {"definitions", "event_log", "partitions", "assets", "automation", "cli"}
MAX_LINES, MAX_FUNCTION_LINES = 400, 60


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imports(path: Path) -> Iterator[tuple[str, str]]:
    """Place and full name of everything imported, at the top or inside a function."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from ((f"{_name(path)}:{node.lineno}", alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            lead = "." * node.level + (node.module or "")
            yield from ((f"{_name(path)}:{node.lineno}", f"{lead}.{alias.name}") for alias in node.names)


def test_imports_walk_down_only() -> None:
    rooms = {_room(path) for path in MODULES} - {"__init__"}
    assert rooms <= set(FLOORS), "a new room needs its floor here"
    upward = [
        f"{place} imports {name}"
        for path in MODULES
        if _room(path) in FLOORS
        for place, name in _imports(path)
        if name.startswith("data_platform.") and name.split(".")[1] != _room(path)
        if FLOORS[name.split(".")[1]] >= FLOORS[_room(path)]
    ]
    assert upward == []


def test_no_import_is_relative() -> None:
    assert [f"{place} imports {name}" for path in CODE for place, name in _imports(path) if name.startswith(".")] == []


def test_dagster_stays_in_its_rooms() -> None:
    strays = [
        f"{place} imports {name}"
        for path in MODULES
        if _room(path) not in DAGSTER_ROOMS and not (_room(path) == "lake" and path.stem.endswith("io_manager"))
        for place, name in _imports(path)
        if name.startswith("dagster")
    ]
    assert strays == []


def test_dagster_is_used_by_its_public_names() -> None:
    # The event log's base class has no public name (docs/decisions/0006).
    private = [
        f"{place} imports {name}"
        for path in CODE
        if not path.stem.endswith("event_log")
        for place, name in _imports(path)
        if name.startswith("dagster") and any(part.startswith("_") for part in name.split("."))
    ]
    assert private == []


def test_whatever_the_package_imports_is_asked_for_by_name() -> None:
    asked = set(re.findall(r"^([a-z0-9\-]+)", (ROOT / "requirements.in").read_text(), re.MULTILINE))
    owners = packages_distributions()
    unasked = []
    for path in MODULES:
        for place, name in _imports(path):
            top = name.split(".")[0]
            found = {owner.lower().replace("_", "-") for owner in owners.get(top, ())}
            if top not in sys.stdlib_module_names and top != "data_platform" and not found & asked:
                unasked.append(f"{place} imports {name}")
    assert unasked == []


def test_only_settings_reads_the_environment() -> None:
    readers = [
        f"{_name(path)}:{node.lineno}"
        for path in MODULES
        if _room(path) != "settings"
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
        if node.attr in ("environ", "environb", "getenv", "getenvb")
    ]
    imported = [
        f"{place} imports {name}" for path in MODULES for place, name in _imports(path) if name.startswith("os.e")
    ]
    assert readers + imported == []


def test_every_module_says_what_it_holds() -> None:
    assert [_name(path) for path in MODULES if not ast.get_docstring(_tree(path))] == []


def test_files_and_functions_stay_short_enough_to_read() -> None:
    long_files = [_name(path) for path in CODE if path.read_text().count("\n") > MAX_LINES]
    long_functions = [
        f"{_name(path)}:{node.lineno} {node.name}"
        for path in CODE
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (node.end_lineno or node.lineno) - node.lineno >= MAX_FUNCTION_LINES
    ]
    assert long_files + long_functions == []


def test_nothing_is_silenced_without_naming_it() -> None:
    silenced = [
        f"{_name(path)}:{number}"
        for path in CODE
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if line.rstrip().endswith(("# type: " + "ignore", "# no" + "qa"))
    ]
    assert silenced == []
