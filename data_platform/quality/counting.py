"""Counts what `routed` holds, per partition: rows by fate and by rule, measures, and the facts of the accepted rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from data_platform.contracts.model import Contract
from data_platform.lake.hashing import content_hash_sql
from data_platform.lake.sql import ident, names, table_name
from data_platform.quality.aside import status_sql
from data_platform.quality.compiler import Judge, mask_of
from data_platform.quality.measures import measure_sql, measured

NOTHING: Sequence[Any] = (None, None, None, "")
"""The facts of a partition without accepted rows: first and last event time, business days, content hash."""

ACCEPTED = "_fate = 'accepted'"


@dataclass(frozen=True)
class Counts:
    """Rows of one partition by fate, and by rule."""

    accepted: int
    quarantined: int
    merged: int
    flagged: int
    warned: int
    late: int
    held: int
    discarded: int
    by_rule: Mapping[str, int]
    measures: Mapping[str, float]

    @classmethod
    def of(cls, contract: Contract, row: Sequence[Any] | None, rules: Sequence[str]) -> Counts:
        """From a row of `_counts_sql`; none at all is a partition without rows."""
        fates, rest = (row[:8], row[8:]) if row else ((0,) * 8, (0,) * len(rules))
        accepted, quarantined, merged, flagged, warned, late, held, discarded = fates
        named = dict(zip(rules, rest[: len(rules)], strict=True))
        values = measured(contract, rest[len(rules) :] or None)
        return cls(accepted, quarantined, merged, flagged, warned, late, held, discarded, named, values)


def counts(con: duckdb.DuckDBPyConnection, judging: Judge, *, measures: bool = True) -> dict[str, Counts]:
    """By partition key; a partition without rows is not among them. Without `measures` the values of the rows need not
    be there."""
    rules = [name for name, _ in judging.bits()]
    found = _per_partition(con, judging.contract, _counts_sql(judging, measures))
    return {key: Counts.of(judging.contract, row, rules) for key, row in found.items()}


def counts_and_facts(con: duckdb.DuckDBPyConnection, judging: Judge) -> dict[str, tuple[Counts, Sequence[Any]]]:
    """The counts, and first and last event time, business days touched and content hash of the accepted rows, in one
    scan; by partition key."""
    rules = [name for name, _ in judging.bits()]
    facts, parents = _facts_sql(judging.contract)
    found = _per_partition(con, judging.contract, _counts_sql(judging, measures=True, first=facts, joins=parents))
    width = len(NOTHING)
    return {
        key: (counted, row[:width] if counted.accepted else NOTHING)
        for key, row in found.items()
        for counted in [Counts.of(judging.contract, row[width:], rules)]
    }


def _per_partition(con: duckdb.DuckDBPyConnection, contract: Contract, sql: str) -> dict[str, Sequence[Any]]:
    """Rows of a query that leads with the partition columns (or 1), by partition key."""
    by = contract.partition.columns
    width = len(by) or 1
    rows = con.execute(sql).fetchall()
    return {contract.partition.key(dict(zip(by, row[:width], strict=False))): row[width:] for row in rows}


def _counts_sql(judging: Judge, measures: bool, first: str = "", joins: str = "") -> str:
    rules, kept, left = judging.rules, ACCEPTED, "_fate <> 'quarantined'"
    late = sum(1 << rule.bit for rule in rules if rule.rule.kind == "late")
    # A row that is set aside is not flagged or warned of as well.
    milder = {rule.rule.name for rule in rules if rule.rule.action in ("flag", "warn")}
    by_rule = "".join(
        f", count_if({f'{left} AND ' if name in milder else ''}_discarded IS NULL AND _broken & {bit} <> 0)"
        for name, bit in judging.bits()
    )
    return f"""
        SELECT {_lead(judging.contract)}, {first} count_if({kept}), count_if(_fate = 'quarantined'), count_if(_fate = 'merged'),
            count_if({kept} AND _broken & {mask_of(rules, "flag")} <> 0), count_if({kept} AND _broken & {mask_of(rules, "warn")} <> 0),
            count_if({kept} AND _broken & {late} <> 0),
            count_if(_fate = 'quarantined' AND {status_sql(judging)} = 'held'), count(_discarded){by_rule}
            {f", {measure_sql(judging.contract, kept)}" if measures else ""}
        FROM routed {joins} GROUP BY {", ".join(str(n + 1) for n in range(len(judging.contract.partition.columns) or 1))}"""


def _facts_sql(contract: Contract) -> tuple[str, str]:
    """The columns, each with its comma, and the joins that they need."""
    at = ident(contract.event_time) if contract.event_time else "NULL::TIMESTAMP"
    days, parents = _touched_days(contract)
    types = {column.name: column.duckdb_type for column in contract.columns.values()}
    only = f"FILTER (WHERE {ACCEPTED})"
    columns = (
        f"(min({at}) {only})::TIMESTAMP, (max({at}) {only})::TIMESTAMP, {days}, {content_hash_sql(types, ACCEPTED)},"
    )
    return columns, parents


def _touched_days(contract: Contract) -> tuple[str, str]:
    """SQL for the business days that a partition changes, and the joins it needs: the days of its own rows, and of
    the rows they refer to where a foreign key says so."""
    own = f"{ident(contract.business_time)}::DATE" if contract.business_time else "NULL::DATE"
    only = f"FILTER (WHERE {ACCEPTED})"
    lists, joins = [f"list(DISTINCT {own}) {only}"], ""
    for number, fk in enumerate(contract.foreign_keys):
        if fk.touches:
            joins += f""" LEFT JOIN (
                SELECT {ident(fk.to)} AS _parent_{number}, min({ident(fk.touches)})::DATE AS _touched_{number}
                FROM {table_name(fk.references).sql}
                WHERE {ident(fk.to)} IN (SELECT {ident(fk.column)} FROM routed) GROUP BY 1
            ) ON routed.{ident(fk.column)} = _parent_{number}"""
            lists.append(f"list(DISTINCT _touched_{number}) {only}")
    return f"list_sort(list_distinct(flatten([{', '.join(lists)}])))", joins


def _lead(contract: Contract) -> str:
    return names(contract.partition.columns) or "1"
