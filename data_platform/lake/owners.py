"""Whose a file is that no catalog knows yet: the mark of its process in its name, and a lock that dies with that process.

Upkeep asks here before it removes anything. What a file holds is not known here, and nothing of the lake is removed.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import re
import shutil
import socket
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path

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
    """The mark of this process among the writers of a lake (12 hex digits, six of them the machine's): part of the names
    of its files until the end of the process. Raises `StorageError`."""
    folder = writers_folder(lake_dir)
    with _guard:
        while folder not in _held:
            found = _host() + uuid.uuid4().hex[:6]
            lock = FileLock(folder / f"{found}.lock", thread_local=False)
            with storage_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
                lock.acquire()  # who asks whether it is free lets it go at once
            if Path(lock.lock_file).exists():
                _held[folder] = (found, lock)
            else:  # taken for a dead one's before it was ours
                lock.release()
        return _held[folder][0]


def mark_in(name: str) -> str | None:
    """The mark in the name of a staged file or of a throw-away folder."""
    found = _MARK.search(name)
    return found.group(1) if found else None


def is_dead(lake_dir: Path, found: str) -> bool:
    """Whether the process of this mark has ended. Only one of this machine can be known dead: a free lock of another may
    mean that the mount carries no locks."""
    return found.startswith(_host()) and _is_free(writers_folder(lake_dir) / f"{found}.lock")


def is_abandoned(lake_dir: Path, path: Path) -> bool:
    """Whether nobody will come back for this uncommitted file or folder. What a process of another machine made, and what
    has no mark and so a maker that is not ours, has a day."""
    found = mark_in(path.name)
    if found and is_dead(lake_dir, found):
        return True
    if found and not _is_free(writers_folder(lake_dir) / f"{found}.lock"):
        return False
    try:
        return not (found or "").startswith(_host()) and time.time() - path.stat().st_mtime > FOREIGN_SECONDS
    except FileNotFoundError:
        return False


def forget_dead(lake_dir: Path) -> int:
    """Removes the locks that nobody holds, and returns how many."""
    gone = 0
    for lock in writers_folder(lake_dir).glob("*.lock"):
        with suppress(Timeout), FileLock(lock, timeout=0):
            lock.unlink(missing_ok=True)  # while we hold it, so that nobody takes it in between
            gone += 1
    return gone


def sweep(folder: Path, *, dry_run: bool = False) -> list[Path]:
    """Removes what dead processes left in a folder of throw-away folders that each have a lock beside them, and returns
    it. A process that lives holds its lock."""
    gone = []
    for lock in folder.glob("*.lock"):
        try:
            with FileLock(lock, timeout=0):
                if not dry_run:
                    shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                    lock.unlink(missing_ok=True)
                gone.append(lock.with_suffix(""))
        except Timeout:
            continue
    return gone


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]


def _is_free(lock: Path) -> bool:
    """Whether no process holds the lock; one that is gone was let go by its process, or swept after that had died."""
    if not lock.exists():
        return True
    try:
        with FileLock(lock, timeout=0):
            return True
    except Timeout:
        return False


def let_go() -> None:
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


atexit.register(let_go)
os.register_at_fork(after_in_child=_forget)
