"""What a replay is about and what it came to: rows that wait, rows that left, marts that are behind. Screening the
partitions between the two is a matter of Dagster's runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from data_platform.lake.commit import snapshot_id
from data_platform.lake.lake import Lake
from data_platform.lake.ledger import is_stale, stale_days
from data_platform.lake.patches import Action
from data_platform.quality import inbox
from data_platform.quality.decide import record
from data_platform.quality.inbox import Pick
from data_platform.quality.reopen import pending

Sources = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Waiting:
    """Partitions to screen, the table's rows in quarantine by status, and the version of the lake that says so."""

    partitions: Sequence[str]
    counts: Mapping[str, int]
    version: int


@dataclass(frozen=True)
class Replayed:
    """Rows that left the inbox, those in quarantine by status, and the action that was recorded."""

    moved: int
    counts: Mapping[str, int]
    action: Action


@dataclass(frozen=True)
class Behind:
    """Days of marts, and marts without partitions, that the rows belong to and that were not built since."""

    days: Sequence[str] = ()
    tables: Sequence[str] = ()


def waiting(con: duckdb.DuckDBPyConnection, pick: Pick) -> Waiting:
    """The partitions with rows that are meant and not discarded, and those whose decisions were withdrawn."""
    found = {*inbox.partitions(con, pick, inbox.WAITING), *pending(con, pick)}
    return Waiting(sorted(found), inbox.counts(con, Pick(pick.contract)), snapshot_id(con))


def replayed(lake: Lake, pick: Pick, before: Waiting, runs: Sequence[str]) -> Replayed:
    """Counts again, once the partitions are screened, and records the replay."""
    with lake.connect(read_only=True) as con:
        after = inbox.counts(con, Pick(pick.contract))
        moved = inbox.left(con, pick.contract, before.version)
    action = Action("replay", pick.contract.name, moved, tuple(before.partitions), str(pick), run_ids=tuple(runs))
    record(lake, action)
    return Replayed(moved, after, action)


def behind(con: duckdb.DuckDBPyConnection, daily: Sources, whole: Sources, runs: Sequence[str]) -> Behind:
    """Of these marts, each with the staging tables that it is built from, what the loads of the runs touched."""
    days = {day.isoformat() for mart, sources in daily.items() for day in stale_days(con, mart, sources, runs)}
    return Behind(sorted(days), [mart for mart, sources in whole.items() if is_stale(con, mart, sources, runs)])
