"""Named moments of a load: where a process may die. Only names here, and who is told; nothing happens at them.

`reached` costs nanoseconds while nobody listens. The crash tests listen, and kill (`data_platform/chaos/`).
"""

from __future__ import annotations

from collections.abc import Callable

STEPS = (
    "stage", "gate", "begin", "delete", "add", "ledger", "commit", "dbt model", "check", "repoint", "expiry", "clean-up",
)  # fmt: skip
POINTS = tuple(f"{side} {step}" for step in STEPS for side in ("before", "after"))

_listener: Callable[[str], None] | None = None


def reached(point: str) -> None:
    """Tells the listener of this process, if there is one, that this point of `POINTS` is reached."""
    if _listener is not None:
        _listener(point)


def listen(listener: Callable[[str], None] | None) -> None:
    """Sets the one listener of this process; `None` removes it. Threads reach points too."""
    global _listener
    _listener = listener
