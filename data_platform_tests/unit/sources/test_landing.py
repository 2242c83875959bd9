"""What is landed as it is read: the same rows as of a small file, and nothing left where no commit comes."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from data_platform.lake.lake import Lake
from data_platform.sources import landing as landing_module
from data_platform.sources import load as load_module
from data_platform.sources.declare import Feed
from data_platform.sources.load import load_raw
from data_platform_tests.unit.sources.loading import DAYS, FEED, GOOD, by_key, drop
from data_platform_tests.unit.sources.reading import HEADER


@pytest.mark.parametrize("lake", [landing_module.LARGE_BYTES], indirect=True, ids=["40 MB"])
@pytest.mark.parametrize("files", [1, 2], ids=["by all threads", "side by side"])
def test_the_record_numbers_of_a_large_file_are_its_lines_whatever_the_threads(lake: Lake, files: int) -> None:
    """More than the engine's threads read at once."""
    lake = Lake(lake.settings.model_copy(update={"threads": 4}))
    lines = "SELECT i AS thing_id, 'a label of some length' AS \"Label text\", i * 7 AS amount FROM range(1000000) t(i)"
    with duckdb.connect() as con:
        for key in DAYS[:files]:
            con.execute(f"COPY ({lines}) TO '{lake.settings.landing_dir / 'things' / key}.csv' (HEADER)")
    outcomes = load_raw(lake, FEED, DAYS[:files], "run-1")
    assert [outcome.load.rows_accepted for outcome in outcomes] == [1_000_000] * files
    with lake.connect(read_only=True) as con:
        wrong = con.execute("SELECT count(*) FROM lake.raw.things WHERE thing_id::BIGINT + 1 <> _record").fetchone()
    assert wrong == (0,)
    lake.close()


@pytest.mark.parametrize(
    "word", ["Permission denied", "No space left", "Connection refused", "deadlock detected", "timeout expired"]
)
def test_the_words_of_a_record_that_cannot_be_read_are_not_taken_for_the_disk_s(lake: Lake, word: str) -> None:
    drop(lake, DAYS[0], GOOD + f"3,{word},4,5,6\n".encode())
    (outcome,) = load_raw(lake, FEED, DAYS[:1], "run-1")
    assert outcome.committed, outcome.load.error
    assert (outcome.load.rows_read, outcome.load.rows_warned) == (3, 1)


def test_a_large_file_of_blank_lines_is_an_empty_day_and_takes_no_other_along(lake: Lake) -> None:
    drop(lake, DAYS[0], GOOD)
    drop(lake, DAYS[1], HEADER + b"\n" * 50)
    outcomes = by_key(load_raw(lake, FEED, DAYS[:2], "run-1"))
    assert {key: outcome.load.rows_read for key, outcome in outcomes.items()} == {DAYS[0]: 2, DAYS[1]: 0}


@pytest.mark.parametrize("stopped_in", ["_staged", "_read"])
def test_what_was_landed_is_removed_when_somebody_interrupts_before_the_commit(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, stopped_in: str
) -> None:
    for key in DAYS:
        drop(lake, key, GOOD)
    original = getattr(load_module, stopped_in)

    def interrupted(job: Any, found: Any) -> Any:
        if stopped_in == "_read" and found != DAYS[-1]:
            return original(job, found)
        raise KeyboardInterrupt

    monkeypatch.setattr(load_module, stopped_in, interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_raw(lake, FEED, DAYS, "run-1")
    assert not list((lake.settings.lake_dir / "data" / "raw").rglob("*.parquet"))


@pytest.mark.parametrize("stopped_in", ["_by_key", "_commit"])
def test_what_was_staged_of_a_file_of_many_days_is_removed_when_somebody_interrupts(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, stopped_in: str
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    path = lake.settings.landing_dir / "things" / "year.csv"
    path.write_bytes(HEADER + b"".join(f"1,a,{day}\n".encode() for day in DAYS))
    monkeypatch.setattr(load_module, "CHUNK", 1)
    monkeypatch.setattr(load_module, stopped_in, interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_raw(lake, Feed("staging.things", "things/year.csv", "csv", split_by="amount"), DAYS, "run-1")
    assert not list((lake.settings.lake_dir / "data" / "raw").rglob("*.parquet"))
