"""Loads drop files into raw tables: read, stage, commit. One outcome per partition, and each stands alone.

A file that cannot be read fails its own partition: the ledger says what was read and why it failed, and the others are
committed. The count law of a load is `records at the source = rows staged`, checked before anything commits.
"""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from data_platform.contracts.model import Contract
from data_platform.contracts.registry import contract as contract_of
from data_platform.errors import LoadFailed, PlatformError, SourceError
from data_platform.lake import stopping
from data_platform.lake.hashing import HASH_ALGORITHM, content_hash_sql
from data_platform.lake.lake import Lake, Slice, StagedFile
from data_platform.lake.ledger import utc_now
from data_platform.lake.outcomes import LoadRecord, Outcome, RuleResult
from data_platform.lake.sql import ident, text
from data_platform.lake.storage import storage_errors
from data_platform.sources.declare import Feed
from data_platform.sources.reader import FileRead, read_feed
from data_platform.sources.split import partition_sql

CHUNK = 32
MAX_READERS = 4
SAMPLE = 3
EXTRA_COLUMNS, UNPARSABLE_RECORDS = "extra_columns", "unparsable_records"
OnDone = Callable[[Outcome], None]


@dataclass(frozen=True)
class Job:
    """What one call of `load_raw` works with. `staging` is the feed's contract, `raw` that of the table to load."""

    lake: Lake
    feed: Feed
    staging: Contract
    raw: Contract
    run_id: str
    loaded_at: datetime
    folder: Path

    def read(self, con: duckdb.DuckDBPyConnection, file: str) -> FileRead:
        spool = self.folder / f"{uuid.uuid4().hex}.parquet"
        return read_feed(con, self.feed, self.staging, self.lake.settings.landing_dir, file, spool)

    def query(self, con: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[Any, ...]]:
        with storage_errors(self.folder):
            return con.execute(sql).fetchall()

    def relation(self, read: FileRead) -> str:
        """A query of the raw table's columns, partition columns aside."""
        moment = f"{text(self.loaded_at.isoformat(sep=' '))}::TIMESTAMP"
        return f"SELECT *, {moment} AS _loaded_at, {text(self.run_id)} AS _run_id FROM ({read.relation})"

    @property
    def facts(self) -> str:
        """Aggregates over raw rows: rows, set aside, with unknown columns, a sample of those set aside, content hash."""
        hashed = content_hash_sql({column.source: "VARCHAR" for column in self.staging.columns.values()})
        aside = "{'_record': _record, '_offset': _offset, '_defect': _defect}"
        sample = f"(list({aside} ORDER BY _record) FILTER (_defect IS NOT NULL))[:{SAMPLE}]"
        return f"count(*), count(_defect), count(_extra), {sample}, {hashed}"


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
    with _job(lake, feed, run_id) as job, ThreadPoolExecutor(_readers(lake)) as pool:
        wanted = list(dict.fromkeys(keys))
        whole = _split(job, wanted) if feed.split_by else None
        for start in range(0, len(wanted), CHUNK):
            chunk = slice(start, start + CHUNK)
            if whole is not None and stopping.asked():
                _discard(job, *(file for ready in whole[start:] if ready.slice for file in ready.slice.files))
                break
            prepared = whole[chunk] if whole is not None else _begun(job, pool, wanted[chunk])
            for outcome in _commit(job, prepared):
                done[outcome.partition_key] = outcome
                if on_done is not None:
                    on_done(outcome)
    return [done[key] for key in keys if key in done]


def _begun(job: Job, pool: ThreadPoolExecutor, keys: Sequence[str]) -> list[Ready]:
    """Reads the files of these partitions, several at once, until somebody asks to stop."""
    found = pool.map(lambda key: None if stopping.asked() else _one(job, key), keys)
    return [ready for ready in found if ready is not None]


def _readers(lake: Lake) -> int:
    """Files read at once: a small file keeps one core busy, whatever the engine's threads."""
    return min(lake.settings.threads or os.cpu_count() or 1, MAX_READERS)


@contextmanager
def _job(lake: Lake, feed: Feed, run_id: str) -> Iterator[Job]:
    staging, raw = contract_of(feed.contract), contract_of(feed.raw)
    types = {dimension.column: dimension.duckdb_type for dimension in raw.partition.dimensions}
    columns = {column.source: column.duckdb_type for column in raw.columns.values()}
    lake.ensure_table(None, raw.name, columns | types, raw.partition.columns)
    scratch = lake.settings.home / "tmp"
    with storage_errors(scratch):
        scratch.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix="read-", dir=scratch)
    with folder as name:
        yield Job(lake, feed, staging, raw, run_id, utc_now(), Path(name))


def _one(job: Job, key: str) -> Ready:
    """Reads and stages the file of one partition."""
    started, clock = utc_now(), time.monotonic()
    file = job.feed.file(key)
    staged: StagedFile | None = None
    try:
        partition = job.raw.partition.values(key)
        with closing(job.lake.connect()) as con:
            read = job.read(con, file)
            relation = job.relation(read)
            staged = job.lake.stage(con, job.raw.name, relation, partition)
            facts = job.query(con, f"SELECT {job.facts} FROM ({relation})")[0]
        read.discard()
        _check_law(file, read.records, staged.rows if staged else 0)
        outcome = _outcome(job, key, read, facts, started, time.monotonic() - clock)
        return Ready(outcome, Slice(job.raw.name, partition, (staged,) if staged else ()))
    except PlatformError as error:
        _discard(job, staged)
        return Ready(_failed(job, key, file, error, started, time.monotonic() - clock))


def _split(job: Job, keys: Sequence[str]) -> list[Ready]:
    """Reads a file of many partitions once and stages the partitions asked for."""
    started, clock = utc_now(), time.monotonic()
    file, files = job.feed.file(""), []
    try:
        column, value = partition_sql(job.feed, job.raw.partition, job.lake.settings.start_date)
        by_value = {job.raw.partition.values(key)[column]: key for key in keys}
        chosen = ", ".join(f"{text(str(moment))}::{job.raw.partition.dimensions[0].duckdb_type}" for moment in by_value)
        with closing(job.lake.connect()) as con:
            read = job.read(con, file)
            relation = f"SELECT *, {value} AS {ident(column)} FROM ({job.relation(read)})"
            facts = {
                row[0]: row[1:]
                for row in job.query(con, f"SELECT {ident(column)}, {job.facts} FROM ({relation}) GROUP BY ALL")
            }
            nothing = job.query(con, f"SELECT {job.facts} FROM ({relation}) WHERE false")[0]
            _check_law(file, read.records, sum(row[0] for row in facts.values()))
            files = job.lake.stage_many(
                con, job.raw.name, f"SELECT * FROM ({relation}) WHERE {ident(column)} IN ({chosen})"
            )
        ready = []
        for moment, key in by_value.items():
            own = tuple(staged for staged in files if staged.partition[column] == moment)
            found = facts.get(moment, nothing)
            _check_law(f"{file}, partition {key}", found[0], sum(staged.rows for staged in own))
            outcome = _outcome(job, key, read, found, started, time.monotonic() - clock)
            ready.append(Ready(outcome, Slice(job.raw.name, {column: moment}, own)))
        return ready
    except PlatformError as error:
        _discard(job, *files)
        return [Ready(_failed(job, key, file, error, started, time.monotonic() - clock)) for key in keys]


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
    return Outcome(load, rules, notes)


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
