"""What `data-platform chaos` prints, and which catalogs it refuses; the kills themselves are in integration/test_chaos.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from data_platform.chaos.laws import Violation
from data_platform.chaos.run import Kill, Result
from data_platform.chaos.worker import World
from data_platform.cli.chaos import refuse_used, report
from data_platform.errors import UsageError
from data_platform.settings import Settings


def test_kills_are_counted_by_point_and_victim_and_each_violation_is_named() -> None:
    torn = Violation("torn", "`staging.orders` 2026-01-01 holds generations 1 to 2")
    result = Result(
        [
            Kill("before commit", "worker", ()),
            Kill("before commit", "both", (torn,)),
            Kill("after commit", "worker", ()),
        ],
        [Violation("readers", "half")],
    )
    data = report(result, 7)
    assert data["points"] == [
        {"point": "after commit", "worker": 1, "parent": 0, "both": 0, "violations": 0},
        {"point": "before commit", "worker": 1, "parent": 0, "both": 1, "violations": 1},
    ]
    assert [row["law"] for row in data["violations"]] == ["torn", "readers"]
    assert data["violations"][0]["after"] == "both, before commit" and data["kills"] == 3


def test_the_users_own_catalog_is_never_a_scratch_database(settings: Settings, tmp_path: Path) -> None:
    own = settings.model_copy(update={"catalog": SecretStr("postgresql://me:secret@db/lake")})
    with pytest.raises(UsageError, match="is `PLATFORM_CATALOG`") as refused:
        refuse_used(own, World(tmp_path, "postgresql://other:word@db:5432/lake"))
    assert "word" not in str(refused.value) and "secret" not in str(refused.value)
