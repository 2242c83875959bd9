"""Files that somebody else wrote by the partitions of a table, as its columns want them: they join the staged files
without being written again.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

import duckdb

from data_platform.lake.points import reached
from data_platform.lake.sql import TableName, hive_path, texts
from data_platform.lake.staging import (
    Shape,
    StagedFile,
    need_shape,
    removed_on_error,
    staged_name,
    table_folder,
    typed_values,
)
from data_platform.lake.storage import storage_errors

_PART = re.compile(r"(\w+)=(.*)")


def adopt(
    con: duckdb.DuckDBPyConnection,
    data_path: Path,
    table: TableName,
    files: Sequence[Path],
    partitions: Collection[Mapping[str, object]],
) -> list[StagedFile] | None:
    """Puts those of the Parquet `files` that are of these partitions, as `column=value` folders in their paths say, among
    the staged ones of a table; the originals stay where they are. `None` when the columns are not just the table's."""
    with storage_errors(data_path):
        shape = need_shape(con, table)
        if files and _columns(con, files) != {n: k for n, k in shape.columns.items() if n not in shape.partition_by}:
            return None
        rows = _rows(con, files)
        wanted = {shape.key(values) for values in partitions}
        staged = list[StagedFile]()
        reached("before stage")
        with removed_on_error(lambda: [file.path for file in staged]):
            for file in files:
                values = typed_values(table, shape, _stated(file, shape))
                if rows[str(file)] and shape.key(values) in wanted:
                    folder = table_folder(data_path, table, hive_path(shape.texts(table, values)))
                    path = folder / f"{staged_name(data_path)}.parquet"
                    staged.append(StagedFile(str(table), path, rows[str(file)], values))
                    _link(file, path)
        reached("after stage")
    return staged


def _columns(con: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> dict[str, str]:
    found = con.execute(f"DESCRIBE FROM read_parquet({texts([str(files[0])])}, hive_partitioning = false)").fetchall()
    return {name: kind for name, kind, *_ in found}


def _rows(con: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> dict[str, int]:
    if not files:
        return {}
    names = texts(str(file) for file in files)
    return dict(con.execute(f"SELECT file_name, num_rows FROM parquet_file_metadata({names})").fetchall())


def _stated(file: Path, shape: Shape) -> dict[str, str | None]:
    """The partition that a path names, in texts."""
    found = (_PART.fullmatch(part) for part in file.parts[-1 - len(shape.partition_by) : -1])
    return {match.group(1): unquote(match.group(2)) for match in found if match}


def _link(file: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):
        os.link(file, path)
        return
    shutil.copyfile(file, path)  # another disk, or one that has no links
