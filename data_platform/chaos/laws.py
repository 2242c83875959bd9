"""What must hold after a kill, asked of one state of the lake: nothing torn, lost or doubled, and the counts add up.

Only questions; nobody is killed here. A violation is a `Violation` with the law's name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

from data_platform.chaos.drops import TABLES, fates
from data_platform.contracts.model import Contract
from data_platform.contracts.registry import contract
from data_platform.lake.hashing import content_hash_sql
from data_platform.lake.ledger import Load, latest_loads
from data_platform.lake.publish import published_views
from data_platform.lake.sql import names

LAWS = ("torn", "lost", "doubled", "sum", "readers", "gate", "left behind", "error")
# Where each table's rows name their generation, and what is one row.
_GENERATION = {
    "customers": "full_name[5:]::BIGINT", "products": "product_name[5:]::BIGINT", "orders": "total_amount::BIGINT",
}  # fmt: skip
_ID = {"customers": "customer_id", "products": "product_id", "orders": "order_id"}
# The day of a row of a mart: its number is in the id.
_MART_DAY = "{id}[2:3]::INTEGER"
_PUBLISHED = {"dim_customers": "customers", "dim_products": "products", "fct_orders": "orders"}


@dataclass(frozen=True)
class Violation:
    """`law` is one of `LAWS`; `said` names the table, the partition and what was found."""

    law: str
    said: str


def violations(con: duckdb.DuckDBPyConnection, told: Collection[str] = ()) -> list[Violation]:
    """Every violation in the state that the connection sees, all of it read at one version. `told` are ids of loads
    that workers reported as committed."""
    con.execute("BEGIN TRANSACTION")
    try:
        latest = {(load.asset, load.partition_key): load for load in latest_loads(con)}
        found = [*_ledger(con, told), *_published(con)]
        for table in TABLES:
            found += _table(con, contract(f"staging.{table}"), latest)
            found += _raw(con, contract(f"raw.{table}"), latest)
        for mart, table in _PUBLISHED.items():
            found += _mart(con, contract(f"marts.{mart}"), table, latest)
        return found
    finally:
        con.execute("COMMIT")


def _ledger(con: duckdb.DuckDBPyConnection, told: Collection[str]) -> Iterator[Violation]:
    rows = dict(con.execute("SELECT load_id, count(*) FROM lake.ops.loads GROUP BY 1").fetchall())
    for load_id in told:
        if load_id not in rows:
            yield Violation("lost", f"load {load_id} was reported as committed and is not in the ledger")
    for load_id, count in rows.items():
        if count > 1:
            yield Violation("doubled", f"load {load_id} is in the ledger {count} times")


def _table(
    con: duckdb.DuckDBPyConnection, stated: Contract, latest: Mapping[tuple[str, str], Load]
) -> Iterator[Violation]:
    """A staging table with its quarantine."""
    types = {column.name: column.duckdb_type for column in stated.columns.values()}
    found = _partitions(con, stated, _GENERATION[stated.table], types)
    aside = dict(
        con.execute(f"SELECT arrival_date, count(*) FROM lake.quarantine.{stated.table} GROUP BY 1").fetchall()
    )
    by_key = {stated.partition.key({"arrival_date": day}): count for day, count in aside.items()}
    yield from _against_ledger(stated, found, latest)
    for key, (generation, *_) in found.items():
        load, expected = latest.get((stated.name, key)), fates(generation)
        if load is None:
            continue
        counts = (load.rows_read, load.rows_accepted, load.rows_quarantined, load.rows_merged)
        wanted = (expected.read, expected.accepted, expected.quarantined, expected.merged)
        if counts != wanted:
            yield Violation("sum", f"`{stated.name}` {key}: the ledger has {counts}, the file {wanted}")
        if by_key.get(key, 0) != load.rows_quarantined:
            said = f"{by_key.get(key, 0)} rows in quarantine, {load.rows_quarantined} in the ledger"
            yield Violation("sum", f"`{stated.name}` {key}: {said}")


def _raw(
    con: duckdb.DuckDBPyConnection, stated: Contract, latest: Mapping[tuple[str, str], Load]
) -> Iterator[Violation]:
    staging = contract(f"staging.{stated.table}")
    types = {column.source: "VARCHAR" for column in staging.columns.values()}
    # Rows that a rule will set aside have their generation too.
    generation = _GENERATION[stated.table].replace("total_amount::", "total_amount::DOUBLE::")
    found = _partitions(con, stated, generation, types)
    yield from _against_ledger(stated, found, latest, rows=lambda number: fates(number).read, is_raw=True)


def _mart(
    con: duckdb.DuckDBPyConnection, stated: Contract, table: str, latest: Mapping[tuple[str, str], Load]
) -> Iterator[Violation]:
    types = {column.name: column.duckdb_type for column in stated.columns.values()}
    if stated.partition.dimensions:
        yield from _against_ledger(stated, _partitions(con, stated, _GENERATION[table], types), latest)
        return
    yield from whole(con, stated.name, table)
    row = con.execute(f"SELECT count(*), {content_hash_sql(types)} FROM lake.{stated.name}").fetchone()
    load = latest.get((stated.name, ""))
    if load is not None and row != (load.rows_accepted, load.content_hash):
        yield Violation("torn", f"`{stated.name}`: its rows are not those of its latest load")


def whole(con: duckdb.DuckDBPyConnection, relation: str, table: str) -> list[Violation]:
    """Whether each day that a mart, or a published view, shows is one generation, whole and once."""
    id_, generation = _ID[table], _GENERATION[table]
    rows = con.execute(
        f"SELECT {_MART_DAY.format(id=id_)}, min({generation}), max({generation}), count(*), count(DISTINCT {id_}) "
        f"FROM lake.{relation} GROUP BY 1"
    ).fetchall()
    return [
        found
        for day, first, last, count, different in rows
        if (found := _judged(f"`{relation}` of day {day}", first, last, count, different, fates(first).accepted))
    ]


def _partitions(
    con: duckdb.DuckDBPyConnection, stated: Contract, generation: str, types: Mapping[str, str]
) -> dict[str, tuple[Any, ...]]:
    """Per partition: first and last generation, rows, different ids, content hash."""
    by, id_ = stated.partition.columns, _ID[stated.table.removeprefix("fct_").removeprefix("dim_")]
    rows = con.execute(
        f"SELECT {names(by)}, min({generation}), max({generation}), count(*), count(DISTINCT {id_}), "
        f"{content_hash_sql(types)} FROM lake.{stated.name} GROUP BY {names(by)}"
    ).fetchall()
    return {stated.partition.key(dict(zip(by, row, strict=False))): row[len(by) :] for row in rows}


def _against_ledger(
    stated: Contract,
    found: Mapping[str, tuple[Any, ...]],
    latest: Mapping[tuple[str, str], Load],
    rows: Any = lambda number: fates(number).accepted,
    *,
    is_raw: bool = False,
) -> Iterator[Violation]:
    for key, (first, last, count, different, digest) in found.items():
        merged = fates(first).merged if is_raw else 0
        where = f"`{stated.name}` {key}"
        wrong = _judged(where, first, last, count, different + merged, rows(first))
        if wrong:
            yield wrong
        load = latest.get((stated.name, key))
        if load is None:
            yield Violation("doubled", f"{where} has rows and no load")
        elif load.content_hash != digest:
            yield Violation("torn", f"{where}: its rows are not those of its latest load")
        elif load.rows_accepted != count:
            yield Violation("sum", f"{where}: {count} rows, {load.rows_accepted} in the ledger")
    for asset, key in latest:
        if asset == stated.name and key not in found:
            yield Violation("lost", f"`{asset}` {key} has a load and no rows")


def _judged(where: str, first: int, last: int, count: int, different: int, wanted: int) -> Violation | None:
    if first != last:
        return Violation("torn", f"{where} holds generations {first} to {last}")
    if count > different:
        return Violation("doubled", f"{where} holds {count} rows of {different}")
    if count != wanted:
        return Violation("torn", f"{where} holds {count} of {wanted} rows of generation {first}")
    return None


def readers_see(con: duckdb.DuckDBPyConnection) -> tuple[set[int], list[Violation]]:
    """The versions that the published views show now, and what is wrong with what they show: all of it in one transaction."""
    con.execute("BEGIN TRANSACTION")
    try:
        return {view.version for view in published_views(con)}, list(_published(con))
    finally:
        con.execute("COMMIT")


def _published(con: duckdb.DuckDBPyConnection) -> Iterator[Violation]:
    views = published_views(con)
    for table in sorted(set(_PUBLISHED) - {view.table for view in views}):
        yield Violation("readers", f"`published.{table}` shows no version")
    for view in views:
        if view.problem:
            yield Violation("readers", f"`published.{view.table}`: {view.problem}")
    if len({view.version for view in views}) > 1:
        yield Violation("readers", f"views of one publish show {sorted({view.version for view in views})}")
    for view in views:
        if view.table in _PUBLISHED and not view.problem:
            found = whole(con, f"published.{view.table}", _PUBLISHED[view.table])
            yield from (Violation("readers", violation.said) for violation in found)
