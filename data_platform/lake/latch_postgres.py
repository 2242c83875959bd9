"""The lock behind the commit gate when the catalog is in Postgres: a session's advisory lock. Nothing else uses it.

The session is our own, through psycopg2 (which dagster-postgres brings anyway): DuckDB's scanner keeps a pool, where
nobody knows which session a lock would belong to. The server frees the lock when the session ends, and so when its
process dies, wherever it ran.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import time

import psycopg2
import psycopg2.errors

from data_platform.errors import CatalogError
from data_platform.lake.attach import PostgresCatalog
from data_platform.lake.storage import is_lost

log = logging.getLogger(__name__)
LOCK_ID = 0x64706C616B65
# A wait is asked for in slices, so that Ctrl-C is heard.
_SLICE_SECONDS = 1.0


class PostgresLatch:
    """Holds one session while the process lives; reconnects when the server went away between two commits."""

    def __init__(self, at: PostgresCatalog) -> None:
        self._at = at
        self._session: psycopg2.extensions.connection | None = None

    def acquire(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        self._ask("SELECT 1", retry=True)
        while True:
            left = deadline - time.monotonic()
            try:
                self._ask(f"SET lock_timeout = {max(1, math.ceil(min(left, _SLICE_SECONDS) * 1000))}")
                self._ask(f"SELECT pg_advisory_lock({LOCK_ID})")
                return True
            except psycopg2.errors.LockNotAvailable:
                if time.monotonic() >= deadline:
                    return False

    def release(self) -> None:
        try:
            self._ask(f"SELECT pg_advisory_unlock({LOCK_ID})")
        except CatalogError:
            log.warning("the session of the commit gate was lost; the server has freed the lock")

    def holder(self) -> str:
        row = self._ask(
            "SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
            f"WHERE l.locktype = 'advisory' AND l.granted AND (l.classid::bigint << 32) + l.objid::bigint = {LOCK_ID}"
        )
        return str(row[0]) if row and row[0] else "an unknown session"

    def still_held(self) -> bool:
        try:
            row = self._ask(
                "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid() "
                f"AND (classid::bigint << 32) + objid::bigint = {LOCK_ID}"
            )
        except CatalogError:
            return False
        return row is not None

    def _ask(self, sql: str, *, retry: bool = False) -> tuple[object, ...] | None:
        try:
            if self._session is None or self._session.closed:
                self._session = self._open()
            with self._session.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchone() if cursor.description else None
        except psycopg2.errors.LockNotAvailable:
            raise
        except psycopg2.Error as error:
            if self._session is not None:
                self._session.close()
            self._session = None
            if retry:
                return self._ask(sql)
            raise unreachable(self._at, error) from None

    def _open(self) -> psycopg2.extensions.connection:
        session = psycopg2.connect(
            **self._at.parameters(), application_name=f"process {os.getpid()} on {socket.gethostname()}"[:63]
        )
        session.autocommit = True
        with session.cursor() as cursor:
            cursor.execute("SHOW lc_messages")
            (language,) = cursor.fetchone() or ("",)
        if language and not language.lower().startswith(("c", "posix", "en")):
            session.close()
            raise CatalogError(
                f"The catalog `{self._at.place}` speaks `{language}`; DuckLake knows conflicts by their English text.",
                fix=f"ALTER DATABASE \"{self._at.database}\" SET lc_messages TO 'C'",
            )
        return session


def unreachable(at: PostgresCatalog, error: psycopg2.Error) -> CatalogError:
    """The platform's error for a server that does not answer, without the password."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = (lines[-1] if lines else type(error).__name__).replace(at.password or "\0", "***")
    return CatalogError(
        f"The catalog `{at.place}` cannot be reached: {said}", fix="start the server, or check PLATFORM_CATALOG",
        transient=is_lost(str(error)),
    )  # fmt: skip
