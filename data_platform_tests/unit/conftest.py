"""What unit tests leave to the integration tests."""

from __future__ import annotations

import pytest

from data_platform.lake import attach
from data_platform.lake.attach import engine_config


@pytest.fixture(autouse=True)
def unsigned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checking the extensions' signatures takes 0.5 s for each engine; here they were checked before, by the
    integration tests, which open engines as users do."""
    monkeypatch.setattr(
        attach, "engine_config", lambda given: engine_config(given) | {"allow_unsigned_extensions": True}
    )
