"""Whose a file is that no catalog knows yet: the mark of its process in its name, and a lock that dies with that process.

Upkeep asks here before it removes anything. What a file holds is not known here, and nothing of the lake is removed.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock, Timeout

from data_platform.lake.storage import storage_errors

# Beyond this age nothing that a writer of another machine, or one that is not ours, has not committed will be.
FOREIGN_SECONDS = 24 * 3600
_MARK = re.compile(r"(?:load|read|spill)-([0-9a-f]{12})-")

_held: dict[Path, tuple[str, FileLock]] = {}
_guard = threading.Lock()


def writers_folder(lake_dir: Path) -> Path:
    """Where the locks of the processes are that write into a lake."""
    return lake_dir / "writers"


def mark(lake_dir: Path) -> str:
    """The mark of this process among the writers of a lake (12 hex digits): part of the names of its files until the end
    of the process. Raises `StorageError`."""
    folder = writers_folder(lake_dir)
    with _guard:
        if folder not in _held:
            found = uuid.uuid4().hex[:12]
            lock = FileLock(folder / f"{_host()}-{found}.lock", thread_local=False)
            with storage_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
                lock.acquire(timeout=0)
            _held[folder] = (found, lock)
        return _held[folder][0]


def mark_in(name: str) -> str | None:
    """The mark in the name of a staged file or of a throw-away folder."""
    found = _MARK.search(name)
    return found.group(1) if found else None


def is_abandoned(lake_dir: Path, path: Path) -> bool:
    """Whether nobody will come back for this uncommitted file or folder. A process of this machine is asked through its lock.
    A free lock of another machine may mean that the mount carries no locks, and a name without a mark a writer that is
    not ours: they have a day."""
    found = mark_in(path.name)
    locks = list(writers_folder(lake_dir).glob(f"*-{found}.lock")) if found else []
    if any(not _is_free(lock) for lock in locks):
        return False
    if found and all(_is_of_this_host(lock) for lock in locks):
        return True
    with suppress(FileNotFoundError):
        return time.time() - path.stat().st_mtime > FOREIGN_SECONDS
    return False


def forget_dead(lake_dir: Path, marks_in_use: Iterable[str | None] = ()) -> int:
    """Removes the locks of dead writers, but for those whose files are still there, and returns how many."""
    kept, gone = set(marks_in_use), 0
    for lock in writers_folder(lake_dir).glob("*.lock"):
        if lock.stem.rpartition("-")[2] not in kept and _is_free(lock):
            lock.unlink(missing_ok=True)
            gone += 1
    return gone


def sweep(folder: Path) -> list[Path]:
    """Removes what dead processes left in a folder of throw-away folders that each have a lock beside them, and returns
    it. A process that lives holds its lock."""
    gone = []
    for lock in folder.glob("*.lock"):
        try:
            with FileLock(lock, timeout=0):
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                lock.unlink(missing_ok=True)
                gone.append(lock.with_suffix(""))
        except Timeout:
            continue
    return gone


def _host() -> str:
    return quote(socket.gethostname(), safe="")[:100]


def _is_of_this_host(lock: Path) -> bool:
    return lock.stem.rpartition("-")[0] == _host()


def _is_free(lock: Path) -> bool:
    try:
        with FileLock(lock, timeout=0):
            return True
    except Timeout:
        return False


def _leave() -> None:
    """A process that ends leaves no lock; what it staged and did not commit is then nobody's."""
    with _guard:
        for _, lock in _held.values():
            with suppress(OSError):
                Path(lock.lock_file).unlink(missing_ok=True)
                lock.release()
        _held.clear()


def _forget() -> None:
    # A child born by fork is another writer, with a mark of its own.
    global _guard
    _guard = threading.Lock()
    _held.clear()


atexit.register(_leave)
os.register_at_fork(after_in_child=_forget)
