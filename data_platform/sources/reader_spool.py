"""The spool: the Parquet file in which every format's records arrive, in their order, before they are staged.

One VARCHAR column per source column of the contract, then `_offset`, `_bytes`, `_defect`, `_extra`; the record number
is the row number. No format is known here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from data_platform.errors import SourceError, did_you_mean

ORIGIN: Mapping[str, str] = {"_offset": "BIGINT", "_bytes": "BLOB", "_defect": "VARCHAR", "_extra": "VARCHAR"}
_ARROW = {"BIGINT": pa.int64(), "BLOB": pa.binary(), "VARCHAR": pa.string()}
# Read twice and thrown away: dictionaries would cost a fifth of the time for space nobody keeps.
SPOOL_FORMAT = "FORMAT parquet, COMPRESSION snappy, DICTIONARY_SIZE_LIMIT 1"
BATCH_ROWS = 20_000
BATCH_BYTES = 16 << 20


@dataclass(frozen=True)
class Layout:
    """Which columns a file has. `header` is the file's own order; `known` the contract's source columns, all of them;
    `missing` those the file may leave out and does; `extra` those no contract knows."""

    header: tuple[str, ...]
    known: tuple[str, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]


def lay_out(name: str, header: Sequence[str], required: Mapping[str, bool]) -> Layout:
    """Matches a header with the contract's source columns, by name. Raises `SourceError` for a column that is named
    twice or is required and missing."""
    twice = next((column for place, column in enumerate(header) if column in header[:place]), None)
    if twice is not None:
        raise SourceError(
            f"`{name}` names the column `{twice}` twice in its header.", fix="give each column its own name"
        )
    missing = tuple(column for column in required if column not in header)
    extra = tuple(column for column in header if column not in required)
    for column in missing:
        if required[column]:
            raise missing_column(name, column, extra or header)
    return Layout(tuple(header), tuple(required), missing, extra)


def missing_column(name: str, column: str, others: Sequence[str]) -> SourceError:
    near = (
        did_you_mean(column, others) or f" Columns it has instead: {', '.join(f'`{other}`' for other in others[:8])}."
    )
    return SourceError(
        f"`{name}` lacks the required column `{column}`.{near if others else ''}",
        fix="deliver the file with that column, or change the contract",
    )


def cut_off(name: str, offset: int, records: int) -> SourceError:
    """The error of a text file whose last record stops in the middle. Only a last line that has no line end and cannot
    be read counts as cut: one that ends inside its last value looks whole, and no reader can tell."""
    error = SourceError(
        f"`{name}` seems cut off: its last record (byte {offset}) is incomplete.", fix="deliver the whole file again"
    )
    error.records = records
    return error


class Spool:
    """Writes records to a Parquet file in batches, so that memory stays flat however large the file is."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self._columns = tuple(columns)
        fields = [(column, pa.string()) for column in columns] + [(name, _ARROW[kind]) for name, kind in ORIGIN.items()]
        self._schema = pa.schema(fields)
        self._writer = pq.ParquetWriter(path, self._schema, compression="snappy", use_dictionary=False)
        self._rows: list[tuple[object, ...]] = []
        self._bytes = 0
        self.records = 0
        self.set_aside = 0

    def accept(self, values: Sequence[str | None], extra: str | None, size: int) -> None:
        """Takes one record: the known columns' texts in order, and its unknown columns as a JSON object."""
        self._add((*values, None, None, None, extra), size)

    def reject(self, offset: int, raw: bytes, defect: str) -> None:
        """Takes one record that could not be read: its bytes as they came, where they stood, and why."""
        self.set_aside += 1
        self._add((*(None for _ in self._columns), offset, raw, defect, None), len(raw))

    def _add(self, row: tuple[object, ...], size: int) -> None:
        self._rows.append(row)
        self._bytes += size
        self.records += 1
        if len(self._rows) >= BATCH_ROWS or self._bytes >= BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            arrays = [
                pa.array(values, field.type)
                for values, field in zip(zip(*self._rows, strict=True), self._schema, strict=True)
            ]
            self._writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        self._rows, self._bytes = [], 0

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        self._writer.close()
