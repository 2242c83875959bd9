"""What people decided about single records of a file: patches, and the actions that made them. Kept in the ledger.

A record is known by its file's hash, its number in the file and its partition, so that every later load of the same file
version there meets the same decision. Patches that were made before partitions were kept have none: they hold in each. What a patch does to a row is `quality/judging.py`'s.
"""

from __future__ import annotations

import dataclasses
import getpass
import json
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import duckdb

from data_platform.lake.ledger import PATCHES, utc_now
from data_platform.lake.sql import text

PatchKind = Literal["fix", "discard", "reopen"]
ActionKind = PatchKind | Literal["replay"]


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user has no name
        return "unknown"


@dataclass(frozen=True)
class Action:
    """One row of `ops.actions`: one command on quarantined rows. `asset` is a staging table; `picked` says which rows
    were meant, `detail` what was done to them; `rows` is how many it changed (of a replay: how many left the inbox)."""

    action: ActionKind
    asset: str
    rows: int
    partitions: tuple[str, ...] = ()
    picked: str = ""
    detail: str = ""
    reason: str = ""
    run_ids: tuple[str, ...] = ()
    made_by: str = field(default_factory=_who)
    action_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    made_at: datetime = field(default_factory=utc_now)


def action_row(action: Action) -> dict[str, Any]:
    """An action as a row of `ops.actions`."""
    row = {spec.name: getattr(action, spec.name) for spec in dataclasses.fields(Action)}
    return row | {"partitions": json.dumps(action.partitions), "run_ids": json.dumps(action.run_ids)}


def insert_patches(con: duckdb.DuckDBPyConnection, action: Action, kind: PatchKind, rows: str) -> None:
    """Records a patch for each row of the query `rows` (file_hash, record, partition_key, changes, rules),
    in the caller's transaction. `changes` is JSON, source columns with their new texts, of a fix alone; `rules` those that
    the row broke. A `reopen` takes back what was decided before."""
    con.execute(f"""
        INSERT INTO lake.ops.patches BY NAME
        SELECT replace(uuid()::VARCHAR, '-', '') AS patch_id, {text(action.action_id)} AS action_id,
            {text(action.asset)} AS asset, file_hash, record, partition_key, {text(kind)} AS kind, changes::VARCHAR AS changes,
            rules, {text(action.reason)} AS reason, TIMESTAMP '{action.made_at}' AS made_at
        FROM ({rows})""")


def has_patches(con: duckdb.DuckDBPyConnection, asset: str) -> bool:
    """Whether anything was ever decided about records of this table."""
    return con.execute("SELECT 1 FROM lake.ops.patches WHERE asset = ? LIMIT 1", [asset]).fetchone() is not None


def count_patches(con: duckdb.DuckDBPyConnection, asset: str) -> int:
    """How many patches of this table were recorded, those taken back too: another number tells of a new decision."""
    # A condition would be asked of the catalog too, which takes longer than to read the column of this small table.
    row = con.execute("SELECT count(*) FILTER (asset = ?) FROM lake.ops.patches", [asset]).fetchone()
    return int(row[0]) if row else 0


def latest_patches(asset: str) -> str:
    """SQL for the patches that count: the latest of each record in its partition. Columns as `ops.patches` has them."""
    return (
        f"SELECT {', '.join(PATCHES)} FROM lake.ops.patches WHERE asset = {text(asset)} "
        "QUALIFY row_number() OVER (PARTITION BY file_hash, record, partition_key ORDER BY snapshot_id DESC) = 1"
    )
