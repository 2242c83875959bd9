"""Publishing: readers see `published.<table>`, a view of one version of a mart, and only audited versions get there.

Repointing the views and refusing to. Building and auditing marts happens elsewhere; views are made nowhere else.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import duckdb

from data_platform.errors import LakeError, PublishRefused
from data_platform.lake import commit as commits
from data_platform.lake import ledger
from data_platform.lake.lake import Lake
from data_platform.lake.outcomes import from_to
from data_platform.lake.points import reached
from data_platform.lake.retired import reader_columns
from data_platform.lake.retrying import retrying
from data_platform.lake.sql import TableName, ident, table_name, text
from data_platform.lake.staging import need_shape
from data_platform.lake.storage import storage_errors

_VERSION = re.compile(r"AT \(VERSION => (\d+)\)\s*;?\s*$")
_SHOWN = 5


@dataclass(frozen=True)
class Published:
    """What a publish did: `version` is the snapshot all `tables` now show; `changed` the partitions of each that
    readers see anew; `previous` the version each showed before; `refused` the tables that keep theirs, and why."""

    version: int
    tables: tuple[str, ...]
    changed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    previous: Mapping[str, int | None] = field(default_factory=dict)
    refused: Mapping[str, PublishRefused] = field(default_factory=dict)


@dataclass(frozen=True)
class View:
    """One published view: the version it shows, when it was pointed there, and what is wrong with it, if anything."""

    table: str
    version: int
    published_at: datetime | None = None
    problem: str = ""


def publish(lake: Lake, tables: Sequence[str], run_id: str = "") -> Published:
    """Points the views of all these marts (`marts.t`) to the newest snapshot, in one transaction, so that readers see
    one consistent state. Raises `PublishRefused`, changing nothing, when a partition changed since the published
    version has no passed audit, when the latest audit of a published load failed, or when rows of a mart were changed
    by a snapshot that recorded no load of it."""
    return _publish(lake, tables, run_id, stop_at_refusal=True)


def publish_passing(lake: Lake, tables: Sequence[str], run_id: str = "") -> Published:
    """As `publish`, for those of the marts that may be published; the others are in `refused` and keep their version."""
    return _publish(lake, tables, run_id, stop_at_refusal=False)


def _publish(lake: Lake, tables: Sequence[str], run_id: str, *, stop_at_refusal: bool) -> Published:
    """Tried again while what stands in the way may pass: to show the same version twice changes nothing for readers."""
    for trial in retrying():
        with trial:
            return _publish_once(lake, tables, run_id, stop_at_refusal=stop_at_refusal)
    raise AssertionError("unreachable")


def _publish_once(lake: Lake, tables: Sequence[str], run_id: str, *, stop_at_refusal: bool) -> Published:
    names = [table_name(table) for table in dict.fromkeys(tables)]
    for name in names:
        if name.layer != "marts":
            raise LakeError(f"`{name}` cannot be published: only marts are.", fix=f"publish `marts.{name.table}`")
    con = lake.connect()
    try:
        with lake.gate.hold(), storage_errors(lake.attachment.place):
            version = commits.snapshot_id(con)
            previous = {str(name): published_version(con, name.table) for name in names}
            changed, refused = dict[str, tuple[str, ...]](), dict[str, PublishRefused]()
            for name in names:
                try:
                    changed[str(name)] = _audited(con, name, previous[str(name)])
                except PublishRefused as error:
                    if stop_at_refusal:
                        raise
                    refused[str(name)] = error
            if changed:
                _repoint(con, [name for name in names if str(name) in changed], previous, version, run_id)
    finally:
        con.close()
    return Published(version, tuple(changed), changed, previous, refused)


def published_version(con: duckdb.DuckDBPyConnection, table: str) -> int | None:
    """The version that `published.<table>` shows, `None` when it was never published. `table` with or without layer."""
    found = {view.table: view.version for view in _views(con)}
    return found.get(table.rpartition(".")[2])


def published_views(con: duckdb.DuckDBPyConnection) -> list[View]:
    """Every published view, whether its version still exists and whether it can be read: what `doctor` reports."""
    times = dict(
        con.execute("SELECT table_name, max(published_at) FROM lake.ops.publishes GROUP BY table_name").fetchall()
    )
    snapshots = {row[0] for row in con.execute("SELECT snapshot_id FROM ducklake_snapshots('lake')").fetchall()}
    found = []
    for view in _views(con):
        problem = "" if view.version in snapshots else f"version {view.version} is gone"
        if not problem:
            try:
                con.execute(f"SELECT * FROM lake.published.{ident(view.table)} LIMIT 0")
            except duckdb.Error as error:
                problem = str(error).splitlines()[0]
        found.append(View(view.table, view.version, times.get(f"marts.{view.table}"), problem))
    return found


def _views(con: duckdb.DuckDBPyConnection) -> list[View]:
    rows = con.execute(
        "SELECT view_name, sql FROM duckdb_views() "
        "WHERE database_name = 'lake' AND schema_name = 'published' ORDER BY 1"
    ).fetchall()
    matched = [(name, _VERSION.search(sql)) for name, sql in rows]
    return [View(name, int(found.group(1))) for name, found in matched if found]


def _repoint(
    con: duckdb.DuckDBPyConnection,
    names: Sequence[TableName],
    previous: Mapping[str, int | None],
    version: int,
    run_id: str,
) -> None:
    reached("before repoint")
    con.execute("BEGIN TRANSACTION")
    try:
        rows = []
        for name in names:
            columns, deprecated = reader_columns(con, name, need_shape(con, name))
            view = TableName("published", name.table).sql
            con.execute(f"CREATE OR REPLACE VIEW {view} AS SELECT {columns} FROM {name.sql} AT (VERSION => {version})")
            if deprecated:
                con.execute(f"COMMENT ON VIEW {view} IS {text(deprecated)}")
            rows.append(
                {
                    "publish_id": uuid.uuid4().hex,
                    "table_name": str(name),
                    "version": version,
                    "previous_version": previous[str(name)],
                    "run_id": run_id,
                    "published_at": ledger.utc_now(),
                }
            )
        ledger.insert(con, "publishes", rows)
        message = f"publish version {version}: {', '.join(map(str, names))}"
        con.execute(f"CALL lake.set_commit_message({text(commits.AUTHOR)}, {text(message)}, extra_info => '{{}}')")
        con.execute("COMMIT")
    except BaseException:
        commits.rollback(con)
        raise
    reached("after repoint")


def _audited(con: duckdb.DuckDBPyConnection, name: TableName, previous: int | None) -> tuple[str, ...]:
    """The partitions that changed since the published version, all of them audited. Raises `PublishRefused`."""
    table, since = str(name), -1 if previous is None else previous
    _refuse_unrecorded(con, name, since)
    audits = ledger.latest_audits(con, table)
    unaudited, failed, changed = list[str](), dict[str, str](), list[str]()
    for load in ledger.latest_loads(con, table):
        audit = audits.get(load.load_id)
        if load.snapshot_id > since:
            changed.append(load.partition_key)
            if audit is None:
                unaudited.append(load.partition_key)
        if audit is not None and not audit.passed:
            failed[load.partition_key] = f"{load.partition_key or 'the table'} ({', '.join(audit.failed_rules)})"
    kept = f"readers keep version {previous}" if previous is not None else "it is not published yet"
    for keys, shown, what in (
        (list(failed), list(failed.values()), "that failed their audit"),
        (unaudited, unaudited, "without an audit"),
    ):
        if keys:
            raise PublishRefused(
                f"`{table}` has partitions {what}: {_some(shown)}; {kept}.",
                fix=f"mend the rows and rebuild: {_rebuild(name, keys)}",
            )
    return tuple(sorted(changed))


def _refuse_unrecorded(con: duckdb.DuckDBPyConnection, name: TableName, since: int) -> None:
    """Raises `PublishRefused` when a snapshot that recorded no load of the table changed rows of a partition that no
    load has replaced since."""
    recorded = {load.snapshot_id for load in ledger.loads_since(con, since, str(name), outcome="committed")}
    strange = [(snapshot, author) for snapshot, author in touching(con, name, since) if snapshot not in recorded]
    if not strange:
        return
    shape = need_shape(con, name)
    latest = {load.partition_key: load.snapshot_id for load in ledger.latest_loads(con, str(name))}
    columns = ", ".join(ident(column) for column in shape.partition_by) or "1"
    for snapshot, author in strange:
        rows = con.execute(
            f"SELECT DISTINCT {columns} FROM "
            f"ducklake_table_changes('lake', {text(name.layer)}, {text(name.table)}, {snapshot}, {snapshot})"
        ).fetchall()
        keys = sorted(shape.key(dict(zip(shape.partition_by, row, strict=False))) for row in rows)
        open_keys = [key for key in keys if latest.get(key, -1) < snapshot]
        if open_keys:
            raise PublishRefused(
                f"`{name}` was changed by {author or 'an unknown writer'} in snapshot {snapshot}, and no load was "
                f"recorded: {_some([key or 'the table' for key in open_keys])}.",
                fix=f"rebuild them: {_rebuild(name, open_keys)}",
            )


def touching(con: duckdb.DuckDBPyConnection, name: TableName, since: int) -> list[tuple[int, str | None]]:
    """The snapshots that changed rows of the table, with their authors."""
    row = con.execute(
        "SELECT t.table_id FROM __ducklake_metadata_lake.ducklake_table t "
        "JOIN __ducklake_metadata_lake.ducklake_schema s ON s.schema_id = t.schema_id AND s.end_snapshot IS NULL "
        "WHERE t.end_snapshot IS NULL AND s.schema_name = ? AND t.table_name = ?",
        [name.layer, name.table],
    ).fetchone()
    if row is None:
        raise PublishRefused(f"The lake has no table `{name}`.", fix=_rebuild(name, ()))
    return con.execute(
        "SELECT snapshot_id, author FROM ducklake_snapshots('lake') WHERE snapshot_id > ? AND list_contains(flatten(["
        "changes['tables_inserted_into'], changes['tables_deleted_from'], changes['inlined_insert'], "
        "changes['inlined_delete']]), ?) ORDER BY 1",
        [since, str(row[0])],
    ).fetchall()


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(f"`{name}`" for name in names[:_SHOWN]) + more


def _rebuild(name: TableName, keys: Sequence[str]) -> str:
    """What to type to build these partitions of a table again, and publish them."""
    return f"data-platform backfill 'key:\"{name.layer}/{name.table}\"+'{from_to(keys)}"
