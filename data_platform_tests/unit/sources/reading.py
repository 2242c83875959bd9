"""Helpers of the reader's tests: a small contract, a file, and what the reader made of it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pandera.ibis as pa

from data_platform.contracts.model import Contract, column
from data_platform.sources.declare import Feed, Format
from data_platform.sources.reader import FileRead, read_feed


class Things(pa.DataFrameModel):
    """Things."""

    thing_id: str = column(description="Number of the thing")
    label: str = column(description="Label", nullable=True, source="Label text")
    amount: str = column(description="Amount", nullable=True)
    note: str = column(description="Note", nullable=True, required=False)


THINGS = Contract(name="staging.things", model=Things, grain="one row per thing", owner="things@example.com")
COLUMNS = ("thing_id", "Label text", "amount", "note")
HEADER = b"thing_id,Label text,amount\n"


@dataclass
class Reading:
    """A file's records: the values by column, and what was set aside as (record, offset, bytes, defect)."""

    read: FileRead
    rows: list[tuple[Any, ...]]
    aside: list[tuple[int, int, bytes, str]] = field(default_factory=list)
    extra: list[str | None] = field(default_factory=list)


class Reader:
    """Reads files of one landing folder with one connection."""

    def __init__(self, landing: Path) -> None:
        self.landing = landing
        self.con = duckdb.connect(config={"python_enable_replacements": False})

    def write(self, data: bytes, extension: str = "csv", name: str | None = None) -> str:
        file = name or f"{uuid.uuid4().hex}.{extension}"
        (self.landing / file).write_bytes(data)
        return file

    def read(self, file: str, **stated: Any) -> Reading:
        kind: Format = stated.pop("format", Path(file).suffix[1:])
        land = self.lands if stated.pop("in_place", False) else None
        feed = Feed("staging.things", "{key}", kind, **stated)
        read = read_feed(self.con, feed, THINGS, self.landing, file, self.landing / f"{uuid.uuid4().hex}.spool", land)
        found = self.con.execute(f"SELECT * FROM ({read.relation}) ORDER BY _record").fetchall()
        names = [entry[0] for entry in self.con.description or []]
        places = {name: place for place, name in enumerate(names)}
        good = [row for row in found if row[places["_defect"]] is None]
        bad = [row for row in found if row[places["_defect"]] is not None]
        assert [row[places["_record"]] for row in found] == list(range(1, read.records + 1))
        return Reading(
            read,
            [row[: len(COLUMNS)] for row in good],
            [tuple(row[places[name]] for name in ("_record", "_offset", "_bytes", "_defect")) for row in bad],  # type: ignore[misc]
            [row[places["_extra"]] for row in good],
        )

    def lands(self, read: FileRead) -> bool:
        """Whether a file that is read in place gives what its bytes promise."""
        assert read.in_place is not None
        held = f"SELECT count(*), coalesce(sum({read.in_place.value_bytes}), 0) FROM ({read.relation})"
        try:
            found = self.con.execute(held).fetchone()
        except duckdb.Error:
            return False
        return found == (read.in_place.promise.records, read.in_place.promise.value_bytes)

    def csv(self, body: bytes, header: bytes = HEADER, **stated: Any) -> Reading:
        return self.read(self.write(header + body), **stated)
