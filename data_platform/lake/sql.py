"""SQL text made safe: identifiers and literals. Every name or value that reaches SQL passes through here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal

from data_platform.errors import UsageError


def ident(name: str) -> str:
    """A quoted identifier. Raises `UsageError` for an empty name or one with a NUL."""
    if not name or "\0" in name:
        raise UsageError(f"`{name!r}` cannot be a name in SQL.")
    return '"' + name.replace('"', '""') + '"'


def literal(value: object) -> str:
    """A literal of a Python value: text, number, boolean, date, timestamp or None."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, (int, float, Decimal)):
        return str(value)
    if isinstance(value, datetime):
        return f"TIMESTAMP '{value.isoformat(sep=' ')}'"
    if isinstance(value, date):
        return f"DATE '{value.isoformat()}'"
    return "'" + str(value).replace("'", "''") + "'"


def qualified(table: str) -> str:
    """`layer.table` as `lake."layer"."table"`."""
    layer, _, name = table.partition(".")
    return f"lake.{ident(layer)}.{ident(name)}"


def columns(names: Iterable[str]) -> str:
    return ", ".join(ident(name) for name in names)


def in_partitions(partitions: Iterable[Mapping[str, object]], alias: str = "") -> str:
    """A predicate that is TRUE for rows of these partitions; all rows of an unpartitioned table."""
    found = [dict(values) for values in partitions]
    if not found:
        return "FALSE"
    names = list(found[0])
    if not names:
        return "TRUE"
    prefix = f"{alias}." if alias else ""
    if len(names) == 1:
        values = ", ".join(literal(values[names[0]]) for values in found)
        return f"{prefix}{ident(names[0])} IN ({values})"
    return "(" + " OR ".join(
        "(" + " AND ".join(f"{prefix}{ident(name)} = {literal(values[name])}" for name in names) + ")" for values in found
    ) + ")"  # fmt: skip
