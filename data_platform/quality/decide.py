"""What people decide about quarantined rows: a fix or a discard, kept as patches of the records they are about.

Screening a record's partition again (a replay) is what moves rows, so a row lands once and in its own partition, and a
later load of the same file meets the same decision. Judging stays `judging.py`'s.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import sqlglot
from sqlglot import expressions as exp

from data_platform.contracts.model import Contract
from data_platform.errors import UsageError, did_you_mean
from data_platform.lake.lake import Lake
from data_platform.lake.ledger import insert
from data_platform.lake.patches import Action, PatchKind, action_row, has_patches, insert_patches, latest_patches
from data_platform.lake.sql import ident, text
from data_platform.quality.compiler import Judge
from data_platform.quality.inbox import WAITING, Pick, Row, partitions
from data_platform.quality.judging import judge
from data_platform.quality.raw_rows import identity, in_partitions, key_sql, patched, raw_rows
from data_platform.quality.results import mask

STATUS_AFTER: Mapping[PatchKind, str] = {"fix": "fixed", "discard": "discarded", "reopen": "open"}
CHUNK_PARTITIONS = 100  # judged at once: bounded memory for any fix


@dataclass(frozen=True)
class Proposal:
    """What a fix would do: rows it changes, rows picked that it leaves as they are, rows that cannot be read at all;
    of the changed ones those that would be accepted, and the rest by the first rule they still break. `examples` are
    masked texts before and after."""

    changed: int
    unchanged: int
    unreadable: int
    accepted: int
    still_broken: Mapping[str, int]
    examples: Sequence[Row]


def assignments(contract: Contract, texts: Sequence[str]) -> dict[str, str]:
    """Column name to SQL expression, from texts such as `email = lower(trim(email))`. Raises `UsageError`."""
    found: dict[str, str] = {}
    for given in texts:
        try:
            parsed = sqlglot.parse_one(f"UPDATE t SET {given}", read="duckdb")
        except sqlglot.errors.SqlglotError:
            parsed = None
        # Whatever else an UPDATE may have (FROM, WHERE, RETURNING …) would be left out in silence.
        is_plain = isinstance(parsed, exp.Update) and not any(
            found for part, found in parsed.args.items() if part not in ("this", "expressions")
        )
        sets = parsed.expressions if parsed is not None and is_plain else []
        if not sets or not all(isinstance(part, exp.EQ) and isinstance(part.this, exp.Column) for part in sets):
            raise UsageError(
                f"`--set {given}` cannot be read as `column = expression`.",
                fix="write it as --set 'email = lower(trim(email))'",
            )
        for part in sets:
            name = part.this.name
            if name not in contract.columns:
                raise UsageError(
                    f"`{contract.name}` has no column `{name}`.{did_you_mean(name, contract.columns)}",
                    fix=f"use one of {', '.join(contract.columns)}",
                )
            if name in found:
                raise UsageError(f"`--set` gives `{name}` twice.", fix="give each column one expression")
            found[name] = part.expression.sql(dialect="duckdb")
    return found


def _cannot(error: duckdb.Error, contract: Contract) -> str:
    said = str(error).splitlines()[0]
    unknown = re.search(r'Referenced column "(.+?)" not found', said)
    if unknown:
        return f"`{contract.name}` has no column `{unknown[1]}`.{did_you_mean(unknown[1], contract.columns)}"
    if isinstance(error, (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException)):
        return f"The fix cannot be evaluated: {said}"
    if any(column.pii for column in contract.columns.values()):
        # What fails on rows may tell their values; where they stand, no pattern knows.
        return f"The fix cannot be evaluated: {said.partition(':')[0]} on a value of some row."
    return f"The fix cannot be evaluated: {said}"


def propose(con: duckdb.DuckDBPyConnection, pick: Pick, sets: Mapping[str, str], shown_rows: int = 10) -> Proposal:
    """Makes the temporary table `proposed` (`_hash`, `_number`, `_key`, `_changes`), one row per record, and says what it
    would do under the contract as it is now. In an expression a column is the text of the raw record, earlier fixes applied; its name is the
    contract's. Raises `UsageError` with the engine's words for an expression that cannot be evaluated."""
    contract = pick.contract
    already = latest_patches(contract.name) if has_patches(con, contract.name) else None
    places = [contract.partition.values(key) for key in partitions(con, pick, WAITING)]
    within = in_partitions(contract, places) if places else "false"
    record = identity(contract)
    picked = f"SELECT ({record}) FROM {pick.table} WHERE {pick.where} AND status <> 'discarded'"
    raw = raw_rows(con, contract, f"{within} AND ({record}) IN ({picked})")
    columns = contract.columns.values()
    texts = ", ".join(f"{ident(column.source)} AS {ident(column.name)}" for column in columns)
    kept = _patched_columns(con, contract, already) if already else set()
    changes = ", ".join(
        f"{ident(column.source)} := {ident(f'new:{column.name}') if column.name in sets else ident(column.name)}"
        for column in columns
        if column.name in sets or column.source in kept
    )
    differs = " OR ".join(f"{ident(name)} IS DISTINCT FROM {ident(f'new:{name}')}" for name in sets)
    values = ", ".join(f"CAST(({sql}) AS VARCHAR) AS {ident(f'new:{name}')}" for name, sql in sets.items())
    try:
        con.execute(f"""
            CREATE OR REPLACE TEMP TABLE proposed AS
            WITH came AS (
                SELECT _file, _file_hash AS _hash, _record AS _number, {key_sql(contract)} AS _key, _defect, {texts}
                FROM ({patched(contract, raw, already)}))
            SELECT DISTINCT ON (_hash, _number, _key) _file, _hash, _number, _key, {differs} AS _differs,
                _defect IS NOT NULL AS _unreadable, to_json(struct_pack({changes})) AS _changes, {", ".join(ident(name) for name in sets)}, COLUMNS('^new:')
            FROM (SELECT *, {values} FROM came)""")
    except duckdb.Error as error:
        raise UsageError(_cannot(error, contract), fix="try the expression with --dry-run") from None
    changed, unchanged, unreadable = con.execute("""
        SELECT count(*) FILTER (_differs AND NOT _unreadable), count(*) FILTER (NOT _differs AND NOT _unreadable),
            count(*) FILTER (_unreadable)
        FROM proposed""").fetchone() or (0, 0, 0)
    con.execute("DELETE FROM proposed WHERE _unreadable OR NOT _differs")
    accepted, still = _verdicts(con, pick, already)
    return Proposal(changed, unchanged, unreadable, accepted, still, _examples(con, contract, sets, shown_rows))


def _patched_columns(con: duckdb.DuckDBPyConnection, contract: Contract, patches: str) -> set[str]:
    rows = con.execute(f"SELECT DISTINCT unnest(json_keys(changes)) FROM ({patches}) WHERE kind = 'fix'").fetchall()
    return {name for (name,) in rows} & {column.source for column in contract.columns.values()}


def _verdicts(con: duckdb.DuckDBPyConnection, pick: Pick, already: str | None) -> tuple[int, Mapping[str, int]]:
    """How many proposed rows would be accepted or merged, and the others by the first rule they break."""
    judging, contract = Judge.of(pick.contract), pick.contract
    patches = """SELECT _hash AS file_hash, _number AS record, _key AS partition_key, 'fix' AS kind, _changes AS changes,
        NULL AS reason FROM proposed"""
    if already:
        patches += f""" UNION ALL SELECT file_hash, record, partition_key, kind, changes, reason FROM ({already})
            WHERE (file_hash, record, partition_key) NOT IN (SELECT (_hash, _number, _key) FROM proposed)"""
    record = f"(_file_hash, _record, {key_sql(contract)})"
    keys, found = partitions(con, pick, WAITING), Counter[str | None]()
    for start in range(0, len(keys), CHUNK_PARTITIONS):
        chunk = [contract.partition.values(key) for key in keys[start : start + CHUNK_PARTITIONS]]
        judge(con, judging, chunk, patches)
        rows = con.execute(f"""
            SELECT CASE WHEN _fate = 'quarantined' THEN {judging.first_rule_sql()} END AS _rule, count(DISTINCT {record})
            FROM routed WHERE {record} IN (SELECT (_hash, _number, _key) FROM proposed) GROUP BY 1""").fetchall()
        found.update(dict(rows))
    accepted = found.pop(None, 0)
    return accepted, {str(rule): count for rule, count in found.most_common()}


def _examples(con: duckdb.DuckDBPyConnection, contract: Contract, sets: Mapping[str, str], limit: int) -> list[Row]:
    pairs = ", ".join(f"{ident(name)}, {ident(f'new:{name}')}" for name in sets)
    rows = con.execute(f"SELECT _file, _number, {pairs} FROM proposed ORDER BY ALL LIMIT {limit}").fetchall()
    found = []
    for file, record, *values in rows:
        row: Row = {"file": file, "record": record}
        for name, before, after in zip(sets, values[::2], values[1::2], strict=True):
            pii = contract.columns[name].pii or _read_pii(contract, sets[name])
            row |= {f"{name}, before": mask(before, pii), f"{name}, after": mask(after, pii)}
        found.append(row)
    return found


def _read_pii(contract: Contract, sql: str) -> str | None:
    """A kind of personal data where an expression may read some: it names such a column, in any case of letters, or
    anything that is none of the contract's other columns, such as `COLUMNS(…)`."""
    kinds = [column.pii for column in contract.columns.values() if column.pii]
    harmless = {column.name.lower() for column in contract.columns.values() if not column.pii}
    parsed = sqlglot.parse_one(sql, dialect="duckdb")
    read = {column.name.lower() for column in parsed.find_all(exp.Column)}
    return kinds[0] if kinds and (read - harmless or parsed.find(exp.Star, exp.Columns)) else None


def fix(lake: Lake, con: duckdb.DuckDBPyConnection, pick: Pick, sets: Mapping[str, str], reason: str) -> Action:
    """Keeps what `propose` made as patches and marks the rows `fixed`. The next load of their partitions applies them."""
    detail = ", ".join(f"{name} = {sql}" for name, sql in sets.items())
    rows = con.execute(f"""
        SELECT _hash AS file_hash, _number AS record, _key AS partition_key, _changes::VARCHAR AS changes, any_value(rules) AS rules
        FROM proposed JOIN {pick.table} ON _hash = _file_hash AND _number = _record AND _key = {key_sql(pick.contract)}
        GROUP BY ALL""").fetch_arrow_table()
    return decide(lake, pick, "fix", rows, detail, reason)


def discard(lake: Lake, con: duckdb.DuckDBPyConnection, pick: Pick, reason: str) -> Action:
    """Marks the rows `discarded`, now and in every later load of their files; they stay where they are."""
    rows = con.execute(f"""
        SELECT _file_hash AS file_hash, _record AS record, {key_sql(pick.contract)} AS partition_key,
            NULL::VARCHAR AS changes, any_value(rules) AS rules
        FROM {pick.table} WHERE {pick.where} AND status <> 'discarded' GROUP BY ALL""").fetch_arrow_table()
    return decide(lake, pick, "discard", rows, "", reason)


def decide(lake: Lake, pick: Pick, kind: PatchKind, rows: pa.Table, detail: str, reason: str) -> Action:
    """Keeps a patch for each of the rows (`file_hash`, `record`, `partition_key`, `changes`, `rules`) and gives those that
    are in quarantine their status, in one commit. Nothing for no rows."""
    places = sorted(set(rows.column("partition_key").to_pylist()))
    action = Action(kind, pick.contract.name, len(rows), tuple(places), str(pick), detail, reason)

    def write(inside: duckdb.DuckDBPyConnection) -> None:
        inside.register("_decided", rows)
        try:
            insert(inside, "actions", [action_row(action)])
            insert_patches(inside, action, kind, "FROM _decided")
            inside.execute(f"""
                UPDATE {pick.table} SET status = {text(STATUS_AFTER[kind])}
                WHERE (_file_hash, _record, {key_sql(pick.contract)}) IN (SELECT (file_hash, record, partition_key) FROM _decided)""")
        finally:
            inside.unregister("_decided")

    if len(rows):
        lake.commit((), check=write, message=f"{kind} {len(rows)} rows of {pick.table.removeprefix('lake.')}")
    return action


def record(lake: Lake, action: Action) -> None:
    """Writes an action that changed no patch, such as a replay."""

    def write(inside: duckdb.DuckDBPyConnection) -> None:
        insert(inside, "actions", [action_row(action)])

    lake.commit((), check=write, message=f"{action.action} {action.asset}")
