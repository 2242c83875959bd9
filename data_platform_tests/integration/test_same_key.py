"""A key of scope `table` that arrives in two days at once: the later one loses, whoever commits first, and is told so."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from data_platform.contracts.registry import contract
from data_platform.lake.lake import Lake
from data_platform.lake.ledger import latest_loads
from data_platform.quality import screening
from data_platform.settings import load_settings
from data_platform.sources.load import load_raw
from data_platform.sources.registry import feed_of

DAYS = ("2026-01-05", "2026-01-06")


def event(day: str) -> dict[str, object]:
    return {
        "event_id": "E000000000001", "session_id": "s1", "customer_id": None, "event_type": "page_view", "page_url": "/",
        "occurred_at": f"{day} 10:00:00",
    }  # fmt: skip


def land(home: Path) -> Lake:
    """Raw events of two days, the same event in both."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    lake = Lake(load_settings(home=home))
    folder = home / "landing" / "shop" / "events"
    folder.mkdir(parents=True)
    for day in DAYS:
        pq.write_table(pa.Table.from_pylist([event(day)]), folder / f"{day}.parquet")
    assert all(outcome.committed for outcome in load_raw(lake, feed_of("events"), DAYS, "run"))
    return lake


def _screen_at_once(home: str, day: str, ready: Any) -> None:
    lake = Lake(load_settings(home=home))
    lake.connect().close()
    ready.wait()
    outcome = screening.screen(lake, contract("staging.events"), [day], f"run {day}")[0]
    (Path(home) / f"{day}.json").write_text(
        json.dumps([outcome.load.outcome, outcome.load.rows_accepted, outcome.load.by_rule])
    )


def check_one_lost(lake: Lake) -> None:
    with lake.connect() as con:
        assert con.execute("SELECT count(*) FROM lake.staging.events").fetchone() == (1,)
        assert con.execute("SELECT arrival_date::VARCHAR FROM lake.staging.events").fetchall() == [(DAYS[0],)]
        ((rules, reasons),) = con.execute("SELECT rules, reasons FROM lake.quarantine.events").fetchall()
    assert rules == "key"
    assert reasons == f"event_id is not unique: the partition {DAYS[0]} has it already"


def test_of_two_processes_that_load_the_same_key_one_loses(tmp_path):
    lake = land(tmp_path / "home")
    spawn = multiprocessing.get_context("spawn")
    ready = spawn.Barrier(2)
    workers = [spawn.Process(target=_screen_at_once, args=(str(tmp_path / "home"), day, ready)) for day in DAYS]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=120)
        assert worker.exitcode == 0
    told = [json.loads((tmp_path / "home" / f"{day}.json").read_text()) for day in DAYS]
    # The later day may have been first, and was then screened again by the earlier one's load.
    assert told[0] == ["committed", 1, {}] and told[1] in (["committed", 0, {"key": 1}], ["committed", 1, {}])
    check_one_lost(lake)
    with lake.connect() as con:
        said = {load.partition_key: load.by_rule for load in latest_loads(con, "staging.events")}
    assert said == {DAYS[0]: {}, DAYS[1]: {"key": 1}}, "the ledger tells who lost"


def test_a_load_that_judged_before_the_other_committed_judges_again(tmp_path, monkeypatch: pytest.MonkeyPatch):
    lake = land(tmp_path / "home")
    commit, overtaken = screening._commit, []

    def overtake(*args: Any) -> None:
        """The other day commits between our judging and our commit."""
        if not overtaken:
            overtaken.append(True)
            screening.screen(lake, contract("staging.events"), [DAYS[0]], "other")
        commit(*args)

    monkeypatch.setattr(screening, "_commit", overtake)
    outcome = screening.screen(lake, contract("staging.events"), [DAYS[1]], "run")[0]
    assert outcome.load.by_rule == {"key": 1}
    check_one_lost(lake)


def test_a_raw_partition_that_was_replaced_while_it_was_judged_is_judged_again(
    tmp_path, monkeypatch: pytest.MonkeyPatch
):
    import pyarrow as pa
    import pyarrow.parquet as pq

    lake = land(tmp_path / "home")
    judge, replaced = screening.judge, []

    def replace_raw(*args: Any) -> None:
        """The day comes again with two events, after its one event was looked up."""
        if not replaced:
            replaced.append(True)
            rows = [event(DAYS[0]), event(DAYS[0]) | {"event_id": "E000000000002"}]
            pq.write_table(pa.Table.from_pylist(rows), tmp_path / "home/landing/shop/events" / f"{DAYS[0]}.parquet")
            assert all(found.committed for found in load_raw(lake, feed_of("events"), [DAYS[0]], "other"))
        judge(*args)

    monkeypatch.setattr(screening, "judge", replace_raw)
    (outcome,) = screening.screen(lake, contract("staging.events"), [DAYS[0]], "run")
    assert outcome.committed and outcome.load.rows_accepted == 2
    with lake.connect() as con:
        assert con.execute("SELECT count(*) FROM lake.ops.loads WHERE outcome = 'failed'").fetchone() == (0,)
