"""Whether somebody asked this process to stop. Loads look here before each group of partitions that they commit together:
what was begun is committed, what was not is left as it was. No signals here."""

from __future__ import annotations

import threading

_asked = threading.Event()


def ask() -> None:
    """From now on no further partition is begun."""
    _asked.set()


def asked() -> bool:
    return _asked.is_set()


def reset() -> None:
    """Whoever asked has been heard."""
    _asked.clear()
