"""Screens raw partitions into staging and quarantine: judge, count, stage, commit. One outcome per partition.

The sum law is kept here: rows read, as the reader counted them at the source, equal accepted + quarantined +
merged, or the partition does not commit. A partition and its quarantine slice are replaced in one transaction.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import duckdb

from data_platform.contracts.model import Contract
from data_platform.contracts.partitioning import Values
from data_platform.errors import ContractError, KeyConflict, LoadFailed, PlatformError
from data_platform.lake import stopping
from data_platform.lake.commit import Check
from data_platform.lake.hashing import HASH_ALGORITHM
from data_platform.lake.lake import Lake, Slice
from data_platform.lake.ledger import latest_loads, utc_now
from data_platform.lake.outcomes import LoadRecord, Outcome, from_to, kept
from data_platform.lake.patches import count_patches, latest_patches
from data_platform.lake.retrying import retrying
from data_platform.lake.sql import names, text
from data_platform.lake.storage import storage_errors
from data_platform.quality.aside import QUARANTINE_COLUMNS, quarantine_sql
from data_platform.quality.bands import History
from data_platform.quality.compiler import Judge
from data_platform.quality.counting import NOTHING, Counts, counts_and_facts
from data_platform.quality.judging import chunks, judge, rows_at_once
from data_platform.quality.keys import drop_drafted, keep_drafted, later_holders
from data_platform.quality.measures import history_of, verdicts
from data_platform.quality.races import (
    KEY_RETRIES,
    committed_loads,
    refuse_stale_inputs,
    refuse_taken_keys,
)
from data_platform.quality.reconcile import Sums, raw_sums, reconciled
from data_platform.quality.recording import both, recording
from data_platform.quality.refusal import refusal
from data_platform.quality.results import rule_results, samples

STAGING_ORIGIN: Mapping[str, str] = {
    "_file": "VARCHAR", "_file_hash": "VARCHAR", "_record": "BIGINT", "_flags": "VARCHAR",
}  # fmt: skip
log = logging.getLogger(__name__)
CHUNK_PARTITIONS = 100

OnDone = Callable[[Outcome], None]


@dataclass(frozen=True)
class Job:
    """What one call of `screen` works with. `read` is rows read at the source, by partition key, `raw` the load that says so; `record` keeps the
    contract in the ledger, when it is another than the last."""

    lake: Lake
    con: duckdb.DuckDBPyConnection
    judging: Judge
    run_id: str
    record: Check | None = None
    read: dict[str, int] = field(default_factory=dict)
    raw: dict[str, LoadRecord] = field(default_factory=dict)

    def look_up(self, keys: Sequence[str]) -> None:
        """Fills `read` for these partitions, in their order, as far as raw has them. What is judged of a partition is read
        after this, or the commit is refused."""
        if not keys:
            return
        raw = {load.partition_key: load for load in latest_loads(self.con, f"raw.{self.contract.table}", keys=keys)}
        self.read.update({key: raw[key].rows_read for key in keys if key in raw})
        self.raw.update(raw)

    @property
    def contract(self) -> Contract:
        return self.judging.contract

    @cached_property
    def rows_at_once(self) -> int:
        return rows_at_once(self.con, self.contract)

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
    with retrying()(lake.connect) as con:
        job = _prepared(lake, con, judging, keys, run_id)
        outcomes: dict[str, Outcome] = {}
        for key in keys:
            if key not in job.read:
                cause = f"`raw.{contract.table}` has no committed load of `{key}`."
                fix = f"data-platform backfill 'key:\"raw/{contract.table}\"'{from_to([key])}"
                _keep(outcomes, _failed(job, [key], LoadFailed(cause, fix=fix)), on_done)
        for chunk in list(chunks(job.read, job.rows_at_once, CHUNK_PARTITIONS)):
            if stopping.asked():
                break
            _keep(outcomes, _screen_chunk(job, chunk), on_done)
    others = sorted(set(outcomes) - set(keys))
    return [outcomes[key] for key in (*keys, *others) if key in outcomes]


def _prepared(
    lake: Lake, con: duckdb.DuckDBPyConnection, judging: Judge, keys: Sequence[str], run_id: str
) -> Job:  # fmt: skip
    """The job, its tables made and its keys looked up, once the catalog can be read."""
    for trial in retrying():
        with trial, storage_errors(lake.attachment.place):
            ensure_tables(lake, con, judging.contract)
            job = Job(lake, con, judging, run_id, recording(con, judging.contract, run_id))
            job.look_up(keys)
            return job
    raise AssertionError("unreachable")


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
            good, bad = _patiently(job, keys, unmoved)
        except ContractError:
            raise
        except Exception as error:
            if isinstance(error, PlatformError) and error.transient:  # it did not pass: one by one will not help
                return [*done, *_failed(job, keys, error)]
            if len(keys) == 1:
                return [*done, *_failed(job, keys, _as_ours(job, error))]
            return [*done, *(outcome for key in keys for outcome in _screen_chunk(job, [key]))]
        if good:
            return done + good
        failed = {outcome.partition_key for outcome in bad}
        done += [outcome for outcome in bad if outcome.partition_key in keys]
        unmoved |= failed - set(keys)
        keys = [key for key in keys if key not in failed]
    return done


def _patiently(job: Job, keys: list[str], unmoved: Collection[str]) -> tuple[list[Outcome], list[Outcome]]:
    """An attempt, and others while what stands in the way may pass."""
    for trial in retrying():
        with trial, storage_errors(job.lake.attachment.data_path):
            return _attempt(job, keys, unmoved)
    raise AssertionError("unreachable")


def _as_ours(job: Job, error: Exception) -> PlatformError:
    """What nobody has foreseen fails its own partition, and is told: it must not take the others along."""
    if isinstance(error, PlatformError):
        return error
    log.error("screening `%s` died", job.contract.name, exc_info=error)
    # Its words may quote personal data.
    personal = any(column.pii for column in job.contract.columns.values())
    said = type(error).__name__ if personal else f"{type(error).__name__}: {error}"
    return LoadFailed(f"`{job.contract.name}`: {said}", fix="report this with the log's traceback")


def _attempt(job: Job, asked: list[str], unmoved: Collection[str]) -> tuple[list[Outcome], list[Outcome]]:
    """Judges the partitions, and later ones that lose a key to them; commits them all, or names those that fail and
    commits none."""
    for attempt in range(KEY_RETRIES):
        seen = committed_loads(job.con, job.contract) if job.contract.key_spans_partitions else 0
        decided = count_patches(job.con, job.contract.name)
        if attempt:
            job.look_up(asked)
        draft = Draft(job)
        try:
            bad = _fill(draft, asked, unmoved, decided)
            if not bad:
                _commit(job, draft, seen, decided)
                return list(draft.outcomes.values()), []
            # What failed may have failed because its raw rows were replaced while they were judged.
            refuse_stale_inputs(
                job.contract, _judged_loads(job, [outcome.partition_key for outcome in bad]), decided, job.con
            )
        except KeyConflict:
            if attempt == KEY_RETRIES - 1:
                raise
            continue  # another load took a key first: judge again, against the table as it is now
        finally:
            draft.discard()
        job.lake.record_failures([outcome.load for outcome in bad if outcome.partition_key in asked])
        return [], bad
    raise AssertionError("unreachable")


def _fill(draft: Draft, asked: list[str], unmoved: Collection[str], decided: int) -> list[Outcome]:
    """Judges and stages the partitions, and later ones that lose a key to them, some millions of rows at a time: a day
    may take keys from all that follow. Returns the outcomes that fail; with the first of them it ends."""
    job, contract = draft.job, draft.job.contract
    patches = latest_patches(contract.name) if decided else None
    todo, stay = list(asked), set(unmoved)
    while todo:
        started, read = time.monotonic(), {key: job.read[key] for key in todo}
        keys = next(chunks(read, job.rows_at_once, CHUNK_PARTITIONS))
        judge(job.con, job.judging, job.values(keys), patches, job.values(sorted(stay)), draft.values)
        later = [contract.partition.key(place) for place in later_holders(job.con, contract)]
        job.look_up(later)
        rawless = {key for key in later if key not in job.read}
        if rawless:
            stay |= rawless  # without raw rows there is nothing to judge: these keep their keys
            continue
        outcomes = _count(draft, keys, started)
        bad = [outcome for outcome in outcomes if not outcome.committed]
        if bad:
            return bad
        todo = [key for key in (*todo, *sorted(set(later) - set(todo))) if key not in keys]
        draft.add(keys, outcomes, followed=bool(todo))
        draft.drop(later)
    return []


@dataclass
class Draft:
    """What one attempt would commit, by partition key: outcomes, and slices whose files are staged."""

    job: Job
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    slices: dict[str, list[Slice]] = field(default_factory=dict)

    @property
    def values(self) -> list[Values]:
        return self.job.values(list(self.outcomes))

    def add(self, keys: Sequence[str], outcomes: Sequence[Outcome], *, followed: bool) -> None:
        """Takes in the partitions in `routed`; what is judged after them is judged beside them."""
        for part in _staged(self.job, keys):
            self.slices.setdefault(self.job.contract.partition.key(part.partition), []).append(part)
        if followed:
            keep_drafted(self.job.con, self.job.contract, anew=not self.outcomes)
        self.outcomes.update({outcome.partition_key: outcome for outcome in outcomes})

    def drop(self, keys: Sequence[str]) -> None:
        """Forgets partitions that lost a key since: they are judged again."""
        there = [key for key in keys if key in self.outcomes]
        if there:
            drop_drafted(self.job.con, self.job.contract, self.job.values(there))
        for key in there:
            del self.outcomes[key]
            self.job.lake.discard([file for part in self.slices.pop(key) for file in part.files])

    def discard(self) -> None:
        """Removes the files of a draft that is not committed; a commit leaves none."""
        self.job.lake.discard([file for parts in self.slices.values() for part in parts for file in part.files])


def _staged(job: Job, keys: Sequence[str]) -> list[Slice]:
    contract, by = job.contract, job.contract.partition.columns
    flags = ", ".join(
        f"CASE WHEN _broken & {1 << r.bit} <> 0 THEN {text(r.rule.name)} END"
        for r in job.judging.rules
        if r.rule.action == "flag"
    )
    flag_text = f"NULLIF(concat_ws(',', {flags}), '')" if flags else "NULL::VARCHAR"
    accepted = f"""SELECT {names((*contract.columns, *by))}, _file, _file_hash, _record, {flag_text} AS _flags{"".join(f", {name}" for name in _unknown(contract))}
        FROM routed WHERE _fate = 'accepted'"""
    places = job.values(keys)
    aside = quarantine_sql(job.judging, job.run_id, places)
    slices = job.lake.stage_slices(job.con, contract.name, accepted, places)
    return slices + job.lake.stage_slices(job.con, f"quarantine.{contract.table}", aside, places)


def _commit(job: Job, draft: Draft, seen: int, decided: int) -> None:
    contract = job.contract
    slices = [part for parts in draft.slices.values() for part in parts]
    loads = [outcome.load for outcome in draft.outcomes.values()]
    # Inside the transaction the ledger holds our own loads too.
    others = contract.key_spans_partitions
    check = partial(refuse_taken_keys, contract, draft.values, seen + len(loads)) if others else None
    fresh = partial(refuse_stale_inputs, contract, _judged_loads(job, draft.outcomes), decided)
    # The commit removes the files itself when it fails, and knows when it cannot tell.
    draft.slices = {}
    job.lake.commit(slices, loads, check=both(fresh, check, job.record), message=f"screen {contract.name}")


def _judged_loads(job: Job, keys: Collection[str]) -> dict[str, str]:
    """The id of the raw load that was judged, by partition key."""
    return {key: job.raw[key].load_id for key in keys}


def _count(draft: Draft, keys: Sequence[str], started: float) -> list[Outcome]:
    """Counts fates and rules per partition out of `routed`, and judges the counts."""
    job = draft.job
    counted = counts_and_facts(job.con, job.judging)
    shown = samples(job.con, job.contract, job.judging.bits())
    seconds = (time.monotonic() - started) / len(keys)
    history = history_of(job.con, job.contract, [*draft.outcomes, *keys])
    for key, outcome in draft.outcomes.items():
        history.add(key, outcome.load.measures)
    sums = raw_sums(job.con, job.contract, job.values(keys))
    empty = Counts.of(job.contract, None, [name for name, _ in job.judging.bits()]), NOTHING
    return [
        _outcome(job, key, *counted.get(key, empty), shown.get(key, {}), history, seconds, sums.get(key, {}))
        for key in sorted(keys)
    ]


def _outcome(
    job: Job, key: str, counts: Counts, facts: Sequence[Any], shown: Mapping[str, Any], history: History, seconds: float,
    sums: Sums,
) -> Outcome:  # fmt: skip
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
    judged = [
        *verdicts(contract, counts.measures, history, key, job.read[key]),
        *reconciled(contract, load, job.raw[key], sums),
    ]
    why = refusal(contract, job.read[key], counts, judged)
    cause = LoadFailed(f"`{contract.name}` `{key}`: {why.said}", fix=why.fix) if why else None
    if cause is None:
        history.add(key, counts.measures)
    results = (*rule_results(contract, counts.by_rule, load, shown, failed=cause is not None), *judged)
    load = replace(load, rules=kept(results))
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


def _failed(job: Job, keys: Sequence[str], error: PlatformError) -> list[Outcome]:
    load = LoadRecord(
        asset=job.contract.name, partition_key="", run_id=job.run_id, outcome="failed", error=str(error),
        contract_version=job.contract.version, started_at=utc_now(),
    )  # fmt: skip
    loads = [replace(load, partition_key=key, rows_read=job.read.get(key, 0), load_id=uuid.uuid4().hex) for key in keys]
    # The outcome tells of the failure even where the ledger cannot: the disk may be full.
    with suppress(PlatformError):
        job.lake.record_failures(loads)
    return [Outcome(load) for load in loads]
