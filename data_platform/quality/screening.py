"""Screens raw partitions into staging and quarantine: judge, count, stage, commit. One outcome per partition.

The sum law is kept here: rows read, as the reader counted them at the source, equal accepted + quarantined +
merged, or the partition does not commit. A partition and its quarantine slice are replaced in one transaction.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import duckdb

from data_platform.contracts.model import Contract
from data_platform.contracts.partitioning import Values
from data_platform.errors import ContractError, KeyConflict, LoadFailed, PlatformError
from data_platform.lake import stopping
from data_platform.lake.commit import Check
from data_platform.lake.hashing import HASH_ALGORITHM
from data_platform.lake.lake import Lake, Slice, StagedFile
from data_platform.lake.ledger import latest_loads, utc_now
from data_platform.lake.outcomes import LoadRecord, Outcome, RuleResult
from data_platform.lake.patches import has_patches, latest_patches
from data_platform.lake.sql import names, text
from data_platform.lake.storage import storage_errors
from data_platform.quality.aside import QUARANTINE_COLUMNS, quarantine_sql
from data_platform.quality.bands import History
from data_platform.quality.counting import NOTHING, Counts, counts, facts_of
from data_platform.quality.judging import (
    Inputs,
    Judge,
    chunks,
    committed_loads,
    inputs_of,
    judge,
    later_holders,
    refuse_stale_inputs,
    refuse_taken_keys,
)
from data_platform.quality.measures import history_of, verdicts
from data_platform.quality.recording import both, recording
from data_platform.quality.results import rule_results, samples

STAGING_ORIGIN: Mapping[str, str] = {
    "_file": "VARCHAR", "_file_hash": "VARCHAR", "_record": "BIGINT", "_flags": "VARCHAR",
}  # fmt: skip
log = logging.getLogger(__name__)
CHUNK_PARTITIONS = 100
LIMIT_MIN_ROWS = 50  # a share says little of a handful of rows
KEY_RETRIES = 5

OnDone = Callable[[Outcome], None]


@dataclass(frozen=True)
class Job:
    """What one call of `screen` works with. `read` is rows read at the source, by partition key; `record` keeps the
    contract in the ledger, when it is another than the last."""

    lake: Lake
    con: duckdb.DuckDBPyConnection
    judging: Judge
    run_id: str
    record: Check | None = None
    read: dict[str, int] = field(default_factory=dict)

    def look_up(self, keys: Sequence[str]) -> None:
        """Fills `read` for these partitions, in their order, as far as raw has them."""
        raw = {load.partition_key: load for load in latest_loads(self.con, f"raw.{self.contract.table}", keys=keys)}
        self.read.update({key: raw[key].rows_read for key in keys if key in raw})

    @property
    def contract(self) -> Contract:
        return self.judging.contract

    def values(self, keys: Sequence[str]) -> list[Values]:
        return [self.contract.partition.values(key) for key in keys]


def screen(
    lake: Lake, contract: Contract, keys: Sequence[str], run_id: str, on_done: OnDone | None = None
) -> list[Outcome]:
    """Loads these partitions of a staging table from raw. One outcome per key, in the order of `keys`;
    failed partitions keep the rows they had. Later partitions that lost a key to these were screened again too, and
    follow; those that were not begun when somebody asked to stop have no outcome. Never raises for a bad partition, only
    for a bad contract."""
    judging = Judge.of(contract)
    with lake.connect() as con:
        ensure_tables(lake, con, contract)
        job = Job(lake, con, judging, run_id, recording(con, contract, run_id))
        job.look_up(keys)
        outcomes: dict[str, Outcome] = {}
        for key in keys:
            if key not in job.read:
                cause = f"`raw.{contract.table}` has no committed load of `{key}`."
                fix = f"data-platform backfill 'key:\"raw/{contract.table}\"' --from {key} --to {key}"
                _keep(outcomes, [_failed(job, key, LoadFailed(cause, fix=fix), record=True)], on_done)
        for chunk in list(chunks(job.read, CHUNK_PARTITIONS)):
            if stopping.asked():
                break
            _keep(outcomes, _screen_chunk(job, chunk), on_done)
    others = sorted(set(outcomes) - set(keys))
    return [outcomes[key] for key in (*keys, *others) if key in outcomes]


def ensure_tables(lake: Lake, con: duckdb.DuckDBPyConnection, contract: Contract) -> None:
    """Makes or widens the staging and the quarantine table of a contract."""
    by = {dimension.column: dimension.duckdb_type for dimension in contract.partition.dimensions}
    typed = {column.name: column.duckdb_type for column in contract.columns.values()}
    lake.ensure_table(
        con, contract.name, {**typed, **STAGING_ORIGIN, **_unknown(contract), **by}, partition_by=tuple(by)
    )
    lake.ensure_table(con, f"quarantine.{contract.table}", {**QUARANTINE_COLUMNS, **by}, partition_by=tuple(by))


def _unknown(contract: Contract) -> Mapping[str, str]:
    """Where a table that evolves with its feed keeps the columns that no contract knows."""
    return {"_extra": "VARCHAR"} if contract.drift == "evolve" else {}


def _keep(outcomes: dict[str, Outcome], found: Sequence[Outcome], on_done: OnDone | None) -> None:
    for outcome in found:
        outcomes[outcome.partition_key] = outcome
        if on_done:
            on_done(outcome)


def _screen_chunk(job: Job, keys: list[str]) -> list[Outcome]:
    """Screens and commits; when a partition fails, the others are judged again without it, because a row of
    a partition that does not commit must not make another partition's row a duplicate."""
    done: list[Outcome] = []
    unmoved: set[str] = set()
    while keys:
        try:
            with storage_errors(job.lake.attachment.data_path):
                good, bad = _attempt(job, keys, unmoved)
        except ContractError:
            raise
        except Exception as error:
            if len(keys) == 1:
                return [*done, _failed(job, keys[0], _as_ours(job, error), record=True)]
            return [*done, *(outcome for key in keys for outcome in _screen_chunk(job, [key]))]
        if good:
            return done + good
        failed = {outcome.partition_key for outcome in bad}
        done += [outcome for outcome in bad if outcome.partition_key in keys]
        unmoved |= failed - set(keys)
        keys = [key for key in keys if key not in failed]
    return done


def _as_ours(job: Job, error: Exception) -> PlatformError:
    """What nobody has foreseen fails its own partition, and is told: it must not take the others along."""
    if isinstance(error, PlatformError):
        return error
    log.error("screening `%s` died", job.contract.name, exc_info=error)
    return LoadFailed(
        f"`{job.contract.name}`: {type(error).__name__}: {error}", fix="report this with the log's traceback"
    )


def _attempt(job: Job, asked: list[str], unmoved: Collection[str]) -> tuple[list[Outcome], list[Outcome]]:
    """Judges the partitions, and later ones that lose a key to them; commits them all, or names those that fail and
    commits none."""
    for attempt in range(KEY_RETRIES):
        started = time.monotonic()
        seen, inputs = committed_loads(job.con, job.contract), inputs_of(job.con, job.contract)
        keys = _judge(job, asked, unmoved)
        outcomes = _count(job, keys, started)
        bad = [outcome for outcome in outcomes if not outcome.committed]
        if bad:
            job.lake.record_failures([outcome.load for outcome in bad if outcome.partition_key in asked])
            return [], bad
        try:
            _commit(job, keys, outcomes, seen, inputs)
        except KeyConflict:
            if attempt == KEY_RETRIES - 1:
                raise
            continue  # another load took a key first: judge again, against the table as it is now
        return outcomes, []
    raise AssertionError("unreachable")


def _judge(job: Job, asked: list[str], unmoved: Collection[str]) -> list[str]:
    """Judges, and returns the keys that were judged: those asked for and the later ones they draw in."""
    contract, keys = job.contract, list(asked)
    job.look_up(keys)
    decided = latest_patches(contract.name) if has_patches(job.con, contract.name) else None
    stay = set(unmoved)
    while True:
        judge(job.con, job.judging, job.values(keys), decided, job.values(sorted(stay)))
        later = [contract.partition.key(place) for place in later_holders(job.con, contract)]
        if not later:
            return keys
        job.look_up(later)
        keys += [key for key in later if key in job.read]
        stay |= {key for key in later if key not in job.read}  # without raw rows there is nothing to judge


def _commit(job: Job, keys: list[str], outcomes: Sequence[Outcome], seen: int, inputs: Inputs) -> None:
    contract, by = job.contract, job.contract.partition.columns
    flags = ", ".join(
        f"CASE WHEN _broken & {1 << r.bit} <> 0 THEN {text(r.rule.name)} END"
        for r in job.judging.rules
        if r.rule.action == "flag"
    )
    flag_text = f"NULLIF(concat_ws(',', {flags}), '')" if flags else "NULL::VARCHAR"
    accepted = f"""SELECT {names((*contract.columns, *by))}, _file, _file_hash, _record, {flag_text} AS _flags{"".join(f", {name}" for name in _unknown(contract))}
        FROM routed WHERE _fate = 'accepted'"""
    staged = _stage(job, contract.name, accepted)
    aside = _stage(job, f"quarantine.{contract.table}", quarantine_sql(job.judging, job.run_id))
    slices = _slices(job, contract.name, keys, staged) + _slices(job, f"quarantine.{contract.table}", keys, aside)
    whole_table = contract.key is not None and contract.key.scope == "table"
    # Inside the transaction the ledger holds our own loads too.
    check = partial(refuse_taken_keys, contract, job.values(keys), seen + len(outcomes)) if whole_table else None
    loads = [outcome.load for outcome in outcomes]
    fresh = partial(refuse_stale_inputs, contract, keys, inputs)
    job.lake.commit(slices, loads, check=both(fresh, check, job.record), message=f"screen {contract.name}")


def _stage(job: Job, table: str, sql: str) -> list[StagedFile]:
    if job.contract.partition.dimensions:
        return job.lake.stage_many(job.con, table, sql)
    file = job.lake.stage(job.con, table, sql)
    return [file] if file else []


def _slices(job: Job, table: str, keys: Sequence[str], files: Sequence[StagedFile]) -> list[Slice]:
    found: dict[str, list[StagedFile]] = {key: [] for key in keys}
    for file in files:
        found[job.contract.partition.key(file.partition)].append(file)
    return [Slice(table, job.contract.partition.values(key), tuple(found[key])) for key in keys]


def _count(job: Job, keys: Sequence[str], started: float) -> list[Outcome]:
    """Counts fates and rules per partition out of `routed`, and judges the counts."""
    counted, facts = counts(job.con, job.judging), facts_of(job.con, job.contract)
    shown = samples(job.con, job.contract, job.judging.bits())
    seconds = (time.monotonic() - started) / len(keys)
    history = history_of(job.con, job.contract, keys)
    found = []
    for key in sorted(keys):
        own = counted.get(key) or Counts.of(job.contract, None, [name for name, _ in job.judging.bits()])
        found.append(_outcome(job, key, own, facts.get(key, NOTHING), shown.get(key, {}), history, seconds))
    return found


def _outcome(
    job: Job, key: str, counts: Counts, facts: Sequence[Any], shown: Mapping[str, Any], history: History, seconds: float
) -> Outcome:
    contract = job.contract
    first, last, days, digest = facts
    load = LoadRecord(
        asset=contract.name, partition_key=key, run_id=job.run_id, outcome="committed", rows_read=job.read[key],
        rows_accepted=counts.accepted, rows_quarantined=counts.quarantined, rows_merged=counts.merged,
        rows_flagged=counts.flagged, rows_warned=counts.warned, rows_late=counts.late, rows_held=counts.held,
        rows_discarded=counts.discarded, measures=counts.measures,
        by_rule={name: count for name, count in counts.by_rule.items() if count}, contract_version=contract.version,
        content_hash=digest, hash_algorithm=HASH_ALGORITHM, event_min=first, event_max=last,
        business_days=tuple(day for day in days or () if day), seconds=seconds, started_at=utc_now(),
    )  # fmt: skip
    judged = verdicts(contract, counts.measures, history, key)
    cause = _refusal(job, load, counts.by_rule, judged)
    if cause is None:
        history.add(key, counts.measures)
    results = (*rule_results(contract, counts.by_rule, load, shown, failed=cause is not None), *judged)
    if cause is not None:
        # A load that is refused accepts nothing; its record says what was read.
        load = replace(
            load,
            outcome="failed",
            error=str(cause),
            rows_accepted=0,
            rows_quarantined=0,
            rows_merged=0,
            rows_held=0,
            rows_discarded=0,
            content_hash="",
        )
    return Outcome(load, results)


def _refusal(job: Job, load: LoadRecord, counts: Mapping[str, int], judged: Sequence[RuleResult]) -> LoadFailed | None:
    contract, where = job.contract, f"`{job.contract.name}` `{load.partition_key}`"
    fates = load.rows_accepted + load.rows_quarantined + load.rows_merged
    if fates != load.rows_read:
        return LoadFailed(f"{where}: {load.rows_read} rows were read and {fates} accounted for; nothing was committed.",
                          fix=f"load `raw.{contract.table}` again, then this partition")  # fmt: skip
    for rule in contract.rules:
        if rule.action == "fail" and counts.get(rule.name, 0):
            return LoadFailed(f"{where}: {counts[rule.name]} rows break `{rule.name}` (expected {rule.expected}), whose action is `fail`.",
                              fix="correct the file, load raw and then this partition again")  # fmt: skip
        if rule.threshold.fails(counts.get(rule.name, 0), load.rows_read):
            return LoadFailed(f"{where}: {counts[rule.name]} of {load.rows_read} rows break `{rule.name}`, more than its threshold {rule.threshold.fail_above}.",
                              fix="correct the feed, or change the threshold in the contract")  # fmt: skip
    for result in judged:
        if result.action == "fail" and not result.passed:
            return LoadFailed(f"{where}: `{result.rule}` expected {result.expected}; {result.actual}.",
                              fix="correct the file, load raw and then this partition again")  # fmt: skip
    # Rows that wait for their parent, or that somebody discarded, say nothing against the file.
    bad = load.rows_quarantined - load.rows_held - load.rows_discarded
    share = bad / load.rows_read if load.rows_read else 0.0
    if share > contract.quarantine_limit and bad >= LIMIT_MIN_ROWS:
        worst = max(counts, key=lambda name: counts[name])
        return LoadFailed(f"{where}: {share:.0%} of {load.rows_read} rows would be quarantined (limit {contract.quarantine_limit:.0%}), most by `{worst}`.",
                          fix="correct the feed, or raise `quarantine_limit` in the contract")  # fmt: skip
    return None


def _failed(job: Job, key: str, error: PlatformError, *, record: bool) -> Outcome:
    load = LoadRecord(
        asset=job.contract.name, partition_key=key, run_id=job.run_id, outcome="failed", rows_read=job.read.get(key, 0),
        contract_version=job.contract.version, error=str(error), started_at=utc_now(),
    )  # fmt: skip
    if record:
        # The outcome tells of the failure even where the ledger cannot: the disk may be full.
        with suppress(PlatformError):
            job.lake.record_failures([load])
    return Outcome(load)
