"""Ctrl-C in a backfill: the first one stops it between partitions, the second one at once. Signals only.

Dagster sets its own handlers for SIGINT while it runs a step, and they interrupt at any place. So the signal is blocked,
and a thread waits for it.
"""

from __future__ import annotations

import _thread
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker

from data_platform.lake import stopping

SAID = "Stopping: the partitions that are being worked on are finished first. Ctrl-C again stops at once."
_tellers: list[Callable[[str], None]] = []


@contextmanager
def telling(say: Callable[[str], None]) -> Iterator[None]:
    """While open, work is going on that can stop between partitions, and `say` tells the user that it will."""
    _tellers.append(say)
    try:
        yield
    finally:
        _tellers.pop()


@contextmanager
def stops_between_partitions() -> Iterator[None]:
    """While open, the first Ctrl-C during `telling` asks to stop; any other interrupts the main thread. Open it before
    libraries start threads of their own: those that do not block the signal would be given it."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    # Whoever needs it first (dbt does) starts it, and starting it unblocks the signal for good.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(over,), name="interrupts", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        if watcher.ident is not None:
            signal.pthread_kill(watcher.ident, signal.SIGINT)
        watcher.join()
        stopping.reset()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _watch(over: threading.Event) -> None:
    while True:
        signal.sigwait({signal.SIGINT})
        if over.is_set():
            return
        if _tellers and not stopping.asked():
            stopping.ask()
            _tellers[-1](SAID)
        else:
            _thread.interrupt_main()
