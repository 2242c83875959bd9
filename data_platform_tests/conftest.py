"""What every test gets: a PLATFORM_HOME of its own, and none of the developer's settings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from data_platform.settings import Settings, get_settings

# A few rows are judged with one thread in two thirds of the time that two take, and tests run side by side.
ONE_THREAD = {"PLATFORM_THREADS": "1"}
QUIET = {"DAGSTER_DISABLE_TELEMETRY": "yes", "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DO_NOT_TRACK": "1"}


def pytest_configure() -> None:
    """Also what runs outside a test function (session fixtures, child processes) must not see the developer's platform."""
    for name in [name for name in os.environ if name.startswith("PLATFORM_") or name == "DAGSTER_HOME"]:
        del os.environ[name]
    os.environ.update(QUIET | ONE_THREAD)
    # Examples are judged by their result: how long one takes says how busy the machine is.
    hypothesis.settings.register_profile("project", deadline=None)
    hypothesis.settings.load_profile("project")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """`PLATFORM_HOME` of this test: a path that does not exist yet."""
    home = tmp_path / "platform"
    monkeypatch.setenv("PLATFORM_HOME", str(home))
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    get_settings.cache_clear()
    yield home
    get_settings.cache_clear()


@pytest.fixture
def settings(home: Path) -> Settings:
    """The settings of this test."""
    return get_settings()
