"""Dagster's event log on SQLite with its connections kept open. What is stored, and in which files, stays Dagster's own.

The stock storage opens an engine and a connection for every statement and closes them again; each time SQLAlchemy
compiles the statement anew and SQLite moves its write-ahead log into the database. An event costs a quarter of that
here, and events are most of what a backfill of many small partitions costs (docs/decisions/0006).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import dagster as dg
import sqlalchemy as sa

# Dagster documents that dagster.yaml may name another event log; the class to derive it from has no public name.
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS

from data_platform.settings import get_settings, set_unless_stated

KEPT_RUNS = 8
"""Runs whose files are kept open, those used last. A web server reads the files of thousands of runs."""
BATCH_SIZE = 500
"""Events that Dagster hands over at once, where it has so many: those of a range of partitions."""
BATCHED = {dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED}


class PooledSqliteEventLogStorage(SqliteEventLogStorage):
    """`SqliteEventLogStorage` with a connection pool per file. Either class reads what the other wrote."""

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        self._runs: OrderedDict[str, sa.Engine] = OrderedDict()
        # Dagster's own switch, which it reads when it stores an event; without it events come one by one.
        set_unless_stated("DAGSTER_EVENT_BATCH_SIZE", str(BATCH_SIZE))
        super().__init__(base_dir, inst_data)

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> PooledSqliteEventLogStorage:  # noqa: ARG003
        """The folder follows PLATFORM_HOME: a home that was moved takes its event log along."""
        return cls(str(get_settings().dagster_dir / "history" / "runs"), inst_data)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[sa.Connection]:
        with self._db_lock:
            engine = self._index if shard == INDEX_SHARD_NAME else self._run(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.begin() as connection:
                yield connection

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Stores events of one run: one transaction on the run's file and one on the index, where single events take
        three each, and the asset's own row once. Events of other kinds are stored one by one."""
        kinds = {event.dagster_event.event_type if event.dagster_event else None for event in events}
        if not kinds <= BATCHED or len({event.run_id for event in events}) != 1:
            super().store_event_batch(events)
            return
        rows = [self._event_to_row(event) for event in events]
        with self.run_connection(events[0].run_id) as run:
            run.execute(SqlEventLogStorageTable.insert(), rows)
        with self.index_transaction() as index:
            insert = SqlEventLogStorageTable.insert().returning(
                SqlEventLogStorageTable.c.id, sort_by_parameter_order=True
            )
            ids = [int(found) for (found,) in index.execute(insert, rows)]
            self._store_asset_event_tags(index, events, ids)
            last = {
                event.get_dagster_event().asset_key: (event, number) for event, number in zip(events, ids, strict=True)
            }
            for event, number in last.values():
                self._store_asset_event(index, event, number)

    @cached_property
    def _index(self) -> sa.Engine:
        return self._engine(INDEX_SHARD_NAME)

    def _run(self, shard: str) -> sa.Engine:
        """The run's engine; beyond `KEPT_RUNS` the one used longest ago goes. Called under the lock: none is in use."""
        if shard not in self._runs:
            self._runs[shard] = self._engine(shard)
        self._runs.move_to_end(shard)
        while len(self._runs) > KEPT_RUNS:
            self._runs.popitem(last=False)[1].dispose()
        return self._runs[shard]

    def _engine(self, shard: str) -> sa.Engine:
        return sa.create_engine(
            self.conn_string_for_shard(shard),
            poolclass=sa.QueuePool,
            connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
        )

    def has_table(self, table_name: str) -> bool:
        # Without the lock: Dagster asks this while it holds a connection, once per check.
        return bool(sa.inspect(self._index).has_table(table_name))

    def wipe(self) -> None:
        self._close()
        super().wipe()

    def dispose(self) -> None:
        super().dispose()
        self._close()

    def _close(self) -> None:
        with self._db_lock:
            while self._runs:
                self._runs.popitem()[1].dispose()
            self._index.dispose()
