"""Judges the rows of any relation with a contract's columns, as a mart's audit does: typed rows with a bit per rule.

Nothing is copied where a plain query can say it: the relation is read once for repeated keys and once more by whoever
reads `judged`, so memory depends on neither its size nor its width. The relation must give the same rows each time.

What it makes on the connection: `taken` (keys that some rows may not have), the view `candidate_rows` (typed) and
`judged` (those, and `_broken`): a view, or a table where a rule is judged by steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from data_platform.contracts.model import Contract
from data_platform.lake.attach import memory_limit
from data_platform.lake.grouping import many_groups
from data_platform.lake.sql import ident, names, table_name
from data_platform.quality.compiler import Judge, broken_mask
from data_platform.quality.parents import lookups
from data_platform.quality.python_rules import judge_in_python
from data_platform.quality.raw_rows import in_partitions

MEMORY_PER_KEY = 4 * 80
"""Distinct keys that one pass holds take some 80 bytes each, in a quarter of the engine's memory; what a pass more costs
is a scan of the key alone."""


def judge_rows(
    con: duckdb.DuckDBPyConnection, judging: Judge, relation: str, building: Sequence[str] | None = None
) -> None:
    """Makes `candidate_rows` and `judged`. A key breaks the rule where it is repeated within its scope; with `building`, the
    partition keys that are built, also where another partition of the table in the lake has it."""
    contract = judging.contract
    for name in ("judged", "candidate_rows"):
        _drop(con, name)
    columns = ", ".join(
        f"CAST({ident(c.name)} AS {c.duckdb_type}) AS {ident(c.name)}" for c in contract.columns.values()
    )
    con.execute(f"CREATE TEMP VIEW candidate_rows AS SELECT {columns} FROM {relation}")
    taken = _find_taken(con, contract, building)
    kind = "TABLE" if judging.in_steps else "VIEW"
    con.execute(f"CREATE TEMP {kind} judged AS {_judged_sql(judging, taken)}")
    judge_in_python(con, contract, judging.rules)


def _keys_at_once(con: duckdb.DuckDBPyConnection) -> int:
    return max(1, memory_limit(con) // MEMORY_PER_KEY)


def _drop(con: duckdb.DuckDBPyConnection, name: str) -> None:
    """The one before may have been a table or a view."""
    found = con.execute(
        "SELECT 'TABLE' FROM duckdb_tables() WHERE temporary AND table_name = $1 "
        "UNION ALL SELECT 'VIEW' FROM duckdb_views() WHERE temporary AND view_name = $1",
        [name],
    ).fetchone()
    if found:
        con.execute(f"DROP {found[0]} {ident(name)}")


def _judged_sql(judging: Judge, taken: Sequence[str]) -> str:
    contract = judging.contract
    found, joins = lookups(contract, in_time=False)
    rows = f"""
        WITH typed AS (FROM candidate_rows),
        looked_up AS (SELECT typed.*{found} FROM typed {joins}),
        masked AS (SELECT {names(contract.columns)}, {broken_mask(judging.rules)} AS _broken FROM looked_up)"""
    if not taken:
        return f"{rows} FROM masked"
    same = " AND ".join(f"masked.{ident(part)} IS NOT DISTINCT FROM taken.{ident(part)}" for part in taken)
    bit = f"CASE WHEN taken._taken THEN {judging.key_bit} ELSE 0 END::UBIGINT"
    return f"{rows} SELECT masked.* REPLACE (_broken | {bit} AS _broken) FROM masked LEFT JOIN taken ON {same}"


def _find_taken(con: duckdb.DuckDBPyConnection, contract: Contract, building: Sequence[str] | None) -> tuple[str, ...]:
    """Fills `taken` and gives the columns by which a row agrees with it: none when nothing is taken."""
    if contract.key is None:
        return ()
    own = contract.partition.columns if contract.key.scope == "partition" else ()
    key = tuple(dict.fromkeys((*own, *contract.key.columns)))
    (rows,) = con.execute("SELECT count(*) FROM candidate_rows").fetchone() or (0,)
    passes = rows // _keys_at_once(con) + 1
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE taken AS SELECT {names(key)}, true AS _taken FROM candidate_rows LIMIT 0"
    )
    with many_groups(con):
        for number in range(passes):
            part = f"WHERE hash({names(key)}) % {passes} = {number}" if passes > 1 else ""
            con.execute(
                f"INSERT INTO taken SELECT {names(key)}, true FROM candidate_rows {part} GROUP BY {names(key)} HAVING count(*) > 1"
            )
    if building is not None and contract.key_spans_partitions:
        _add_elsewhere(con, contract, building)
    return key if con.execute("FROM taken LIMIT 1").fetchone() else ()


def _add_elsewhere(con: duckdb.DuckDBPyConnection, contract: Contract, building: Sequence[str]) -> None:
    """Keys that a partition of the table that is not being built has."""
    assert contract.key is not None
    key = contract.key.columns
    others = in_partitions(contract, [contract.partition.values(each) for each in building])
    found = ", ".join(f"c.{ident(part)}" for part in key)
    same, known = (" AND ".join(f"c.{ident(k)} IS NOT DISTINCT FROM {side}.{ident(k)}" for k in key) for side in "ot")
    # A plain join: the engine hashes the smaller side, be it the build or all that was built before.
    con.execute(f"""
        INSERT INTO taken
        SELECT DISTINCT {found}, true FROM candidate_rows AS c
        JOIN (SELECT {names(key)} FROM {table_name(contract.name).sql} WHERE NOT {others}) AS o ON {same}
        WHERE NOT EXISTS (SELECT 1 FROM taken AS t WHERE {known})""")
