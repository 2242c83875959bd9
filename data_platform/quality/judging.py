"""Judges raw rows of some partitions in one scan and gives each row its fate. Temporary tables only; commits nothing.

Tables it makes on the connection: `judged` (one row per raw row: origin, typed columns, `_broken` bits, `_row` as JSON
where something is broken, `_discarded` with the reason of a row that somebody discarded), `fates` (rowids that a set
rule decides), and the view `routed` (judged with `_fate`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import duckdb

from data_platform.contracts.model import Contract
from data_platform.contracts.partitioning import Values
from data_platform.errors import KeyConflict
from data_platform.lake.sql import ident, names, table_name
from data_platform.quality.compiler import CompiledRule, broken_mask, compile_rules, mask_of, raw_text, typed_value
from data_platform.quality.python_rules import judge_in_python
from data_platform.quality.raw_rows import ORIGIN, identity, in_partitions, patched, raw_rows, row_pack

CHUNK_ROWS = 4_000_000


@dataclass(frozen=True)
class Judge:
    """A contract ready to judge: its row rules, and the bit of its `key` rule."""

    contract: Contract
    rules: tuple[CompiledRule, ...]

    @classmethod
    def of(cls, contract: Contract) -> Judge:
        return cls(contract, compile_rules(contract))

    @property
    def key_bit(self) -> int:
        return 1 << len(self.rules)

    @property
    def discard_bit(self) -> int:
        return self.key_bit << 1

    @property
    def set_aside(self) -> int:
        """Bits that take a row out of the accepted ones."""
        return mask_of(self.rules, "quarantine", "fail") | self.key_bit | self.discard_bit

    @property
    def held(self) -> int:
        """Bits of the rules whose rows wait for a parent."""
        return sum(
            1 << rule.bit for rule in self.rules if rule.rule.foreign_key is not None and rule.rule.foreign_key.held
        )

    def bits(self) -> list[tuple[str, int]]:
        """Rule names with their bits, `key` last."""
        found = [(rule.rule.name, 1 << rule.bit) for rule in self.rules]
        return [*found, ("key", self.key_bit)] if self.contract.key else found


def judge(
    con: duckdb.DuckDBPyConnection, judging: Judge, partitions: Sequence[Values], patches: str | None = None,
    unmoved: Sequence[Values] = (), *, verdicts_only: bool = False,
) -> None:  # fmt: skip
    """Makes `judged`, `fates` and `routed` for these partitions of the contract's raw table. `patches` is a query of
    the patches to apply, at most one per record, with the columns of `ops.patches`. With `verdicts_only` the values are
    left out, but for those that decide.

    Of two partitions that have a key the earlier one keeps it, in whichever order they are loaded: `later_holders` names
    those to judge along with these; later ones among `unmoved` keep theirs."""
    contract = judging.contract
    con.execute("DROP VIEW IF EXISTS routed")
    judged = _judged_sql(judging, typed_sql(con, contract, partitions, patches), patches is not None, verdicts_only)
    con.execute(f"CREATE OR REPLACE TEMP TABLE judged AS {judged}")
    judge_in_python(con, contract, judging.rules)
    con.execute("CREATE OR REPLACE TEMP TABLE fates (_id BIGINT, _fated VARCHAR, _why VARCHAR)")
    if contract.key:
        _decide_keys(con, judging, partitions, unmoved)
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


def chunks(read: Mapping[str, int], most: int) -> Iterator[list[str]]:
    """Partition keys in the order given, so that one scan holds `CHUNK_ROWS` rows and `most` partitions: bounded memory
    for any range. A larger partition is a chunk of its own."""
    chunk, rows = list[str](), 0
    for key, count in read.items():
        if chunk and (rows + count > CHUNK_ROWS or len(chunk) >= most):
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
    refs, joins = _references(contract)
    return f"""
        WITH texts AS (
            SELECT {names(_lead(contract))}, _defect, _extra, _raw, _discarded, {texts} FROM ({patched(contract, raw, patches)})),
        typed AS (SELECT *, {casts} FROM texts)
        SELECT typed.*{refs} FROM typed {joins}"""


def _lead(contract: Contract) -> tuple[str, ...]:
    return (*contract.partition.columns, *ORIGIN)


def _judged_sql(judging: Judge, typed: str, may_be_discarded: bool, verdicts_only: bool) -> str:
    contract, kept, row = judging.contract, list(judging.contract.columns), "to_json(_raw)::VARCHAR"
    bit = judging.discard_bit if may_be_discarded else 0
    if verdicts_only:
        key = contract.key.columns if contract.key else ()
        deciding = {*key, contract.event_time, *(name for rule in contract.python_rules for name in rule.columns)}
        kept, row = [name for name in kept if name in deciding], "NULL::VARCHAR"
    return f"""
        SELECT {names((*_lead(contract), *kept))}, _broken, _defect, _extra, _discarded,
            CASE WHEN _broken <> 0 THEN {row} END AS _row
        FROM (SELECT *, ({broken_mask(judging.rules)} | CASE WHEN _discarded IS NULL THEN 0 ELSE {bit} END::UBIGINT) AS _broken
            FROM ({typed}))"""


def _references(contract: Contract) -> tuple[str, str]:
    """A parent counts when it arrived in the same partition or an earlier one, so that the verdict does not depend on
    what else happens to be loaded; a child that is held is judged again instead."""
    selects, joins = "", ""
    by = contract.partition.columns
    for number, fk in enumerate(contract.foreign_keys):
        parent = f"parent_{number}"
        to, own = ident(fk.to), ident(fk.column)
        first = f"min({ident(by[0])})" if len(by) == 1 else "TRUE"
        joins += (
            f" LEFT JOIN (SELECT {to} AS id, {first} AS first_seen FROM {table_name(fk.references).sql}"
            f" WHERE {to} IS NOT NULL GROUP BY {to}) AS {parent} ON typed.{own} = {parent}.id"
        )
        in_time = f"{parent}.first_seen <= typed.{ident(by[0])}" if len(by) == 1 else f"{parent}.first_seen"
        seen = f"{parent}.id IS NOT NULL" if fk.held else in_time
        selects += f", {seen} AS {ident(f'ref:{fk.column}')}"
    return selects, joins


def _decide_keys(
    con: duckdb.DuckDBPyConnection, judging: Judge, partitions: Sequence[Values], unmoved: Sequence[Values]
) -> None:
    """Fills `fates`: rules first, then conflicts with other partitions, then the latest of what is left."""
    contract = judging.contract
    assert contract.key is not None
    by = contract.partition.columns
    whole_table = contract.key.scope == "table" and bool(by)
    alike = contract.key.columns if whole_table else (*by, *contract.key.columns)
    candidates = f"(SELECT rowid AS _id, * FROM judged WHERE _broken & {judging.set_aside} = 0)"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE repeated AS SELECT {names(alike)} FROM {candidates} GROUP BY ALL HAVING count(*) > 1"
    )
    same = " AND ".join(f"c.{ident(part)} IS NOT DISTINCT FROM r.{ident(part)}" for part in alike)
    rivals = ", ".join(f"c.{ident(part)}" for part in alike)
    place = f"row({names(by)})" if by else "row(1)"
    latest = f"{ident(contract.event_time)} DESC NULLS LAST, " if contract.event_time else ""
    if whole_table:
        _decide_taken(con, contract, candidates, partitions, unmoved)
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


def _decide_taken(
    con: duckdb.DuckDBPyConnection, contract: Contract, candidates: str, partitions: Sequence[Values],
    unmoved: Sequence[Values],
) -> None:  # fmt: skip
    """Makes `taken`: rows whose key another partition of the table, outside this load, holds already, and whether that
    one keeps it. Earlier ones do."""
    assert contract.key is not None
    same = " AND ".join(f"c.{ident(part)} IS NOT DISTINCT FROM t.{ident(part)}" for part in contract.key.columns)
    by = contract.partition.columns
    stays = f"({in_partitions(contract, unmoved)})" if unmoved else "false"
    own, theirs = (", ".join(f"{side}.{ident(name)}" for name in by) for side in "ct")
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE taken AS
        SELECT c._id, t.* EXCLUDE ({names(contract.key.columns)}, _stays), row({theirs}) < row({own}) OR t._stays AS _keeps
        FROM {candidates} AS c JOIN (
            SELECT {names(contract.key.columns)}, {names(by)}, {stays} AS _stays
            FROM {table_name(contract.name).sql} WHERE NOT {in_partitions(contract, partitions)}) AS t ON {same}""")
    con.execute(f"""
        INSERT INTO fates
        SELECT _id, 'conflict', 'the partition ' || {_place_text(f"min(row({names(by)}))")} || ' has it already'
        FROM taken WHERE _keeps GROUP BY _id""")


def later_holders(con: duckdb.DuckDBPyConnection, contract: Contract) -> list[Values]:
    """Partitions outside the load whose rows lose their key to a row that was just judged as accepted."""
    if contract.key is None or contract.key.scope != "table" or not contract.partition.columns:
        return []
    by = names(contract.partition.columns)
    rows = con.execute(
        f"SELECT DISTINCT {by} FROM taken WHERE _id NOT IN (SELECT _id FROM fates) ORDER BY ALL"
    ).fetchall()
    return [dict(zip(contract.partition.columns, place, strict=True)) for place in rows]


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


def _place_text(place: str) -> str:
    return f"trim({place}::VARCHAR, '()')"


def refuse_taken_keys(
    contract: Contract, partitions: Sequence[Values], expected: int, con: duckdb.DuckDBPyConnection
) -> None:
    """Runs inside the gate and sees the new rows. Nothing to do unless another load of this table committed since we
    judged. Raises `KeyConflict`."""
    if contract.key is None or committed_loads(con, contract) == expected:
        return
    keys, table, ours = names(contract.key.columns), table_name(contract.name).sql, in_partitions(contract, partitions)
    taken = con.execute(f"""
        SELECT {keys} FROM {table} WHERE {ours} INTERSECT SELECT {keys} FROM {table} WHERE NOT {ours} LIMIT 1""").fetchone()
    if taken:
        raise KeyConflict(
            f"`{contract.name}`: the key {taken} was committed by another partition while this load was judged."
        )


Inputs = tuple[dict[str, str], int]


def inputs_of(con: duckdb.DuckDBPyConnection, contract: Contract) -> Inputs:
    """What a screening reads besides other partitions of its table: the latest load of each raw partition, and how many
    decisions there are."""
    rows = con.execute(
        "SELECT partition_key, arg_max(load_id, snapshot_id) FROM lake.ops.loads "
        "WHERE asset = ? AND outcome = 'committed' GROUP BY 1", [f"raw.{contract.table}"],
    ).fetchall()  # fmt: skip
    (decided,) = con.execute("SELECT count(*) FROM lake.ops.patches WHERE asset = ?", [contract.name]).fetchone() or (
        0,
    )
    return dict(rows), int(decided)


def refuse_stale_inputs(contract: Contract, keys: Sequence[str], seen: Inputs, con: duckdb.DuckDBPyConnection) -> None:
    """Runs inside the gate: what was judged must not replace what came after. Raises `KeyConflict`, as a lost race."""
    loads, decided = inputs_of(con, contract)
    if decided != seen[1] or any(loads.get(key) != seen[0].get(key) for key in keys):
        raise KeyConflict(f"`{contract.name}`: a raw partition or a decision came in while this load was judged.")


def committed_loads(con: duckdb.DuckDBPyConnection, contract: Contract) -> int:
    row = con.execute(
        "SELECT count(*) FROM lake.ops.loads WHERE asset = ? AND outcome = 'committed'", [contract.name]
    ).fetchone()
    return int(row[0]) if row else 0
