"""The one transaction in which rows reach the lake: slices out, staged files in, ledger rows, message, commit.

The caller holds the gate. Staging is `staging.py`; the ledger's rows are `ledger.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import duckdb

from data_platform.errors import CatalogError, LakeError
from data_platform.lake import ledger
from data_platform.lake.outcomes import LoadRecord
from data_platform.lake.points import reached
from data_platform.lake.sql import TableName, partitions_condition, table_name, text, texts
from data_platform.lake.staging import Shape, StagedFile, need_shape

AUTHOR = "data-platform"
Check = Callable[[duckdb.DuckDBPyConnection], None]


@dataclass(frozen=True)
class Slice:
    """One partition of one table, to be replaced whole by these files; none of them empties it. `partition` holds
    typed values by column, `{}` for an unpartitioned table."""

    table: str
    partition: dict[str, object] = field(default_factory=dict)
    files: tuple[StagedFile, ...] = ()


@dataclass(frozen=True)
class Change:
    """All that one commit does."""

    slices: Sequence[Slice] = ()
    loads: Sequence[LoadRecord] = ()
    audits: Sequence[ledger.Audit] = ()
    check: Check | None = None
    message: str = ""

    @property
    def files(self) -> list[StagedFile]:
        return [file for part in self.slices for file in part.files]

    @property
    def extra_info(self) -> str:
        """What ties the snapshot to its loads."""
        return json.dumps({"load_ids": [load.load_id for load in self.loads]})


def slices_of(files: Sequence[StagedFile]) -> list[Slice]:
    """One slice per partition that has a file."""
    grouped: dict[tuple[object, ...], list[StagedFile]] = {}
    for file in files:
        grouped.setdefault((file.table, *file.partition.items()), []).append(file)
    return [Slice(group[0].table, dict(group[0].partition), tuple(group)) for group in grouped.values()]


@dataclass
class Attempt:
    """How far a transaction came: once COMMIT was sent, an error does not tell whether it landed."""

    committing: bool = False


def apply(con: duckdb.DuckDBPyConnection, change: Change, still_held: Callable[[], bool], attempt: Attempt) -> int:
    """Runs the transaction and returns the snapshot's id. Whatever is raised, nothing of it is committed, save when
    the connection to the catalog is lost during COMMIT itself (`attempt` and `landed` tell)."""
    attempt.committing = False
    reached("before begin")
    con.execute("BEGIN TRANSACTION")
    try:
        reached("after begin")
        for table, parts in _by_table(change.slices).items():
            _replace(con, table_name(table), parts, change.loads)
        now = ledger.utc_now()
        if change.loads:
            ledger.insert(con, "loads", [ledger.load_row(load, now) for load in change.loads])
        if change.audits:
            ledger.insert(con, "audits", [ledger.audit_row(audit) for audit in change.audits])
        if change.check:
            change.check(con)
        message = change.message or _summary(change)
        con.execute(
            f"CALL lake.set_commit_message({text(AUTHOR)}, {text(message)}, extra_info => {text(change.extra_info)})"
        )
        if not still_held():
            raise CatalogError(
                "The commit gate was lost: the catalog's server was restarted. Nothing was committed.",
                fix="run it again",
                transient=True,
            )
        attempt.committing = True
        reached("before commit")
        con.execute("COMMIT")
    except BaseException:
        rollback(con)
        raise
    reached("after commit")
    return snapshot_id(con)


def rollback(con: duckdb.DuckDBPyConnection) -> None:
    """Ends the transaction, if one is open."""
    # None is open when COMMIT itself failed, and so rolled back.
    with suppress(duckdb.Error):
        con.execute("ROLLBACK")


def snapshot_id(con: duckdb.DuckDBPyConnection) -> int:
    """The snapshot that this connection sees."""
    row = con.execute("FROM ducklake_current_snapshot('lake')").fetchone()
    return int(row[0]) if row else 0


def landed(con: duckdb.DuckDBPyConnection, change: Change) -> int | None:
    """The snapshot of a change whose COMMIT nobody answered, when it is there all the same. Raises `CatalogError` for
    a change without loads, which the ledger does not know."""
    if not change.loads:
        raise CatalogError(
            "The connection to the catalog was lost while audits were written; they may be there or not.",
            fix="data-platform doctor",
        )
    ids = texts(load.load_id for load in change.loads)
    row = con.execute(f"SELECT max(snapshot_id) FROM lake.ops.loads WHERE load_id IN (SELECT unnest({ids}))").fetchone()
    return None if row is None or row[0] is None else int(row[0])


def _by_table(slices: Sequence[Slice]) -> dict[str, list[Slice]]:
    grouped: dict[str, list[Slice]] = {}
    for part in slices:
        grouped.setdefault(part.table, []).append(part)
    return grouped


def _replace(
    con: duckdb.DuckDBPyConnection, table: TableName, parts: Sequence[Slice], loads: Sequence[LoadRecord]
) -> None:
    """One delete and one list of files for all partitions of a table; nothing else in it is touched."""
    shape = need_shape(con, table)
    partitions = [shape.texts(table, part.partition) for part in parts]
    if len({tuple(partition.items()) for partition in partitions}) != len(partitions):
        raise LakeError(f"`{table}`: the same partition is given twice in one commit.")
    if table.layer == "marts":
        _recorded(table, [shape.key(part.partition) for part in parts], loads)
    files = [
        file
        for part, partition in zip(parts, partitions, strict=True)
        for file in _checked(table, shape, part, partition)
    ]
    reached("before delete")
    con.execute(f"DELETE FROM {table.sql} WHERE {partitions_condition(shape.partition_types, partitions)}")
    reached("after delete")
    if files:
        hive = ", hive_partitioning => true" if shape.partition_by else ""
        paths = texts(str(file.path) for file in files)
        reached("before add")
        con.execute(
            f"CALL ducklake_add_data_files('lake', {text(table.table)}, {paths}, schema => {text(table.layer)}{hive})"
        )
        reached("after add")


def _recorded(table: TableName, keys: Sequence[str], loads: Sequence[LoadRecord]) -> None:
    """Publishing trusts the ledger: a mart's partition does not change without a load of just that partition."""
    recorded = {load.partition_key for load in loads if load.asset == str(table) and load.outcome == "committed"}
    for key in keys:
        if key not in recorded:
            raise LakeError(f"`{table}` would change partition `{key}` without a load record of it.")


def _checked(table: TableName, shape: Shape, part: Slice, partition: dict[str, str]) -> Sequence[StagedFile]:
    for file in part.files:
        if file.table != str(table) or shape.texts(table, file.partition) != partition:
            staged = f"{file.table} {dict(file.partition)}"
            raise LakeError(f"`{file.path.name}` was staged for {staged}, not for {table} {part.partition}.")
    return part.files


def _summary(change: Change) -> str:
    names = sorted(
        {f"{load.asset} {load.partition_key}".strip() for load in change.loads}
        or {part.table for part in change.slices}
    )
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
