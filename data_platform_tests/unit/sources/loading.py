"""Raw loads of `things` into a real lake, for tests: their days, their feed, and what is read back."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_platform.contracts.model import REGISTRY, Contract
from data_platform.contracts.raw import raw_contract
from data_platform.lake.lake import Lake
from data_platform.lake.ledger import Load, latest_loads
from data_platform.lake.outcomes import Outcome
from data_platform.sources.declare import Feed
from data_platform_tests.unit.sources.reading import HEADER

DAYS = ["2026-01-01", "2026-01-02", "2026-01-03"]
FEED = Feed("staging.things", "things/{key}.csv", "csv")
GOOD = HEADER + b"1,a,2\n2,b,3\n"


def declare(monkeypatch: pytest.MonkeyPatch, staging: Contract) -> None:
    monkeypatch.setitem(REGISTRY, staging.name, staging)
    monkeypatch.setitem(REGISTRY, f"raw.{staging.table}", raw_contract(staging))


def drop(lake: Lake, key: str, data: bytes, extension: str = "csv") -> Path:
    path = lake.settings.landing_dir / "things" / f"{key}.{extension}"
    path.write_bytes(data)
    return path


def rows(lake: Lake, columns: str = "*") -> list[tuple[object, ...]]:
    con = lake.connect(read_only=True)
    try:
        return con.execute(f"SELECT {columns} FROM lake.raw.things ORDER BY arrival_date, _record").fetchall()
    finally:
        con.close()


def ledger(lake: Lake) -> dict[str, Load]:
    con = lake.connect(read_only=True)
    try:
        return {load.partition_key: load for load in latest_loads(con, asset="raw.things", outcome=None)}
    finally:
        con.close()


def by_key(outcomes: list[Outcome]) -> dict[str, Outcome]:
    return {outcome.partition_key: outcome for outcome in outcomes}
