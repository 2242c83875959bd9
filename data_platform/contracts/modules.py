"""The modules that people declare tables and sources in: whether they have changed, and what is wrong with one that
cannot be imported.
"""

from __future__ import annotations

import hashlib
import importlib
import traceback
from pathlib import Path
from types import ModuleType

from data_platform.errors import ContractError, PlatformError

FOLDER = Path(__file__).resolve().parent
TABLES = "data_platform.contracts.tables"


def files_digest() -> str:
    """Changes when a file below this package does."""
    stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(FOLDER.rglob("*.py"))]
    return hashlib.sha256(repr(stats).encode()).hexdigest()


def import_tables() -> None:
    """Imports each module of `contracts/tables`, in order of name. Raises as `imported` does."""
    for path in sorted((FOLDER / "tables").glob("*.py")):
        if path.stem != "__init__":
            imported(f"{TABLES}.{path.stem}", path)


def imported(name: str, path: Path) -> ModuleType:
    """The module of this name. Raises `ContractError` naming file and line of what is wrong with it."""
    try:
        return importlib.import_module(name)
    except PlatformError:
        raise
    except Exception as error:
        raise ContractError(
            f"`{path.relative_to(FOLDER.parent.parent)}`, line {_line(error, path)}, cannot be imported: "
            f"{type(error).__name__}: {_said(error)}.",
            fix="correct it: nothing can be loaded until then",
        ) from error


def _line(error: Exception, path: Path) -> object:
    if isinstance(error, SyntaxError):
        return error.lineno
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return lines[-1] if lines else "?"


def _said(error: Exception) -> str:
    return error.msg if isinstance(error, SyntaxError) else str(error).splitlines()[0] if str(error) else "no words"
