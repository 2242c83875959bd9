"""Judges raw rows of some partitions in one scan and gives each row its fate. Temporary tables only; commits nothing.
What is asked of other tables is in `parents.py` and `keys.py`.

Tables it makes on the connection: `judged` (one row per raw row: origin, typed columns, `_broken` bits, `_row` as JSON
where something is broken, `_discarded` with the reason of a row that somebody discarded), `fates` (rowids that a set
rule decides), and the view `routed` (judged with `_fate`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import duckdb

from data_platform.contracts.model import Contract
from data_platform.contracts.partitioning import Values
from data_platform.lake.attach import memory_limit
from data_platform.lake.sql import ident, names
from data_platform.quality.compiler import Judge, broken_mask, raw_text, typed_value
from data_platform.quality.keys import decide_keys
from data_platform.quality.parents import judge_own_parents, lookups
from data_platform.quality.python_rules import judge_in_python
from data_platform.quality.raw_rows import ORIGIN, identity, in_partitions, patched, raw_rows, row_pack

CHUNK_ROWS, LEAST_ROWS = 16_000_000, 4_000_000
MEMORY_PER_VALUE = 4 * 24
"""The rows of a scan are kept as judged, some 24 bytes a value, in a quarter of the engine's memory; `LEAST_ROWS` of them in
any case, for the engine spills."""


def judge(
    con: duckdb.DuckDBPyConnection, judging: Judge, partitions: Sequence[Values], patches: str | None = None,
    unmoved: Sequence[Values] = (), drafted: Sequence[Values] = (), *, verdicts_only: bool = False,
) -> None:  # fmt: skip
    """Makes `judged`, `fates` and `routed` for these partitions of the contract's raw table. `patches` is a query of
    the patches to apply, at most one per record, with the columns of `ops.patches`. With `verdicts_only` the values are
    left out, but for those that decide.

    Of two partitions that have a key the earlier one keeps it, in whichever order they are loaded: `later_holders` names
    those to judge along with these; later ones among `unmoved` keep theirs. `drafted` partitions were judged before and
    are to be committed with these: what they hold is in the temporary table of that name, not in the lake yet."""
    contract = judging.contract
    con.execute("DROP VIEW IF EXISTS routed")
    judged = _judged_sql(judging, typed_sql(con, contract, partitions, patches), patches is not None, verdicts_only)
    con.execute(f"CREATE OR REPLACE TEMP TABLE judged AS {judged}")
    judge_in_python(con, contract, judging.rules)
    judge_own_parents(con, judging, partitions, drafted, in_time=True)
    con.execute("CREATE OR REPLACE TEMP TABLE fates (_id BIGINT, _fated VARCHAR, _why VARCHAR)")
    if contract.key:
        decide_keys(con, judging, partitions, unmoved, drafted)
    if not verdicts_only:
        _keep_rows(con, contract, partitions)
    con.execute(f"""
        CREATE TEMP VIEW routed AS
        SELECT judged.* REPLACE (
            (_broken | CASE WHEN _fated = 'conflict' THEN {judging.key_bit} ELSE 0 END)::UBIGINT AS _broken),
            CASE WHEN _broken & {judging.set_aside} <> 0 OR _fated = 'conflict' THEN 'quarantined'
                 WHEN _fated = 'merged' THEN 'merged' ELSE 'accepted' END AS _fate,
            _why AS _key_reason
        FROM judged LEFT JOIN fates ON judged.rowid = fates._id""")


def rows_at_once(con: duckdb.DuckDBPyConnection, contract: Contract) -> int:
    """How many rows one scan judges."""
    width = len(contract.columns) + len(_lead(contract))
    return min(CHUNK_ROWS, max(LEAST_ROWS, memory_limit(con) // (width * MEMORY_PER_VALUE)))


def chunks(read: Mapping[str, int], rows_at_once: int, most: int) -> Iterator[list[str]]:
    """Partition keys in the order given, so that one scan holds so many rows and `most` partitions: bounded memory for any
    range. A larger partition is a chunk of its own."""
    chunk, rows = list[str](), 0
    for key, count in read.items():
        if chunk and (rows + count > rows_at_once or len(chunk) >= most):
            yield chunk
            chunk, rows = [], 0
        chunk.append(key)
        rows += count
    if chunk:
        yield chunk


def typed_sql(
    con: duckdb.DuckDBPyConnection, contract: Contract, partitions: Sequence[Values], patches: str | None = None
) -> str:
    """A query of all that the rules look at, for the raw rows of these partitions: partition and origin, `raw:` texts,
    typed columns, `ref:` lookups."""
    cols = tuple(contract.columns.values())
    raw = raw_rows(con, contract, in_partitions(contract, partitions))
    texts = ", ".join(raw_text(column) for column in cols)
    casts = ", ".join(f"{typed_value(column)} AS {ident(column.name)}" for column in cols)
    refs, joins = lookups(contract, in_time=True)
    return f"""
        WITH texts AS (
            SELECT {names(_lead(contract))}, _defect, _extra, _raw, _discarded, {texts} FROM ({patched(contract, raw, patches)})),
        typed AS (SELECT *, {casts} FROM texts)
        SELECT typed.*{refs} FROM typed {joins}"""


def _lead(contract: Contract) -> tuple[str, ...]:
    return (*contract.partition.columns, *ORIGIN)


def _judged_sql(judging: Judge, typed: str, may_be_discarded: bool, verdicts_only: bool) -> str:
    contract, lead = judging.contract, _lead(judging.contract)
    kept, row = list(contract.columns), "to_json(_raw)::VARCHAR"
    bit = judging.discard_bit if may_be_discarded else 0
    if verdicts_only:
        key = contract.key.columns if contract.key else ()
        own = [name for fk in contract.foreign_keys if fk.references == contract.name for name in (fk.column, fk.to)]
        asked = [name for rule in contract.python_rules for name in rule.columns]
        deciding = {*key, contract.event_time, *own, *asked}
        kept, row = [name for name in kept if name in deciding], "NULL::VARCHAR"
        lead = tuple(name for name in lead if name not in ("_offset", "_bytes"))
    return f"""
        SELECT {names((*lead, *kept))}, _broken, _defect, _extra, _discarded,
            CASE WHEN _broken <> 0 THEN {row} END AS _row
        FROM (SELECT *, ({broken_mask(judging.rules)} | CASE WHEN _discarded IS NULL THEN 0 ELSE {bit} END::UBIGINT) AS _broken
            FROM ({typed}))"""


def _keep_rows(con: duckdb.DuckDBPyConnection, contract: Contract, partitions: Sequence[Values]) -> None:
    """Rows that only the key or a Python rule sets aside have no `_row` yet: fetch it from raw, for these few."""
    late = "(judged.rowid IN (SELECT _id FROM fates WHERE _fated = 'conflict') OR _broken <> 0) AND judged._row IS NULL"
    if con.execute(f"SELECT 1 FROM judged WHERE {late} LIMIT 1").fetchone() is None:
        return
    record = ("_file_hash", "_record", *contract.partition.columns)
    same = " AND ".join(f"judged.{ident(name)} = raw.{ident(name)}" for name in record)
    con.execute(f"""
        UPDATE judged SET _row = raw.text FROM (
            SELECT {identity(contract)}, to_json({row_pack(contract)})::VARCHAR AS text
            FROM ({raw_rows(con, contract, in_partitions(contract, partitions))})) AS raw
        WHERE {late} AND {same}""")
