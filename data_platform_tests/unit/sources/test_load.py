"""Raw loads into a real lake: each partition's outcome is its own, the counts are the source's, nothing is lost."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from data_platform.contracts.model import Contract
from data_platform.contracts.partitioning import by
from data_platform.contracts.registry import contract, contracts
from data_platform.errors import GateTimeout
from data_platform.lake import retrying
from data_platform.lake.lake import Lake
from data_platform.settings import Settings
from data_platform.sources import landing as landing_module
from data_platform.sources import load as load_module
from data_platform.sources import reader_csv
from data_platform.sources.declare import Feed
from data_platform.sources.load import load_raw
from data_platform.sources.registry import feed_of
from data_platform_tests.unit.sources.loading import DAYS, FEED, GOOD, by_key, declare, drop, ledger, rows
from data_platform_tests.unit.sources.reading import HEADER, Things


def test_a_record_arrives_as_text_with_its_origin(lake: Lake) -> None:
    drop(lake, DAYS[0], GOOD)
    (outcome,) = load_raw(lake, FEED, DAYS[:1], "run-1")
    found = rows(
        lake,
        'thing_id, "Label text", amount, note, _file, _record, _offset, _bytes, _defect, _extra, _run_id, arrival_date',
    )
    day = date(2026, 1, 1)
    origin = (None, None, None, None, "run-1", day)
    assert found == [
        ("1", "a", "2", None, "things/2026-01-01.csv", 1, *origin),
        ("2", "b", "3", None, "things/2026-01-01.csv", 2, *origin),
    ]
    ((digest, loaded_at),) = set(rows(lake, "_file_hash, _loaded_at"))
    assert isinstance(loaded_at, datetime)
    assert outcome.load.source_files == (f"things/2026-01-01.csv#sha256={digest}",)
    assert (outcome.load.rows_read, outcome.load.rows_accepted) == (2, 2)
    assert all(rule.passed for rule in outcome.rules)


def test_a_file_for_a_day_without_rows_is_a_recorded_empty_day(lake: Lake) -> None:
    drop(lake, DAYS[0], HEADER)
    (outcome,) = load_raw(lake, FEED, DAYS[:1], "run-1")
    assert outcome.committed
    assert ledger(lake)[DAYS[0]].rows_read == 0
    assert rows(lake) == []


BAD_FILES = {
    "is not there": None,
    "has zero bytes": b"",
    "is a gzip file": gzip.compress(GOOD, mtime=0),
    "lacks the required column `amount`": b"thing_id,Label text\n1,a\n",
    "seems cut off": GOOD + b"3,c",
    "names the column `amount` twice": b"thing_id,Label text,amount,amount\n",
}


@pytest.mark.parametrize("said", BAD_FILES)
def test_a_bad_file_fails_its_own_day_and_keeps_what_that_day_had(lake: Lake, said: str) -> None:
    for key in DAYS:
        drop(lake, key, GOOD)
    load_raw(lake, FEED, DAYS, "run-1")
    drop(lake, DAYS[0], GOOD + b"3,c,4\n")
    bad = drop(lake, DAYS[1], BAD_FILES[said] or b"")
    if BAD_FILES[said] is None:
        bad.unlink()
    told: list[str] = []
    outcomes = by_key(load_raw(lake, FEED, DAYS, "run-2", on_done=lambda outcome: told.append(outcome.partition_key)))
    assert [outcomes[key].committed for key in DAYS] == [True, False, True]
    assert sorted(told) == DAYS
    recorded = ledger(lake)[DAYS[1]]
    assert recorded.outcome == "failed"
    assert recorded.run_id == "run-2"
    assert recorded.error == outcomes[DAYS[1]].load.error
    assert f"`things/{DAYS[1]}.csv` {said}" in recorded.error
    assert recorded.rows_read == (2 if said == "seems cut off" else 0)
    assert [row[0] for row in rows(lake, "_run_id")] == ["run-2"] * 3 + ["run-1"] * 2 + ["run-2"] * 2


def test_a_file_that_changes_while_it_is_read_fails_its_own_day(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = {key: drop(lake, key, GOOD) for key in DAYS}
    read_feed = landing_module.read_feed

    def read_and_change(*arguments: object) -> object:
        if arguments[4] == f"things/{DAYS[1]}.csv":
            monkeypatch.setattr("data_platform.sources.reader.check_unchanged", changed(paths[DAYS[1]]))
        return read_feed(*arguments)  # type: ignore[arg-type]

    def changed(path: Path) -> object:
        from data_platform.sources.reader_scan import check_unchanged

        def check(scan: object, name: str) -> None:
            if name.endswith(f"{DAYS[1]}.csv"):
                path.write_bytes(GOOD + b"3,c,4\n")
            check_unchanged(scan, name)  # type: ignore[arg-type]

        return check

    monkeypatch.setattr(landing_module, "read_feed", read_and_change)
    outcomes = by_key(load_raw(lake, FEED, DAYS, "run-1"))
    assert [outcomes[key].committed for key in DAYS] == [True, False, True]
    assert "changed while it was read" in outcomes[DAYS[1]].load.error
    assert len(list((lake.settings.lake_dir / "data" / "raw" / "things").rglob("*.parquet"))) == 2


def test_a_large_clean_file_is_landed_without_a_spool_and_one_with_a_ragged_record_as_a_small_one(
    settings: Settings, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landing_module, "LARGE_BYTES", 1)
    spooled: list[str] = []
    read_fast = reader_csv.read_fast
    monkeypatch.setattr(reader_csv, "read_fast", lambda *given: spooled.append(given[2].sha256) or read_fast(*given))
    paths = [drop(lake, key, data) for key, data in zip(DAYS, (GOOD, GOOD + b"3\n", GOOD + b' "3",c,4\n'), strict=True)]
    outcomes = load_raw(lake, FEED, DAYS, "run-1")
    assert [outcome.load.rows_read for outcome in outcomes] == [2, 3, 3]
    assert [outcome.load.rows_warned for outcome in outcomes] == [0, 1, 0]
    assert spooled == [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths[1:]]
    assert [row[0] for row in rows(lake, "_record")] == [1, 2, 1, 2, 3, 1, 2, 3]
    assert rows(lake, "thing_id")[-1] == (' "3"',)  # DuckDB would have dropped the blank and the quotes
    staged = [path for path in (settings.lake_dir / "data").rglob("*.parquet") if "things" in str(path)]
    assert len(staged) == len(DAYS)


def test_a_file_on_a_share_that_is_away_for_a_moment_is_read_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    drop(lake, DAYS[0], GOOD)
    monkeypatch.setattr(retrying, "FIRST_WAIT_SECONDS", 0.001)
    opened, original = [], Path.open

    def away_at_first(path: Path, *args: Any, **keywords: Any) -> Any:
        if path.suffix == ".csv":
            opened.append(path)
            if len(opened) == 1:
                raise OSError(errno.ESTALE, "Stale file handle")
        return original(path, *args, **keywords)

    monkeypatch.setattr(Path, "open", away_at_first)
    (outcome,) = load_raw(lake, FEED, DAYS[:1], "run")
    assert outcome.committed, outcome.load.error
    assert len(opened) > 1


def test_an_extra_column_is_kept_and_warned_of(lake: Lake) -> None:
    drop(lake, DAYS[0], b"thing_id,Label text,amount,colour\n1,a,2,red\n")
    (outcome,) = load_raw(lake, FEED, DAYS[:1], "run-1")
    assert outcome.committed
    (rule,) = [rule for rule in outcome.rules if rule.rule == "extra_columns"]
    assert (rule.passed, rule.severity, rule.count) == (False, "warn", 1)
    assert "`colour`" in rule.actual
    assert json.loads(str(rows(lake, "_extra")[0][0])) == {"colour": "red"}


def test_a_record_that_cannot_be_read_is_kept_counted_and_warned_of(lake: Lake) -> None:
    drop(lake, DAYS[0], HEADER + b"1,a,2\n2,caf\xe9,3\n3,c,4\n")
    (outcome,) = load_raw(lake, FEED, DAYS[:1], "run-1")
    assert outcome.committed
    assert (outcome.load.rows_read, outcome.load.rows_warned) == (3, 1)
    (rule,) = [rule for rule in outcome.rules if rule.rule == "unparsable_records"]
    assert (rule.passed, rule.count) == (False, 1)
    assert rule.sample[0]["_record"] == 2
    offset = len(HEADER) + 6
    assert rows(lake, "thing_id, _record, _offset, _bytes, _defect")[1] == (
        None,
        2,
        offset,
        b"2,caf\xe9,3",
        f"invalid UTF-8 at byte {offset + 5}",
    )


def test_loading_again_changes_neither_rows_nor_hash_and_order_does_not_matter(lake: Lake) -> None:
    drop(lake, DAYS[0], GOOD)
    (first,) = load_raw(lake, FEED, DAYS[:1], "run-1")
    (second,) = load_raw(lake, FEED, DAYS[:1], "run-2")
    drop(lake, DAYS[0], HEADER + b"2,b,3\n1,a,2\n")
    (third,) = load_raw(lake, FEED, DAYS[:1], "run-3")
    drop(lake, DAYS[0], HEADER + b"2,b,3\n1,a,3\n")
    (other,) = load_raw(lake, FEED, DAYS[:1], "run-4")
    assert first.load.content_hash == second.load.content_hash == third.load.content_hash != other.load.content_hash
    assert len(rows(lake)) == 2


def test_a_range_longer_than_a_chunk_commits_as_it_goes(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_module, "CHUNK", 2)
    days = [f"2026-01-{day:02}" for day in range(1, 8)]
    for key in days:
        drop(lake, key, GOOD)
    seen: list[int] = []
    outcomes = load_raw(lake, FEED, days, "run-1", on_done=lambda _: seen.append(len(ledger(lake))))
    assert [outcome.partition_key for outcome in outcomes] == days
    assert seen == [2, 2, 4, 4, 6, 6, 7]


def test_a_commit_that_fails_is_a_failed_outcome_of_its_partitions(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    drop(lake, DAYS[0], GOOD)
    load_raw(lake, FEED, DAYS[:1], "run-1")
    commit = Lake.commit

    def refuse(self: Lake, slices: object, *arguments: object, **stated: object) -> int:
        if slices:
            raise GateTimeout("`the gate` was held by another writer.")
        return commit(self, slices, *arguments, **stated)  # type: ignore[arg-type]

    monkeypatch.setattr(Lake, "commit", refuse)
    (outcome,) = load_raw(lake, FEED, DAYS[:1], "run-2")
    assert not outcome.committed
    assert "held by another writer" in ledger(lake)[DAYS[0]].error
    assert {row[0] for row in rows(lake, "_run_id")} == {"run-1"}


def test_a_split_file_is_read_once_and_every_record_is_in_one_partition(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    months = by("arrival_date", "month", start=date(2026, 1, 1), end=date(2026, 4, 1))
    declare(monkeypatch, Contract("staging.things", Things, "one row per thing", "x@example.com", partition=months))
    feed = Feed("staging.things", "things/year.csv", "csv", split_by="amount")
    when = [
        " 2026-01-31 23:59:59",
        "2026-02-01",
        "2026-02-28 10:00",
        "no date",
        "",
        "2025-12-31",
        "2026-04-01",
        "infinity",
        "2026-03-07",
    ]
    drop(
        lake, "year", HEADER + "".join(f"{number},a,{at}\n" for number, at in enumerate(when)).encode() + b"x,ragged\n"
    )
    reads: list[str] = []
    read_feed = landing_module.read_feed
    monkeypatch.setattr(landing_module, "read_feed", lambda *given: reads.append(given[4]) or read_feed(*given))
    keys = ["2026-01-01", "2026-02-01", "2026-03-01"]
    outcomes = by_key(load_raw(lake, feed, keys, "run-1"))
    assert reads == ["things/year.csv"]
    assert {key: outcome.load.rows_read for key, outcome in outcomes.items()} == {
        "2026-01-01": 7,
        "2026-02-01": 2,
        "2026-03-01": 1,
    }
    assert [row[0] for row in rows(lake, "_record")] == [1, 4, 5, 6, 7, 8, 10, 2, 3, 9]
    again = load_raw(lake, feed, keys[1:2], "run-2")
    assert [outcome.load.rows_read for outcome in again] == [2]
    assert [row[0] for row in rows(lake, "_run_id")].count("run-2") == 2


def test_a_split_file_that_cannot_be_read_fails_all_its_partitions(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    months = by("arrival_date", "month", start=date(2026, 1, 1), end=date(2026, 4, 1))
    declare(monkeypatch, Contract("staging.things", Things, "one row per thing", "x@example.com", partition=months))
    outcomes = load_raw(
        lake, Feed("staging.things", "things/year.csv", "csv", split_by="amount"), ["2026-01-01", "2026-02-01"], "run-1"
    )
    assert [outcome.committed for outcome in outcomes] == [False, False]
    assert all("`things/year.csv` is not there" in load.error for load in ledger(lake).values())


def test_nothing_is_left_behind_in_the_scratch_folder(lake: Lake) -> None:
    drop(lake, DAYS[0], GOOD)
    drop(lake, DAYS[1], HEADER + b"1\n")
    load_raw(lake, FEED, DAYS, "run-1")
    assert list((lake.settings.home / "tmp").glob("read-*")) == []


def test_every_staging_table_has_a_raw_table_of_texts_and_the_same_partitions() -> None:
    for staging in contracts("staging"):
        raw = contract(f"raw.{staging.table}")
        assert raw.partition == staging.partition
        for column in staging.columns.values():
            assert (raw.columns[column.source].duckdb_type, raw.columns[column.source].nullable) == ("VARCHAR", True)
        assert {"_file", "_file_hash", "_record", "_offset", "_bytes", "_defect", "_extra"} <= set(raw.columns)


def test_every_staging_table_has_a_feed_and_feeds_of_one_table_are_found_by_any_name() -> None:
    for staging in contracts("staging"):
        assert feed_of(staging.name) == feed_of(staging.table) == feed_of(f"raw.{staging.table}")
        assert feed_of(staging.table).contract == staging.name
