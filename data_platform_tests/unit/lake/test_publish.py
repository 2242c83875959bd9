"""Readers of `published` see one audited version of every table, or the one they had."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from functools import partial
from typing import Any

import duckdb
import pytest

from data_platform.errors import LakeError, PublishRefused
from data_platform.lake.lake import Audit, Lake, Slice
from data_platform.lake.outcomes import LoadRecord
from data_platform.lake.publish import publish, publish_passing, published_version, published_views
from data_platform.lake.recorded import Recorded, record

MON, TUE = "2026-01-05", "2026-01-06"
Rows = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture
def build(lake: Lake, con: duckdb.DuckDBPyConnection) -> Callable[..., LoadRecord]:
    """Builds a day of a mart with one row, audited unless told otherwise."""

    def build(key: str, n: int, *, audit: bool | None = True, table: str = "marts.m") -> LoadRecord:
        lake.ensure_table(con, table, {"n": "BIGINT", "day": "DATE"}, ("day",))
        day = date.fromisoformat(key)
        file = lake.stage(con, table, f"SELECT {n} AS n", {"day": day})
        load = LoadRecord(table, key, "run", "committed")
        audits = [] if audit is None else [Audit(table, key, load.load_id, audit, () if audit else ("n.ge",))]
        lake.commit([Slice(table, {"day": day}, (file,) if file else ())], [load], audits)
        return load

    return build


def test_readers_see_the_published_version_until_the_next_one(
    lake: Lake, con: duckdb.DuckDBPyConnection, rows: Rows, build: Any
) -> None:
    assert published_version(con, "m") is None
    build(MON, 1)
    first = publish(lake, ["marts.m"], "run-1")
    assert first.changed == {"marts.m": (MON,)}
    build(MON, 2)
    build(TUE, 3)
    assert rows("SELECT n FROM lake.published.m") == [(1,)]
    second = publish(lake, ["marts.m"], "run-2")
    assert (second.changed, second.previous) == ({"marts.m": (MON, TUE)}, {"marts.m": first.version})
    assert rows("SELECT n FROM lake.published.m ORDER BY n") == [(2,), (3,)]
    assert published_version(con, "marts.m") == second.version
    recorded = rows("SELECT version, previous_version, run_id FROM lake.ops.publishes ORDER BY version")
    assert recorded == [(first.version, None, "run-1"), (second.version, first.version, "run-2")]


def test_several_marts_are_published_as_one_snapshot_or_not_at_all(
    lake: Lake, con: duckdb.DuckDBPyConnection, build: Any
) -> None:
    build(MON, 1)
    build(MON, 1, table="marts.other", audit=None)
    with pytest.raises(PublishRefused, match=r"`marts\.other` has partitions without an audit: `2026-01-05`"):
        publish(lake, ["marts.m", "marts.other"])
    assert published_version(con, "m") is None
    build(MON, 2, table="marts.other")
    done = publish(lake, ["marts.m", "marts.other"])
    assert {published_version(con, "m"), published_version(con, "other")} == {done.version}


def test_what_passes_is_published_and_the_others_are_named(
    lake: Lake, con: duckdb.DuckDBPyConnection, build: Any
) -> None:
    build(MON, 1)
    build(MON, 1, table="marts.other", audit=None)
    done = publish_passing(lake, ["marts.m", "marts.other", "marts.never_built"])
    assert (done.tables, set(done.refused)) == (("marts.m",), {"marts.other", "marts.never_built"})
    assert (published_version(con, "m"), published_version(con, "other")) == (done.version, None)


def test_an_audit_that_comes_in_a_later_run_counts_both_ways(lake: Lake, build: Any) -> None:
    load = build(MON, 1, audit=None)
    with pytest.raises(PublishRefused, match="without an audit"):
        publish(lake, ["marts.m"])
    lake.record_audits([Audit("marts.m", MON, load.load_id, True)])
    publish(lake, ["marts.m"])
    lake.record_audits([Audit("marts.m", MON, load.load_id, False, ("n.ge",))])
    build(TUE, 2)
    with pytest.raises(PublishRefused, match=r"failed their audit: `2026-01-05 \(n\.ge\)`"):
        publish(lake, ["marts.m"])
    build(MON, 3)
    assert publish(lake, ["marts.m"]).changed == {"marts.m": (MON, TUE)}


@pytest.mark.parametrize(
    ("by_hand", "named"),
    [
        ("INSERT INTO lake.marts.m VALUES (9, DATE '2026-01-06')", TUE),
        ("DELETE FROM lake.marts.m WHERE day = DATE '2026-01-05'", MON),
        ("UPDATE lake.marts.m SET n = 8 WHERE day = DATE '2026-01-05'", MON),
    ],
)
def test_rows_changed_by_hand_are_not_published_until_they_are_rebuilt(
    lake: Lake, con: duckdb.DuckDBPyConnection, build: Any, by_hand: str, named: str
) -> None:
    build(MON, 1)
    build(TUE, 2)
    publish(lake, ["marts.m"])
    con.execute(by_hand)
    with pytest.raises(PublishRefused, match=f"no load was recorded: `{named}`"):
        publish(lake, ["marts.m"])
    build(named, 5)
    assert publish(lake, ["marts.m"]).changed == {"marts.m": (named,)}


def test_merging_files_is_no_change_by_hand(lake: Lake, con: duckdb.DuckDBPyConnection, build: Any) -> None:
    build(MON, 1)
    build(MON, 2)
    con.execute("CALL ducklake_merge_adjacent_files('lake')")
    assert publish(lake, ["marts.m"]).changed == {"marts.m": (MON,)}


def test_a_view_keeps_its_columns_when_the_mart_gains_one(
    lake: Lake, con: duckdb.DuckDBPyConnection, build: Any
) -> None:
    build(MON, 1)
    publish(lake, ["marts.m"])
    lake.ensure_table(con, "marts.m", {"n": "BIGINT", "day": "DATE", "more": "VARCHAR"}, ("day",))
    assert con.sql("SELECT * FROM lake.published.m").columns == ["n", "day"]
    publish(lake, ["marts.m"])
    assert con.sql("SELECT * FROM lake.published.m").columns == ["n", "day", "more"]


def test_a_view_whose_version_is_gone_is_reported(lake: Lake, con: duckdb.DuckDBPyConnection, build: Any) -> None:
    build(MON, 1)
    version = publish(lake, ["marts.m"]).version
    (view,) = published_views(con)
    assert (view.table, view.version, view.problem) == ("m", version, "")
    assert view.published_at is not None
    build(MON, 2)
    con.execute(f"CALL ducklake_expire_snapshots('lake', versions => [{version}])")
    (view,) = published_views(con)
    assert view.problem == f"version {version} is gone"


def test_only_marts_are_published(lake: Lake) -> None:
    with pytest.raises(LakeError, match="only marts"):
        publish(lake, ["staging.orders"])
    with pytest.raises(PublishRefused, match="no table"):
        publish(lake, ["marts.nothing"])


def test_a_column_that_a_contract_gave_up_is_null_and_deprecated_for_three_versions(
    lake: Lake, con: duckdb.DuckDBPyConnection, rows: Rows, build: Any
) -> None:
    def recorded(version: int, *columns: str) -> None:
        definition = json.dumps({"columns": [{"name": column} for column in columns]})
        lake.commit((), check=partial(record, row=Recorded("marts.m", version, f"{version}", definition)))

    def readers() -> list[tuple[Any, ...]]:
        build(MON, 7)
        publish(lake, ["marts.m"])
        return rows("FROM lake.published.m")

    day = date.fromisoformat(MON)
    recorded(1, "n", "old")
    build(MON, 7)
    lake.ensure_table(con, "marts.m", {"n": "BIGINT", "day": "DATE", "old": "VARCHAR"}, ("day",))
    assert readers() == [(7, day, None)] and rows("SELECT comment FROM duckdb_views() WHERE view_name = 'm'") == [
        (None,)
    ]
    recorded(2, "n")
    assert readers() == [(7, day, None)]
    ((said,),) = rows("SELECT comment FROM duckdb_views() WHERE view_name = 'm'")
    assert said == "old: deprecated since contract version 2, always NULL, gone with version 5"
    recorded(4, "n")
    assert readers() == [(7, day, None)]
    recorded(5, "n")
    assert readers() == [(7, day)]
    recorded(6, "n", "old")
    assert readers() == [(7, day, None)], "it came back"
