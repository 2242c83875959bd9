"""Quoting and partition values: the one place where a name or a value becomes SQL text or a path.

Only text is made here; nothing is executed and no file is touched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from urllib.parse import quote

from data_platform.errors import LakeError, UsageError

LAYERS = ("raw", "staging", "quarantine", "marts", "failed", "published", "ops")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_ ]*(\(\s*\d+\s*(,\s*\d+\s*)?\))?(\[\])*")
# DuckDB reads these as NULL in a hive path, whatever their case; a path part may hold 255 bytes.
_HIVE_NULLS = ("null", "__hive_default_partition__")
_LONGEST_PATH_PART = 255


@dataclass(frozen=True)
class TableName:
    """`layer.table`, checked. Both parts are letters, digits and underscores, so that paths and SQL stay plain."""

    layer: str
    table: str

    @property
    def sql(self) -> str:
        return f"lake.{ident(self.layer)}.{ident(self.table)}"

    def __str__(self) -> str:
        return f"{self.layer}.{self.table}"


def table_name(name: str) -> TableName:
    """Parses `layer.table`. Raises `UsageError` for anything else; names are refused rather than escaped."""
    layer, _, table = name.partition(".")
    if layer not in LAYERS or not _NAME.fullmatch(table):
        raise UsageError(
            f"`{name}` cannot name a table: expected `layer.table`, the layer one of {', '.join(LAYERS)}, "
            "the table of letters, digits and underscores.",
            fix="rename the table",
        )
    return TableName(layer, table)


def ident(name: str) -> str:
    """A quoted identifier. Raises `UsageError` for an empty name or one with control characters."""
    if not name or not name.isprintable():
        raise UsageError(
            f"{name!r} cannot name a column or a table: it is empty or has control characters.", fix="rename it"
        )
    return '"' + name.replace('"', '""') + '"'


def partition_column(name: str) -> str:
    """A column that partitions a table; its name becomes part of a path. Raises `UsageError`."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"`{name}` cannot be a partition column: use letters, digits and underscores.", fix="rename it"
        )
    return name


def type_name(name: str) -> str:
    """A DuckDB type as text, refused when it is not the spelling of a scalar or list type."""
    if not _TYPE.fullmatch(name):
        raise UsageError(
            f"`{name}` is not the name of a column type.", fix="use a DuckDB type such as VARCHAR or DECIMAL(18,2)"
        )
    return name


def text(value: str) -> str:
    """A string literal. Raises `LakeError` for text with a NUL character, which SQL cannot carry."""
    if "\0" in value:
        raise LakeError(f"{value!r} has a NUL character.", fix="take it out")
    return "'" + value.replace("'", "''") + "'"


def json_path(name: str) -> str:
    """A literal that finds a member of a JSON object by any name, quotes and stars included."""
    return text("/" + name.replace("~", "~0").replace("/", "~1"))


def names(columns: Iterable[str]) -> str:
    """Quoted identifiers, joined by commas."""
    return ", ".join(ident(column) for column in columns)


def texts(values: Iterable[str]) -> str:
    """A list literal of strings."""
    return "[" + ", ".join(text(value) for value in values) + "]"


def partition_text(value: object, duckdb_type: str) -> str:
    """The canonical text of a partition value of a column of this type, as a hive path and a cast both read it.
    Raises `LakeError` for NULL, for what DuckDB would read as NULL, and for a value the type would cut off."""
    if value is None:
        raise LakeError("A partition value cannot be NULL.", fix="give those rows a partition, or set them aside")
    if isinstance(value, datetime):
        found = _moment_text(value, duckdb_type)
    elif isinstance(value, date):
        found = value.isoformat() + (" 00:00:00" if duckdb_type.startswith("TIMESTAMP") else "")
    elif isinstance(value, bool):
        found = "true" if value else "false"
    else:
        found = str(value)
    if found.lower() in _HIVE_NULLS:
        raise LakeError(f"`{found}` cannot be a partition value: the engine reads it as NULL.", fix="use another name")
    if len(quote(found, safe="")) > _LONGEST_PATH_PART - 101 or "\0" in found:
        raise LakeError(
            f"`{found[:40]}` cannot be a partition value: too long for a path, or a NUL in it.", fix="use a shorter one"
        )
    return found


def _moment_text(value: datetime, duckdb_type: str) -> str:
    plain = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    if duckdb_type == "DATE":
        if (plain.hour, plain.minute, plain.second, plain.microsecond) != (0, 0, 0, 0):
            raise LakeError(f"`{value}` is no day: a DATE partition would lose its time.", fix="pass a date")
        return plain.date().isoformat()
    return plain.strftime("%Y-%m-%d %H:%M:%S") + (f".{plain.microsecond:06d}" if plain.microsecond else "")


def hive_path(values: Mapping[str, str]) -> str:
    """`col=value/…` of canonical texts, url-encoded, in the order given; empty for an unpartitioned table."""
    return "/".join(f"{partition_column(column)}={quote(value, safe='')}" for column, value in values.items())


def partitions_condition(types: Mapping[str, str], partitions: Iterable[Mapping[str, str]]) -> str:
    """A WHERE condition for many partitions at once, given as canonical texts; `true` for an unpartitioned table."""
    if not types:
        return "true"
    if len(types) == 1:
        ((column, duckdb_type),) = types.items()
        values = ", ".join(f"{text(part[column])}::{duckdb_type}" for part in partitions)
        return f"{ident(column)} IN ({values})"
    return " OR ".join(
        "(" + " AND ".join(f"{ident(column)} = {text(part[column])}::{kind}" for column, kind in types.items()) + ")"
        for part in partitions
    )
