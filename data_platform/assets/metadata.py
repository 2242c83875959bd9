"""What the web UI shows of a table: its columns, and the numbers of a load that are worth a curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from data_platform.contracts.model import Contract
from data_platform.lake.outcomes import LoadRecord, Outcome, RuleResult

MetadataMap = dict[str, Any]


def column_schema(contract: Contract, extra: Mapping[str, str] | None = None) -> dg.TableSchema:
    """The columns of a contract with their types, descriptions and checks; `extra` are columns it does not state."""
    columns = [
        dg.TableColumn(
            column.name,
            column.duckdb_type,
            description=column.description,
            constraints=dg.TableColumnConstraints(
                nullable=column.nullable,
                other=[
                    rule.expected for rule in contract.rules if rule.kind == "check" and rule.columns == (column.name,)
                ],
            ),
            tags={"pii": column.pii} if column.pii else {},
        )
        for column in contract.columns.values()
    ]
    columns += [dg.TableColumn(name, kind) for name, kind in (extra or {}).items() if name not in contract.columns]
    return dg.TableSchema(columns)


def load_metadata(outcome: Outcome) -> MetadataMap:
    """The numbers of one load. Text that is empty is left out."""
    load = outcome.load
    found: MetadataMap = {
        "dagster/row_count": load.rows_accepted,
        "rows_read": load.rows_read,
        "rows_accepted": load.rows_accepted,
        "rows_quarantined": load.rows_quarantined,
        "rows_merged": load.rows_merged,
        "rows_flagged": load.rows_flagged,
        "rows_late": load.rows_late,
        "rows_held": load.rows_held,
        "quality_score": quality_score(load),
        "seconds": round(load.seconds, 3),
        "load_id": load.load_id,
    }
    if "lag_hours" in load.measures:
        found["freshness_lag_hours"] = load.measures["lag_hours"]
    found["summary"] = dg.MetadataValue.md(summary(outcome))
    if load.by_rule:
        found["rows_by_rule"] = dg.MetadataValue.json(dict(load.by_rule))
    if load.content_hash:
        found["content_hash"] = load.content_hash
    if load.source_files:
        found["source_files"] = dg.MetadataValue.json(list(load.source_files))
    for name, value in outcome.notes.items():
        found[name] = value if isinstance(value, str | int | float | bool | dg.MetadataValue) else str(value)
    return found


def summary(outcome: Outcome) -> str:
    """The load in a few lines of Markdown: the fates of its rows, then what broke which rule and what was unusual."""
    load = outcome.load
    fates = f"**{load.rows_read:,} rows read**: {load.rows_accepted:,} accepted, {load.rows_quarantined:,} quarantined, {load.rows_merged:,} merged."
    more = {
        "flagged": load.rows_flagged,
        "late": load.rows_late,
        "held": load.rows_held,
        "discarded": load.rows_discarded,
    }
    told = ", ".join(f"{count:,} {name}" for name, count in more.items() if count)
    lines = [fates + (f" Of these {told}." if told else "")]
    broken = [result for result in outcome.rules if result.count]
    if broken:
        lines += ["", "| rule | found | action | expected |", "| --- | --- | --- | --- |"]
        lines += [
            f"| `{found.rule}` | {found.actual} | {found.action} | {found.expected} |".replace("\n", " ")
            for found in broken
        ]
    return "\n".join(lines)


def quality_score(load: LoadRecord) -> float:
    """Share of the rows read that were neither set aside nor flagged; 1.0 when there was nothing to read."""
    clean = load.rows_accepted + load.rows_merged - load.rows_flagged
    return round(clean / load.rows_read, 6) if load.rows_read else 1.0


def verdict_metadata(key: dg.AssetKey, result: RuleResult, partition: str | None = None) -> MetadataMap:
    """Expected against actual, with the masked sample of rows that broke the rule, and what to type to see them all."""
    found: MetadataMap = {
        "rule": result.rule, "expected": result.expected, "actual": result.actual,
        "rows": result.count, "action": result.action,
    }  # fmt: skip
    if result.sample:
        found["sample"] = _table(result.sample)
    if result.in_inbox and key.path[0] == "staging":
        day = f" --partition '{partition}'" if partition else ""
        found["inbox"] = f"data-platform quarantine show {key.path[1]} --rule {result.rule}{day}"
    return found


def _table(rows: Sequence[Mapping[str, object]]) -> dg.MetadataValue[Any]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    records = [dg.TableRecord({name: _cell(row.get(name)) for name in names}) for row in rows]
    return dg.MetadataValue.table(records, schema=dg.TableSchema([dg.TableColumn(name) for name in names]))


def _cell(value: object) -> str | int | float | bool | None:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
