"""Parquet files that were written elsewhere join a table as they are, or are refused as a whole."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from data_platform.errors import LakeError
from data_platform.lake.lake import Lake

SALES = "marts.sales"
COLUMNS = {"day": "DATE", "shop": "VARCHAR", "id": "BIGINT", "amount": "DECIMAL(18,2)"}
PARTS = [{"day": date(2026, 1, number), "shop": "a/b c"} for number in (1, 2)]
ROWS = "(VALUES (DATE '2026-01-01', 'a/b c', 1::BIGINT, 1.10::DECIMAL(18,2)), (DATE '2026-01-02', 'a/b c', 2, NULL)) t(day, shop, id, amount)"


def write(folder: Path, select: str, by: str = "day, shop") -> list[Path]:
    with duckdb.connect() as con:
        con.execute(f"COPY ({select}) TO '{folder}' (FORMAT parquet, PARTITION_BY ({by}))")
    return sorted(folder.rglob("*.parquet"))


@pytest.fixture
def table(lake: Lake, con: duckdb.DuckDBPyConnection) -> str:
    lake.ensure_table(con, SALES, COLUMNS, partition_by=("day", "shop"))
    return SALES


def test_files_of_the_partitions_asked_for_become_slices_and_the_originals_stay(lake, con, table, tmp_path):
    files = write(tmp_path / "built", f"FROM {ROWS}")
    third = {"day": date(2026, 1, 3), "shop": "a/b c"}
    slices = lake.adopt_slices(con, table, files, [PARTS[1], third])
    assert [(part.partition, [file.rows for file in part.files]) for part in slices] == [(PARTS[1], [1]), (third, [])]
    (adopted,) = slices[0].files
    assert adopted.path.samefile(files[1]), "a file of the same disk is not copied"
    before = files[1].read_bytes()
    with pytest.raises(LakeError, match="without a load record"):
        lake.commit(slices)
    assert not adopted.path.exists() and files[1].read_bytes() == before


def test_what_was_adopted_reads_like_what_was_staged(lake, con, tmp_path):
    lake.ensure_table(con, "staging.sales", COLUMNS, partition_by=("day", "shop"))
    files = write(tmp_path / "built", f"FROM {ROWS}")
    for slices in (
        lake.stage_slices(con, "staging.sales", f"FROM {ROWS}", PARTS),
        lake.adopt_slices(con, "staging.sales", files, PARTS),
    ):
        lake.commit(slices)
        found = con.execute("SELECT day, shop, id, amount::VARCHAR FROM lake.staging.sales ORDER BY id").fetchall()
        assert found == [(date(2026, 1, 1), "a/b c", 1, "1.10"), (date(2026, 1, 2), "a/b c", 2, None)]
        where = "SELECT count(*) FROM lake.staging.sales WHERE day = DATE '2026-01-02'"
        assert con.execute(where).fetchone() == (1,)


@pytest.mark.parametrize(
    "select",
    [
        "SELECT day, shop, id",
        "SELECT *, 1 AS more",
        "SELECT * REPLACE (id::INTEGER AS id)",
        "SELECT * RENAME (id AS ID)",
    ],
)
def test_files_with_other_columns_than_the_table_s_are_left_to_be_staged(lake, con, table, tmp_path, select):
    assert lake.adopt_slices(con, table, write(tmp_path / "built", f"{select} FROM {ROWS}"), PARTS) is None
    assert not list(lake.attachment.data_path.rglob("load-*.parquet"))


def test_on_another_disk_the_files_are_copied(lake, con, table, tmp_path, monkeypatch):
    def no_links(*_: Any) -> None:
        raise OSError(18, "Invalid cross-device link")

    files = write(tmp_path / "built", f"FROM {ROWS}")
    monkeypatch.setattr("data_platform.lake.adopting.os.link", no_links)
    slices = lake.adopt_slices(con, table, files, PARTS)
    for part, file in zip(slices, files, strict=True):
        assert part.files[0].path.read_bytes() == file.read_bytes()
        assert not part.files[0].path.samefile(file)


def test_a_step_that_fails_leaves_no_file_behind(lake, con, table, tmp_path, monkeypatch):
    files = write(tmp_path / "built", f"FROM {ROWS}")
    real, calls = os.link, iter([True, False])

    def full(*paths: Any) -> None:
        if not next(calls):
            raise KeyboardInterrupt
        real(*paths)

    monkeypatch.setattr("data_platform.lake.adopting.os.link", full)
    with pytest.raises(KeyboardInterrupt):
        lake.adopt_slices(con, table, files, PARTS)
    assert not list(lake.attachment.data_path.rglob("load-*.parquet"))


def test_a_row_without_a_partition_is_refused(lake, con, table, tmp_path):
    files = write(tmp_path / "built", f"SELECT * REPLACE (NULL::VARCHAR AS shop) FROM {ROWS}")
    with pytest.raises(LakeError, match="`shop`"):
        lake.adopt_slices(con, table, files, PARTS)


def test_a_table_that_is_not_cut_takes_one_file_and_none_without_rows(lake, con, tmp_path):
    lake.ensure_table(con, "marts.whole", {"id": "BIGINT"})
    for rows in (3, 0):
        file = tmp_path / f"{rows}.parquet"
        con.execute(f"COPY (SELECT range AS id FROM range({rows})) TO '{file}' (FORMAT parquet)")
        (part,) = lake.adopt_slices(con, "marts.whole", [file], [{}])
        assert [file.rows for file in part.files] == [rows][: bool(rows)]
