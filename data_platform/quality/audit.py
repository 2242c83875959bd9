"""Audits candidate rows of a mart against its contract and commits the partitions that pass.

Write, audit, publish: what fails never enters the mart. Its rows are kept under `failed.<table>` until the
partition passes, the mart keeps the rows it had, and the ledger has the verdict of both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from data_platform.contracts.model import Contract
from data_platform.errors import KeyConflict, LoadFailed
from data_platform.lake.hashing import HASH_ALGORITHM, content_hash_sql
from data_platform.lake.lake import Audit, Lake, Slice
from data_platform.lake.ledger import utc_now
from data_platform.lake.outcomes import LoadRecord, Outcome, RuleResult, kept
from data_platform.lake.points import reached
from data_platform.lake.retrying import retrying
from data_platform.lake.sql import ident, names, text
from data_platform.lake.staging import removed_on_error
from data_platform.lake.storage import storage_errors
from data_platform.quality.bands import History
from data_platform.quality.candidate import judge_rows
from data_platform.quality.compiler import Judge
from data_platform.quality.measures import history_of, measure_sql, measured, verdicts
from data_platform.quality.parents import judge_own_parents
from data_platform.quality.races import KEY_RETRIES, committed_loads, refuse_taken_keys
from data_platform.quality.raw_rows import in_partitions
from data_platform.quality.recording import both, recording
from data_platform.quality.results import rule_results, samples

BLOCKING = ("quarantine", "fail", "merge")  # a mart has no quarantine: what may not be in it fails its partition
OnDone = Callable[[Outcome], None]


@dataclass(frozen=True)
class Candidate:
    """Rows of some partitions of a mart that nobody may read yet. `relation` is SQL that the connection can
    select from, and gives the same rows each time; `files`, where there are any, are the Parquet files it reads."""

    lake: Lake
    con: duckdb.DuckDBPyConnection
    judging: Judge
    relation: str
    keys: Sequence[str]
    run_id: str
    built_from: int | None = None
    files: Sequence[Path] = ()

    @property
    def contract(self) -> Contract:
        return self.judging.contract

    @property
    def failed_table(self) -> str:
        return f"failed.{self.contract.table}"


def build_mart(
    lake: Lake,
    contract: Contract,
    con: duckdb.DuckDBPyConnection,
    relation: str,
    keys: Sequence[str],
    run_id: str,
    failed_upstream: Collection[str] = (),
    on_done: OnDone | None = None,
    built_from: int | None = None,
    files: Sequence[Path] = (),
) -> list[Outcome]:
    """Audits `relation` (columns of the contract) for these partition keys and commits those that pass, in one
    transaction. `failed_upstream` are keys whose inputs failed: they fail too; `built_from` is the version of the lake
    that the relation was read from, `files` the Parquet files it consists of: they join the lake as they are where their
    columns are the table's. One outcome per key.
    Raises `LoadFailed` when the candidate has rows of other partitions."""
    started = time.monotonic()
    candidate = Candidate(lake, con, Judge.of(contract), relation, keys, run_id, built_from, files)
    outcomes: list[Outcome] = []
    for trial in retrying():
        with trial, storage_errors(lake.attachment.data_path):
            _ensure_tables(candidate)
            outcomes = _settle(candidate, failed_upstream, started)
    for outcome in outcomes:
        if on_done:
            on_done(outcome)
    return outcomes


def _settle(candidate: Candidate, failed_upstream: Collection[str], started: float) -> list[Outcome]:
    """Judges and commits; again, when another build of this mart took a key in between."""
    for _ in range(KEY_RETRIES):
        seen = committed_loads(candidate.con, candidate.contract) if candidate.contract.key_spans_partitions else 0
        reached("before check")
        _judge(candidate)
        outcomes = [_blocked(outcome, failed_upstream) for outcome in _count(candidate, started)]
        reached("after check")
        try:
            _commit(candidate, outcomes, seen)
        except KeyConflict:
            continue
        return outcomes
    raise KeyConflict(
        f"`{candidate.contract.name}`: other builds took a key of this one {KEY_RETRIES} times.",
        fix="build it again alone",
    )


def _ensure_tables(candidate: Candidate) -> None:
    contract = candidate.contract
    columns = {column.name: column.duckdb_type for column in contract.columns.values()}
    by = contract.partition.columns
    candidate.lake.ensure_table(candidate.con, contract.name, columns, partition_by=by)
    extra = {"_failed_rules": "VARCHAR", "_run_id": "VARCHAR"}
    candidate.lake.ensure_table(candidate.con, candidate.failed_table, {**columns, **extra}, partition_by=by)


def _judge(candidate: Candidate) -> None:
    """Makes `candidate_rows`, `judged` (with `_broken` bits) and `routed` over it."""
    contract, con = candidate.contract, candidate.con
    con.execute("DROP VIEW IF EXISTS routed")
    judge_rows(con, candidate.judging, candidate.relation, building=candidate.keys)
    if candidate.judging.in_steps:
        partitions = [contract.partition.values(key) for key in candidate.keys]
        judge_own_parents(con, candidate.judging, partitions, in_time=False)
    row = ", ".join(f"{ident(name)} := {ident(name)}" for name in contract.columns)
    con.execute(f"""
        CREATE TEMP VIEW routed AS
        SELECT *, NULL AS _file, NULL AS _record, to_json(struct_pack({row}))::VARCHAR AS _row FROM judged""")


def _refuse_foreign_partitions(candidate: Candidate, found: Collection[Sequence[Any]]) -> None:
    """Raises `LoadFailed` when partition values were found that were not asked for."""
    by, values = candidate.contract.partition.columns, candidate.contract.partition.values
    wanted = {tuple(values(key)[name] for name in by) for key in candidate.keys}
    others = [place for place in found if tuple(place) not in wanted]
    if not by or not others:
        return
    place = dict(zip(by, others[0], strict=True))
    missing = [name for name, value in place.items() if value is None]
    if missing:
        raise LoadFailed(
            f"`{candidate.contract.name}`: the candidate has rows without a value in `{missing[0]}`, so no partition is theirs.",
            fix=f"give `{missing[0]}` a value in the model, or leave those rows out",
        )
    raise LoadFailed(
        f"`{candidate.contract.name}`: the candidate has rows of `{candidate.contract.partition.key(place)}`, which was not asked for.",
        fix="limit the model to the window it is built for",
    )


def _count(candidate: Candidate, started: float) -> list[Outcome]:
    contract, con = candidate.contract, candidate.con
    by, bits = contract.partition.columns, candidate.judging.bits()
    at = ident(contract.event_time) if contract.event_time else "NULL::TIMESTAMP"
    types = {column.name: column.duckdb_type for column in contract.columns.values()}
    by_rule = "".join(f", count_if(_broken & {bit} <> 0)" for _, bit in bits)
    measures = measure_sql(contract)
    groups = ", ".join(str(number + 1) for number in range(len(by) or 1))
    rows = con.execute(f"""
        SELECT {names(by) or "1"}, count(*), min({at})::TIMESTAMP, max({at})::TIMESTAMP, {content_hash_sql(types)}{by_rule}, {measures}
        FROM routed GROUP BY {groups}""").fetchall()
    width = len(by) or 1
    _refuse_foreign_partitions(candidate, [row[:width] for row in rows])
    found = {contract.partition.key(dict(zip(by, row[:width], strict=False))): row[width:] for row in rows}
    broken = any(any(row[width + 4 : width + 4 + len(bits)]) for row in rows)
    shown = samples(con, contract, bits) if broken else {}
    seconds = (time.monotonic() - started) / len(candidate.keys)
    history = history_of(con, contract, candidate.keys)
    return [
        _outcome(candidate, key, found.get(key), shown.get(key, {}), history, seconds) for key in sorted(candidate.keys)
    ]


def _outcome(
    candidate: Candidate, key: str, row: Sequence[Any] | None, shown: Mapping[str, Any], history: History,
    seconds: float,
) -> Outcome:  # fmt: skip
    contract, bits = candidate.contract, candidate.judging.bits()
    count, first, last, digest, *rest = row or (0, None, None, "", *(0 for _ in bits))
    by_rule = {name: number for (name, _), number in zip(bits, rest, strict=False)}
    values = measured(contract, rest[len(bits) :] if row else None)
    load = LoadRecord(
        asset=contract.name, partition_key=key, run_id=candidate.run_id, outcome="committed", rows_read=count,
        rows_accepted=count, by_rule={name: number for name, number in by_rule.items() if number},
        contract_version=contract.version, content_hash=digest, hash_algorithm=HASH_ALGORITHM, event_min=first,
        event_max=last, seconds=seconds, started_at=utc_now(), built_from=candidate.built_from,
        measures=values,
    )  # fmt: skip
    rows = (_severe(result) for result in rule_results(contract, by_rule, load, shown, failed=True))
    results = (*rows, *verdicts(contract, values, history, key, count))
    load = replace(load, rules=kept(results))
    wrong = [result for result in results if result.severity == "error" and not result.passed]
    if not wrong:
        history.add(key, values)
        return Outcome(load, results)
    said = "; ".join(f"`{result.rule}` (expected {result.expected}): {result.count} rows" for result in wrong)
    cause = LoadFailed(
        f"`{contract.name}` `{key}` failed its audit: {said}. Readers keep the rows they have.",
        fix=f"look at the rows with: data-platform query 'FROM lake.{candidate.failed_table}', correct them at the source and load again",
    )
    return Outcome(replace(load, outcome="failed", rows_accepted=0, content_hash="", error=str(cause)), results)


def _severe(result: RuleResult) -> RuleResult:
    return replace(result, severity="error" if result.action in BLOCKING else result.severity)


def _blocked(outcome: Outcome, failed_upstream: Collection[str]) -> Outcome:
    if outcome.partition_key not in failed_upstream or not outcome.committed:
        return outcome
    error = (
        f"`{outcome.load.asset}` `{outcome.partition_key}` was not committed: a mart it is built from failed its audit."
    )
    return Outcome(
        replace(outcome.load, outcome="failed", rows_accepted=0, content_hash="", error=error), outcome.rules
    )


def _commit(candidate: Candidate, outcomes: Sequence[Outcome], seen: int) -> None:
    """Good partitions replace what the mart has; failing rows replace what `failed.<table>` has of theirs."""
    contract = candidate.contract
    good = [outcome.partition_key for outcome in outcomes if outcome.committed]
    bad = [outcome.partition_key for outcome in outcomes if not outcome.committed]
    rules = ", ".join(f"CASE WHEN _broken & {bit} <> 0 THEN {text(name)} END" for name, bit in candidate.judging.bits())
    extra = f", concat_ws(',', {rules}) AS _failed_rules, {text(candidate.run_id)} AS _run_id"
    slices = list[Slice]()
    with removed_on_error(lambda: [file.path for part in slices for file in part.files]):
        slices += _replacements(candidate, contract.name, good, "", "candidate_rows")
        _refuse_other_rows(contract, slices, outcomes)
        slices += _replacements(candidate, candidate.failed_table, bad, extra, "routed")
        slices += [Slice(candidate.failed_table, contract.partition.values(key)) for key in good]
        record = recording(candidate.con, contract, candidate.run_id) if good else None
    audits = [_audit(candidate, outcome) for outcome in outcomes]
    check = None
    if contract.key_spans_partitions and good:
        partitions = [contract.partition.values(key) for key in good]
        check = partial(refuse_taken_keys, contract, partitions, seen + len(good))
    loads = [outcome.load for outcome in outcomes]
    candidate.lake.commit(slices, loads, audits, check=both(check, record), message=f"build {contract.name}")


def _refuse_other_rows(contract: Contract, slices: Sequence[Slice], outcomes: Sequence[Outcome]) -> None:
    """Raises `LoadFailed` when the files of a partition hold another number of rows than were judged."""
    judged = {outcome.partition_key: outcome.load.rows_accepted for outcome in outcomes}
    for part in slices:
        key, rows = contract.partition.key(part.partition), sum(file.rows for file in part.files)
        if rows != judged[key]:
            raise LoadFailed(
                f"`{contract.name}` `{key}`: {judged[key]} rows were judged, but {rows} would be committed.",
                fix="report this: the candidate gave other rows the second time",
            )


def _replacements(candidate: Candidate, table: str, keys: Sequence[str], extra: str, rows: str) -> list[Slice]:
    if not keys:
        return []
    partitions = [candidate.contract.partition.values(key) for key in keys]
    if candidate.files and table == candidate.contract.name:
        adopted = candidate.lake.adopt_slices(candidate.con, table, candidate.files, partitions)
        if adopted is not None:
            return adopted
    wanted = in_partitions(candidate.contract, partitions)
    sql = f"SELECT {names(candidate.contract.columns)}{extra} FROM {rows} WHERE {wanted}"
    return candidate.lake.stage_slices(candidate.con, table, sql, partitions)


def _audit(candidate: Candidate, outcome: Outcome) -> Audit:
    failed = tuple(result.rule for result in outcome.rules if result.severity == "error" and not result.passed)
    return Audit(
        asset=candidate.contract.name, partition_key=outcome.partition_key, load_id=outcome.load.load_id,
        passed=outcome.committed, failed_rules=failed, run_id=candidate.run_id,
    )  # fmt: skip
