"""The ledger: `ops.loads`, `ops.audits`, `ops.publishes`, `ops.actions`, `ops.patches` and `ops.contracts`, tables of the
lake itself, written with the data.

Only their shape, their rows and what is asked of them. Who commits them is `commit.py`.
"""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import duckdb
import pyarrow as pa

from data_platform.lake.outcomes import LoadRecord
from data_platform.lake.points import reached

LOADS = {
    "load_id": "VARCHAR", "asset": "VARCHAR", "partition_key": "VARCHAR", "run_id": "VARCHAR", "outcome": "VARCHAR",
    "rows_read": "BIGINT", "rows_accepted": "BIGINT", "rows_quarantined": "BIGINT", "rows_merged": "BIGINT",
    "rows_flagged": "BIGINT", "rows_warned": "BIGINT", "rows_late": "BIGINT", "by_rule": "VARCHAR",
    "contract_version": "INTEGER", "content_hash": "VARCHAR", "hash_algorithm": "VARCHAR", "event_min": "TIMESTAMP",
    "event_max": "TIMESTAMP", "business_days": "VARCHAR", "source_files": "VARCHAR", "seconds": "DOUBLE",
    "error": "VARCHAR", "started_at": "TIMESTAMP", "finished_at": "TIMESTAMP", "built_from": "BIGINT",
    "rows_held": "BIGINT", "rows_discarded": "BIGINT", "measures": "VARCHAR",
    "stated": "VARCHAR", "rules": "VARCHAR",
}  # fmt: skip
AUDITS = {
    "audit_id": "VARCHAR", "asset": "VARCHAR", "partition_key": "VARCHAR", "load_id": "VARCHAR", "passed": "BOOLEAN",
    "failed_rules": "VARCHAR", "run_id": "VARCHAR", "audited_at": "TIMESTAMP",
}  # fmt: skip
PUBLISHES = {
    "publish_id": "VARCHAR", "table_name": "VARCHAR", "version": "BIGINT", "previous_version": "BIGINT",
    "run_id": "VARCHAR", "published_at": "TIMESTAMP",
}  # fmt: skip
ACTIONS = {
    "action_id": "VARCHAR", "action": "VARCHAR", "asset": "VARCHAR", "partitions": "VARCHAR", "picked": "VARCHAR",
    "detail": "VARCHAR", "reason": "VARCHAR", "rows": "BIGINT", "run_ids": "VARCHAR", "made_by": "VARCHAR",
    "made_at": "TIMESTAMP",
}  # fmt: skip
PATCHES = {
    "patch_id": "VARCHAR", "action_id": "VARCHAR", "asset": "VARCHAR", "file_hash": "VARCHAR", "record": "BIGINT",
    "kind": "VARCHAR", "changes": "VARCHAR", "reason": "VARCHAR", "made_at": "TIMESTAMP", "partition_key": "VARCHAR",
    "rules": "VARCHAR",
}  # fmt: skip
CONTRACTS = {
    "asset": "VARCHAR", "version": "INTEGER", "fingerprint": "VARCHAR", "definition": "VARCHAR", "run_id": "VARCHAR",
    "recorded_at": "TIMESTAMP",
}  # fmt: skip
TABLES: Mapping[str, Mapping[str, str]] = {
    "loads": LOADS, "audits": AUDITS, "publishes": PUBLISHES, "actions": ACTIONS, "patches": PATCHES,
    "contracts": CONTRACTS,
}  # fmt: skip
# DuckLake asks the catalog about every column that is compared, 8 ms each; nearly every file has a committed load.
UNPRUNED = "('' || {})"
_ARROW = {
    "VARCHAR": pa.string(), "BIGINT": pa.int64(), "INTEGER": pa.int32(), "DOUBLE": pa.float64(), "BOOLEAN": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us"),
}  # fmt: skip


def utc_now() -> datetime:
    """Now, as the ledger keeps it: UTC without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)


@dataclass(frozen=True)
class Audit:
    """A verdict on one load of one partition. The latest audit of a load counts."""

    asset: str
    partition_key: str
    load_id: str
    passed: bool
    failed_rules: tuple[str, ...] = ()
    run_id: str = ""
    audit_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    audited_at: datetime = field(default_factory=utc_now)


@dataclass(frozen=True)
class Load(LoadRecord):
    """A load as the ledger has it. `snapshot_id` orders loads: clocks of several machines do not."""

    finished_at: datetime | None = None
    snapshot_id: int = 0


def create_sql() -> list[str]:
    """The statements that make the ledger's tables."""
    return [
        f"CREATE TABLE IF NOT EXISTS lake.ops.{table} ({', '.join(f'{name} {kind}' for name, kind in columns.items())})"
        for table, columns in TABLES.items()
    ]


def insert(con: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Appends rows to a table of the ledger, in the caller's transaction."""
    columns = TABLES[table]
    arrays = {name: pa.array([row.get(name) for row in rows], _ARROW[kind]) for name, kind in columns.items()}
    reached("before ledger")
    con.register("_ledger_rows", pa.table(arrays))
    try:
        con.execute(f"INSERT INTO lake.ops.{table} BY NAME SELECT * FROM _ledger_rows")
    finally:
        con.unregister("_ledger_rows")
    reached("after ledger")


def load_row(load: LoadRecord, finished_at: datetime) -> dict[str, Any]:
    """A load record as a row of `ops.loads`."""
    row = {spec.name: getattr(load, spec.name) for spec in dataclasses.fields(LoadRecord)}
    row["by_rule"] = json.dumps(dict(load.by_rule), sort_keys=True)
    row["measures"] = json.dumps(dict(load.measures), sort_keys=True)
    row["rules"] = json.dumps(dict(load.rules), sort_keys=True)
    row["stated"] = json.dumps(dict(load.stated), sort_keys=True)
    row["business_days"] = json.dumps([day.isoformat() for day in load.business_days])
    row["source_files"] = json.dumps(list(load.source_files))
    return row | {"finished_at": finished_at}


def audit_row(audit: Audit) -> dict[str, Any]:
    """An audit as a row of `ops.audits`."""
    row = {spec.name: getattr(audit, spec.name) for spec in dataclasses.fields(Audit)}
    return row | {"failed_rules": json.dumps(list(audit.failed_rules))}


def _loads(con: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[object]) -> list[Load]:
    names = [name for name in LOADS if name != "rules"]  # long, and rarely asked for
    cursor = con.execute(
        f"SELECT {', '.join(names)}, snapshot_id FROM ({sql}) ORDER BY snapshot_id, asset, partition_key", parameters
    )
    found = []
    for values in cursor.fetchall():
        row = dict(zip((*names, "snapshot_id"), values, strict=True))
        row["by_rule"] = json.loads(row["by_rule"])
        row["business_days"] = tuple(date.fromisoformat(day) for day in json.loads(row["business_days"]))
        row["source_files"] = tuple(json.loads(row["source_files"]))
        # A load may have been recorded before these were.
        row |= {name: json.loads(row[name] or "{}") for name in ("measures", "stated")}
        row |= {name: row[name] or 0 for name in ("rows_held", "rows_discarded")}
        found.append(Load(**row))
    return found


def latest_loads(
    con: duckdb.DuckDBPyConnection,
    asset: str | None = None,
    *,
    outcome: str | None = "committed",
    keys: Sequence[str] | None = None,
) -> list[Load]:
    """The latest load of each asset × partition, of one asset or all. `outcome=None` counts failed attempts too."""
    where, parameters = ["true"], list[object]()
    for condition, value in (
        ("asset = ?", asset),
        (f"{UNPRUNED.format('outcome')} = ?", outcome),
        ("partition_key IN (SELECT unnest(?::VARCHAR[]))", keys),
    ):
        if value is not None:
            where.append(condition)
            parameters.append(list(value) if condition.startswith("partition_key") else value)
    sql = (
        f"SELECT *, snapshot_id FROM lake.ops.loads WHERE {' AND '.join(where)} "
        "QUALIFY row_number() OVER "
        "(PARTITION BY asset, partition_key ORDER BY snapshot_id DESC, finished_at DESC, load_id) = 1"
    )
    return _loads(con, sql, parameters)


def loads_since(
    con: duckdb.DuckDBPyConnection, snapshot_id: int, asset: str | None = None, *, outcome: str | None = None
) -> list[Load]:
    """All loads recorded by snapshots after this one, in order."""
    where, parameters = ["snapshot_id > ?"], list[object]([snapshot_id])
    for condition, value in (("asset = ?", asset), (f"{UNPRUNED.format('outcome')} = ?", outcome)):
        if value is not None:
            where.append(condition)
            parameters.append(value)
    return _loads(con, f"SELECT *, snapshot_id FROM lake.ops.loads WHERE {' AND '.join(where)}", parameters)


def fates_of_runs(con: duckdb.DuckDBPyConnection, run_ids: Sequence[str]) -> dict[str, dict[str, int]]:
    """By table the rows `read`, `accepted`, `quarantined` and `merged` of what these runs committed; of a partition that
    they loaded twice the later load counts."""
    if not run_ids:
        return {}
    rows = con.execute(
        f"""SELECT asset, sum(rows_read), sum(rows_accepted), sum(rows_quarantined), sum(rows_merged) FROM (
            FROM lake.ops.loads WHERE outcome = 'committed' AND run_id IN ({", ".join("?" * len(run_ids))})
            QUALIFY row_number() OVER (PARTITION BY asset, partition_key ORDER BY snapshot_id DESC) = 1)
        GROUP BY asset""",
        list(run_ids),
    ).fetchall()
    return {
        asset: dict(zip(("read", "accepted", "quarantined", "merged"), counts, strict=True)) for asset, *counts in rows
    }


def latest_audits(con: duckdb.DuckDBPyConnection, asset: str | None = None) -> dict[str, Audit]:
    """The latest audit of each load, by load id."""
    names = [spec.name for spec in dataclasses.fields(Audit)]
    rows = con.execute(
        f"SELECT {', '.join(names)} FROM lake.ops.audits WHERE ?::VARCHAR IS NULL OR asset = ? "
        "QUALIFY row_number() OVER (PARTITION BY load_id ORDER BY snapshot_id DESC, audited_at DESC) = 1",
        [asset, asset],
    ).fetchall()
    found = [dict(zip(names, row, strict=True)) for row in rows]
    return {row["load_id"]: Audit(**(row | {"failed_rules": tuple(json.loads(row["failed_rules"]))})) for row in found}


def _same_rows(load: Load, last: Load | None) -> bool:
    """Whether a reload brought what was there, for the same business days."""
    if last is None or not load.content_hash:
        return False
    return (load.content_hash, load.business_days) == (last.content_hash, last.business_days)


def stale_days(
    con: duckdb.DuckDBPyConnection, mart: str, sources: Sequence[str], runs: Collection[str] | None = None
) -> list[date]:
    """Business days that the mart must rebuild: touched by a committed load of one of its sources (by one of these
    `runs`, if given) after the version that the mart's own latest load of that day was built from, or never built. A
    reload touches the days of the load it replaces too: rows may have left them; one with the same rows touches none.
    Days are daily partition keys of the mart."""
    built = {
        load.partition_key: load.snapshot_id if load.built_from is None else load.built_from
        for load in latest_loads(con, mart)
    }
    touched: dict[date, int] = {}
    for source in sources:
        before: dict[str, Load] = {}
        for load in loads_since(con, -1, source, outcome="committed"):
            last = before.get(load.partition_key)
            if not _same_rows(load, last) and (runs is None or load.run_id in runs):
                for day in {*load.business_days, *(last.business_days if last else ())}:
                    touched[day] = max(touched.get(day, -1), load.snapshot_id)
            before[load.partition_key] = load
    return sorted(day for day, snapshot in touched.items() if built.get(day.isoformat(), -1) < snapshot)


def is_stale(con: duckdb.DuckDBPyConnection, mart: str, sources: Sequence[str], runs: Collection[str]) -> bool:
    """Whether a mart without partitions must be rebuilt: one of these runs changed rows of one of its sources after the
    version that the mart's latest load was built from."""
    latest = latest_loads(con, mart)
    built = max((load.snapshot_id if load.built_from is None else load.built_from for load in latest), default=-1)
    for source in sources:
        before: dict[str, Load] = {}
        for load in loads_since(con, -1, source, outcome="committed"):
            changed = not _same_rows(load, before.get(load.partition_key))
            if changed and load.run_id in runs and load.snapshot_id > built:
                return True
            before[load.partition_key] = load
    return False
