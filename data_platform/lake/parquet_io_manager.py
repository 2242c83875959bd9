"""`ParquetIOManager`: one Parquet file per partition key, under any path that fsspec knows. No lake, no ledger.

Only what concerns Dagster and types; how a file is replaced is `parquet_store.py`.
"""

from __future__ import annotations

import dagster as dg
import duckdb

from data_platform.errors import LakeError
from data_platform.lake import frames
from data_platform.lake.attach import engine_config
from data_platform.lake.base_io_manager import allows_missing, target_of
from data_platform.lake.keys import Target, refuse_foreign
from data_platform.lake.parquet_store import ParquetStore
from data_platform.lake.sql import ident, partitions_condition, text
from data_platform.lake.staging import Shape, cast_columns
from data_platform.lake.storage import storage_errors
from data_platform.settings import get_settings

_GIVEN = "_io_given"
_ROWS = "_io_rows"


class ParquetIOManager(dg.ConfigurableIOManager):
    """Keeps each partition of an asset in one file `<base_path>/<asset key>/key=<partition key>.parquet`
    (`data.parquet` when unpartitioned); in an object store a pointer of that name, ending in `.json`, names the object.
    `base_path` is a path or a URL of fsspec; unset, `parquet/` under PLATFORM_HOME.

    Takes and gives the same frames as the lake's IO manager, by name, cast to the contract where there is one. A
    partition without rows is a file with types and no rows. Files carry their partition columns."""

    base_path: str | None = None

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Writes the run's partitions, each of them whole or not at all; `None` writes nothing."""
        if obj is None:
            return
        target, store, count = target_of(context), self._store(context), 0
        con = _engine()
        try:
            with storage_errors(store.folder):
                shape = _take(con, target, obj)
                for key, values in zip(target.keys, target.values, strict=True):
                    where = partitions_condition(shape.partition_types, [shape.texts(target.name, values)])
                    rows = con.execute(f"SELECT * FROM {_ROWS} WHERE {where}").to_arrow_reader(frames.BATCH_ROWS)
                    count += store.write(key, rows)
        finally:
            con.close()
        name = "dagster/partition_row_count" if target.partitioning.dimensions else "dagster/row_count"
        context.add_output_metadata({name if len(target.keys) == 1 else "rows": count, "path": store.folder})

    def load_input(self, context: dg.InputContext) -> object:
        """Reads the input's partitions as one frame; a column that an older file lacks is NULL there. Raises
        `LakeError` for a missing partition, unless the input's metadata says `allow_missing_partitions`."""
        target, store = target_of(context), self._store(context)
        found = {key: store.find(key) for key in target.keys}
        paths = [path for path in found.values() if path is not None]
        missing = [key for key, path in found.items() if path is None]
        if missing and not (paths and allows_missing(context)):
            which = f"partition `{missing[0]}`" if missing[0] else "rows"
            raise LakeError(f"`{target.name}` has no file for {which}.", fix="materialize it first")
        con = _engine()
        con.register(_ROWS, store.dataset(paths))
        return frames.deliver(con, f"SELECT * FROM {_ROWS}", context.dagster_type.typing_type)

    def _store(self, context: dg.OutputContext | dg.InputContext) -> ParquetStore:
        return ParquetStore(self.base_path or str(get_settings().home / "parquet"), context.asset_key.path)


def _engine() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect(":memory:", config=engine_config(get_settings()))
    con.execute("SET enable_progress_bar = false")
    con.execute("SET TimeZone = 'UTC'")
    return con


def _take(con: duckdb.DuckDBPyConnection, target: Target, frame: object) -> Shape:
    """Casts the frame into a scratch table with its partition columns. Raises as the lake does: `LakeError` for a
    column or value that does not fit, `UsageError` for rows of a partition that is not this run's."""
    con.register(_GIVEN, frames.batches(frame, has_contract=target.contract is not None))
    found = {} if target.contract else frames.own_types(con, _GIVEN)
    shape = Shape(target.typed(found), target.partitioning.columns)
    given = {name for name, *_ in con.execute(f"DESCRIBE {_GIVEN}").fetchall()}
    absent = [column for column in shape.partition_by if column not in given]
    if absent and len(target.keys) > 1:
        raise LakeError(f"The rows for `{target.name}` lack the partition column `{absent[0]}`.")
    stated = shape.texts(target.name, target.values[0]) if absent else {}
    extra = "".join(f", {text(stated[name])}::{shape.columns[name]} AS {ident(name)}" for name in absent)
    con.execute(
        f"CREATE TEMP TABLE {_ROWS} AS {cast_columns(con, target.name, shape, f'SELECT *{extra} FROM {_GIVEN}')}"
    )
    if shape.partition_by:
        columns = ", ".join(ident(name) for name in shape.partition_by)
        rows = con.execute(f"SELECT DISTINCT {columns} FROM {_ROWS}").fetchall()
        refuse_foreign(target, [shape.key(dict(zip(shape.partition_by, row, strict=True))) for row in rows])
    return shape
