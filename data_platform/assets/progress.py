"""Who is told, inside this process, that a partition of an asset is done: the command line's progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import dagster as dg

Listener = Callable[[dg.AssetKey, str], None]
_listener: ContextVar[Listener | None] = ContextVar("progress_listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """While open, `listener` is called for each partition done, maybe more than once for the same one."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def done(key: dg.AssetKey, partition_key: str) -> None:
    """Tells the listener, if there is one."""
    listener = _listener.get()
    if listener is not None:
        listener(key, partition_key)
