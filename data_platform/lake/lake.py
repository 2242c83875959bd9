"""The lake: connections, tables, and the one way in which rows get into it. What a row must be is not known here.

`Lake` is thin: attaching is `attach.py`, files are `staging.py`, the transaction is `commit.py`, the lock `gate.py`.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from weakref import WeakSet

import duckdb
import tenacity

from data_platform.errors import LakeError, UsageError
from data_platform.lake import adopting, staging, tables
from data_platform.lake import commit as commits
from data_platform.lake.attach import Attachment, PostgresCatalog, attachment, open_engine, refuse_misleading_home
from data_platform.lake.commit import Check, Slice, slices_of
from data_platform.lake.gate import FileLatch, Gate, gate_for
from data_platform.lake.latch_postgres import PostgresLatch
from data_platform.lake.ledger import Audit
from data_platform.lake.outcomes import LoadRecord
from data_platform.lake.points import reached
from data_platform.lake.retrying import retrying
from data_platform.lake.sql import table_name
from data_platform.lake.staging import StagedFile
from data_platform.lake.storage import is_conflict, storage_errors
from data_platform.settings import Settings, get_settings

__all__ = ["Audit", "Lake", "Slice", "StagedFile", "get_lake", "slices_of"]
log = logging.getLogger(__name__)
ATTEMPTS = 10
T = TypeVar("T")
# DuckLake keeps what it read of every snapshot for as long as it is attached, a quarter of a MiB per commit.
CONNECTIONS_PER_ENGINE = 2_000
_of_the_parent: list[object] = []


class _Engine:
    """A DuckDB with the lake attached, and the connections that it gave."""

    def __init__(self, root: duckdb.DuckDBPyConnection) -> None:
        self.root = root
        self.given = 0
        self._used: WeakSet[duckdb.DuckDBPyConnection] = WeakSet()

    def connect(self) -> duckdb.DuckDBPyConnection:
        connection = self.root.cursor()
        self.given += 1
        self._used.add(connection)
        return connection

    def end(self) -> bool:
        """Closes it once nobody has a connection of it; says whether it did. The lake is detached first: an attached one
        whose COMMIT found the catalog locked keeps its engine, and all that it knows, for ever."""
        if self._used:
            return False
        with suppress(duckdb.Error):
            self.root.execute("DETACH DATABASE IF EXISTS lake")
        self.root.close()
        return True


class Lake:
    """One lake, as the settings name it. Cheap to make; opens nothing until it is used. Safe for threads.

    A process has one engine per lake (checking the extensions' signatures takes 0.5 s), a new one now and then, and
    connections are cursors of it: they share its memory limit and attached databases, so scratch belongs into TEMP tables."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.attachment: Attachment = attachment(settings)
        self._engines: dict[bool, _Engine] = {}
        self._replaced: list[_Engine] = []
        self._one_threaded: Lake | None = None
        self._pid = os.getpid()
        self._lock = threading.RLock()

    @classmethod
    def from_settings(cls, settings: Settings | None = None) -> Lake:
        return cls(settings or get_settings())

    @property
    def gate(self) -> Gate:
        """The commit gate. `with lake.gate.hold():` for anything that writes to the catalog."""
        catalog, lock = self.attachment.catalog, self.settings.lake_dir / "commit.lock"
        if isinstance(catalog, PostgresCatalog):
            return gate_for(repr(catalog), lambda: PostgresLatch(catalog), self.settings.lock_timeout)
        return gate_for(str(lock), lambda: FileLatch(lock), self.settings.lock_timeout)

    @property
    def one_threaded(self) -> Lake:
        """The same lake through engines of one thread, for callers that bring threads of their own: two of them in one
        engine of two threads take a third more CPU for the same files."""
        if self.settings.threads == 1:
            return self
        with self._lock:
            if self._one_threaded is None:
                self._one_threaded = Lake(self.settings.model_copy(update={"threads": 1}))
            return self._one_threaded

    def attach_sql(self, *, read_only: bool = False) -> str:
        """The ATTACH statement, for an engine that is not ours; `attachment` has its parts."""
        return self.attachment.sql(read_only=read_only)

    def connect(self, read_only: bool = False) -> duckdb.DuckDBPyConnection:
        """A connection with the lake attached as `lake`; the lake is made if there is none. Close it after use.
        Raises `CatalogError` or `StorageError`."""
        with self._lock, storage_errors(self.attachment.place):
            if self._pid != os.getpid():
                # An engine's threads do not survive a fork, and to free it would wait for them.
                _of_the_parent.append((self._engines, self._replaced))
                self._engines, self._replaced, self._pid = {}, [], os.getpid()
            engine = self._engines.get(read_only)
            if engine is None or engine.given >= CONNECTIONS_PER_ENGINE:
                self._engines[read_only] = _Engine(self._open(read_only))
                # One that is replaced lives on in its connections, and ends with the last.
                self._replaced += [engine] if engine else []
            self._replaced = [old for old in self._replaced if not old.end()]
            connection = self._engines[read_only].connect()
            # Standard output is for data; the setting is a connection's, not the engine's.
            connection.execute("SET enable_progress_bar = false")
            return connection

    def read(self, ask: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        """What `ask` finds on a read-only connection; asked again while what stands in the way may pass. Raises
        `CatalogError`, `StorageError` or `LakeError`."""
        for trial in retrying():
            with trial, storage_errors(self.attachment.place), self.connect(read_only=True) as con:
                return ask(con)
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Closes the engines; the next `connect` opens them again."""
        with self._lock:
            for engine in (*self._engines.values(), *self._replaced):
                if not engine.end():
                    engine.root.close()
            self._engines, self._replaced = {}, []
            other, self._one_threaded = self._one_threaded, None
        if other is not None:
            other.close()

    def _open(self, read_only: bool) -> duckdb.DuckDBPyConnection:
        refuse_misleading_home(self.settings)
        for folder in (self.settings.lake_dir, self.attachment.data_path, self.settings.home / "tmp"):
            with storage_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
        engine = open_engine(self.settings, self.attachment)
        try:
            if not tables.attach(engine, self.attachment, read_only=read_only):
                if read_only:
                    self.connect().close()
                    tables.attach(engine, self.attachment, read_only=True)
                else:
                    tables.make(engine, self.attachment, self.gate)
        except BaseException:
            engine.close()
            raise
        return engine

    def ensure_table(
        self,
        con: duckdb.DuckDBPyConnection | None,
        name: str,
        columns: Mapping[str, str],
        partition_by: Sequence[str] = (),
    ) -> None:
        """Makes the table, or adds the columns it lacks and widens their types. Idempotent. Raises `LakeError` when a
        column has a type that does not widen to the one wanted, or the table is partitioned otherwise; `UsageError` for a name. Never inside a transaction of the caller."""
        with storage_errors(self.attachment.place):
            own = con or self.connect()
            try:
                tables.ensure(own, self.gate, table_name(name), columns, tuple(partition_by))
            finally:
                if con is None:
                    own.close()

    def stage(
        self, con: duckdb.DuckDBPyConnection, name: str, select_sql: str, partition: Mapping[str, object] | None = None
    ) -> StagedFile | None:
        """Writes one partition's rows to a file, cast by name to the table's columns; a missing column becomes NULL.
        Returns `None` for no rows. Raises `LakeError` for an unknown column, a bad cast or a foreign partition."""
        return staging.stage(con, self.attachment.data_path, table_name(name), select_sql, partition or {})

    def stage_many(
        self, con: duckdb.DuckDBPyConnection, name: str, select_sql: str, partition_columns: Sequence[str] = ()
    ) -> list[StagedFile]:
        """Writes many partitions' rows in one scan; the select carries the partition columns, which are the table's.
        A partition may come back in several files: `slices_of` groups them; one without rows has none."""
        return staging.stage_many(con, self.attachment.data_path, table_name(name), select_sql, partition_columns)

    def stage_slices(
        self, con: duckdb.DuckDBPyConnection, name: str, select_sql: str, partitions: Sequence[Mapping[str, object]]
    ) -> list[Slice]:
        """Writes the rows of these partitions, and makes one slice of each; one without rows is emptied. Raises
        `LakeError` for a row of another partition."""
        if not any(partitions):
            file = self.stage(con, name, select_sql)
            return [Slice(name, {}, (file,) if file else ())]
        return self._slices(name, self.stage_many(con, name, select_sql), partitions)

    def adopt_slices(
        self, con: duckdb.DuckDBPyConnection, name: str, files: Sequence[Path],
        partitions: Sequence[Mapping[str, object]],
    ) -> list[Slice] | None:  # fmt: skip
        """As `stage_slices`, of Parquet files that are there by `column=value` folders already; files of other partitions
        are left out. `None` when their columns are not just the table's: those rows are to be staged."""
        found = adopting.adopt(con, self.attachment.data_path, table_name(name), files, partitions)
        return None if found is None else self._slices(name, found, partitions)

    def _slices(
        self, name: str, files: Sequence[StagedFile], partitions: Sequence[Mapping[str, object]]
    ) -> list[Slice]:
        staged = {tuple(sorted(part.partition.items())): part for part in slices_of(files)}
        slices = [
            staged.pop(tuple(sorted(values.items())), Slice(name, dict(values))) for values in partitions
        ]  # fmt: skip
        if staged:
            self.discard(files)
            raise LakeError(f"`{name}`: rows of {next(iter(staged.values())).partition}, which was not asked for.")
        return slices

    def discard(self, files: Sequence[StagedFile]) -> None:
        """Removes staged files that will not be committed."""
        staging.discard(files)

    def commit(
        self, slices: Sequence[Slice], loads: Sequence[LoadRecord] = (), audits: Sequence[Audit] = (),
        check: Check | None = None, message: str = "",
    ) -> int:  # fmt: skip
        """Replaces the slices whole, writes the loads and audits, and returns the snapshot's id; all or nothing.

        `check(con)` runs inside the gate and the transaction and sees the new rows; what it raises undoes everything
        and reaches the caller. What may pass, such as a catalog's server that restarts, is tried again; a COMMIT that
        nobody answered is looked for first. On any failure the staged files are removed. `gate.waited` has the wait."""
        change = commits.Change(tuple(slices), tuple(loads), tuple(audits), check, message)
        attempt = commits.Attempt()
        try:
            with storage_errors(self.attachment.data_path):
                staging.flush(change.files, self.attachment.data_path)
            for trial in retrying():
                with trial:
                    landed = self._landed(change) if attempt.committing else None
                    return landed or self._commit(change, attempt)
        except BaseException:
            if not (attempt.committing and self._may_have_landed(change)):
                staging.discard(change.files)
            raise
        raise LakeError("The commit was not tried.")

    def record_failures(self, loads: Sequence[LoadRecord]) -> None:
        """Writes failed loads to the ledger, in a transaction of their own."""
        if any(load.outcome != "failed" for load in loads):
            raise UsageError("Only failed loads are recorded without their rows.")
        if loads:
            self.commit((), loads)

    def record_audits(self, audits: Sequence[Audit]) -> None:
        """Writes verdicts that came after the load, such as a check that failed in a later run."""
        if audits:
            self.commit((), audits=audits, message=f"audit of {audits[0].asset}")

    def _commit(self, change: commits.Change, attempt: commits.Attempt) -> int:
        con = self.connect()
        try:
            reached("before gate")
            with self.gate.hold(), storage_errors(self.attachment.place):
                reached("after gate")
                # Behind the gate only writers that are not ours can conflict.
                for trial in tenacity.Retrying(
                    retry=tenacity.retry_if_exception(is_conflict), stop=tenacity.stop_after_attempt(ATTEMPTS),
                    wait=tenacity.wait_random_exponential(multiplier=0.02, max=1.0), reraise=True,
                ):  # fmt: skip
                    with trial:
                        return commits.apply(con, change, self.gate.still_held, attempt)
        finally:
            con.close()
        raise LakeError("The commit was not tried.")

    def _landed(self, change: commits.Change) -> int | None:
        """The snapshot of a change whose COMMIT nobody answered; None when it is not there. Raises `CatalogError` when
        nobody can tell."""
        with storage_errors(self.attachment.place):
            con = self.connect()
            try:
                return commits.landed(con, change)
            finally:
                con.close()

    def _may_have_landed(self, change: commits.Change) -> bool:
        """Whether a commit that raised may have reached the catalog; when nobody can tell, files are kept."""
        try:
            return bool(change.files) and self._landed(change) is not None
        except Exception:
            return True


_lakes: dict[str, Lake] = {}


def get_lake() -> Lake:
    """The lake of this process's settings; the same object while the settings stay the same."""
    settings = get_settings()
    name = repr((attachment(settings), settings))
    if name not in _lakes:
        _lakes[name] = Lake(settings)
    return _lakes[name]
