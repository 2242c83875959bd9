"""A catalog's server that goes away in the midst of a commit: what may pass is tried again, and nothing is doubled."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import duckdb
import psycopg2
import pytest

from data_platform.contracts.registry import contract
from data_platform.lake import points, retrying
from data_platform.lake.lake import Lake, Slice
from data_platform.lake.ledger import latest_loads
from data_platform.lake.outcomes import LoadRecord
from data_platform.quality import screening
from data_platform.settings import load_settings

pytestmark = pytest.mark.postgres
TABLE, DAY = "staging.counted", date(2026, 1, 1)
OURS = "application_name NOT LIKE 'process%'"  # the engine's sessions, not the one that holds the gate


@pytest.fixture(autouse=True)
def _brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "FIRST_WAIT_SECONDS", 0.01)


@pytest.fixture
def url(new_database: Callable[[], str]) -> str:
    return new_database()


def lake_at(home: Path, url: str) -> Lake:
    lake = Lake(load_settings(home=home, catalog=url))
    lake.ensure_table(None, TABLE, {"id": "BIGINT", "day": "DATE"}, ("day",))
    return lake


def put(lake: Lake, number: int) -> int:
    """Replaces the day's rows by one; returns the snapshot."""
    load = LoadRecord(TABLE, str(DAY), "run", "committed", rows_read=1, rows_accepted=1)
    with lake.connect() as con:
        file = lake.stage(con, TABLE, f"SELECT {number} AS id", {"day": DAY})
    assert file is not None
    return lake.commit([Slice(TABLE, {"day": DAY}, (file,))], [load])


def found(lake: Lake) -> tuple[list[tuple[int]], int, int]:
    """The rows, and how many loads the ledger has and files the disk has."""
    with lake.connect() as con:
        ids = con.execute(f"SELECT id FROM lake.{TABLE}").fetchall()
        (loads,) = con.execute("SELECT count(*) FROM lake.ops.loads").fetchone() or (0,)
    return ids, loads, len(list((lake.attachment.data_path / "staging").rglob("*.parquet")))


@pytest.fixture
def listening() -> Iterator[Callable[[Callable[[str], None]], None]]:
    yield points.listen
    points.listen(None)


@pytest.mark.parametrize("point", ["after begin", "after add", "before commit"])
@pytest.mark.parametrize("whose", [OURS, "true"], ids=["engine", "all"])
def test_sessions_that_the_server_ends_cost_a_try_and_no_row(home, url, listening, point, whose, caplog):
    lake, times = lake_at(home, url), []

    def end_sessions(reached: str) -> None:
        if reached == point and not times:
            times.append(reached)
            terminate(url, whose)

    listening(end_sessions)
    put(lake, 1)
    put(lake, 2)
    assert times == [point]
    assert found(lake) == ([(2,)], 2, 2)
    lake.close()


def terminate(url: str, whose: str = "true") -> None:
    """The server ends these sessions on the catalog's database."""
    with psycopg2.connect(url) as session, session.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            f"AND pid <> pg_backend_pid() AND {whose}"
        )


def test_sessions_that_the_server_ends_within_a_question_cost_a_try(home, url):
    lake, asked = lake_at(home, url), []
    put(lake, 1)

    def ask(con: duckdb.DuckDBPyConnection) -> int:
        con.execute("BEGIN")  # holds on to the session, as a long statement does
        try:
            asked.append(len(latest_loads(con)))
            if len(asked) == 1:
                terminate(url)
            return len(latest_loads(con, TABLE))
        finally:
            with suppress(duckdb.Error):
                con.execute("ROLLBACK")

    assert lake.read(ask) == 1
    assert asked == [1, 1]
    lake.close()


def test_a_catalog_that_cannot_be_read_for_a_moment_costs_a_screening_a_try(home, monkeypatch):
    # A real moment of this kind cannot be had on demand: SQLite says so when its log is rolled up beneath a reader.
    words, real = ["disk I/O error"], screening.latest_loads

    def latest_loads(*arguments, **keywords):
        if words:
            raise duckdb.IOException(words.pop())
        return real(*arguments, **keywords)

    monkeypatch.setattr(screening, "latest_loads", latest_loads)
    lake = Lake(load_settings(home=home))
    (outcome,) = screening.screen(lake, contract("staging.events"), [str(DAY)], "run")
    assert not words
    assert "has no committed load" in outcome.load.error
    lake.close()


class Proxy:
    """Stands between the engine and the server. While `armed`, it lets the next COMMIT through and hangs up before the
    answer, as a network does that fails just then."""

    def __init__(self, server: str) -> None:
        self._server, self.armed, self.cut = server, False, 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._server)
            lost = threading.Event()
            for source, target, speaks in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pump, args=(source, target, speaks, lost), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, speaks: bool, lost: threading.Event) -> None:
        """Passes on what one side says. The server's answer to the COMMIT proves that it landed, and is thrown away."""
        try:
            while data := source.recv(65536):
                if not speaks and lost.is_set():
                    break
                if speaks and self.armed and data.startswith(b"Q") and b"COMMIT" in data[5:13]:
                    self.armed, self.cut = False, self.cut + 1
                    lost.set()
                target.sendall(data)
        except OSError:
            pass
        for side in (source, target):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def proxy(url: str) -> Iterator[Proxy]:
    folder = parse_qs(urlsplit(url).query)["host"][0]
    made = Proxy(next(str(path) for path in Path(folder).glob(".s.PGSQL.*") if path.suffix != ".lock"))
    yield made
    made.close()


def test_a_commit_whose_answer_was_lost_is_found_and_not_made_twice(home, url, proxy, listening):
    database, user = urlsplit(url).path.lstrip("/"), urlsplit(url).username
    lake = lake_at(home, f"postgresql://{user}@127.0.0.1:{proxy.port}/{database}")
    first = put(lake, 1)
    listening(lambda point: setattr(proxy, "armed", point == "before commit" and not proxy.cut))
    second = put(lake, 2)
    assert proxy.cut == 1
    assert second > first
    assert found(lake) == ([(2,)], 2, 2)
    lake.close()
