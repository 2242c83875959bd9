"""Keeps a backfill's terminal clean, and its events fast. Descriptors and open files; no words, no Dagster."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from data_platform.lake.storage import storage_errors


@contextmanager
def others_go_to(log: Path) -> Iterator[TextIO]:
    """While open, whatever libraries print on the descriptors 1 and 2 goes to `log`; yields the real stderr.

    Dagster captures a step's output at the descriptors and echoes it, and dbt prints: the data on stdout would be
    no data any more, and the progress bar would end up in the compute log."""
    with storage_errors(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    saved = os.dup(1), os.dup(2)
    sys.stdout.flush()
    sys.stderr.flush()
    real = os.fdopen(os.dup(2), "w", buffering=1)
    os.dup2(target, 1)
    os.dup2(target, 2)
    try:
        yield real
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(saved[0], 1)
        os.dup2(saved[1], 2)
        for descriptor in (*saved, target):
            os.close(descriptor)
        real.close()


class EventFiles:
    """Holds Dagster's SQLite event files open. The storage opens a connection per event, and closing the last one
    makes SQLite write its log back to the file: held open, an event costs 10 ms instead of 20."""

    def __init__(self, dagster_dir: Path) -> None:
        self._folder = dagster_dir / "history" / "runs"
        self._held: dict[Path, sqlite3.Connection] = {}

    def hold(self, run_id: str) -> None:
        """Holds the index and the file of this run, where there are such files, and lets the last run's go."""
        wanted = [self._folder / "index.db", self._folder / f"{run_id}.db"]
        for path in [path for path in self._held if path not in wanted]:
            self._held.pop(path).close()
        for path in wanted:
            if path.exists() and path not in self._held:
                self._held[path] = sqlite3.connect(path)
                self._held[path].execute("SELECT count(*) FROM sqlite_master").fetchall()

    def close(self) -> None:
        for connection in self._held.values():
            connection.close()
        self._held.clear()
