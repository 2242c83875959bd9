"""Parents of rows: which foreign keys find theirs. SQL text, and one question to `judged` for tables that refer to
themselves."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from data_platform.contracts.model import Contract, ForeignKey
from data_platform.contracts.partitioning import Values
from data_platform.contracts.registry import contract as registered
from data_platform.lake.sql import ident, names, table_name
from data_platform.quality.compiler import Judge
from data_platform.quality.keys import elsewhere


def parents_sql(fk: ForeignKey, rows: str | None = None, since: str = "NULL") -> str:
    """A query of the parents that the lake (or the relation `rows`) has: `id`, and `first_seen`, the least `since`."""
    to = ident(fk.to)
    found = rows or table_name(fk.references).sql
    return f"SELECT {to} AS id, min({since}) AS first_seen FROM {found} WHERE {to} IS NOT NULL GROUP BY {to}"


def lookups(contract: Contract, *, in_time: bool) -> tuple[str, str]:
    """Per foreign key SQL for `ref:<column>`, TRUE where the parent of a row of `typed` is found, and the joins for that.
    With `in_time` a parent counts when it arrived in the same partition or an earlier one, so that the verdict does not
    depend on what else happens to be loaded; a child that is held is judged again instead. A table that refers to
    itself is left to `judge_own_parents`."""
    selects, joins = "", ""
    for number, fk in enumerate(contract.foreign_keys):
        found = "TRUE"
        if fk.references != contract.name:
            parent, (since, early) = f"parent_{number}", times(contract, fk, in_time)
            joins += (
                f" LEFT JOIN ({parents_sql(fk, since=since)}) AS {parent} ON typed.{ident(fk.column)} = {parent}.id"
            )
            found = f"{parent}.id IS NOT NULL AND {early.format(parent=parent, child='typed')}"
        selects += f", {found} AS {ident(f'ref:{fk.column}')}"
    return selects, joins


def times(contract: Contract, fk: ForeignKey, in_time: bool) -> tuple[str, str]:
    """When a parent arrived, and a condition on `{parent}.first_seen`: that its partition began before the one of
    `{child}` ended. Tables that are not cut by time, or each by a grain of its own, are compared as far as they can be."""
    own = contract.time_dimension
    theirs = (contract if fk.references == contract.name else registered(fk.references)).time_dimension
    if not in_time or fk.held or own is None or theirs is None:
        return "NULL", "true"
    end = f"{{child}}.{ident(own.column)} + INTERVAL 1 {own.grain.upper()}"
    return ident(theirs.column), f"{{parent}}.first_seen < {end}"


def judge_own_parents(
    con: duckdb.DuckDBPyConnection, judging: Judge, partitions: Sequence[Values], drafted: Sequence[Values] = (), *,
    in_time: bool,
) -> None:  # fmt: skip
    """Sets the bits of foreign keys that refer to the table itself. A parent counts that is accepted, among these rows
    or in another partition; so a row whose parent is set aside is set aside as well, and so on down the line."""
    contract, lost = judging.contract, []
    for rule in judging.rules:
        fk = rule.rule.foreign_key
        if fk is None or fk.references != contract.name:
            continue
        since, early = times(contract, fk, in_time)
        columns = names(dict.fromkeys((fk.to, *contract.partition.columns)))
        rows = f"""(
            SELECT {columns} FROM judged WHERE _broken & {judging.set_aside} = 0
            UNION ALL SELECT {columns} FROM {elsewhere(contract, partitions, drafted)})"""
        bit = f"{1 << rule.bit}::UBIGINT"
        lost.append(f"""
            UPDATE judged SET _broken = _broken | {bit}
            WHERE _broken & {bit} = 0 AND {ident(fk.column)} IS NOT NULL AND NOT EXISTS (
                SELECT 1 FROM ({parents_sql(fk, rows, since)}) AS parent
                WHERE parent.id = judged.{ident(fk.column)} AND {early.format(parent="parent", child="judged")})""")
    while sum(_changed(con, sql) for sql in lost):
        pass


def _changed(con: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = con.execute(sql).fetchone()
    return int(row[0]) if row else 0
