"""Upkeep: what dead writers left is removed, the ledger's small files are merged, versions that nobody needs expire.

Each step holds the gate for itself, so that writers wait for one step and not for all. What a file's owner is, and whether
it lives, is `owners.py`; `doctor` and the command line only ask here.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path, PurePosixPath

import duckdb

from data_platform.errors import CatalogError
from data_platform.lake import owners
from data_platform.lake.commit import snapshot_id
from data_platform.lake.lake import Lake
from data_platform.lake.points import reached
from data_platform.lake.publish import published_views, touching
from data_platform.lake.sql import TableName, text
from data_platform.lake.storage import storage_errors

KEEP_DAYS = 30
# A query that is under way may read a file that the newest version has no more.
READERS = timedelta(days=1)
_FILES = "__ducklake_metadata_lake"


@dataclass(frozen=True)
class Orphans:
    """Parquet files that no version knows: `files` of dead writers, `size` their bytes, `waiting` those of writers that may
    yet commit them."""

    files: tuple[Path, ...] = ()
    size: int = 0
    waiting: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Upkeep:
    """What was done, or with `dry_run` would be. `merged` has each table's live files before and after; `removed` are files
    that no version needs any more, `later` those that readers have some time for yet."""

    orphans: int = 0
    orphan_bytes: int = 0
    waiting: int = 0
    folders: int = 0
    merged: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    expired: int = 0
    kept: int = 0
    removed: int = 0
    later: int = 0


def upkeep(lake: Lake, *, keep_days: float = KEEP_DAYS, readers: timedelta = READERS, dry_run: bool = False) -> Upkeep:
    """Does all of it, under the gate. Versions of the last `keep_days`, the current and the published ones stay; files
    that left the newest version stay for `readers`. Raises `CatalogError`, `GateTimeout` or `StorageError`; what was done
    before stays done."""
    con = lake.connect()
    try:
        orphans = sweep_orphans(lake, con, dry_run=dry_run)
        folders = _sweep_folders(lake, dry_run=dry_run)
        with storage_errors(lake.attachment.place):
            merged = _merge(lake, con, dry_run=dry_run)
            expired, kept = _expire(lake, con, keep_days, dry_run=dry_run)
            removed, later = _clean_up(lake, con, readers, dry_run=dry_run)
    finally:
        con.close()
    return Upkeep(
        len(orphans.files), orphans.size, len(orphans.waiting), folders, merged, expired, kept, removed, later
    )  # fmt: skip


def sweep_orphans(lake: Lake, con: duckdb.DuckDBPyConnection, *, dry_run: bool = False) -> Orphans:
    """Removes the files of dead writers that no version knows."""
    with lake.gate.hold(), storage_errors(lake.attachment.data_path):
        # Nobody commits while we hold the gate: what is unknown now and has no living owner stays unknown.
        found = find_orphans(lake, con)
        if dry_run:
            return found
        if not lake.gate.still_held():
            raise CatalogError("The commit gate was lost: nothing was removed.", fix="data-platform upkeep")
        for file in found.files:
            file.unlink(missing_ok=True)
    owners.forget_dead(lake.settings.lake_dir)
    return found


def find_orphans(lake: Lake, con: duckdb.DuckDBPyConnection) -> Orphans:
    """The files that no version knows, as they are now; only under the gate may one act on the answer."""
    on_disk = sorted(lake.attachment.data_path.rglob("*.parquet"))
    known = _known(con)
    unknown = [path for path in on_disk if path.name not in known]
    # Only commits write the ledger's files, and they hold the gate.
    ledgers = lake.attachment.data_path / "ops"
    dead = [
        path for path in unknown if path.is_relative_to(ledgers) or owners.is_abandoned(lake.settings.lake_dir, path)
    ]
    sizes = [path.stat().st_size for path in dead if path.exists()]
    return Orphans(tuple(dead), sum(sizes), tuple(path for path in unknown if path not in set(dead)))


def _known(con: duckdb.DuckDBPyConnection) -> set[str]:
    """The names of all files that any version has, or that wait to be removed. Names are unique, and do not change when
    a lake is moved as its folders do."""
    rows = con.execute(
        f"SELECT path FROM {_FILES}.ducklake_data_file UNION ALL SELECT path FROM {_FILES}.ducklake_delete_file "
        f"UNION ALL SELECT path FROM {_FILES}.ducklake_files_scheduled_for_deletion"
    ).fetchall()
    return {PurePosixPath(path).name for (path,) in rows}


def _sweep_folders(lake: Lake, *, dry_run: bool) -> int:
    """Folders of reads, of spilled blocks and of dbt builds whose process is dead."""
    home, lake_dir = lake.settings.home, lake.settings.lake_dir
    marked = [path for path in (home / "tmp").glob("*-*") if owners.mark_in(path.name)]
    dead = [path for path in marked if owners.is_abandoned(lake_dir, path)]
    for folder in dead if not dry_run else ():
        shutil.rmtree(folder, ignore_errors=True)
    return len(dead) + len(owners.sweep(home / "build", dry_run=dry_run))


def _merge(lake: Lake, con: duckdb.DuckDBPyConnection, *, dry_run: bool) -> dict[str, tuple[int, int]]:
    """Merges the small files of tables that rows are inserted into, the ledger's. One with files that were added whole is left
    alone: DuckLake is known to die of an internal error on some of them, and a partition has few files anyway."""
    found = {}
    for table, files in _live_files(con).items():
        if files > 1:
            if not dry_run:
                with lake.gate.hold():
                    con.execute(
                        f"CALL ducklake_merge_adjacent_files('lake', {text(table.table)}, schema => {text(table.layer)})"
                    )
            found[str(table)] = (files, _live_files(con)[table])
    return {table: counts for table, counts in found.items() if dry_run or counts[0] != counts[1]}


def _live_files(con: duckdb.DuckDBPyConnection) -> dict[TableName, int]:
    """The live files of each table that never had a file added whole."""
    rows = con.execute(
        f"SELECT s.schema_name, t.table_name, count(*) FILTER (f.end_snapshot IS NULL) "
        f"FROM {_FILES}.ducklake_data_file f JOIN {_FILES}.ducklake_table t USING (table_id) "
        f"JOIN {_FILES}.ducklake_schema s USING (schema_id) WHERE t.end_snapshot IS NULL AND s.end_snapshot IS NULL "
        f"GROUP BY ALL HAVING bool_and(f.mapping_id IS NULL) ORDER BY ALL"
    ).fetchall()
    return {TableName(layer, table): files for layer, table, files in rows}


def _expire(lake: Lake, con: duckdb.DuckDBPyConnection, keep_days: float, *, dry_run: bool) -> tuple[int, int]:
    """Expires versions by their numbers. By age alone the published ones would go, and their views break."""
    with lake.gate.hold():
        versions = [row[0] for row in con.execute("SELECT snapshot_id FROM ducklake_snapshots('lake')").fetchall()]
        wanted = needed_versions(con, keep_days)
        gone = [version for version in versions if version not in wanted]
        if gone and not dry_run:
            reached("before expiry")
            con.execute(f"CALL ducklake_expire_snapshots('lake', versions => {gone})")
            reached("after expiry")
    return len(gone), len(versions) - len(gone)


def needed_versions(con: duckdb.DuckDBPyConnection, keep_days: float) -> set[int]:
    """The versions that must stay: the current one, those of the last `keep_days`, those that views show or showed before,
    and those by which a publish will judge whether a mart was changed without a load."""
    young = con.execute(
        "SELECT snapshot_id FROM ducklake_snapshots('lake') WHERE snapshot_time >= now() - to_seconds(?)",
        [keep_days * 86400.0],
    ).fetchall()
    before = con.execute(
        "SELECT arg_max(previous_version, snapshot_id) FROM lake.ops.publishes WHERE previous_version IS NOT NULL "
        "GROUP BY table_name"
    ).fetchall()
    shown = {f"marts.{view.table}": view.version for view in published_views(con)}
    marts = con.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = 'lake' AND schema_name = 'marts'"
    ).fetchall()
    judged = {
        version
        for (table,) in marts
        for version, _ in touching(con, TableName("marts", table), shown.get(f"marts.{table}", -1))
    }
    return {snapshot_id(con), *shown.values(), *judged, *(row[0] for row in (*young, *before))}


def _clean_up(lake: Lake, con: duckdb.DuckDBPyConnection, readers: timedelta, *, dry_run: bool) -> tuple[int, int]:
    """Removes the files that left every version longer ago than `readers`."""
    age = f"older_than => now() - to_seconds({readers.total_seconds()})"
    with lake.gate.hold():
        reached("before clean-up")
        gone = con.execute(f"CALL ducklake_cleanup_old_files('lake', {age}, dry_run => {dry_run})").fetchall()
        reached("after clean-up")
        left = _count(con, f"SELECT count(*) FROM {_FILES}.ducklake_files_scheduled_for_deletion")
    return len(gone), left - (len(gone) if dry_run else 0)


def _count(con: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[object] = ()) -> int:
    row = con.execute(sql, list(parameters)).fetchone()
    return int(row[0]) if row else 0
