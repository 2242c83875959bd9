"""Broken drop files: each is broken as its manifest says, and nothing else of the sample is hurt."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import duckdb
import pytest

from data_platform.contracts.registry import contract
from data_platform.errors import SourceError
from data_platform.sources.reader import read_feed
from data_platform.sources.registry import feed_of
from data_platform.sources.sample import TRUTH_DIR, expected_truth_sql, write_sample
from data_platform.sources.sample_broken import KINDS, MANIFEST, BrokenFile, plant_broken_files

START = date(2026, 3, 5)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, BrokenFile]]:
    landing = tmp_path_factory.mktemp("broken")
    return landing, {broken.kind: broken for broken in plant_broken_files(landing, START, scale=0.05)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    landing = tmp_path_factory.mktemp("whole")
    write_sample(landing, start=START, days=len(KINDS), scale=0.05)
    return landing


def test_one_file_a_day_is_broken_and_the_others_are_as_they_were(
    planted: tuple[Path, dict[str, BrokenFile]], whole: Path
) -> None:
    landing, broken = planted
    files = [path.relative_to(landing).as_posix() for path in landing.rglob("*.*") if path.parent.name != "_truth"]
    assert len(files) == 6 * len(KINDS)
    changed = {file for file in files if (landing / file).read_bytes() != (whole / file).read_bytes()}
    assert changed == {entry.file for entry in broken.values()}
    assert len({entry.day for entry in broken.values()}) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_reader_makes_of_a_broken_file_what_the_manifest_expects(
    kind: str, planted: tuple[Path, dict[str, BrokenFile]], tmp_path: Path
) -> None:
    landing, entry = planted[0], planted[1][kind]
    feed, con = feed_of(entry.table), duckdb.connect()
    spool = tmp_path / "spool.parquet"
    if not entry.is_readable:
        with pytest.raises(SourceError, match=entry.file):
            read_feed(con, feed, contract(feed.contract), landing, entry.file, spool)
        return
    read = read_feed(con, feed, contract(feed.contract), landing, entry.file, spool)
    assert read.records == entry.records
    assert bool(read.extra_columns) == ("extra_columns" in entry.warns)
    found = con.execute(f"SELECT _record, _offset, _bytes FROM ({read.relation}) WHERE _defect IS NOT NULL ORDER BY 1")
    assert found.fetchall() == [(one.record, one.offset, one.raw) for one in entry.set_aside]


def test_what_is_to_be_set_aside_stands_where_the_manifest_says(planted: tuple[Path, dict[str, BrokenFile]]) -> None:
    landing, broken = planted
    records = [(entry, one) for entry in broken.values() for one in entry.set_aside]
    assert len(records) == 5
    for entry, one in records:
        content = (landing / entry.file).read_bytes()
        assert content[one.offset : one.offset + len(one.raw)] == one.raw
        assert content[one.offset - 1 : one.offset] == b"\n"


def test_the_truth_of_a_broken_file_still_points_at_its_rows(planted: tuple[Path, dict[str, BrokenFile]]) -> None:
    landing, broken = planted
    truth = duckdb.sql(expected_truth_sql(landing)).fetchall()
    pointed = 0
    for entry in broken.values():
        labels = [(row[3], row[4]) for row in truth if row[2] == entry.file and row[5] != "missing_key"]
        if not entry.is_readable or entry.kind == "header_only":
            assert labels == []
            continue
        content = (landing / entry.file).read_bytes().replace(b",\nin two lines", b"")
        lines = [b"", *content.splitlines()] if entry.file.endswith(".jsonl") else content.splitlines()
        for record, key in labels:
            assert all(part.encode() in lines[record] for part in key.split("|"))
            pointed += 1
    assert pointed > 10


def test_a_row_sent_again_after_a_lost_file_is_only_late(planted: tuple[Path, dict[str, BrokenFile]]) -> None:
    landing, broken = planted
    lost = broken["truncated_jsonl"].day
    found = duckdb.sql(f"""
        SELECT "table", fate, rules FROM ({expected_truth_sql(landing)})
        WHERE day = DATE '{lost}' + 1 AND kind = 'duplicate_across_days' AND "table" IN ('orders', 'payments') ORDER BY 1
    """).fetchall()
    assert found == [("orders", "quarantined", "key"), ("payments", "flagged", "paid_at.late")]


def test_the_manifest_lies_beside_the_truth(planted: tuple[Path, dict[str, BrokenFile]]) -> None:
    landing, broken = planted
    listed = json.loads((landing / MANIFEST).read_text())
    assert [entry["kind"] for entry in listed] == list(broken)
    assert (landing / TRUTH_DIR / f"{START}.parquet").exists()
