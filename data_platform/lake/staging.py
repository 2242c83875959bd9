"""Staging: rows become Parquet files under the lake's data path, exactly as their table wants them. Nothing is
committed here; a staged file is invisible until `commit.py` adds it, and an orphan if that never comes.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

import duckdb

from data_platform.contracts.partitioning import KEY_FORMAT
from data_platform.errors import LakeError, did_you_mean
from data_platform.lake.owners import mark
from data_platform.lake.points import reached
from data_platform.lake.sql import TableName, hive_path, ident, partition_text, text
from data_platform.lake.storage import storage_errors

_INTEGERS = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "HUGEINT",
    "UHUGEINT",
)
_FSYNC_THREADS = 8
# A dictionary of many values costs half of the writing time and saves little beside zstd; one of few values speeds readers.
# The delta encodings of version 2 leave zstd so little that its least effort gives smaller files than its usual one before.
FILE_FORMAT = "FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd, COMPRESSION_LEVEL 1, DICTIONARY_SIZE_LIMIT 1000"


@dataclass(frozen=True)
class Shape:
    """A table's columns (name → DuckDB type) and its partition columns, as the catalog has them."""

    columns: Mapping[str, str]
    partition_by: tuple[str, ...] = ()

    @property
    def partition_types(self) -> dict[str, str]:
        return {name: self.columns[name] for name in self.partition_by}

    def key(self, values: Mapping[str, object]) -> str:
        """The partition key of typed values, in the one spelling that `contracts.partitioning` gives it."""
        return "|".join(_key(values[name]) for name in sorted(self.partition_by))

    def texts(self, table: object, values: Mapping[str, object]) -> dict[str, str]:
        """Canonical texts of typed partition values. Raises `LakeError` for other columns."""
        if set(values) != set(self.partition_by):
            raise LakeError(f"`{table}` is partitioned by {list(self.partition_by)}, not by {list(values)}.")
        return {name: partition_text(values[name], self.columns[name]) for name in self.partition_by}


@dataclass(frozen=True)
class StagedFile:
    """One Parquet file that waits for a commit. `partition` holds typed values by column."""

    table: str
    path: Path
    rows: int
    partition: Mapping[str, object] = field(default_factory=dict)


def read_shape(con: duckdb.DuckDBPyConnection, table: TableName) -> Shape | None:
    """The table's shape, `None` when it does not exist."""
    try:
        rows = [(name, kind) for name, kind, *_ in con.execute(f"DESCRIBE {table.sql}").fetchall()]
    except duckdb.CatalogException:
        return None
    parts = con.execute(
        "SELECT c.column_name FROM __ducklake_metadata_lake.ducklake_partition_info i "
        "JOIN __ducklake_metadata_lake.ducklake_partition_column p USING (partition_id) "
        "JOIN __ducklake_metadata_lake.ducklake_column c ON c.column_id = p.column_id AND c.table_id = i.table_id "
        "AND c.end_snapshot IS NULL "
        "JOIN __ducklake_metadata_lake.ducklake_table t ON t.table_id = i.table_id AND t.end_snapshot IS NULL "
        "JOIN __ducklake_metadata_lake.ducklake_schema s ON s.schema_id = t.schema_id AND s.end_snapshot IS NULL "
        "WHERE i.end_snapshot IS NULL AND s.schema_name = ? AND t.table_name = ? ORDER BY p.partition_key_index",
        [table.layer, table.table],
    ).fetchall()
    return Shape(dict(rows), tuple(name for (name,) in parts))


def need_shape(con: duckdb.DuckDBPyConnection, table: TableName) -> Shape:
    """The table's shape. Raises `LakeError` when it does not exist."""
    shape = read_shape(con, table)
    if shape is None:
        raise LakeError(
            f"The lake has no table `{table}`.",
            fix=f"""data-platform backfill 'key:"{str(table).replace(".", "/")}"'""",
        )
    return shape


def stage(
    con: duckdb.DuckDBPyConnection, data_path: Path, table: TableName, select_sql: str, values: Mapping[str, object]
) -> StagedFile | None:
    """Writes the rows of one partition to one file; `None` when there are none. A row that carries another value in a
    partition column is refused, since the path alone decides where it goes."""
    with storage_errors(data_path):
        shape = need_shape(con, table)
        partition = shape.texts(table, values)
        given = _given(con, table, shape, select_sql)
        guards = [
            f"CASE WHEN {ident(given[name][0])} IS NOT DISTINCT FROM {text(value)}::{shape.columns[name]} THEN true "
            f"ELSE error({text(f'`{table}`: a row of another partition than {name} = {value}')}) END"
            for name, value in partition.items()
            if name in given
        ]
        columns = [_cast(name, kind, given) for name, kind in shape.columns.items() if name not in partition]
        where = f" WHERE {' AND '.join(guards)}" if guards else ""
        folder = table_folder(data_path, table, hive_path(partition))
        path = folder / f"{staged_name(data_path)}.parquet"
        folder.mkdir(parents=True, exist_ok=True)
        reached("before stage")
        with removed_on_error(lambda: [path]):
            sql = f"SELECT {', '.join(columns)} FROM ({select_sql}) AS _rows{where}"
            counted = con.execute(f"COPY ({sql}) TO {text(str(path))} ({FILE_FORMAT})").fetchone()
        rows = int(counted[0]) if counted else 0
    reached("after stage")
    if rows == 0:
        path.unlink(missing_ok=True)
        return None
    return StagedFile(str(table), path, rows, dict(values))


def stage_many(
    con: duckdb.DuckDBPyConnection, data_path: Path, table: TableName, select_sql: str, stated: Sequence[str] = ()
) -> list[StagedFile]:
    """Writes the rows of many partitions in one scan; the select carries the partition columns. A partition may come
    back as several files; one without rows has none. Raises `LakeError` for a row without a partition."""
    with storage_errors(data_path):
        shape = need_shape(con, table)
        if not shape.partition_by:
            raise LakeError(f"`{table}` is not partitioned.", fix="use stage")
        if stated and set(stated) != set(shape.partition_by):
            raise LakeError(f"`{table}` is partitioned by {list(shape.partition_by)}, not by {list(stated)}.")
        given = _given(con, table, shape, select_sql)
        missing = [name for name in shape.partition_by if name not in given]
        if missing:
            raise LakeError(f"The rows for `{table}` lack the partition column `{missing[0]}`.")
        columns = ", ".join(_cast(name, kind, given) for name, kind in shape.columns.items())
        by = ", ".join(ident(name) for name in shape.partition_by)
        token, folder = staged_name(data_path), table_folder(data_path, table, "")
        folder.mkdir(parents=True, exist_ok=True)
        reached("before stage")
        with removed_on_error(lambda: folder.rglob(f"{token}-*")):
            written = con.execute(
                f"COPY (SELECT {columns} FROM ({select_sql}) AS _rows) TO {text(str(folder))} ({FILE_FORMAT}, "
                f"PARTITION_BY ({by}), FILENAME_PATTERN '{token}-{{uuid}}', OVERWRITE_OR_IGNORE, RETURN_STATS)"
            ).fetchall()
            reached("after stage")
            return [
                StagedFile(str(table), Path(row[0]), int(row[1]), typed_values(table, shape, row[-1]))
                for row in written
            ]


def discard(files: Iterable[StagedFile]) -> None:
    """Removes staged files that will not be committed; what cannot be removed stays as an orphan."""
    for file in files:
        with suppress(OSError):
            file.path.unlink(missing_ok=True)


def flush(files: Iterable[StagedFile], data_path: Path) -> None:
    """Makes the files, and the folders that were made for them, outlive a power cut before the catalog says that they
    exist."""
    paths = [file.path for file in files]
    folders = {parent for path in paths for parent in path.parents if parent.is_relative_to(data_path)}
    with ThreadPoolExecutor(max_workers=_FSYNC_THREADS) as pool:
        for waited in (pool.map(fsync, paths), pool.map(fsync, folders)):
            list(waited)


def _key(value: object) -> str:
    if isinstance(value, datetime):
        return value.strftime(KEY_FORMAT["hour"])
    return value.strftime(KEY_FORMAT["day"]) if isinstance(value, date) else str(value)


def fsync(path: Path) -> None:
    """Waits until a file, or the entries of a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def staged_name(data_path: Path) -> str:
    """A name that no other file has, and that tells whose the file is until it is committed."""
    return f"load-{mark(data_path.parent)}-{uuid.uuid4().hex}"


def table_folder(data_path: Path, table: TableName, partition: str) -> Path:
    """Where the files of a table, or of the partition with this hive path, are."""
    return data_path / table.layer / table.table / partition


def cast_columns(con: duckdb.DuckDBPyConnection, table: object, shape: Shape, select_sql: str) -> str:
    """A SELECT of all columns of the shape, cast by name, from the rows of another. Raises `LakeError`."""
    given = _given(con, table, shape, select_sql)
    columns = ", ".join(_cast(name, kind, given) for name, kind in shape.columns.items())
    return f"SELECT {columns} FROM ({select_sql}) AS _rows"


def _given(con: duckdb.DuckDBPyConnection, table: object, shape: Shape, select_sql: str) -> dict[str, tuple[str, str]]:
    """The table's columns that the select has: name → (its spelling there, its type). Raises `LakeError`."""
    by_lower = {name.lower(): name for name in shape.columns}
    found: dict[str, tuple[str, str]] = {}
    for name, kind, *_ in con.execute(f"DESCRIBE ({select_sql})").fetchall():
        known = by_lower.get(name.lower())
        if known is None:
            raise LakeError(
                f"`{table}` has no column `{name}`.{did_you_mean(name, shape.columns)}",
                fix="add it to the contract, or leave it out",
            )
        found[known] = (name, kind)
    return found


def _cast(name: str, kind: str, given: Mapping[str, tuple[str, str]]) -> str:
    """A column of the table from what the select gives; a cast that would lose part of a value is an error."""
    if name not in given:
        return f"CAST(NULL AS {kind}) AS {ident(name)}"
    source, source_kind = given[name]
    value = ident(source)
    cast = f"CAST({value} AS {kind})"
    if _loses(source_kind, kind):
        lost = text(f"`{name}` has values that {kind} would cut off")
        cast = (
            f"CASE WHEN {value} IS NULL OR CAST({cast} AS {source_kind}) = {value} THEN {cast} ELSE error({lost}) END"
        )
    return f"{cast} AS {ident(name)}"


def _loses(source: str, target: str) -> bool:
    if target in _INTEGERS:
        return source in ("FLOAT", "DOUBLE") or source.startswith("DECIMAL")
    if target.startswith("DECIMAL"):
        return source.startswith("DECIMAL") and source != target
    return target == "DATE" and source.startswith("TIMESTAMP")


def typed_values(table: TableName, shape: Shape, keys: Mapping[str, str | None]) -> dict[str, object]:
    """Typed partition values of their texts, as COPY and paths state them, refusing what a path cannot carry."""
    found: dict[str, object] = {}
    for name, kind in shape.partition_types.items():
        stated = keys[name]
        try:
            partition_text(stated, kind)
        except LakeError as error:
            raise LakeError(f"`{table}`, column `{name}`: {error.message}", fix=error.fix) from None
        found[name] = _typed(str(stated), kind)
    return found


def _typed(stated: str, kind: str) -> object:
    if kind == "DATE":
        return date.fromisoformat(stated)
    if kind == "TIMESTAMP":
        return datetime.fromisoformat(stated)
    if kind == "BOOLEAN":
        return stated == "true"
    return int(stated) if kind in _INTEGERS else stated


@contextmanager
def removed_on_error(paths: Callable[[], Iterable[Path]]) -> Iterator[None]:
    """Files that a step made are gone when it fails."""
    try:
        yield
    except BaseException:
        for path in list(paths()):
            with suppress(OSError):
                path.unlink(missing_ok=True)
        raise
