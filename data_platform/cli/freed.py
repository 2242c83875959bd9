"""What to type for rows that wait in quarantine for a key that has become free."""

from __future__ import annotations

from dataclasses import dataclass

from data_platform.assets.naming import asset_key
from data_platform.assets.outcomes import resume_command
from data_platform.contracts.registry import contracts
from data_platform.lake.lake import get_lake
from data_platform.quality.second_look import freed


@dataclass(frozen=True)
class Freed:
    """Rows of one staging table. `said` is for people, `command` screens their partitions again."""

    said: str
    command: str


def freed_rows() -> list[Freed]:
    """One entry per staging table that has such rows."""
    waiting = get_lake().read(lambda con: {stated.name: freed(con, stated) for stated in contracts("staging")})
    return [
        Freed(
            f"{sum(rows.values())} rows of `{name}` were set aside for a key that no partition has now",
            resume_command({asset_key(name): list(rows)}),
        )
        for name, rows in waiting.items()
        if rows
    ]
