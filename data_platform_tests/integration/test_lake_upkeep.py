"""Upkeep removes what nobody will come back for, and nothing else: on both catalogs, with real writers that live or die."""

from __future__ import annotations

import multiprocessing as mp
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from data_platform.errors import PublishRefused
from data_platform.lake import owners
from data_platform.lake.lake import Audit, Lake, Slice
from data_platform.lake.outcomes import LoadRecord
from data_platform.lake.publish import publish, published_views
from data_platform.lake.upkeep import upkeep
from data_platform_tests.integration.lake_workers import COLUMNS, TABLE, open_lake
from data_platform_tests.integration.upkeep_workers import stage_and_wait

spawn = mp.get_context("spawn")
NOW = timedelta(0)
MART = "marts.m"


@pytest.fixture
def lake(home: Path, catalog: str | None) -> Iterator[Lake]:
    """A lake with an empty staging table."""
    lake = open_lake(str(home), catalog)
    lake.ensure_table(None, TABLE, COLUMNS, ("arrival_date",))
    yield lake
    lake.close()


def ask(lake: Lake, sql: str) -> list[tuple[Any, ...]]:
    with lake.connect() as con:
        return con.execute(sql).fetchall()


def on_disk(lake: Lake) -> set[Path]:
    return set(lake.attachment.data_path.rglob("*.parquet"))


@contextmanager
def writer(lake: Lake, catalog: str | None) -> Iterator[tuple[mp.process.BaseProcess, Any, Path, Path]]:
    """A process that has staged a file and made a folder, and waits: (process, connection, file, folder)."""
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=stage_and_wait, args=(str(lake.settings.home), catalog, theirs))
    process.start()
    try:
        assert ours.poll(60)
        file, folder = ours.recv()
        yield process, ours, Path(file), Path(folder)
    finally:
        process.kill()
        process.join()


def build(lake: Lake, n: int, *, recorded: bool = True) -> None:
    """The mart's only partition holds the number `n`, `n` times."""
    with lake.connect() as con:
        lake.ensure_table(con, MART, {"n": "INTEGER"})
        if not recorded:
            con.execute(f"INSERT INTO lake.{MART} VALUES ({n})")
            return
        file = lake.stage(con, MART, f"SELECT {n} AS n FROM range({n})")
    load = LoadRecord(MART, "", f"run-{n}", "committed", rows_read=n, rows_accepted=n)
    lake.commit([Slice(MART, {}, (file,) if file else ())], [load], [Audit(MART, "", load.load_id, passed=True)])


def test_a_staged_file_stays_while_its_writer_lives_and_can_be_committed(lake: Lake, catalog: str | None) -> None:
    with writer(lake, catalog) as (process, told, file, folder):
        done = upkeep(lake)
        assert (done.orphans, done.waiting, done.folders) == (0, 1, 0)
        assert file.exists() and folder.exists()
        told.send("commit")
        assert told.poll(60) and told.recv() == "committed"
        process.join(30)
    assert upkeep(lake).orphans == 0
    assert ask(lake, f"SELECT order_id, writer FROM lake.{TABLE}") == [(7, 7)]


def test_what_a_killed_writer_left_is_removed_and_nothing_else(lake: Lake, catalog: str | None) -> None:
    before = on_disk(lake)
    with writer(lake, catalog) as (process, _, file, folder):
        process.kill()
        process.join()
    build = lake.settings.home / "build" / "of-a-dead-process"
    build.mkdir(parents=True)
    build.with_suffix(".lock").touch()
    seen = upkeep(lake, dry_run=True)
    assert (seen.orphans, seen.folders, file.exists(), folder.exists(), build.exists()) == (1, 2, True, True, True)
    assert seen.orphan_bytes == file.stat().st_size
    done = upkeep(lake)
    assert (done.orphans, done.waiting, done.folders) == (1, 0, 2)
    assert not file.exists() and not folder.exists() and not build.exists()
    assert on_disk(lake) == before
    marks = {lock.name for lock in owners.writers_folder(lake.settings.lake_dir).iterdir()}
    assert not any(owners.mark_in(file.name) in name for name in marks), "the dead writer's lock is gone too"


def test_a_file_of_another_machine_or_of_a_stranger_has_a_day(lake: Lake, catalog: str | None) -> None:
    with writer(lake, catalog) as (process, _, file, _):
        process.kill()
        process.join()
    found = owners.mark_in(file.name)
    assert found
    file = file.rename(file.with_name(file.name.replace(found, "0" * 6 + found[6:])))
    stranger = file.with_name("ducklake-of-nobody.parquet")
    stranger.write_bytes(b"rows")
    done = upkeep(lake)
    assert (done.orphans, done.waiting) == (0, 2) and file.exists() and stranger.exists()
    yesterday = time.time() - owners.FOREIGN_SECONDS - 60
    for path in (file, stranger):
        os.utime(path, (yesterday, yesterday))
    assert upkeep(lake).orphans == 2
    assert not file.exists() and not stranger.exists()


def test_a_file_of_the_ledger_that_no_version_knows_is_removed_at_once(lake: Lake) -> None:
    build(lake, 1)
    stray = next((lake.attachment.data_path / "ops" / "loads").rglob("*.parquet")).with_name(
        "ducklake-of-a-kill.parquet"
    )
    stray.write_bytes(b"rows")
    assert upkeep(lake).orphans == 1 and not stray.exists()


def test_published_versions_and_the_ledger_are_the_same_after_merging_and_expiring(lake: Lake) -> None:
    for n in range(1, 6):
        build(lake, n)
        if n in (2, 3):
            publish(lake, [MART])
    loads = (
        "SELECT * EXCLUDE (snapshot_id), snapshot_id FROM (SELECT *, snapshot_id FROM lake.ops.loads) ORDER BY load_id"
    )
    shown, ledger, files = ask(lake, "FROM lake.published.m"), ask(lake, loads), len(on_disk(lake))
    versions = ask(lake, "SELECT count(*) FROM ducklake_snapshots('lake')")[0][0]
    assert shown == [(3,)] * 3

    done = upkeep(lake, keep_days=0, readers=NOW)
    assert done.expired > 0 and done.kept + done.expired == versions + len(done.merged)
    assert done.merged["ops.loads"] == (5, 1)
    assert done.removed > 0 and done.later == 0
    assert len(on_disk(lake)) < files
    assert ask(lake, "FROM lake.published.m") == shown
    assert ask(lake, f"FROM lake.{MART}") == [(5,)] * 5
    assert ask(lake, loads) == ledger, "the ledger orders loads by the version that brought them"
    with lake.connect() as con:
        assert [view.problem for view in published_views(con)] == [""]
    publish(lake, [MART])
    assert ask(lake, "FROM lake.published.m") == [(5,)] * 5
    again = upkeep(lake, keep_days=0, readers=NOW)
    assert again.orphans == 0 and ask(lake, "FROM lake.published.m") == [(5,)] * 5


def test_the_version_shown_before_stays_so_that_readers_can_be_put_back(lake: Lake) -> None:
    for n in (1, 2, 3):
        build(lake, n)
        publish(lake, [MART])
    upkeep(lake, keep_days=0, readers=NOW)
    previous = ask(lake, "SELECT max(previous_version) FROM lake.ops.publishes")[0][0]
    assert ask(lake, f"FROM lake.{MART} AT (VERSION => {previous})") == [(2,), (2,)]


def test_young_versions_and_files_that_readers_may_use_stay(lake: Lake) -> None:
    for n in range(1, 4):
        build(lake, n)
    done = upkeep(lake)
    assert (done.expired, done.removed) == (0, 0)
    done = upkeep(lake, keep_days=0)
    assert done.expired > 0 and done.removed == 0 and done.later > 0


def test_a_change_without_a_load_is_still_refused_after_upkeep(lake: Lake) -> None:
    build(lake, 1)
    publish(lake, [MART])
    build(lake, 9, recorded=False)
    upkeep(lake, keep_days=0, readers=NOW)
    with pytest.raises(PublishRefused, match="no load was recorded"):
        publish(lake, [MART])


def test_a_dry_run_changes_nothing(lake: Lake) -> None:
    for n in range(1, 4):
        build(lake, n)
    files, versions = on_disk(lake), ask(lake, "SELECT snapshot_id FROM ducklake_snapshots('lake')")
    seen = upkeep(lake, keep_days=0, readers=NOW, dry_run=True)
    assert seen.expired > 0 and "ops.loads" in seen.merged
    assert (on_disk(lake), ask(lake, "SELECT snapshot_id FROM ducklake_snapshots('lake')")) == (files, versions)


def test_a_clean_up_that_was_killed_half_way_is_finished_by_the_next(lake: Lake) -> None:
    for n in range(1, 4):
        build(lake, n)
    upkeep(lake, keep_days=0)
    table = "__ducklake_metadata_lake.ducklake_files_scheduled_for_deletion"
    (name,) = ask(lake, f"SELECT path FROM {table} LIMIT 1")[0]
    next(path for path in on_disk(lake) if path.name == Path(name).name).unlink()
    done = upkeep(lake, keep_days=0, readers=NOW)
    assert done.removed > 0 and done.later == 0
