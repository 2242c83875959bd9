"""What to type for rows whose reason to be in quarantine has gone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import duckdb

from data_platform.assets.naming import asset_key
from data_platform.assets.outcomes import resume_command
from data_platform.contracts.model import Contract
from data_platform.contracts.registry import contracts
from data_platform.lake.lake import get_lake
from data_platform.quality.second_look import freed, parents_came


@dataclass(frozen=True)
class Freed:
    """Rows of one staging table. `said` is for people, `command` screens their partitions again."""

    said: str
    command: str


def freed_rows() -> list[Freed]:
    """One entry per staging table and reason that has such rows."""
    return get_lake().read(lambda con: [row for stated in contracts("staging") for row in _of(con, stated)])


def _of(con: duckdb.DuckDBPyConnection, stated: Contract) -> Iterator[Freed]:
    reasons = {"a key that no partition has now": freed, "a parent that is there now": parents_came}
    for reason, find in reasons.items():
        rows = find(con, stated)
        if rows:
            said = f"{sum(rows.values())} rows of `{stated.name}` were set aside for {reason}"
            yield Freed(said, resume_command({asset_key(stated.name): list(rows)}))
