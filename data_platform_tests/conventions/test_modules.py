"""The house rules a machine can check in Python: who imports whom, who reads the environment, how long a file is."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "data_platform"
MODULES = sorted(PACKAGE.rglob("*.py"))
CODE = [
    *MODULES,
    *sorted((PACKAGE.parent / "data_platform_tests").rglob("*.py")),
    *sorted((PACKAGE.parent / "benchmarks").rglob("*.py")),
]
FLOORS = {
    "errors": 0, "settings": 1, "contracts": 2, "lake": 3, "sources": 4, "quality": 4, "partitions": 5,
    "assets": 6, "automation": 7, "definitions": 8, "cli": 9, "__main__": 10,
}  # fmt: skip
DAGSTER_ROOMS = {"definitions", "partitions", "assets", "automation", "cli"}


def _name(path: Path) -> str:
    return str(path.relative_to(PACKAGE.parent))


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything imported, at the top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{_name(path)}:{node.lineno} imports relatively; say `from data_platform…`"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_imports_walk_down_only(path: Path) -> None:
    room = _room(path)
    if room == "__init__":
        return
    assert room in FLOORS, f"`{room}` has no floor: add it to FLOORS"
    for line, name in _imports(path):
        parts = name.split(".")
        if parts[0] == "data_platform" and len(parts) > 1 and parts[1] != room:
            assert FLOORS[parts[1]] < FLOORS[room], f"{_name(path)}:{line}: `{room}` must not import `{name}`"


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_dagster_stays_in_its_rooms_and_is_used_by_its_public_names(path: Path) -> None:
    is_io_manager = _room(path) == "lake" and path.stem.endswith("io_manager")
    for line, name in _imports(path):
        top, *rest = name.split(".")
        if top.startswith("dagster"):
            assert _room(path) in DAGSTER_ROOMS or is_io_manager, f"{_name(path)}:{line} imports `{name}`"
            assert not any(part.startswith("_") for part in rest), f"{_name(path)}:{line} imports the private `{name}`"


def test_whatever_the_package_imports_is_asked_for_by_name() -> None:
    asked = set(re.findall(r"^([a-z0-9\-]+)", (PACKAGE.parent / "requirements.in").read_text(), re.MULTILINE))
    owners = packages_distributions()
    for path in MODULES:
        for line, name in _imports(path):
            top = name.split(".")[0]
            if top not in sys.stdlib_module_names and top != "data_platform":
                found = {owner.lower().replace("_", "-") for owner in owners.get(top, ())}
                assert found & asked, f"{_name(path)}:{line} imports `{top}`, which requirements.in does not ask for"


@pytest.mark.parametrize("path", [path for path in MODULES if path.name != "settings.py"], ids=_name)
def test_only_settings_reads_the_environment(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            assert node.attr not in ("environ", "getenv", "environb"), (
                f"{_name(path)}:{node.lineno} reads the environment"
            )
    assert not [name for _, name in _imports(path) if name in ("os.environ", "os.getenv")]


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_every_module_says_what_it_holds(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), f"{_name(path)} has no docstring"


@pytest.mark.parametrize("path", CODE, ids=_name)
def test_files_and_functions_stay_short_enough_to_read(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 400, f"{_name(path)} has {text.count(chr(10))} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= 60, f"{_name(path)}:{node.lineno} `{node.name}` has {lines} lines"


@pytest.mark.parametrize("path", CODE, ids=_name)
def test_nothing_is_silenced_without_naming_it(path: Path) -> None:
    for number, line in enumerate(path.read_text().splitlines(), 1):
        bare = line.rstrip().endswith(("# type: " + "ignore", "# no" + "qa"))
        assert not bare, f"{_name(path)}:{number} silences everything; name the code"
