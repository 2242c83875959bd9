"""The tables and their expected partitions, without pandera or Dagster: importing those takes seconds.

What the contracts state of names and partitions is remembered in PLATFORM_HOME/cache, and read from the contracts again
when one of their files has changed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from data_platform.contracts.modules import files_digest
from data_platform.contracts.partitioning import Dimension, Partitioning
from data_platform.settings import Settings

LAYERS = ("raw", "staging", "marts")


@dataclass(frozen=True)
class Known:
    """One table as `status` needs it."""

    name: str
    partition: Partitioning


def known_tables(settings: Settings) -> list[Known]:
    """Every table with a contract, by layer."""
    digest = files_digest()
    path = settings.home / "cache" / "tables.json"
    try:
        kept = json.loads(path.read_text())
        if kept["digest"] == digest:
            return [Known(entry["name"], _partitioning(entry["partition"])) for entry in kept["tables"]]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # no memory, or one of another version: ask the contracts
    from data_platform.contracts.registry import READ, contracts

    tables = [Known(found.name, found.partition) for layer in LAYERS for found in contracts(layer)]
    entries = [{"name": table.name, "partition": _plain(table.partition)} for table in tables]
    if digest != READ:
        return tables  # a file was changed after this process had imported the contracts
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(".tmp")
        half.write_text(json.dumps({"digest": digest, "tables": entries}))
        half.replace(path)
    except OSError:
        pass  # a home that cannot be written is doctor's to tell
    return tables


def expected_keys(partitioning: Partitioning, first_day: date, now: datetime | None = None) -> list[str]:
    """Keys of every partition that is over, as Dagster has them; `['']` for an unpartitioned table."""
    moment = now or datetime.now(UTC).replace(tzinfo=None)
    if not partitioning.dimensions:
        return [""]
    found = [""]
    for dimension in sorted(partitioning.dimensions, key=lambda part: part.column):
        keys = _dimension_keys(dimension, first_day, moment)
        found = [f"{left}|{key}" if left else key for left in found for key in keys]
    return found


def _dimension_keys(dimension: Dimension, first_day: date, now: datetime) -> Sequence[str]:
    if dimension.grain == "static":
        return dimension.keys
    moment = datetime.combine(dimension.start or first_day, time.min)
    if dimension.grain == "month":
        moment = moment.replace(day=1)
    end = datetime.combine(dimension.end, time.min) if dimension.end else datetime.max
    keys: list[str] = []
    while True:
        key = dimension.key(moment if dimension.grain == "hour" else moment.date())
        after = dimension.window(key)[1]
        if after > now or after - timedelta(microseconds=1) >= end:
            return keys
        keys.append(key)
        moment = after


def _plain(partitioning: Partitioning) -> list[dict[str, Any]]:
    return [
        {"column": part.column, "grain": part.grain, "keys": list(part.keys)}
        | {name: value.isoformat() if value else None for name, value in (("start", part.start), ("end", part.end))}
        for part in partitioning.dimensions
    ]


def _partitioning(entries: Sequence[dict[str, Any]]) -> Partitioning:
    return Partitioning(tuple(_dimension(entry) for entry in entries))


def _dimension(entry: dict[str, Any]) -> Dimension:
    start, end = (date.fromisoformat(entry[name]) if entry[name] else None for name in ("start", "end"))
    return Dimension(entry["column"], entry["grain"], start=start, end=end, keys=tuple(entry["keys"]))
