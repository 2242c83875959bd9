"""The freshness sensor on a real lake: what it sees there, and that it tells each breach once."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from data_platform.automation import freshness
from data_platform.automation.freshness import freshness_sensor, visible_loads
from data_platform.lake.lake import Audit, Lake, get_lake
from data_platform.lake.outcomes import LoadRecord
from data_platform.lake.publish import publish
from data_platform.settings import Settings

TODAY = date.today()


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return get_lake()


def _load(asset: str, day: date | str) -> LoadRecord:
    return LoadRecord(asset, str(day), "r", "committed")


def _told(home: Path) -> list[str]:
    path = home / "alerts.jsonl"
    return [json.loads(line)["subject"] for line in path.read_text().splitlines()] if path.exists() else []


class Daemon:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cursor: str | None = None
        self.patch = monkeypatch

    def tick(self, now: datetime) -> str:
        self.patch.setattr(freshness, "utc_now", lambda: now)
        with dg.DagsterInstance.ephemeral() as instance:
            found = freshness_sensor.evaluate_tick(dg.build_sensor_context(instance=instance, cursor=self.cursor))
        self.cursor = found.cursor
        return str(found.skip_message)


def test_a_breach_is_told_once_and_again_after_it_recovered(
    lake: Lake, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noon = datetime.combine(TODAY, datetime.min.time()) + timedelta(hours=13)
    daemon = Daemon(monkeypatch)
    lake.commit((), [_load("staging.orders", TODAY - timedelta(days=2))])
    assert "staging.orders" in daemon.tick(noon)
    daemon.tick(noon)
    assert _told(home).count("`staging.orders` is stale") == 1
    assert "`staging.customers` is stale" in _told(home), "never loaded is a breach"
    lake.commit((), [_load("staging.orders", TODAY - timedelta(days=40))])
    assert "staging.orders" in daemon.tick(noon), "an old day that is backfilled turns nothing green"
    lake.commit((), [_load("staging.orders", TODAY - timedelta(days=1))])
    assert "staging.orders" not in daemon.tick(noon)
    daemon.tick(noon + timedelta(days=1))
    assert _told(home).count("`staging.orders` is stale") == 2
    assert _told(home).count("`staging.customers` is stale") == 1


def test_a_mart_is_as_fresh_as_what_is_published_of_it(lake: Lake) -> None:
    lake.ensure_table(
        None, "marts.daily_revenue", {"revenue_date": "DATE", "orders": "BIGINT"}, partition_by=("revenue_date",)
    )
    first, second = (_load("marts.daily_revenue", day) for day in ("2026-03-01", "2026-03-02"))
    lake.commit((), [first], [Audit("marts.daily_revenue", "2026-03-01", first.load_id, passed=True)])

    def seen() -> list[str]:
        with lake.connect(read_only=True) as con:
            return [load.partition_key for load in visible_loads(con).get("marts.daily_revenue", [])]

    assert seen() == []
    publish(lake, ["marts.daily_revenue"])
    assert seen() == ["2026-03-01"]
    lake.commit((), [second], [Audit("marts.daily_revenue", "2026-03-02", second.load_id, passed=True)])
    assert seen() == ["2026-03-01"]
    publish(lake, ["marts.daily_revenue"])
    assert seen() == ["2026-03-01", "2026-03-02"]


def test_a_catalog_that_cannot_be_read_is_a_breach_and_forgets_nothing(
    home: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "lake").parent.mkdir(parents=True)
    (home / "lake").write_text("no folder")
    daemon = Daemon(monkeypatch)
    daemon.cursor = json.dumps(["staging.orders"])
    daemon.tick(datetime(2026, 3, 10))
    daemon.tick(datetime(2026, 3, 10))
    assert _told(home) == ["Freshness cannot be judged"]
    assert "staging.orders" in json.loads(daemon.cursor or "")


def test_the_sensor_runs_without_being_asked() -> None:
    assert freshness_sensor.default_status == dg.DefaultSensorStatus.RUNNING
