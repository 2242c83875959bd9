"""A lake per test, and raw partitions written from Python rows: what a reader would have landed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from data_platform.contracts.registry import contract
from data_platform.lake.lake import Lake, Slice
from data_platform.lake.outcomes import LoadRecord
from data_platform.settings import load_settings

Rows = Sequence[Mapping[str, object]]
LandRaw = Callable[..., None]
LandDays = Callable[..., None]
ORIGIN = {
    "_file": "VARCHAR", "_file_hash": "VARCHAR", "_record": "BIGINT", "_offset": "BIGINT", "_bytes": "BLOB",
    "_defect": "VARCHAR", "_extra": "VARCHAR", "_loaded_at": "TIMESTAMP", "_run_id": "VARCHAR",
}  # fmt: skip


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    found = Lake(load_settings(home=tmp_path / "home", threads=1))
    yield found
    found.close()


@pytest.fixture
def land_days(lake: Lake) -> LandDays:
    """`land_days("orders", {"2026-01-01": rows, …})`: raw partitions with their ledger rows, in one commit. `read` is
    what the ledger says was read, when that is not the number of rows; `file_hash` that of every file."""

    def land_raw(table: str, days: Mapping[str, Rows], read: int | None = None, file_hash: str | None = None) -> None:
        model = contract(f"staging.{table}")
        by = {dimension.column: dimension.duckdb_type for dimension in model.partition.dimensions}
        texts = {column.source: "VARCHAR" for column in model.columns.values()}
        slices, loads = [], []
        with lake.connect() as con:
            lake.ensure_table(con, f"raw.{table}", {**texts, **ORIGIN, **by}, partition_by=tuple(by))
            for key, rows in days.items():
                con.register("landed", _landed(list(texts), f"{table}/{key}.csv", rows, file_hash))
                values = model.partition.values(key)
                staged = lake.stage(con, f"raw.{table}", "FROM landed", values)
                count = len(rows) if read is None else read
                slices.append(Slice(f"raw.{table}", values, (staged,) if staged else ()))
                loads.append(LoadRecord(f"raw.{table}", key, "test", "committed", rows_read=count, rows_accepted=count))
            lake.commit(slices, loads)

    return land_raw


def _landed(columns: Sequence[str], file: str, rows: Rows, file_hash: str | None) -> pa.Table:
    return pa.table({
        **{name: pa.array([row.get(name) for row in rows], pa.string()) for name in columns},
        "_file": pa.array([file] * len(rows), pa.string()),
        "_file_hash": pa.array([file_hash or f"hash of {file}"] * len(rows), pa.string()),
        "_record": pa.array(range(1, len(rows) + 1), pa.int64()),
        "_defect": pa.array([row.get("_defect") for row in rows], pa.string()),
        "_extra": pa.array([row.get("_extra") for row in rows], pa.string()),
    })  # fmt: skip


@pytest.fixture
def land(land_days: LandDays) -> LandRaw:
    """`land("orders", "2026-01-01", rows, …)`: one raw partition with its ledger row."""
    return lambda table, key, rows, read=None, file_hash=None: land_days(table, {key: rows}, read, file_hash)
