"""The way back from a decision: fixes and discards that are withdrawn, so that the next replay judges the rows as they came.

A row that a fix let in is in quarantine no more, so rows are picked among the records that a decision holds for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb

from data_platform.lake.lake import Lake
from data_platform.lake.patches import Action, has_patches, latest_patches
from data_platform.lake.sql import ident, names, text
from data_platform.quality.decide import decide
from data_platform.quality.inbox import Pick
from data_platform.quality.raw_rows import decided, identity, key_sql


@dataclass(frozen=True)
class Withdrawal:
    """Rows whose fix or discard would be withdrawn; of the fixed ones those that were accepted by now."""

    fixes: int = 0
    discards: int = 0
    accepted: int = 0

    @property
    def rows(self) -> int:
        return self.fixes + self.discards

    def __str__(self) -> str:
        return f"fixes: {self.fixes}, discards: {self.discards}"


def propose(con: duckdb.DuckDBPyConnection, pick: Pick, action_id: str | None = None) -> Withdrawal:
    """Makes the temporary table `reopened`, one row per record that a decision (or just this one) holds for, and says
    what is in it. A rule that is picked is one that the row broke when it was decided about, or breaks now."""
    contract = pick.contract
    con.execute("DROP TABLE IF EXISTS reopened")
    if not has_patches(con, contract.name):
        return Withdrawal()
    patches, by = latest_patches(contract.name), names(contract.partition.columns)
    came = f"""SELECT _file, {identity(contract)} FROM lake.raw.{ident(contract.table)}
        WHERE _file_hash IN (SELECT file_hash FROM ({patches}))"""
    this_one = f"AND action_id = {text(action_id)}" if action_id else ""
    con.execute(f"""
        CREATE TEMP TABLE reopened AS
        WITH known AS (
            SELECT {by + ", " if by else ""}_file, _file_hash, _record, {key_sql(contract)} AS partition_key, _decided.kind AS kind,
                _decided.action_id AS action_id, CASE _decided.kind WHEN 'fix' THEN 'fixed' ELSE 'discarded' END AS status,
                concat_ws(',', nullif(_decided.rules, ''), nullif(aside.rules, '')) AS rules, aside.rules IS NULL AS is_accepted
            FROM ({decided(contract, came, patches)}) LEFT JOIN (
                SELECT {identity(contract)}, any_value(rules) AS rules FROM {pick.table} GROUP BY ALL
            ) AS aside USING ({identity(contract)})
            WHERE _decided.kind IN ('fix', 'discard'))
        SELECT _file_hash AS file_hash, _record AS record, partition_key, any_value(kind) AS kind,
            any_value(rules) AS rules, bool_and(is_accepted) AS is_accepted
        FROM known WHERE {pick.where} {this_one} GROUP BY 1, 2, 3""")
    row = con.execute("""
        SELECT count(*) FILTER (kind = 'fix'), count(*) FILTER (kind = 'discard'),
            count(*) FILTER (kind = 'fix' AND is_accepted) FROM reopened""")
    return Withdrawal(*(row.fetchone() or ()))


def reopen(lake: Lake, con: duckdb.DuckDBPyConnection, pick: Pick, found: Withdrawal, reason: str) -> Action:
    """Withdraws the decisions that `propose` found. Rows in quarantine are `open` again; those that were accepted leave
    the table when their partition is screened."""
    rows = con.execute("SELECT file_hash, record, partition_key, NULL::VARCHAR AS changes, rules FROM reopened")
    return decide(lake, pick, "reopen", rows.fetch_arrow_table(), str(found), reason)


def pending(con: duckdb.DuckDBPyConnection, pick: Pick) -> list[str]:
    """Partitions with a withdrawn decision that no load has met yet, in order."""
    contract = pick.contract
    picked: Mapping[str, str | None] = {
        "partition_key = {}": pick.partition,
        "list_contains(string_split(rules, ','), {})": pick.rule,
    }
    where = "".join(f" AND {part.format(text(value))}" for part, value in picked.items() if value is not None)
    rows = con.execute(
        f"""
        SELECT DISTINCT partition_key FROM (
            SELECT *, snapshot_id AS decided_at FROM lake.ops.patches WHERE asset = $asset AND kind = 'reopen'{where}
        ) LEFT JOIN (
            SELECT partition_key, max(snapshot_id) AS loaded_at FROM lake.ops.loads
            WHERE asset = $asset AND outcome = 'committed' GROUP BY 1
        ) USING (partition_key)
        WHERE loaded_at IS NULL OR decided_at > loaded_at ORDER BY 1""",
        {"asset": contract.name},
    ).fetchall()
    return [key for (key,) in rows]
