"""How each partition stands by the ledger: when it was last committed, when its rows last changed, how its latest attempt
ended, and which business days a change touched. A fixed number of queries, whatever the number of partitions.

What follows from it for a selection of assets is not known here; nothing is written.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

import duckdb

from data_platform.lake.commit import snapshot_id

# A reload changes nothing when it brings the rows that were there, from the same file and for the same business days.
# A load without a content hash is not known to be the same as another.
_LOADS = """
    WITH loads AS (
        SELECT *, snapshot_id, outcome = 'committed' AS good,
            lag(business_days) OVER earlier AS left_days,
            coalesce(content_hash, '') <> '' AND coalesce(
                (content_hash, business_days, source_files) = lag((content_hash, business_days, source_files)) OVER earlier,
                false) AS same
        FROM lake.ops.loads WHERE snapshot_id <= ?
        WINDOW earlier AS (PARTITION BY asset, partition_key, outcome ORDER BY snapshot_id, finished_at, load_id)
    )"""
_STANDINGS = f"""{_LOADS}, ordered AS (SELECT *, (snapshot_id, finished_at) AS moment FROM loads)
    SELECT asset, partition_key, arg_max(good, moment), arg_max(coalesce(error, ''), moment),
        min(snapshot_id) FILTER (good), max(snapshot_id) FILTER (good), max(snapshot_id) FILTER (good AND NOT same),
        arg_max(coalesce(built_from, snapshot_id), moment) FILTER (good), arg_max(run_id, moment) FILTER (good),
        arg_max(rows_read, moment) FILTER (good), arg_max(seconds, moment) FILTER (good),
        arg_max(run_id, moment) FILTER (good AND NOT same)
    FROM ordered GROUP BY asset, partition_key"""
_TOUCHED = f"""{_LOADS}
    SELECT asset, day::DATE, max(snapshot_id) FROM (
        SELECT asset, snapshot_id, unnest(list_concat(
            from_json(business_days, '["VARCHAR"]'), from_json(coalesce(left_days, '[]'), '["VARCHAR"]'))) AS day
        FROM loads WHERE good AND NOT same AND (?::VARCHAR[] IS NULL OR list_contains(?::VARCHAR[], run_id))
    ) GROUP BY ALL"""
_SHOWN = """
    SELECT table_name, arg_max(version, (snapshot_id, published_at)) FROM lake.ops.publishes
    WHERE snapshot_id <= ? GROUP BY table_name"""


@dataclass(frozen=True)
class Standing:
    """One partition of one table. Snapshots order what happened; those of a partition never committed are `None`.
    `changed` is the last commit that changed its rows, by the run `changed_by`; `built_from` is the version that the last
    commit was read from, and `rows` and `seconds` are of that commit."""

    is_good: bool
    error: str
    first: int | None = None
    committed: int | None = None
    changed: int | None = None
    built_from: int | None = None
    run_id: str | None = None
    rows: int | None = None
    seconds: float | None = None
    changed_by: str | None = None


@dataclass(frozen=True)
class Standings:
    """`of` has partitions by table and key; `touched` per table the business days whose rows changed, and the snapshot
    in which they last did; `shown` the published version of each mart. All are as of the snapshot `version`."""

    of: Mapping[tuple[str, str], Standing] = field(default_factory=dict)
    touched: Mapping[str, Mapping[date, int]] = field(default_factory=dict)
    shown: Mapping[str, int] = field(default_factory=dict)
    version: int = -1

    @cached_property
    def by_table(self) -> Mapping[str, Sequence[Standing]]:
        """The standings of each table's partitions."""
        found: dict[str, list[Standing]] = {}
        for (table, _), standing in self.of.items():
            found.setdefault(table, []).append(standing)
        return found

    def built(self, table: str, key: str) -> int:
        """The version that the last commit of the partition was read from; -1 when there is none."""
        standing = self.of.get((table, key))
        return -1 if standing is None or standing.built_from is None else standing.built_from


def read_standings(
    con: duckdb.DuckDBPyConnection, *, until: int | None = None, runs: Collection[str] | None = None
) -> Standings:
    """The ledger as it is, or was at the snapshot `until`. With `runs`, `touched` counts only the loads of these runs."""
    last = snapshot_id(con) if until is None else until
    of = {(row[0], row[1]): Standing(*row[2:]) for row in con.execute(_STANDINGS, [last]).fetchall()}
    chosen = None if runs is None else list(runs)
    touched: dict[str, dict[date, int]] = {}
    for table, day, snapshot in con.execute(_TOUCHED, [last, chosen, chosen]).fetchall():
        touched.setdefault(table, {})[day] = snapshot
    return Standings(of, touched, dict(con.execute(_SHOWN, [last]).fetchall()), last)
