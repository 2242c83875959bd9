"""Loads drop files into raw tables: read, stage, commit. One outcome per partition, and each stands alone.

A file that cannot be read fails its own partition: the ledger says what was read and why it failed, and the others are
committed. The count law of a load is `records at the source = rows staged`, checked before anything commits.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from data_platform.contracts.registry import contract as contract_of
from data_platform.errors import LoadFailed, PlatformError, SourceError
from data_platform.lake import stopping
from data_platform.lake.hashing import HASH_ALGORITHM
from data_platform.lake.lake import Lake, Slice, StagedFile
from data_platform.lake.ledger import utc_now
from data_platform.lake.outcomes import LoadRecord, Outcome, RuleResult, kept
from data_platform.lake.owners import mark
from data_platform.lake.retrying import retrying
from data_platform.lake.sql import ident, names, partition_text, text
from data_platform.lake.storage import storage_errors
from data_platform.sources.control import read_control
from data_platform.sources.declare import Feed
from data_platform.sources.landing import Arrived, Job, arrive
from data_platform.sources.reader import FileRead
from data_platform.sources.split import partition_sql

CHUNK = 100  # partitions that are staged in one scan and committed together
CHUNK_BYTES = 512 << 20
MAX_READERS = 4
EXTRA_COLUMNS, UNPARSABLE_RECORDS = "extra_columns", "unparsable_records"
OnDone = Callable[[Outcome], None]


@dataclass(frozen=True)
class Ready:
    """A partition that waits for its commit; `slice` is None when it has failed already."""

    outcome: Outcome
    slice: Slice | None = None


def load_raw(lake: Lake, feed: Feed, keys: Sequence[str], run_id: str, on_done: OnDone | None = None) -> list[Outcome]:
    """Loads these partitions of a feed's raw table and returns one outcome per key, in order of the keys. A file that
    cannot be read raises nothing: it is a failed outcome and a row of the ledger. `on_done` is told each outcome once.
    Partitions that were not begun when somebody asked to stop have no outcome.
    Raises `LakeError` when the lake itself cannot be opened."""
    done: dict[str, Outcome] = {}
    wanted = list(dict.fromkeys(keys))
    with _job(lake, feed, run_id, len(wanted)) as job:
        for ready in _split(job, wanted) if feed.split_by else _one_by_one(job, wanted):
            for outcome in _commit(job, ready):
                done[outcome.partition_key] = outcome
                if on_done is not None:
                    on_done(outcome)
    return [done[key] for key in keys if key in done]


@contextmanager
def _job(lake: Lake, feed: Feed, run_id: str, files: int) -> Iterator[Job]:
    staging, raw = contract_of(feed.contract), contract_of(feed.raw)
    types = {dimension.column: dimension.duckdb_type for dimension in raw.partition.dimensions}
    columns = {column.source: column.duckdb_type for column in raw.columns.values()}
    retrying()(lake.ensure_table, None, raw.name, columns | types, raw.partition.columns)
    scratch = lake.settings.home / "tmp"
    with storage_errors(scratch):
        scratch.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix=f"read-{mark(lake.settings.lake_dir)}-", dir=scratch)
    # A small file keeps one core busy, whatever the engine's threads.
    readers = max(1, min(lake.settings.threads or os.cpu_count() or 1, MAX_READERS, files))
    with folder as name:
        job = Job(lake, feed, staging, raw, run_id, utc_now(), Path(name), readers)
        try:
            yield job
        finally:
            lake.discard(list(job.uncommitted.values()))


def _one_by_one(job: Job, keys: Sequence[str]) -> Iterator[list[Ready]]:
    """Feeds with a file per partition: files are read side by side, and what a batch of them holds is staged in one scan."""
    with ThreadPoolExecutor(job.readers) as pool:
        for batch in _batches(job, keys):
            arrived = list(pool.map(lambda key: None if stopping.asked() else _read(job, key), batch))
            yield [
                *(found for found in arrived if isinstance(found, Ready)),
                *_staged(job, [f for f in arrived if isinstance(f, Arrived)]),
            ]


def _batches(job: Job, keys: Sequence[str]) -> Iterator[list[str]]:
    """Keys in order, so that the spools of a batch fit on any disk that has room for the lake."""
    batch, size = list[str](), 0
    for key in keys:
        batch.append(key)
        with suppress(OSError):  # who reads the file says what is wrong with it
            size += job.feed.locate(job.lake.settings.landing_dir, key).stat().st_size
        if len(batch) >= CHUNK or size >= CHUNK_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _read(job: Job, key: str) -> Arrived | Ready:
    """Reads the file of one partition; one that cannot be read has failed already."""
    started, clock = utc_now(), time.monotonic()
    try:
        return arrive(job, key)
    except PlatformError as error:
        return Ready(_failed(job, key, job.feed.file(key), error, started, time.monotonic() - clock))


def _staged(job: Job, arrived: Sequence[Arrived]) -> list[Ready]:
    """Stages the partitions that were read. What goes wrong here is the disk's matter and fails them all."""
    clock, files = time.monotonic(), [found.landed.file for found in arrived if found.landed and found.landed.file]
    types = {dimension.column: dimension.duckdb_type for dimension in job.raw.partition.dimensions}
    relations = []
    for found in (found for found in arrived if found.read.records and not found.landed):
        place = {
            name: partition_text(value, types[name]) for name, value in job.raw.partition.values(found.key).items()
        }
        columns = "".join(f", {text(value)}::{types[name]} AS {ident(name)}" for name, value in place.items())
        relations.append(f"SELECT *{columns} FROM ({job.relation(found.read)})")
    try:
        facts = {found.key: found.landed.facts for found in arrived if found.landed}
        if relations:
            counted, staged = _stage(job, " UNION ALL ".join(relations))
            facts, files = facts | counted, [*files, *staged]
            job.hold(staged)
        by_key = _by_key(job, files)
        seconds = (time.monotonic() - clock) / max(len(arrived), 1)
        return [_ready(job, found, found.key, facts, by_key, found.read.records, seconds) for found in arrived]
    except PlatformError as error:
        _discard(job, *files)
        return [
            Ready(_failed(job, found.key, found.read.file, error, found.started, found.seconds)) for found in arrived
        ]
    finally:
        for found in arrived:
            found.read.discard()


def _split(job: Job, keys: Sequence[str]) -> Iterator[list[Ready]]:
    """Reads a file of many partitions once and stages the partitions asked for."""
    file, files = job.feed.file(""), list[StagedFile]()
    whole = _read(job, "")
    if isinstance(whole, Ready):
        yield [
            Ready(replace(whole.outcome, load=replace(whole.outcome.load, partition_key=key, load_id=uuid.uuid4().hex)))
            for key in keys
        ]
        return
    clock = time.monotonic()
    try:
        column, value = partition_sql(job.feed, job.raw.partition, job.lake.settings.start_date)
        kind = job.raw.partition.dimensions[0].duckdb_type
        chosen = ", ".join(f"{text(str(job.raw.partition.values(key)[column]))}::{kind}" for key in keys)
        relation = f"SELECT *, {value} AS {ident(column)} FROM ({job.relation(whole.read)})"
        facts, files = _stage(job, relation, f"{ident(column)} IN ({chosen})")
        job.hold(files)
        _check_law(file, whole.read.records, sum(found[0] for found in facts.values()))
        seconds = (time.monotonic() - clock) / len(keys)
        by_key = _by_key(job, files)
        ready = [_ready(job, whole, key, facts, by_key, None, seconds) for key in keys]
    except PlatformError as error:
        _discard(job, *files)
        ready = [Ready(_failed(job, key, file, error, whole.started, time.monotonic() - clock)) for key in keys]
    finally:
        whole.read.discard()
    for start in range(0, len(ready), CHUNK):
        if stopping.asked():
            _discard(job, *(file for left in ready[start:] if left.slice for file in left.slice.files))
            return
        yield ready[start : start + CHUNK]


def _stage(job: Job, relation: str, where: str = "true") -> tuple[dict[str, Sequence[Any]], list[StagedFile]]:
    """The facts of each partition in the relation, which has the partition columns, and the files of those asked for."""
    return retrying()(_stage_once, job, relation, where)


def _stage_once(job: Job, relation: str, where: str) -> tuple[dict[str, Sequence[Any]], list[StagedFile]]:
    by = job.raw.partition.columns
    with closing(job.lake.connect()) as con:
        rows = job.query(con, f"SELECT {names(by) or '1'}, {job.facts} FROM ({relation}) GROUP BY {names(by) or '1'}")
        facts: dict[str, Sequence[Any]] = {
            job.raw.partition.key(dict(zip(by, row, strict=False))): row[len(by) or 1 :] for row in rows
        }
        sql = f"SELECT * FROM ({relation}) WHERE {where}"
        if by:
            return facts, job.lake.stage_many(con, job.raw.name, sql)
        file = job.lake.stage(con, job.raw.name, sql)
        return facts, [file] if file else []


def _by_key(job: Job, files: Sequence[StagedFile]) -> Mapping[str, Sequence[StagedFile]]:
    found: dict[str, list[StagedFile]] = {}
    for file in files:
        found.setdefault(job.raw.partition.key(file.partition), []).append(file)
    return found


def _ready(
    job: Job, found: Arrived, key: str, facts: Mapping[str, Sequence[Any]], files: Mapping[str, Sequence[StagedFile]],
    records: int | None, seconds: float,
) -> Ready:  # fmt: skip
    """A partition with its files, once they hold the records that were counted; `records` is the file's own count."""
    partition, own = job.raw.partition.values(key), files.get(key, ())
    known = facts.get(key) or job.nothing
    for counted in (known[0], records):
        if counted is not None:
            _check_law(f"{found.read.file} {key}".strip(), counted, sum(file.rows for file in own))
    outcome = _outcome(job, key, found.read, known, found.started, found.seconds + seconds)
    return Ready(outcome, Slice(job.raw.name, partition, tuple(own)))


def _check_law(what: str, records: int, rows: int) -> None:
    if records != rows:
        raise LoadFailed(
            f"`{what}` holds {records} records, and {rows} rows were staged. Nothing was committed.",
            fix="data-platform doctor",
        )


def _commit(job: Job, chunk: Sequence[Ready]) -> list[Outcome]:
    """Commits the partitions of a chunk in one transaction and records the failed ones in another."""
    good = [ready for ready in chunk if ready.slice is not None]
    outcomes = {ready.outcome.partition_key: ready.outcome for ready in chunk}
    try:
        if good:
            slices = [ready.slice for ready in good if ready.slice is not None]
            job.hand_over(file for part in slices for file in part.files)
            message = f"{job.raw.name}: {len(good)} partitions"
            job.lake.commit(slices, [ready.outcome.load for ready in good], message=message)
    except PlatformError as error:
        for ready in good:
            load = replace(ready.outcome.load, outcome="failed", rows_accepted=0, rows_quarantined=0, error=str(error))
            outcomes[load.partition_key] = replace(ready.outcome, load=load)
    failed = [outcome.load for outcome in outcomes.values() if not outcome.committed]
    # The outcome tells of the failure even where the ledger cannot: the disk may be full.
    with suppress(PlatformError):
        job.lake.record_failures(failed)
    return list(outcomes.values())


def _outcome(job: Job, key: str, read: FileRead, facts: Sequence[Any], started: datetime, seconds: float) -> Outcome:
    """The outcome of a partition that was read: every record is accepted in raw, the ones set aside too."""
    rows, aside, extra, sample, content_hash = facts
    by_rule = {rule: count for rule, count in ((EXTRA_COLUMNS, extra), (UNPARSABLE_RECORDS, aside)) if count}
    load = LoadRecord(
        asset=job.raw.name, partition_key=key, run_id=job.run_id, outcome="committed", rows_read=rows, rows_accepted=rows,
        rows_warned=aside + extra, by_rule=by_rule, contract_version=job.raw.version, content_hash=content_hash,
        hash_algorithm=HASH_ALGORITHM, source_files=(source_file(read.file, read.file_hash),), seconds=seconds, started_at=started,
        stated=read_control(job.lake.settings.landing_dir, job.feed, key),
    )  # fmt: skip
    names = ", ".join(f"`{column}`" for column in read.extra_columns)
    unknown = f"{names} in {extra} of {rows} records" if names else "no other"
    unread = f"{aside} of {rows} set aside with their bytes"
    rules = (
        RuleResult(EXTRA_COLUMNS, "warn", not names, "warn", extra, "only columns that the contract knows", unknown),
        RuleResult(
            UNPARSABLE_RECORDS,
            "warn",
            not aside,
            "warn",
            aside,
            "every record can be read",
            unread,
            tuple(sample or ()),
        ),
    )
    notes = {"file": read.file, "file_bytes": read.size, "extra_columns": list(read.extra_columns)}
    if load.stated:
        notes["control"] = json.dumps(load.stated)
    return Outcome(replace(load, rules=kept(rules)), rules, notes)


def _failed(job: Job, key: str, file: str, error: PlatformError, started: datetime, seconds: float) -> Outcome:
    records, file_hash = (error.records, error.file_hash) if isinstance(error, SourceError) else (0, "")
    load = LoadRecord(
        asset=job.raw.name, partition_key=key, run_id=job.run_id, outcome="failed", rows_read=records, error=str(error),
        contract_version=job.raw.version, source_files=(source_file(file, file_hash),), seconds=seconds, started_at=started,
    )  # fmt: skip
    return Outcome(load, (), {"file": file})


def source_file(file: str, file_hash: str) -> str:
    """A file version as the ledger names it: path below the landing folder, `#sha256=`, hash; the path alone when
    it could not be read at all."""
    return f"{file}#sha256={file_hash}" if file_hash else file


def _discard(job: Job, *files: StagedFile | None) -> None:
    job.lake.discard([file for file in files if file is not None])
