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
    def of(
        cls, contract: Contract, row: Sequence[Any] | None, rules: Sequence[str], values: Sequence[Any] | None = None
    ) -> Counts:
        """From a row of `_counts_sql` and the measures; none at all is a partition without rows."""
        fates, by_rule = (row[:8], row[8:]) if row else ((0,) * 8, (0,) * len(rules))
        accepted, quarantined, merged, flagged, warned, late, held, discarded = fates
        named = dict(zip(rules, by_rule, strict=True))
        return cls(
            accepted, quarantined, merged, flagged, warned, late, held, discarded, named, measured(contract, values)
        )


def counts(con: duckdb.DuckDBPyConnection, judging: Judge, *, measures: bool = True) -> dict[str, Counts]:
    """By partition key; a partition without rows is not among them. Without `measures` the values of the rows need not
    be there."""
    contract, rules = judging.contract, [name for name, _ in judging.bits()]
    found = _per_partition(con, contract, _counts_sql(judging))
    values = _per_partition(con, contract, _rows_sql(contract, measure_sql(contract, ACCEPTED))) if measures else {}
    return {key: Counts.of(contract, row, rules, values.get(key)) for key, row in found.items()}


def counts_and_facts(con: duckdb.DuckDBPyConnection, judging: Judge) -> dict[str, tuple[Counts, Sequence[Any]]]:
    """The counts, and first and last event time, business days touched and content hash of the accepted rows, in one
    scan of the rows; by partition key."""
    contract, rules, width = judging.contract, [name for name, _ in judging.bits()], len(NOTHING)
    found = _per_partition(con, contract, _counts_sql(judging))
    facts, parents = _facts_sql(contract)
    rows = _per_partition(con, contract, _rows_sql(contract, f"{facts}, {measure_sql(contract, ACCEPTED)}", parents))
    counted = {key: Counts.of(contract, row, rules, rows[key][width:]) for key, row in found.items()}
    return {key: (each, rows[key][:width] if each.accepted else NOTHING) for key, each in counted.items()}


def _per_partition(con: duckdb.DuckDBPyConnection, contract: Contract, sql: str) -> dict[str, Sequence[Any]]:
    """Rows of a query that leads with the partition columns (or 1), by partition key."""
    by = contract.partition.columns
    width = len(by) or 1
    rows = con.execute(sql).fetchall()
    return {contract.partition.key(dict(zip(by, row[:width], strict=False))): row[width:] for row in rows}


def _counts_sql(judging: Judge) -> str:
    """Rows by fate, then by rule, added up over rows alike: few, where each rule would look at every row."""
    rules, kept, left = judging.rules, ACCEPTED, "_fate <> 'quarantined'"
    late = sum(1 << rule.bit for rule in rules if rule.rule.kind == "late")
    # A row that is set aside is not flagged or warned of as well.
    milder = {rule.rule.name for rule in rules if rule.rule.action in ("flag", "warn")}
    asked = (
        kept, "_fate = 'quarantined'", "_fate = 'merged'", f"{kept} AND _broken & {mask_of(rules, 'flag')} <> 0",
        f"{kept} AND _broken & {mask_of(rules, 'warn')} <> 0", f"{kept} AND _broken & {late} <> 0",
        f"_fate = 'quarantined' AND {status_sql(judging)} = 'held'", "_discarded IS NOT NULL",
        *(
            f"{f'{left} AND ' if name in milder else ''}_discarded IS NULL AND _broken & {bit} <> 0"
            for name, bit in judging.bits()
        ),
    )  # fmt: skip
    by = _lead(judging.contract)
    sums = ", ".join(f"coalesce(sum(alike) FILTER (WHERE {each}), 0)::BIGINT" for each in asked)
    return f"""
        SELECT {by}, {sums} FROM (SELECT {by}, _fate, _broken, _discarded, count(*) AS alike FROM routed GROUP BY ALL)
        GROUP BY {_groups(judging.contract)}"""


def _rows_sql(contract: Contract, columns: str, joins: str = "") -> str:
    return f"SELECT {_lead(contract)}, {columns} FROM routed {joins} GROUP BY {_groups(contract)}"


def _facts_sql(contract: Contract) -> tuple[str, str]:
    """The columns of `NOTHING`, and the joins that they need."""
    at = ident(contract.event_time) if contract.event_time else "NULL::TIMESTAMP"
    days, parents = _touched_days(contract)
    types = {column.name: column.duckdb_type for column in contract.columns.values()}
    only = f"FILTER (WHERE {ACCEPTED})"
    columns = (
        f"(min({at}) {only})::TIMESTAMP, (max({at}) {only})::TIMESTAMP, {days}, {content_hash_sql(types, ACCEPTED)}"
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


def _groups(contract: Contract) -> str:
    return ", ".join(str(number + 1) for number in range(len(contract.partition.columns) or 1))
