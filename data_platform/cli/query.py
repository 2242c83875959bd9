"""`data-platform query`: one statement on a read-only connection. The SQL is the user's; so are its errors."""

from __future__ import annotations

import re
from typing import Any

import duckdb

from data_platform.cli.output import Format, emit, note
from data_platform.errors import LakeError, UsageError
from data_platform.lake.lake import get_lake
from data_platform.lake.storage import redact
from data_platform.settings import Settings

ASKING = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)  # DESCRIBE and SHOW are SELECT to the parser


def query_command(settings: Settings, sql: str, limit: int, form: Format) -> None:
    """Prints the rows. Raises `UsageError` for no or several statements, `LakeError` with the engine's words."""
    most = None if form is Format.json or limit == 0 else limit
    names, rows = run_query(settings, sql, most + 1 if most else None)
    data = [dict(zip(names, row, strict=True)) for row in rows[:most]]
    emit(data, form, [("", data)])
    if len(data) < len(rows):
        note(f"The first {len(data):,} rows; --limit 0 shows all.")


def run_query(settings: Settings, sql: str, most: int | None = None) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names (made unique) and rows of one statement, at most so many."""
    require_lake(settings)
    with get_lake().connect(read_only=True) as con:
        try:
            statements = con.extract_statements(sql)
            if len(statements) != 1:
                raise UsageError(f"`query` takes one statement, not {len(statements)}.")
            _refuse_doing(sql)
            if statements[0].type not in ASKING:
                raise UsageError(
                    f"`query` only asks, and {statements[0].type.name} does more.",
                    fix="use SELECT, FROM, DESCRIBE, SHOW or EXPLAIN; tables are written by assets",
                )
            con.execute("USE lake.published")
            cursor = con.execute(statements[0])
            names = _unique([column[0] for column in cursor.description or []])
            return names, cursor.fetchall() if most is None else cursor.fetchmany(most)
        except duckdb.Error as error:
            raise LakeError(_words(error)) from None


def _refuse_doing(sql: str) -> None:
    """Raises `UsageError` for what asks by its looks alone: `EXPLAIN ANALYZE` runs what it explains, and DuckLake's
    maintenance is called in a SELECT."""
    bare = re.sub(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", " ", sql, flags=re.DOTALL)
    does = re.match(
        r"\s*EXPLAIN\s+(?:ANALYZE|\([^)]*\))\s*(?!SELECT\b|FROM\b|WITH\b|VALUES\b|\()(\w+)", bare, re.IGNORECASE
    )
    calls = re.search(
        r"\b(ducklake_(?:cleanup|delete|expire|merge|add|rewrite|flush|set)\w*)\s*\(", bare, re.IGNORECASE
    )
    found = does or calls
    if found:
        raise UsageError(
            f"`query` only asks, and `{found[1]}` does more.",
            fix="tables are written by assets, files removed by upkeep",
        )


def require_lake(settings: Settings) -> None:
    """Raises `UsageError` when nothing was ever loaded: asking must not make a lake."""
    at = get_lake().attachment
    if not at.exists() and at.has_files:
        raise at.lost_catalog()
    if not at.exists():
        raise UsageError(
            f"There is no lake under `{settings.home}` yet.", fix="data-platform demo, or data-platform backfill …"
        )


def _unique(names: list[str]) -> list[str]:
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return found


def _words(error: duckdb.Error) -> str:
    said = redact(str(error)).strip()
    if "read-only" in said.lower():
        return "The connection is read-only: `query` only asks. Tables are written by assets."
    return said
