"""`ParquetIOManager`: a file per partition, replaced whole, on a disk and in an object store that cannot rename."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from data_platform.errors import LakeError, UsageError
from data_platform.lake.parquet_io_manager import ParquetIOManager
from data_platform.lake.parquet_store import ParquetStore
from data_platform_tests.unit.lake.frame_kinds import KINDS, MAKE
from data_platform_tests.unit.lake.io_assets import DAILY, read, run, writer


class Bucket(MemoryFileSystem):
    """An object store: it has no rename and no copy, and an object is there when its upload is closed."""

    protocol = "bucket"
    store: dict[str, Any] = {}
    pseudo_dirs = [""]

    def mv(self, *_: Any, **__: Any) -> None:
        raise AssertionError("an object store has no rename")

    rename = move = copy = cp_file = mv


@pytest.fixture(params=["disk", "bucket"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The base path of the IO manager: a folder, and a bucket."""
    fsspec.register_implementation("bucket", Bucket, clobber=True)
    Bucket.store.clear()
    yield str(tmp_path / "files") if request.param == "disk" else "bucket://files"
    Bucket.store.clear()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_frame_goes_and_comes_back_by_day(base: str, kind: str) -> None:
    manager = ParquetIOManager(base_path=base)
    asset = writer(MAKE[kind]("SELECT 1::BIGINT AS n, 'x' AS words"), DAILY, "day")
    run(asset, "2026-01-01", manager=manager)
    found = read(asset, KINDS[kind], "2026-01-01", manager=manager, partitions=DAILY)
    assert found == [{"n": 1, "words": "x", "day": date(2026, 1, 1)}]


def test_a_range_writes_a_file_per_day_and_reads_them_as_one_frame(base: str) -> None:
    manager = ParquetIOManager(base_path=base)
    frame = pd.DataFrame({"day": [date(2026, 1, 3), date(2026, 1, 1)], "n": [3, 1]})
    asset = writer(frame, DAILY, "day")
    run(asset, "2026-01-01", "2026-01-03", manager=manager)
    store = ParquetStore(base, ["staging", "things"])
    assert len({store.find(key) for key in ("2026-01-01", "2026-01-02", "2026-01-03")} - {None}) == 3
    got = read(asset, pa.Table, "2026-01-01", "2026-01-03", manager=manager, partitions=DAILY)
    assert sorted(row["n"] for row in got) == [1, 3]
    assert store.dataset([str(store.find("2026-01-02"))]).schema.field("n").type == pa.int64(), "empty, and typed"


def test_columns_go_by_name_over_files_of_different_ages(base: str) -> None:
    manager = ParquetIOManager(base_path=base)
    run(writer(pa.table({"a": [1], "b": ["x"]}), DAILY, "day"), "2026-01-01", manager=manager)
    asset = writer(pa.table({"b": ["y"], "c": [True], "a": [2]}), DAILY, "day")
    run(asset, "2026-01-02", manager=manager)
    got = read(asset, pa.Table, "2026-01-01", "2026-01-02", manager=manager, partitions=DAILY)
    assert [(row["a"], row["b"], row["c"]) for row in sorted(got, key=lambda row: row["a"])] == [
        (1, "x", None),
        (2, "y", True),
    ]


@pytest.mark.parametrize("key", ["a/b", 'it\'s "so"; DROP TABLE x', "..", "100%", "ü", " "])
def test_a_partition_key_with_anything_in_it_stays_in_its_folder(base: str, tmp_path: Path, key: str) -> None:
    manager, partitions = ParquetIOManager(base_path=base), dg.StaticPartitionsDefinition([key, "other"])
    asset = writer(pa.table({"n": [1]}), partitions, "part")
    run(asset, key, manager=manager)
    assert read(asset, pa.Table, key, manager=manager, partitions=partitions) == [{"n": 1, "part": key}]
    if base.startswith(str(tmp_path)):
        assert {path.parent for path in tmp_path.rglob("*.parquet")} == {Path(base) / "staging" / "things"}
    with pytest.raises(LakeError, match="no file for partition `other`"):
        read(asset, pa.Table, "other", manager=manager, partitions=partitions)


def failing_batches() -> pa.RecordBatchReader:
    """One batch, and then the source breaks."""
    schema = pa.schema([("n", pa.int64())])

    def batches() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch([pa.array([2])], schema)
        raise OSError("No space left on device")

    return pa.RecordBatchReader.from_batches(schema, batches())


def test_a_write_that_breaks_half_way_leaves_the_old_rows_and_no_litter(base: str, tmp_path: Path) -> None:
    store = ParquetStore(base, ["t"])
    store.write("k", pa.table({"n": [1]}).to_reader())
    before = store.find("k")
    with pytest.raises(Exception, match="no space left"):
        store.write("k", failing_batches())
    assert store.find("k") == before
    assert store.dataset([str(before)]).to_table().to_pydict() == {"n": [1]}
    assert [path.name for path in tmp_path.rglob("*.tmp")] == []


@pytest.mark.parametrize("base", ["bucket"], indirect=True)
def test_a_reader_of_the_pointer_before_still_finds_its_object(base: str) -> None:
    store = ParquetStore(base, ["t"])
    paths = []
    for n in range(4):
        store.write("k", pa.table({"n": [n]}).to_reader())
        paths.append(str(store.find("k")))
        if n:
            assert store.dataset([paths[-2]]).to_table().to_pydict() == {"n": [n - 1]}
    objects = [path for path in Bucket.store if path.endswith(".parquet")]
    assert len(objects) == 2, "older objects are removed"


def test_nothing_is_pickled_and_what_is_no_frame_is_refused(base: str) -> None:
    manager = ParquetIOManager(base_path=base)
    for thing in ({"n": 1}, "text", 7):
        with pytest.raises(UsageError, match="no frame"):
            run(writer(thing), manager=manager)
    asset = writer(pa.table({"n": [1]}))
    run(asset, manager=manager)
    path = ParquetStore(base, ["staging", "things"]).find("")
    with fsspec.core.url_to_fs(base)[0].open(path, "rb") as file:
        assert pq.read_table(file).to_pydict() == {"n": [1]}
    assert read(asset, pd.DataFrame, manager=manager) == [{"n": 1}]


def test_rows_of_another_partition_are_refused_before_any_file_is_written(base: str) -> None:
    asset = writer(pa.table({"n": [1, 2], "day": [date(2026, 1, 1), date(2026, 1, 9)]}), DAILY, "day")
    with pytest.raises(UsageError, match="2026-01-09"):
        run(asset, "2026-01-01", manager=ParquetIOManager(base_path=base))
    assert ParquetStore(base, ["staging", "things"]).find("2026-01-01") is None
