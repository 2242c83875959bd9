"""A lake of this test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import duckdb
import pytest

from data_platform.lake.lake import Lake
from data_platform.settings import Settings


@pytest.fixture
def lake(settings: Settings) -> Iterator[Lake]:
    """An empty lake under this test's home."""
    lake = Lake(settings)
    yield lake
    lake.close()


@pytest.fixture
def con(lake: Lake) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to it."""
    con = lake.connect()
    yield con
    con.close()


@pytest.fixture
def rows(con: duckdb.DuckDBPyConnection) -> Callable[[str], list[tuple[Any, ...]]]:
    """Runs a query and fetches all."""
    return lambda sql: con.execute(sql).fetchall()
