"""Groups that are nearly as many as the rows, as when repeated keys are sought."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

_MOST_SPLITS = 16
_alone = threading.Lock()


@contextmanager
def many_groups(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """The engine splits the hash table of a GROUP BY by its number of threads: on two cores into two, so large that each
    row misses the caches. With twice the threads, statements of millions of groups take half the time; others do not
    gain, so it is for these alone. An engine that is to use less than the machine keeps its threads."""
    with _alone:  # the setting is the whole engine's, and who comes second must not take it for the usual one
        (usual,) = con.execute("SELECT current_setting('threads')").fetchone() or (0,)
        if usual != os.cpu_count() or usual >= _MOST_SPLITS:
            yield
            return
        con.execute(f"SET threads = {min(2 * usual, _MOST_SPLITS)}")
        try:
            yield
        finally:
            con.execute(f"SET threads = {usual}")
