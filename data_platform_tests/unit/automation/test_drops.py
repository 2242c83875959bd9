"""Which files are loaded at a tick: complete ones, each version once, of partitions that are over."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from time import time_ns

import dagster as dg
import pytest

from data_platform.assets.raw import raw_assets
from data_platform.assets.staging import staging_assets
from data_platform.automation.drops import OVERLAP_NS, Read, Seen, drop_sensor, drops, run_requests, take_new
from data_platform.lake.lake import get_lake
from data_platform.lake.outcomes import LoadRecord
from data_platform.settings import Settings
from data_platform.sources.declare import Feed, Source
from data_platform.sources.registry import feed_of

DAY = (date.today() - timedelta(days=3)).isoformat()
LATER = 10 * OVERLAP_NS
DEFINITIONS = dg.Definitions(assets=[*raw_assets(), *staging_assets()], sensors=[drop_sensor])


@pytest.fixture
def landing(settings: Settings) -> Path:
    settings.landing_dir.mkdir(parents=True)
    return settings.landing_dir


def _drop(landing: Path, table: str = "orders", key: str = DAY, text: str = "a\n1\n") -> Path:
    path = feed_of(table).locate(landing, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _ago(days: int) -> str:
    return (date.today() - timedelta(days=days)).isoformat()


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


class Ticks:
    """What the sensor does at each tick, with its state kept as the daemon keeps it, but without Dagster and a lake."""

    def __init__(self, landing: Path, reads: dict[tuple[str, str], Read] | None = None) -> None:
        self.landing, self.reads = landing, reads or {}
        self.cursor: str | None = None

    def tick(self) -> list[dg.RunRequest]:
        seen = Seen.from_cursor(self.cursor)
        ready = take_new(list(drops(self.landing)), seen, self.reads, self.landing, time_ns())
        self.cursor = seen.to_cursor()
        return list(run_requests(ready))


def test_the_sensor_ticks_on_a_real_lake_and_loads_what_no_load_has_read(landing: Path) -> None:
    _drop(landing)
    _drop(landing, "customers")
    began = _now() + timedelta(seconds=1)
    get_lake().commit((), [LoadRecord("raw.customers", DAY, "r", "committed", started_at=began)])
    cursor, requests = None, []
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(3):
            context = dg.build_sensor_context(instance=instance, cursor=cursor, definitions=DEFINITIONS)
            found = drop_sensor.evaluate_tick(context)
            cursor = found.cursor
            requests.append(list(found.run_requests or []))
    assert [len(each) for each in requests] == [0, 1, 0]
    assert requests[1][0].partition_key == DAY
    assert requests[1][0].asset_selection == [dg.AssetKey(["raw", "orders"]), dg.AssetKey(["staging", "orders"])]


def test_a_file_is_loaded_at_the_second_tick_that_sees_it_and_never_again(landing: Path) -> None:
    _drop(landing)
    ticks = Ticks(landing)
    assert ticks.tick() == []
    (request,) = ticks.tick()
    assert request.partition_key == DAY
    assert request.asset_selection == [dg.AssetKey(["raw", "orders"]), dg.AssetKey(["staging", "orders"])]
    assert ticks.tick() == []
    assert ticks.tick() == []


def test_a_file_that_is_still_growing_waits(landing: Path) -> None:
    path = _drop(landing)
    ticks = Ticks(landing)
    assert ticks.tick() == []
    for _ in range(3):
        with path.open("a") as file:
            file.write("2\n")
        assert ticks.tick() == []
    assert len(ticks.tick()) == 1


def test_a_new_version_of_a_loaded_file_is_loaded_once_more(landing: Path) -> None:
    _drop(landing)
    ticks = Ticks(landing)
    ticks.tick()
    (first,) = ticks.tick()
    _drop(landing, text="a\n1\n2\n")
    assert ticks.tick() == []
    (second,) = ticks.tick()
    assert second.run_key != first.run_key
    assert ticks.tick() == []


def test_an_older_copy_put_in_place_is_a_new_version_too(landing: Path) -> None:
    path = _drop(landing)
    ticks = Ticks(landing)
    ticks.tick()
    ticks.tick()
    os.utime(path, ns=(1, 1))
    ticks.tick()
    assert len(ticks.tick()) == 1


def test_files_of_one_day_that_arrive_together_are_one_run(landing: Path) -> None:
    for table in ("orders", "order_items", "customers"):
        _drop(landing, table)
    ticks = Ticks(landing)
    ticks.tick()
    (request,) = ticks.tick()
    assert {key.path[-1] for key in request.asset_selection or []} == {"orders", "order_items", "customers"}


def test_a_file_that_a_load_has_read_is_not_loaded_again(landing: Path) -> None:
    _drop(landing)
    ticks = Ticks(landing, {("raw.orders", DAY): Read(_now() + timedelta(seconds=1), ())})
    assert [ticks.tick() for _ in range(3)] == [[], [], []]


def test_a_file_that_changed_after_the_load_began_is_loaded(landing: Path) -> None:
    _drop(landing)
    ticks = Ticks(landing, {("raw.orders", DAY): Read(_now() - timedelta(seconds=60), ())})
    ticks.tick()
    assert len(ticks.tick()) == 1


def test_a_file_that_was_only_touched_is_not_loaded_again(landing: Path) -> None:
    path = _drop(landing, text="a\n1\n")
    name = f"{path.relative_to(landing).as_posix()}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}"
    ticks = Ticks(landing, {("raw.orders", DAY): Read(_now() - timedelta(seconds=60), (name,))})
    assert [ticks.tick() for _ in range(3)] == [[], [], []]
    path.write_text("a\n2\n")
    ticks.tick()
    assert len(ticks.tick()) == 1


def test_a_file_whose_day_is_not_over_waits_for_the_end_of_the_day(landing: Path) -> None:
    _drop(landing, key=datetime.now(UTC).date().isoformat())
    _drop(landing, key="no-date")
    ticks = Ticks(landing)
    assert [ticks.tick() for _ in range(3)] == [[], [], []]
    assert len(json.loads(ticks.cursor or "{}")["waiting"]) == 2


def test_a_backlog_is_one_run_for_each_range_of_days_with_the_same_feeds(landing: Path) -> None:
    for ago in (9, 8, 7, 6, 4, 3, 2):
        _drop(landing, key=_ago(ago))
    for ago in (7, 6, 4):
        _drop(landing, "customers", key=_ago(ago))
    ticks = Ticks(landing)
    assert ticks.tick() == []
    ranges = []
    for request in ticks.tick():
        first = request.tags.get("dagster/asset_partition_range_start", request.partition_key)
        last = request.tags.get("dagster/asset_partition_range_end", request.partition_key)
        ranges.append((first, last, len(request.asset_selection or [])))
    assert ranges == [(_ago(9), _ago(8), 2), (_ago(7), _ago(6), 4), (_ago(4), _ago(4), 4), (_ago(3), _ago(2), 2)]
    assert ticks.tick() == []


def test_the_cursor_stays_small_however_many_files_there_are(landing: Path) -> None:
    for number in range(200):
        _drop(landing, key=(date.today() - timedelta(days=200 - number)).isoformat())
    now = max(drop.changed_ns for drop in drops(landing)) + LATER
    seen = Seen()
    for _ in range(15):
        take_new(list(drops(landing)), seen, {}, landing, now)
    assert len(seen.to_cursor()) < 100
    assert take_new(list(drops(landing)), seen, {}, landing, now) == []


def test_a_file_of_many_partitions_asks_for_all_of_them(landing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = Feed("staging.orders", "year/orders.csv", "csv", split_by="ordered_at")
    source = Source("year", "o", "d", (feed,))
    (landing / "year").mkdir()
    (landing / "year/orders.csv").write_text("x")
    seen = Seen()
    take_new(list(drops(landing, [source])), seen, {}, landing, LATER)
    (request,) = run_requests(take_new(list(drops(landing, [source])), seen, {}, landing, LATER))
    assert request.partition_key is None
    assert request.tags["dagster/asset_partition_range_start"] == "2026-01-01"
    assert request.tags["dagster/asset_partition_range_end"] >= DAY


def test_a_folder_and_a_dangling_link_are_no_drop_files(landing: Path) -> None:
    path = _drop(landing)
    (path.parent / "2026-02-01.csv").mkdir()
    (path.parent / "2026-02-02.csv").symlink_to(landing / "nowhere")
    assert [drop.path for drop in drops(landing)] == [path.relative_to(landing).as_posix()]


def test_nothing_is_loaded_by_itself_unless_the_settings_say_so() -> None:
    assert drop_sensor.default_status == dg.DefaultSensorStatus.STOPPED
