"""The commit gate: one writer at a time in the whole lake, over processes and threads. No SQL on the lake here.

A conflict in DuckLake is per table, and a delete that matches no row is in no conflict check at all, so the gate and
not the engine keeps writers apart. It is freed by the system when its process dies.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import filelock

from data_platform.errors import GateTimeout
from data_platform.lake.storage import storage_errors

log = logging.getLogger(__name__)
POLL_SECONDS = 0.01
LONG_WAIT_SECONDS = 5.0


class Latch(Protocol):
    """What locks between processes."""

    def acquire(self, timeout: float) -> bool: ...
    def release(self) -> None: ...
    def holder(self) -> str: ...
    def still_held(self) -> bool: ...


class FileLatch:
    """A lock file beside a SQLite catalog. A file of its own names the holder, for messages."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._holder = path.with_suffix(".pid")
        self._lock = filelock.FileLock(path, thread_local=False)

    def acquire(self, timeout: float) -> bool:
        with storage_errors(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire(timeout=timeout, poll_interval=POLL_SECONDS)
            except filelock.Timeout:
                return False
            try:
                self._holder.write_text(str(os.getpid()))
            except BaseException:
                self._lock.release()
                raise
        return True

    def release(self) -> None:
        self._lock.release()

    def holder(self) -> str:
        try:
            pid = int(self._holder.read_text())
            os.kill(pid, 0)
        except (OSError, ValueError):
            return "an unknown process"
        return f"process {pid}"

    def still_held(self) -> bool:
        return self._lock.is_locked


class Gate:
    """Re-entrant within a thread; other threads and processes wait. `waited` is the last wait in seconds,
    `waited_total` all of them."""

    def __init__(self, latch: Latch, timeout: float) -> None:
        self.timeout = timeout
        self.waited = 0.0
        self.waited_total = 0.0
        self._latch = latch
        self._threads = threading.RLock()
        self._depth = 0

    @contextmanager
    def hold(self, timeout: float | None = None) -> Iterator[float]:
        """Holds the gate for the block and gives the seconds waited. Raises `GateTimeout` naming the holder."""
        limit = self.timeout if timeout is None else timeout
        started = time.monotonic()
        if not self._threads.acquire(timeout=limit):
            raise self._timed_out(limit, "another thread of this process")
        try:
            if self._depth == 0:
                self._acquire(limit, started)
            self._depth += 1
            try:
                yield self.waited if self._depth == 1 else 0.0
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self._latch.release()
        finally:
            self._threads.release()

    def still_held(self) -> bool:
        """Whether the lock is ours still; a Postgres server that restarted has forgotten it."""
        return self._depth > 0 and self._latch.still_held()

    def _acquire(self, limit: float, started: float) -> None:
        if not self._latch.acquire(max(0.0, limit - (time.monotonic() - started))):
            raise self._timed_out(limit, self._latch.holder())
        self.waited = time.monotonic() - started
        self.waited_total += self.waited
        if self.waited > LONG_WAIT_SECONDS:
            log.warning("waited %.1f s for the commit gate", self.waited)

    @staticmethod
    def _timed_out(limit: float, holder: str) -> GateTimeout:
        return GateTimeout(
            f"The commit gate was held by {holder} for more than {limit:g} s.",
            fix="wait for that writer or stop it; raise PLATFORM_LOCK_TIMEOUT if its commits are long",
        )


_gates: dict[str, Gate] = {}
_gates_lock = threading.Lock()


def gate_for(name: str, make_latch: Callable[[], Latch], timeout: float) -> Gate:
    """The one gate of this process for a lock of this name: a second lock object would wait for the first."""
    with _gates_lock:
        if name not in _gates:
            _gates[name] = Gate(make_latch(), timeout)
        _gates[name].timeout = timeout
        return _gates[name]


def _forget() -> None:
    # A child born by fork has copies of the parent's locks, which it does not hold.
    global _gates_lock
    _gates_lock = threading.Lock()
    _gates.clear()


os.register_at_fork(after_in_child=_forget)
