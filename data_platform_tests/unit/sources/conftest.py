"""The reader of a fresh landing folder, and a lake that has one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from data_platform.contracts.model import Contract
from data_platform.contracts.partitioning import by
from data_platform.lake.lake import Lake
from data_platform.settings import Settings
from data_platform.sources import landing as landing_module
from data_platform_tests.unit.sources.loading import declare
from data_platform_tests.unit.sources.reading import Reader, Things


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    landing = tmp_path / "landing"
    landing.mkdir()
    found = Reader(landing)
    yield found
    found.con.close()


@pytest.fixture(params=[landing_module.LARGE_BYTES, 0], ids=["small files", "large files"])
def lake(request: pytest.FixtureRequest, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    """A lake with a landing folder, and the contract of `things`, by day. A large file is landed as it is read."""
    monkeypatch.setattr(landing_module, "LARGE_BYTES", request.param)
    declare(
        monkeypatch,
        Contract("staging.things", Things, "one row per thing", "x@example.com", partition=by("arrival_date", "day")),
    )
    (settings.landing_dir / "things").mkdir(parents=True)
    found = Lake(settings)
    yield found
    found.close()
