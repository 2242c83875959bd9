"""Rule verdicts for people: expected against actual, and a masked sample of the rows that broke each rule."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb

from data_platform.contracts.model import Contract, Rule
from data_platform.lake.outcomes import LoadRecord, RuleResult, Severity
from data_platform.lake.sql import names

SAMPLE_ROWS = 3
Sample = dict[str, object]


def mask(value: object, pii: str | None) -> object:
    """A value as a human may see it: of PII only the first character and the length remain."""
    if pii is None or value is None or value == "":
        return value
    text = str(value)
    return f"{text[0]}{'*' * 3} ({len(text)} characters)"


def samples(
    con: duckdb.DuckDBPyConnection, contract: Contract, bits: Sequence[tuple[str, int]]
) -> dict[str, dict[str, list[Sample]]]:
    """Up to three broken rows of `routed` per partition and rule: by partition key, then rule name."""
    by = contract.partition.columns
    numbered = ", ".join(str(bit) for _, bit in bits)
    lead = names(by) if by else "1"
    rows = con.execute(f"""
        SELECT {lead}, bit, _file, _record, _row FROM routed, (SELECT unnest([{numbered}]::UBIGINT[]) AS bit)
        WHERE _broken <> 0 AND _broken & bit <> 0
        QUALIFY row_number() OVER (PARTITION BY {lead}, bit ORDER BY _file, _record) <= {SAMPLE_ROWS}
        ORDER BY _file, _record""").fetchall()
    width = len(by) or 1
    rule_of = {bit: name for name, bit in bits}
    found: dict[str, dict[str, list[Sample]]] = {}
    for row in rows:
        key = contract.partition.key(dict(zip(by, row[:width], strict=True)) if by else {})
        bit, file, record, text = row[width:]
        rule = contract.rule(rule_of[bit])
        shown = {"file": file, "record": record, **_shown(contract, rule, json.loads(text) if text else {})}
        found.setdefault(key, {}).setdefault(rule.name, []).append(shown)
    return found


def _shown(contract: Contract, rule: Rule, raw: Mapping[str, Any]) -> Sample:
    """The rule's own columns, or the key's where the rule names none."""
    wanted = rule.columns or (contract.key.columns if contract.key else ())
    cols = [contract.columns[name] for name in wanted]
    return {column.name: mask(raw.get(column.source), column.pii) for column in cols}


def rule_results(
    contract: Contract,
    counts: Mapping[str, int],
    load: LoadRecord,
    shown: Mapping[str, Sequence[Sample]],
    *,
    failed: bool,
) -> Iterator[RuleResult]:
    """One verdict per rule about rows. A rule whose rows were handled (set aside, flagged, warned) fails as a
    warning, unless its threshold says that so many are worth an alert. A load that failed puts nothing in the inbox."""
    for rule in (*contract.row_rules, *(rule for rule in contract.rules if rule.kind == "key")):
        count, merged, limit = counts.get(rule.name, 0), load.rows_merged, rule.threshold
        grave = (failed and rule.action in ("fail", "quarantine")) or limit.fails(count, load.rows_read)
        grave = grave or limit.alerts(count, load.rows_read)
        severity: Severity = "error" if grave else "warn"
        actual = "all rows keep it" if not count else f"rows that break it: {count:,}"
        if rule.kind == "key" and merged:
            actual += f"; duplicates merged: {merged:,}"
        yield RuleResult(
            rule=rule.name, action=rule.action, passed=not count or limit.passes(count, load.rows_read), severity=severity, count=count,
            expected=rule.expected, actual=actual, sample=tuple(shown.get(rule.name, ())) if count else (),
            in_inbox=bool(count) and not failed and rule.action in ("quarantine", "fail"),
        )  # fmt: skip
