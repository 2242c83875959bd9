"""The reader of a fresh landing folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from data_platform_tests.unit.sources.reading import Reader


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    landing = tmp_path / "landing"
    landing.mkdir()
    found = Reader(landing)
    yield found
    found.con.close()
