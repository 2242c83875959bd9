"""Files that arrive: each is read into a spool or, a large clean one, landed in its partition as it is read. Nothing is
committed here.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb

from data_platform.contracts.model import Contract
from data_platform.errors import LakeError, StorageError
from data_platform.lake.hashing import content_hash_sql
from data_platform.lake.lake import Lake, StagedFile
from data_platform.lake.ledger import utc_now
from data_platform.lake.retrying import retrying
from data_platform.lake.sql import ident, text
from data_platform.lake.storage import storage_errors
from data_platform.sources.declare import Feed
from data_platform.sources.reader import FileRead, Land, read_feed

LARGE_BYTES = 16 << 20
SAMPLE = 3


@dataclass(frozen=True)
class Job:
    """What one call of `load_raw` works with. `staging` is the feed's contract, `raw` that of the table to load; so many
    `readers` read files at once."""

    lake: Lake
    feed: Feed
    staging: Contract
    raw: Contract
    run_id: str
    loaded_at: datetime
    folder: Path
    readers: int
    uncommitted: dict[Path, StagedFile] = field(default_factory=dict)

    def hold(self, files: Iterable[StagedFile]) -> None:
        """Staged files that nobody commits are removed when the job ends, whatever ends it."""
        self.uncommitted.update({file.path: file for file in files})

    def hand_over(self, files: Iterable[StagedFile]) -> None:
        """Files that a commit answers for from now on."""
        for file in files:
            self.uncommitted.pop(file.path, None)

    def connect(self, file: str) -> duckdb.DuckDBPyConnection:
        """Who reads a file. Large ones of CSV are read side by side, each by one thread from its bytes to its rows."""
        if self.readers == 1 or self.feed.format != "csv" or self.feed.split_by or not self._is_large(file):
            return self.lake.connect()
        con = self.lake.one_threaded.connect()
        # What is read once need not stay in memory: this engine has a limit of its own beside the other's.
        con.execute("SET enable_external_file_cache = false")
        return con

    def _is_large(self, file: str) -> bool:
        try:
            return (self.lake.settings.landing_dir / file).stat().st_size >= LARGE_BYTES
        except OSError:
            return False  # who reads the file says what is wrong with it

    def read(self, con: duckdb.DuckDBPyConnection, file: str, land: Land | None) -> FileRead:
        spool = self.folder / f"{uuid.uuid4().hex}.parquet"
        return read_feed(con, self.feed, self.staging, self.lake.settings.landing_dir, file, spool, land)

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
        aside = "{'_record': _record, '_offset': _offset, '_defect': _defect}"
        sample = f"(list({aside} ORDER BY _record) FILTER (_defect IS NOT NULL))[:{SAMPLE}]"
        return f"count(*), count(_defect), count(_extra), {sample}, {self.content_hash}"

    @property
    def content_hash(self) -> str:
        return content_hash_sql({column.source: "VARCHAR" for column in self.staging.columns.values()})

    @cached_property
    def nothing(self) -> Sequence[Any]:
        """The facts of a partition without rows."""
        origin = "NULL::BIGINT AS _record, NULL::BIGINT AS _offset, NULL::VARCHAR AS _defect, NULL::VARCHAR AS _extra"
        columns = ", ".join(f"NULL::VARCHAR AS {ident(column.source)}" for column in self.staging.columns.values())
        with closing(self.lake.connect()) as con:
            return self.query(con, f"SELECT {self.facts} FROM (SELECT {columns}, {origin}) WHERE false")[0]


@dataclass
class Landing:
    """Stages a large file as it is read, so that its rows are not written twice. Small ones share a scan with others."""

    job: Job
    con: duckdb.DuckDBPyConnection
    key: str
    file: StagedFile | None = None
    facts: Sequence[Any] = ()

    def __call__(self, read: FileRead) -> bool:
        """Whether the staged file holds what the file's bytes promise; it is removed when it does not."""
        assert read.in_place is not None
        if read.size < LARGE_BYTES:
            return False
        job, promise = self.job, read.in_place.promise
        try:
            partition = job.raw.partition.values(self.key)
            self.file = job.lake.stage(self.con, job.raw.name, job.relation(read), partition)
        except LakeError as error:
            if error.transient or isinstance(error, StorageError):
                raise
            return False  # the careful path knows why
        if self.file is None:
            return False  # blank lines alone, which are no records
        job.hold([self.file])
        rows, digest, value_bytes = job.query(
            self.con,
            f"SELECT count(*), {job.content_hash}, coalesce(sum({read.in_place.value_bytes}), 0) "
            f"FROM read_parquet({text(str(self.file.path))}, hive_partitioning=false)",
        )[0]
        # What is read in place has no record set aside, and no column that the contract does not know.
        self.facts = (rows, 0, 0, None, digest)
        if (rows, value_bytes) == (promise.records, promise.value_bytes):
            return True
        self.discard()
        return False

    def discard(self) -> None:
        if self.file:
            self.job.lake.discard([self.file])
        self.file = None


@dataclass(frozen=True)
class Arrived:
    """A file that was read: the partition it is of (none for one that holds many), when, how long that took, and what was
    landed of it already."""

    key: str
    read: FileRead
    started: datetime
    seconds: float
    landed: Landing | None = None


def arrive(job: Job, key: str) -> Arrived:
    """Reads the file of one partition, or the one that holds them all (`key` is empty). Raises `PlatformError`."""
    started, clock, file = utc_now(), time.monotonic(), job.feed.file(key)
    for trial in retrying():
        with trial, closing(job.connect(file)) as con:
            landing = Landing(job, con, key)
            try:
                read = job.read(con, file, None if job.feed.split_by else landing)
            except BaseException:
                landing.discard()
                raise
            return Arrived(key, read, started, time.monotonic() - clock, landing if landing.file else None)
    raise AssertionError("unreachable")
