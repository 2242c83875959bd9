"""The one exception tree. Every error a user can cause or meet is here; nothing else raises to them.

A message names the object in backticks, the cause, and the command that mends it. `exit_code` is what
the command line returns: 1 for work that failed, 2 for a command that was misused.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PlatformError(Exception):
    """Base of all errors of the platform. `fix` is a command or an action, in words a tired person can follow;
    `transient` says that the cause may pass by itself, as a lock or a lost connection does: another try is worth it."""

    exit_code = 1

    def __init__(self, message: str, *, fix: str | None = None, transient: bool = False) -> None:
        self.message = message
        self.fix = fix
        self.transient = transient
        super().__init__(f"{message} Fix: {fix}" if fix else message)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.message, self.fix, self.transient))


def _rebuild(cls: type[PlatformError], message: str, fix: str | None, transient: bool) -> PlatformError:
    return cls(message, fix=fix, transient=transient)


class UsageError(PlatformError):
    """The command, a name or an option is wrong; nothing was tried."""

    exit_code = 2


class SettingsError(UsageError):
    """A `PLATFORM_*` setting cannot be used."""


class ContractError(PlatformError):
    """A contract is not well formed, or data has a shape its contract does not allow."""


class SourceError(PlatformError):
    """A source file or feed cannot be read; nothing of that partition was committed. `records` is how many were read
    before that was known, `file_hash` the sha256 of the file when it could be read to its end."""

    records = 0
    file_hash = ""


class LakeError(PlatformError):
    """The lake cannot do what was asked."""


class CatalogError(LakeError):
    """The catalog is missing, unreachable or damaged."""


class StorageError(LakeError):
    """The place where files live is full, read-only or missing."""


class GateTimeout(LakeError):
    """Another writer held the commit gate for longer than `PLATFORM_LOCK_TIMEOUT`."""


class KeyConflict(LakeError):
    """A key with scope `table` was committed by another partition first."""


class LoadFailed(PlatformError):
    """A load was judged and refused: a `fail` rule, a limit, or counts that do not add up. Nothing was committed."""


class PublishRefused(PlatformError):
    """A changed partition lacks a passed audit, so readers keep the version they have."""


class PartitionsFailed(PlatformError):
    """Some partitions of a range failed; the others were committed."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns ` Did you mean `x`?` for the nearest known name, or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean `{near[0]}`?" if near else ""
