from __future__ import annotations

import errno
import pickle

import duckdb
import pytest

from data_platform.errors import CatalogError, LoadFailed, PlatformError, SourceError
from data_platform.lake import retrying
from data_platform.lake.storage import translate


def tries(monkeypatch: pytest.MonkeyPatch, *errors: PlatformError) -> int:
    """How often work is begun that meets these errors one after the other, and then succeeds."""
    monkeypatch.setattr(retrying, "FIRST_WAIT_SECONDS", 0.001)
    left, begun = list(errors), 0
    for trial in retrying.retrying():
        with trial:
            begun += 1
            if left:
                raise left.pop(0)
    return begun


def test_what_may_pass_is_tried_again_and_what_will_not_is_raised_at_once(monkeypatch):
    away = CatalogError("The catalog is away.", transient=True)
    assert tries(monkeypatch, away, away) == 3
    with pytest.raises(LoadFailed, match="refused"):
        tries(monkeypatch, away, LoadFailed("refused"), away)


def test_the_last_error_is_raised_as_it_is(monkeypatch):
    away = [CatalogError(f"away {number}", transient=True) for number in range(retrying.ATTEMPTS)]
    with pytest.raises(CatalogError) as raised:
        tries(monkeypatch, *away)
    assert raised.value is away[-1]


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (duckdb.IOException("server closed the connection unexpectedly"), True),
        (duckdb.IOException('connection to server at "db" failed: Connection refused'), True),
        (duckdb.IOException('connection to server at "db" failed: FATAL: password authentication failed'), False),
        (duckdb.IOException('connection to server at "db" failed: FATAL: database "x" does not exist'), False),
        (duckdb.TransactionException("Transaction conflict on table"), True),
        (duckdb.IOException("database is locked"), True),
        (duckdb.ConversionException("Could not convert string 'a conflict' to INT32"), False),
        (duckdb.ConversionException("Conversion Error: Could not convert string 'deadlock detected' to INT32"), False),
        (duckdb.IOException("No space left on device"), False),
        (OSError(errno.ETIMEDOUT, "timed out"), True),
        (OSError(errno.ESTALE, "Stale file handle"), True),
        (PermissionError(errno.EACCES, "Permission denied"), False),
        (FileNotFoundError(errno.ENOENT, "No such file"), False),
    ],
)
def test_which_causes_may_pass(error, passes):
    assert translate(error, "/somewhere").transient is passes


def test_it_survives_a_process_boundary():
    error = pickle.loads(pickle.dumps(SourceError("`a.csv` is away.", fix="wait", transient=True)))
    assert (error.transient, str(error)) == (True, "`a.csv` is away. Fix: wait")
