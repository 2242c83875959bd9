"""Parquet files by key under one folder of any file system that fsspec knows: replaced whole, never half seen.

A local file is written beside its place, flushed, and renamed over it. In an object store a rename is a copy that
readers can see half of, so the rows go to a name never used before, and then one small object, the pointer, is put.
What the rows are is not known here.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import fsspec
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from data_platform.errors import LakeError, UsageError
from data_platform.lake.staging import fsync
from data_platform.lake.storage import storage_errors

_LONGEST_NAME = 200


class ParquetStore:
    """The files of one asset. `base` is a path or URL; `parts` the asset's key below it."""

    def __init__(self, base: str, parts: Sequence[str]) -> None:
        self._fs, root = fsspec.core.url_to_fs(base)
        self.folder = "/".join([root.rstrip("/"), *(_safe(part) for part in parts)])

    @property
    def is_local(self) -> bool:
        return isinstance(self._fs, LocalFileSystem)

    def write(self, key: str, rows: pa.RecordBatchReader) -> int:
        """Replaces the rows of a key, all or nothing, and returns their number. Raises `StorageError`."""
        with storage_errors(self.folder):
            return self._write_local(key, rows) if self.is_local else self._write_object(key, rows)

    def find(self, key: str) -> str | None:
        """The path of the file that holds a key's rows now, `None` when there is none."""
        with storage_errors(self.folder):
            if self.is_local:
                path = f"{self._stem(key)}.parquet"
                return path if self._fs.exists(path) else None
            pointer = self._pointer(key)
            return None if pointer is None else f"{self.folder}/{pointer['file']}"

    def dataset(self, paths: Sequence[str]) -> ds.Dataset:
        """Files as one table, columns by name. Raises `LakeError` when a column's types cannot be one."""
        schemas = []
        for path in paths:
            with self._fs.open(path, "rb") as file:
                schemas.append(pq.read_schema(file))
        try:
            schema = pa.unify_schemas(schemas)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise LakeError(
                f"The files in `{self.folder}` do not fit: {error}", fix="materialize the older ones again"
            ) from None
        return ds.dataset(list(paths), schema=schema, format="parquet", filesystem=self._fs)

    def _stem(self, key: str) -> str:
        return f"{self.folder}/{'key=' + _safe(key) if key else 'data'}"

    def _write_local(self, key: str, rows: pa.RecordBatchReader) -> int:
        folder = Path(self.folder)
        folder.mkdir(parents=True, exist_ok=True)
        temporary, final = Path(f"{self._stem(key)}.{uuid.uuid4().hex}.tmp"), Path(f"{self._stem(key)}.parquet")
        try:
            with temporary.open("wb") as file:
                count = _write(file, rows)
            fsync(temporary)
            temporary.replace(final)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        fsync(folder)
        return count

    def _write_object(self, key: str, rows: pa.RecordBatchReader) -> int:
        before = self._pointer(key) or {}
        stem = self._stem(key)
        name = f"{stem}/{uuid.uuid4().hex}.parquet"
        try:
            with self._fs.open(name, "wb") as file:
                count = _write(file, rows)
        except BaseException:
            with suppress(Exception):
                self._fs.rm_file(name)
            raise
        # Who has just read the pointer may still read the file before; the one before that goes.
        pointer = {"file": name.removeprefix(f"{self.folder}/"), "previous": before.get("file"), "rows": count}
        self._fs.pipe_file(f"{stem}.json", json.dumps(pointer).encode())
        if before.get("previous"):
            with suppress(Exception):
                self._fs.rm_file(f"{self.folder}/{before['previous']}")
        return count

    def _pointer(self, key: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads(self._fs.cat_file(f"{self._stem(key)}.json"))
        except FileNotFoundError:
            return None
        return found


def _write(file: Any, rows: pa.RecordBatchReader) -> int:
    count = 0
    with pq.ParquetWriter(file, rows.schema, compression="zstd") as writer:
        for batch in rows:
            writer.write_batch(batch)
            count += batch.num_rows
    return count


def _safe(name: str) -> str:
    """A key as one part of a path: no slash, no dots that climb. Raises `UsageError` for one that is too long."""
    found = quote(name, safe="")
    if len(found) > _LONGEST_NAME:
        raise UsageError(f"`{name[:40]}…` is too long for the name of a file.", fix="use shorter keys")
    return found.replace(".", "%2E") if set(found) <= {"."} else found
