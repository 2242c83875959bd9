"""What the disk and the catalog say when they fail, in the platform's words. Nothing is opened here."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from data_platform.errors import CatalogError, LakeError, PlatformError, StorageError

_FULL = ("no space left", "disk is full", "disk quota", "enospc", "could not write all bytes", "not enough space")
_READ_ONLY = ("read-only file system", "readonly database", "read-only database", "erofs")
_DENIED = ("permission denied", "operation not permitted")
_DAMAGED = (
    "file is not a database",
    "disk image is malformed",
    "malformed database",
    "not a ducklake",
    "no such table: ducklake",
)
_VAGUE = ("disk i/o error", "unable to open database file", "disk image is malformed")
_LITTLE_BYTES = 128 * 1024
_UNREACHABLE = (
    "unable to connect to postgres", "connection refused", "could not connect", "could not translate host name",
    "password authentication failed", "server closed the connection", "connection to server", "timeout expired",
    "terminating connection",
)  # fmt: skip
_LOST = (
    "connection refused", "server closed the connection", "terminating connection", "connection reset", "timeout expired",
    "connection already closed", "broken pipe", "the database system is starting up", "the database system is shutting down",
    "before or while processing the request", "too many clients", "could not translate host name", "no route to host",
    "network is unreachable", "network is down", "connection timed out", "ssl syscall error", "ssl connection has been closed",
    "stale file handle", "temporary failure in name resolution",
)  # fmt: skip
_PASSING_ERRNOS = frozenset({
    errno.EAGAIN, errno.EBUSY, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH, errno.EINTR,
    errno.ENETDOWN, errno.ENETUNREACH, errno.EPIPE, errno.ESTALE, errno.ETIMEDOUT,
})  # fmt: skip
_CONFLICTS = (
    "transaction conflict",
    "conflict on",
    "database is locked",
    "could not serialize",
    "concurrent update",
    "deadlock detected",
)
_SERVER = re.compile(
    r"(connection to server|could not translate|could not connect|timeout expired|server closed|terminating).*",
    re.IGNORECASE,
)
_SECRETS = re.compile(
    r"([?&]password=)[^\s&]+|(password\s*=\s*)(?:'[^']*'|\S+)|(://[^:/@\s]*:)[^@\s]*(?=@)", re.IGNORECASE
)
# The engine quotes the value that it stumbled over, and quotes nothing within it: from the first sign to the last.
_VALUES = re.compile(r"'.*'|\".*\"|(?<=value )[-+.\de]+|(?<=\()[-+]?\d+ \S+ [-+]?\d+(?=\))", re.DOTALL)
_ABOUT_VALUES = re.compile(r"(?:Conversion|Invalid Input|Out of Range) Error: ")
_EXCERPT = re.compile(r"\n\s*LINE \d+:.*", re.DOTALL)


def redact(message: str) -> str:
    """The message without passwords of connection strings."""
    return _SECRETS.sub(lambda found: (found.group(1) or found.group(2) or found.group(3)) + "***", message)


def about_values(error: duckdb.Error) -> str | None:
    """What the engine says of a value that it could not take, without the value, which may be personal; None for an
    error that is about something else."""
    if not isinstance(error, duckdb.ConversionException | duckdb.InvalidInputException | duckdb.OutOfRangeException):
        return None
    kind, _, cause = _EXCERPT.sub("", redact(str(error))).strip().partition(": ")
    return _VALUES.sub("***", cause or kind).splitlines()[0]


def without_values(said: str) -> str:
    """What the engine said, told by another tool, without passwords, and without the value when it is about one."""
    said = redact(said)
    found = _ABOUT_VALUES.search(said)
    return said if found is None else said[: found.end()] + _VALUES.sub("***", _EXCERPT.sub("", said[found.end() :]))


def is_conflict(error: BaseException) -> bool:
    """Whether another writer, not behind our gate, got in first: worth another try."""
    if not isinstance(error, duckdb.Error):
        return False
    said = str(error).lower()
    return any(word in said for word in _CONFLICTS)


def may_pass(error: BaseException) -> bool:
    """Whether the cause may be gone in a moment: a conflict or a lock, a server or a network that is away."""
    if isinstance(error, OSError):
        return error.errno in _PASSING_ERRNOS or isinstance(error, ConnectionError | TimeoutError)
    return is_conflict(error) or (isinstance(error, duckdb.Error) and is_lost(str(error)))


def is_lost(said: str) -> bool:
    """Whether a server's or client's words are about a connection that may be had again."""
    return any(word in said.lower() for word in _LOST)


def translate(error: duckdb.Error | OSError, place: Path | str) -> PlatformError:
    """The platform's error for one of DuckDB's or the system's; `place` is the folder or catalog concerned."""
    if isinstance(error, duckdb.InvalidInputException) and "CSV Error" in str(error).partition("\n")[0]:
        # The rest quotes the record, whose words are not the disk's or the catalog's, and may be personal.
        return LakeError("A record of a CSV file cannot be read.", fix="look at the file")
    if isinstance(error, duckdb.ConversionException | duckdb.OutOfRangeException):
        return _value_error(about_values(error) or "")  # it is quoted, and its words are nobody's either
    found = _translated(error, place)
    found.transient = found.transient or may_pass(error)
    return found


def _translated(error: duckdb.Error | OSError, place: Path | str) -> PlatformError:
    said = str(error).lower()
    if isinstance(error, duckdb.Error) and Path(place).is_file() and Path(place).stat().st_size == 0:
        said = _DAMAGED[0]  # SQLite takes an empty file for a new one, and complains that it may not write it
    if any(word in said for word in _VAGUE):
        said = _look(Path(place), said)
    if any(word in said for word in _FULL):
        return StorageError(
            f"`{place}` has no space left; nothing was committed.", fix="free some disk space and run it again"
        )
    if any(word in said for word in _READ_ONLY):
        return StorageError(
            f"`{place}` is on a read-only file system.",
            fix="remount it writable, or set PLATFORM_HOME to another folder",
        )
    if any(word in said for word in _DENIED):
        return StorageError(
            f"`{place}` may not be written by this user.",
            fix="change its owner, or set PLATFORM_HOME to another folder",
        )
    if isinstance(error, FileExistsError | NotADirectoryError):
        return StorageError(
            f"`{place}` is a file, or lies below one, where a folder is needed.",
            fix="move it away, or set PLATFORM_HOME or PLATFORM_LANDING to a folder",
        )
    if isinstance(error, duckdb.OutOfMemoryException):
        return LakeError(
            "DuckDB needs more memory than `PLATFORM_MEMORY` lets it take.", fix="raise PLATFORM_MEMORY, or unset it"
        )
    if any(word in said for word in _DAMAGED):
        return CatalogError(
            f"The catalog `{place}` is damaged or is no catalog of a lake.", fix="restore it from a backup"
        )
    if "disk i/o error" in said or "unable to open database file" in said:
        # SQLite says so too when another connection rolls up the log beneath it.
        return StorageError(
            f"`{place}` could not be read or written.", fix="check the disk, and that the folder is there",
            transient="disk i/o error" in said,
        )  # fmt: skip
    if any(word in said for word in _UNREACHABLE):
        return CatalogError(
            f"The catalog `{place}` cannot be reached: {_cause(error)}",
            fix="start the server, or check PLATFORM_CATALOG",
        )
    if isinstance(error, duckdb.Error) and (cause := about_values(error)) is not None:
        return _value_error(cause)
    return LakeError(redact(str(error)).strip(), fix="data-platform doctor")


def _value_error(cause: str) -> LakeError:
    return LakeError(cause, fix="mend the value, or the type that its column is to have")


def _look(place: Path, said: str) -> str:
    """What the disk itself tells where SQLite is vague about it."""
    folder = next((parent for parent in (place, *place.parents) if parent.is_dir()), Path("/"))
    if shutil.disk_usage(folder).free < _LITTLE_BYTES:
        return _FULL[0]
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        return _READ_ONLY[0]
    return said if os.access(folder, os.W_OK) else _DENIED[0]


def _cause(error: BaseException) -> str:
    """The server's own words out of an error that also quotes how it was called."""
    said = redact(str(error)).strip()
    found = _SERVER.search(said)
    return found.group(0).strip() if found else said.splitlines()[-1] if said else type(error).__name__


@contextmanager
def storage_errors(place: Path | str) -> Iterator[None]:
    """Translates DuckDB's and the system's errors of the block; the platform's own pass through. The original is not
    chained: its text may hold the catalog's password."""
    try:
        yield
    except PlatformError:
        raise
    except (duckdb.Error, OSError) as error:
        raise translate(error, place) from None
