"""Rows that are set aside: what `quarantine.<table>` keeps of them, in which status, and why in plain words. SQL only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from data_platform.contracts.model import Contract
from data_platform.contracts.partitioning import Values
from data_platform.lake.ledger import utc_now
from data_platform.lake.sql import json_path, names, table_name, text
from data_platform.quality.compiler import Judge
from data_platform.quality.raw_rows import ORIGIN, identity, in_partitions

QUARANTINE_COLUMNS: Mapping[str, str] = {
    "_file": "VARCHAR", "_file_hash": "VARCHAR", "_record": "BIGINT", "_offset": "BIGINT", "_bytes": "BLOB",
    "row": "VARCHAR", "first_rule": "VARCHAR", "rules": "VARCHAR", "reasons": "VARCHAR", "status": "VARCHAR",
    "run_id": "VARCHAR", "contract_version": "INTEGER", "quarantined_at": "TIMESTAMP",
}  # fmt: skip
STATUSES = ("open", "held", "fixed", "discarded")
"""`open` waits for a person, `held` for its parent, `fixed` for the next replay; `discarded` stays out for good."""


def quarantine_sql(judging: Judge, run_id: str, places: Sequence[Values]) -> str:
    """A query of the rows of `routed` that are set aside in these partitions, as the quarantine table keeps them. A record
    that was set aside before is so since then."""
    contract = judging.contract
    aside = judging.set_aside  # a rule that only flags is no reason for a row to be here
    bits = [(name, bit) for name, bit in judging.bits() if bit & aside]
    broken = ", ".join(f"CASE WHEN _broken & {bit} <> 0 THEN {text(name)} END" for name, bit in bits)
    reasons = [f"CASE WHEN _broken & {bit} <> 0 THEN {reason(contract, name)} END" for name, bit in bits]
    reasons += ["'discarded: ' || _discarded"]
    by = contract.partition.columns
    return f"""SELECT {names(by) + ", " if by else ""}{", ".join(ORIGIN)}, _row AS "row", {judging.first_rule_sql()} AS first_rule,
            concat_ws(',', {broken}) AS rules, concat_ws('; ', {", ".join(reasons)}) AS reasons, {status_sql(judging)} AS status,
            {text(run_id)} AS run_id, {contract.version}::INTEGER AS contract_version, coalesce(_since, TIMESTAMP '{utc_now()}') AS quarantined_at
        FROM routed LEFT JOIN (
            SELECT {identity(contract)}, min(quarantined_at) AS _since
            FROM {table_name(f"quarantine.{contract.table}").sql} WHERE {in_partitions(contract, places)} GROUP BY ALL)
        USING ({identity(contract)})
        WHERE _fate = 'quarantined'"""


def status_sql(judging: Judge) -> str:
    """SQL for the status of a row of `routed` that is set aside."""
    return f"""CASE WHEN _discarded IS NOT NULL THEN 'discarded'
        WHEN _broken & {judging.set_aside & ~judging.held} = 0 THEN 'held' ELSE 'open' END"""


def reason(contract: Contract, name: str) -> str:
    """SQL for one rule's reason in plain words, over `_row`, `_defect` and `_key_reason`."""
    rule = contract.rule(name)
    if rule.kind == "parse":
        return "'the record cannot be read: ' || _defect"
    if rule.kind == "key":
        return f"{text(', '.join(rule.columns))} || ' is not unique: ' || coalesce(_key_reason, '')"
    if not rule.columns:
        return text(f"{name}: expected {rule.expected}")
    path = json_path(contract.columns[rule.columns[0]].source)
    got = f"coalesce('`' || json_extract_string(_row, {path}) || '`', 'nothing')"
    return f"{text(f'{rule.columns[0]}: expected {rule.expected}, got ')} || {got}"
