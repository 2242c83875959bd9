"""Rows that were set aside for a reason that has gone: another partition had their key and has it no more, or their
parent has arrived since. Only finding them; screening their partition again is what brings them back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import duckdb

from data_platform.contracts.model import Column, Contract
from data_platform.lake.patches import has_patches, latest_patches
from data_platform.lake.sql import ident, json_path, names, table_name, text
from data_platform.lake.staging import read_shape
from data_platform.quality.compiler import raw_text, typed_value
from data_platform.quality.inbox import key_of
from data_platform.quality.parents import times
from data_platform.quality.raw_rows import identity, patched, raw_rows


def freed(con: duckdb.DuckDBPyConnection, contract: Contract) -> dict[str, int]:
    """Rows of `quarantine.<table>` that are there for the rule `key` alone while no row of the table has their key, by
    partition key. Nothing for a table whose key has another scope, or that was never loaded."""
    if (
        contract.key is None
        or contract.key.scope != "table"
        or not (_exists(con, contract.name) and _exists(con, f"quarantine.{contract.table}"))
    ):
        return {}
    same = " AND ".join(f"aside.{ident(name)} = kept.{ident(name)}" for name in contract.key.columns)
    gone = f"NOT EXISTS (FROM {table_name(contract.name).sql} AS kept WHERE {same})"
    return _aside(con, contract, "key", contract.key.columns, gone)


def parents_came(con: duckdb.DuckDBPyConnection, contract: Contract) -> dict[str, int]:
    """Rows of `quarantine.<table>` that are there for the lack of one parent alone, and not `held`, while that parent is
    there now, in time to count: by partition key. Nothing for a table that was never loaded."""
    found: Counter[str] = Counter()
    if not _exists(con, f"quarantine.{contract.table}"):
        return found
    for fk in contract.foreign_keys:
        if fk.held or fk.references == contract.name or not _exists(con, fk.references):
            continue
        since, early = times(contract, fk, in_time=True)
        parents = f"SELECT {ident(fk.to)} AS id, {since} AS first_seen FROM {table_name(fk.references).sql}"
        is_there = early.format(parent="parent", child="aside")
        came = f"EXISTS (FROM ({parents}) AS parent WHERE parent.id = aside.{ident(fk.column)} AND {is_there})"
        found.update(_aside(con, contract, f"{fk.column}.exists", [fk.column], came))
    return found


def _aside(
    con: duckdb.DuckDBPyConnection, contract: Contract, rule: str, columns: Sequence[str], where: str
) -> dict[str, int]:
    """Rows that are set aside for this rule alone, by partition key; `where` is about `aside`, their typed `columns`."""
    stated, by = [contract.columns[name] for name in columns], contract.partition.columns
    raw = ", ".join(_raw(column) for column in stated)
    typed = ", ".join(f"{typed_value(column)} AS {ident(column.name)}" for column in stated)
    rows = con.execute(f"""
        WITH texts AS (
            SELECT {names(by) or "1 AS one"}, {raw} FROM lake.quarantine.{ident(contract.table)}
            WHERE rules = {text(rule)} AND status <> 'discarded'
        ), aside AS (SELECT * EXCLUDE ({", ".join(ident(f"raw:{column.name}") for column in stated)}), {typed} FROM texts)
        SELECT {names(by) or "one"}, count(*) FROM aside WHERE {where} GROUP BY ALL ORDER BY ALL""").fetchall()
    return {contract.partition.key(dict(zip(by, row, strict=False))): int(row[-1]) for row in rows}


def _raw(column: Column) -> str:
    """The text that the quarantined row has for the column, as `typed_value` reads it."""
    return (
        f"NULLIF(TRIM(json_extract_string(\"row\", {json_path(column.source)})), '') AS {ident(f'raw:{column.name}')}"
    )


def arrived(con: duckdb.DuckDBPyConnection, contract: Contract) -> list[str]:
    """Partitions with held rows of which a parent that they lacked is there now. Fixes count as they will be applied."""
    found: set[str] = set()
    quarantine = f"quarantine.{contract.table}"
    held = [fk for fk in contract.foreign_keys if fk.held and _exists(con, fk.references)]
    if not held or not _exists(con, quarantine) or not _exists(con, f"raw.{contract.table}"):
        return []
    patches = latest_patches(contract.name) if has_patches(con, contract.name) else None
    by = names(contract.partition.columns)
    for fk in held:
        child = contract.columns[fk.column]
        waiting = f"""SELECT {identity(contract)} FROM lake.quarantine.{ident(contract.table)}
            WHERE status = 'held' AND list_contains(string_split(rules, ','), {text(f"{fk.column}.exists")})"""
        raw = raw_rows(con, contract, f"({identity(contract)}) IN (SELECT ({identity(contract)}) FROM ({waiting}))")
        rows = con.execute(f"""
            WITH texts AS (SELECT row({by or "1"}) AS _place, {raw_text(child)} FROM ({patched(contract, raw, patches)}))
            SELECT DISTINCT _place FROM texts
            WHERE {typed_value(child)} IN (SELECT {ident(fk.to)} FROM {table_name(fk.references).sql})""").fetchall()
        found |= {key_of(contract, place) for (place,) in rows}
    return sorted(found)


def _exists(con: duckdb.DuckDBPyConnection, name: str) -> bool:
    return read_shape(con, table_name(name)) is not None
