"""A long-lived process gets a new engine now and then, and nobody's connection notices."""

from __future__ import annotations

import subprocess
import sys

import duckdb
import psutil
import pytest

from data_platform.lake import lake as lakes
from data_platform.lake.lake import Lake
from data_platform.settings import Settings


def engine_of(con: duckdb.DuckDBPyConnection) -> set[str]:
    """The databases that all connections of one engine see."""
    return {name for (name,) in con.execute("SELECT database_name FROM duckdb_databases()").fetchall()}


def test_an_engine_is_replaced_after_its_last_connection_is_given(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.close()
    monkeypatch.setattr(lakes, "CONNECTIONS_PER_ENGINE", 2)
    first = lake.connect()
    first.execute("ATTACH ':memory:' AS mark")
    first.execute("CREATE TEMP TABLE scratch AS SELECT 42 AS answer")
    assert "mark" in engine_of(lake.connect())
    assert "mark" not in engine_of(lake.connect())
    assert first.execute("SELECT answer FROM scratch").fetchone() == (42,)
    assert first.execute("SELECT count(*) >= 0 FROM lake.ops.loads").fetchone() == (True,)
    first.close()


OTHER_PROGRAM = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
other.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
other.execute("ROLLBACK")
"""


def test_an_engine_whose_commit_found_the_catalog_locked_ends_too(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each engine of three threads has two of its own; one that is not freed keeps them."""
    monkeypatch.setattr(lakes, "CONNECTIONS_PER_ENGINE", 1)
    lake = Lake(settings.model_copy(update={"threads": 3}))
    lake.ensure_table(None, "staging.counted", {"id": "BIGINT"})
    lake.connect().close()
    before = psutil.Process().num_threads()
    for _ in range(3):
        con = lake.connect()
        con.execute("BEGIN TRANSACTION")
        con.execute("INSERT INTO lake.staging.counted VALUES (1)")
        command = [sys.executable, "-c", OTHER_PROGRAM, str(lake.attachment.catalog)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout and other.stdin
            assert other.stdout.readline() == "locked\n"
            with pytest.raises(duckdb.Error, match="database is locked"):
                con.execute("COMMIT")
            other.stdin.write("done\n")
        con.close()
        del con
    lake.connect().close()
    assert psutil.Process().num_threads() <= before
    lake.close()


def test_callers_that_bring_threads_of_their_own_get_engines_of_one_thread(settings: Settings) -> None:
    lake = Lake(settings.model_copy(update={"threads": 2}))
    con = lake.one_threaded.connect()
    assert con.execute("SELECT current_setting('threads')").fetchone() == (1,)
    assert lake.connect().execute("SELECT current_setting('threads')").fetchone() == (2,)
    assert con.execute("SELECT count(*) FROM lake.ops.loads").fetchone() == (0,)
    assert lake.one_threaded.one_threaded is lake.one_threaded
    folders = {spill_folder(con), spill_folder(lake.connect())}
    assert len(folders) == 2
    engine = lake.one_threaded._engines[False].root
    lake.close()
    with pytest.raises(duckdb.ConnectionException):
        engine.execute("SELECT 1")


def spill_folder(con: duckdb.DuckDBPyConnection) -> str:
    (folder,) = con.execute("SELECT current_setting('temp_directory')").fetchone() or ("",)
    return str(folder)
