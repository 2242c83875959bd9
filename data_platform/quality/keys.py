"""Which of the rows that share a key is kept: the fates that `judged` rows have for it. Temporary tables only."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from data_platform.contracts.model import Contract
from data_platform.contracts.partitioning import Values
from data_platform.lake.grouping import many_groups
from data_platform.lake.sql import ident, names, table_name, text
from data_platform.quality.compiler import Judge
from data_platform.quality.raw_rows import in_partitions

_WITH_BOUNDS = ("VARCHAR", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "DATE", "TIMESTAMP")


def holds_key(contract: Contract) -> str:
    """A condition on rows of the table: none of the parts that a key must have is missing. A part that could not be read
    is NULL, where the contract lets such rows in, and equals nothing."""
    parts = contract.key.columns if contract.key else ()
    return " AND ".join(f"{ident(part)} IS NOT NULL" for part in parts if not contract.columns[part].nullable) or "true"


def same_key(contract: Contract, parts: Sequence[str], left: str, right: str) -> str:
    """A condition that rows of two relations agree in these columns, of the key or the partition. Plain equality where
    there is no NULL: the engine knows more plans for it."""
    key = contract.key.columns if contract.key else ()
    nullable = {part for part in key if contract.columns[part].nullable}
    return " AND ".join(
        f"{left}.{ident(part)} {'IS NOT DISTINCT FROM' if part in nullable else '='} {right}.{ident(part)}"
        for part in parts
    )


def elsewhere(contract: Contract, partitions: Sequence[Values], drafted: Sequence[Values]) -> str:
    """A relation of the rows that the table has, or will have, in other partitions than these: key columns, those that
    its own foreign keys refer to, and partition."""
    table = table_name(contract.name).sql
    if not drafted:
        return f"(SELECT {_shared(contract)} FROM {table} WHERE NOT {in_partitions(contract, partitions)})"
    return f"""(
        SELECT {_shared(contract)} FROM {table} WHERE NOT {in_partitions(contract, [*partitions, *drafted])}
        UNION ALL FROM drafted WHERE NOT {in_partitions(contract, partitions)})"""


def _shared(contract: Contract) -> str:
    key = contract.key.columns if contract.key else ()
    own = [fk.to for fk in contract.foreign_keys if fk.references == contract.name]
    return names(dict.fromkeys((*key, *own, *contract.partition.columns))) or "1"


def keep_drafted(con: duckdb.DuckDBPyConnection, contract: Contract, *, anew: bool) -> None:
    """Adds what is accepted in `routed` to the temporary table `drafted`."""
    rows = f"SELECT {_shared(contract)} FROM routed WHERE _fate = 'accepted'"
    con.execute(f"CREATE OR REPLACE TEMP TABLE drafted AS {rows}" if anew else f"INSERT INTO drafted {rows}")


def drop_drafted(con: duckdb.DuckDBPyConnection, contract: Contract, partitions: Sequence[Values]) -> None:
    """Takes partitions that are judged again out of it."""
    con.execute(f"DELETE FROM drafted WHERE {in_partitions(contract, partitions)}")


def decide_keys(
    con: duckdb.DuckDBPyConnection, judging: Judge, partitions: Sequence[Values], unmoved: Sequence[Values],
    drafted: Sequence[Values],
) -> None:  # fmt: skip
    """Fills `fates`: rules first, then conflicts with other partitions, then the latest of what is left."""
    contract = judging.contract
    assert contract.key is not None
    by = contract.partition.columns
    whole_table = contract.key_spans_partitions
    alike = contract.key.columns if whole_table else (*by, *contract.key.columns)
    candidates = f"(SELECT rowid AS _id, * FROM judged WHERE _broken & {judging.set_aside | judging.without_key} = 0)"
    with many_groups(con):
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE repeated AS SELECT {names(alike)} FROM {candidates} GROUP BY ALL HAVING count(*) > 1"
        )
    same = same_key(contract, alike, "c", "r")
    rivals = ", ".join(f"c.{ident(part)}" for part in alike)
    place = f"row({names(by)})" if by else "row(1)"
    latest = f"{ident(contract.event_time)} DESC NULLS LAST, " if contract.event_time else ""
    if whole_table:
        others = f"(FROM {elsewhere(contract, partitions, drafted)} WHERE {holds_key(contract)})"
        _decide_taken(con, contract, candidates, others, unmoved)
    con.execute(f"""
        INSERT INTO fates
        WITH rivals AS (
            SELECT c.*, {place} AS _place, min({place}) OVER (PARTITION BY {rivals}) AS _first
            FROM {candidates} AS c SEMI JOIN repeated AS r ON {same}
            WHERE c._id NOT IN (SELECT _id FROM fates)),
        ranked AS (
            SELECT _id, _place, _first, row_number() OVER (
                PARTITION BY {names(alike)}, _place ORDER BY {latest}_file DESC, _record DESC) AS _rank
            FROM rivals)
        SELECT _id, CASE WHEN _place <> _first THEN 'conflict' ELSE 'merged' END,
            CASE WHEN _place <> _first THEN 'the partition ' || {_place_text("_first")} || ' has it already' END
        FROM ranked WHERE _place <> _first OR _rank > 1""")
    if whole_table:
        _decide_discarded(con, judging, others, unmoved)


def _decide_taken(
    con: duckdb.DuckDBPyConnection, contract: Contract, candidates: str, others: str, unmoved: Sequence[Values]
) -> None:
    """Makes `taken`: rows whose key another partition of the table, outside this load, holds already, and whether that
    one keeps it. Earlier ones do."""
    assert contract.key is not None
    same = same_key(contract, contract.key.columns, "c", "t")
    by = contract.partition.columns
    stays = f"({in_partitions(contract, unmoved)})" if unmoved else "false"
    own, theirs = (", ".join(f"{side}.{ident(name)}" for name in by) for side in "ct")
    within = _between(con, contract, candidates)
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE taken AS
        SELECT c._id, t.* EXCLUDE ({names(contract.key.columns)}, _stays), row({theirs}) < row({own}) OR t._stays AS _keeps
        FROM {candidates} AS c JOIN (
            SELECT {names(contract.key.columns)}, {names(by)}, {stays} AS _stays FROM {others} WHERE {within}) AS t ON {same}""")
    con.execute(f"""
        INSERT INTO fates
        SELECT _id, 'conflict', 'the partition ' || {_place_text(f"min(row({names(by)}))")} || ' has it already'
        FROM taken WHERE _keeps GROUP BY _id""")


def _between(con: duckdb.DuckDBPyConnection, contract: Contract, candidates: str) -> str:
    """A condition that the keys of candidates meet: between their least and greatest parts. Where keys grow with time it
    tells the engine which files of the other partitions it need not open."""
    assert contract.key is not None
    columns = [contract.columns[part] for part in contract.key.columns]
    bounded = [column for column in columns if column.duckdb_type in _WITH_BOUNDS and not column.nullable]
    ends = ", ".join(f"[min({ident(column.name)})::VARCHAR, max({ident(column.name)})::VARCHAR]" for column in bounded)
    found = con.execute(f"SELECT {ends} FROM {candidates}").fetchone() if bounded else None
    return (
        " AND ".join(
            f"{ident(column.name)} BETWEEN {text(low)}::{column.duckdb_type} AND {text(high)}::{column.duckdb_type}"
            for column, (low, high) in zip(bounded, found or (), strict=True)
            if low is not None and "\0" not in low + high  # no text of a statement holds one
        )
        or "true"
    )


def _decide_discarded(con: duckdb.DuckDBPyConnection, judging: Judge, others: str, unmoved: Sequence[Values]) -> None:
    """Rows that somebody discarded are no rivals for a key, but those that would have lost it are said to: `key` stays
    the rule under which people find them."""
    contract = judging.contract
    assert contract.key is not None
    if con.execute("SELECT 1 FROM judged WHERE _discarded IS NOT NULL LIMIT 1").fetchone() is None:
        return
    same = same_key(contract, contract.key.columns, "d", "k")
    key, place = names(contract.key.columns), f"row({names(contract.partition.columns)})"
    stays = in_partitions(contract, unmoved) if unmoved else "false"
    bad = (judging.set_aside & ~judging.discard_bit) | judging.without_key
    con.execute(f"""
        INSERT INTO fates
        SELECT d._id, 'conflict', 'the partition ' || {_place_text("min(k._place)")} || ' has it already'
        FROM (
            SELECT rowid AS _id, {key}, {place} AS _place FROM judged WHERE _discarded IS NOT NULL AND _broken & {bad} = 0
        ) AS d JOIN (
            SELECT {key}, {place} AS _place, false AS _stays FROM judged
            WHERE _broken & {judging.set_aside | judging.without_key} = 0 AND rowid NOT IN (SELECT _id FROM fates)
            UNION ALL
            SELECT {key}, {place}, {stays} FROM {others}
        ) AS k ON {same} AND (k._place < d._place OR k._stays) GROUP BY d._id""")


def later_holders(con: duckdb.DuckDBPyConnection, contract: Contract) -> list[Values]:
    """Partitions outside the load whose rows lose their key to a row that was just judged as accepted."""
    if contract.key is None or not contract.key_spans_partitions:
        return []
    by = names(contract.partition.columns)
    rows = con.execute(
        f"SELECT DISTINCT {by} FROM taken WHERE _id NOT IN (SELECT _id FROM fates) ORDER BY ALL"
    ).fetchall()
    return [dict(zip(contract.partition.columns, place, strict=True)) for place in rows]


def _place_text(place: str) -> str:
    return f"trim({place}::VARCHAR, '()')"
