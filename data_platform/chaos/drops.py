"""The drop files of the kills: three tables whose every row names its generation, and what must become of them.

A generation is a number; the same number gives the same files. Nothing is loaded here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from data_platform.sources.registry import feed_of

FIRST = date(2026, 1, 1)
DAYS = tuple(FIRST + timedelta(days=number) for number in range(3))
TABLES = ("customers", "products", "orders")


@dataclass(frozen=True)
class Fates:
    """What becomes of the rows of one file."""

    accepted: int
    quarantined: int
    merged: int

    @property
    def read(self) -> int:
        return self.accepted + self.quarantined + self.merged


def fates(generation: int) -> Fates:
    """How many rows of each fate a generation's file has; neighbours differ in each."""
    return Fates(20 + generation % 7, 1 + generation % 2, generation % 3)


def write(landing: Path, day: date, generation: int) -> None:
    """Writes the three files of a day, each whole at once."""
    for table in TABLES:
        target = feed_of(table).locate(landing, day.isoformat())
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = target.with_name(f".{target.name}.{os.getpid()}")
        scratch.write_text(_text(table, day, generation))
        scratch.replace(target)


def _text(table: str, day: date, generation: int) -> str:
    expected = fates(generation)
    good = [_row(table, day, number, generation) for number in range(expected.accepted)]
    bad = [
        _row(table, day, expected.accepted + number, generation) | _BROKEN[table]
        for number in range(expected.quarantined)
    ]
    rows = [*good, *bad, *good[: expected.merged]]
    if table == "customers":
        return "".join(f"{json.dumps(row)}\n" for row in rows)
    lines = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    return "".join(f"{','.join(line)}\n" for line in lines)


_BROKEN: Mapping[str, dict[str, Any]] = {
    "customers": {"email": "nobody"}, "products": {"unit_price": "-1.00"}, "orders": {"status": "lost"},
}  # fmt: skip


def _row(table: str, day: date, number: int, generation: int) -> dict[str, Any]:
    moment = f"{day} 12:00:{number:02d}"
    if table == "customers":
        return {
            "customer_id": f"C{day.day:02d}{number:06d}", "email": f"c{number}@example.com", "full_name": f"gen {generation}",
            "country_code": "DE", "signed_up_at": moment, "updated_at": moment,
        }  # fmt: skip
    if table == "products":
        return {
            "product_id": f"P{day.day:02d}{number:04d}", "product_name": f"gen {generation}", "category": "chaos",
            "unit_price": "1.00", "updated_at": moment,
        }  # fmt: skip
    return {
        "order_id": f"O{day.day:02d}{number:08d}", "customer_id": f"C{day.day:02d}{number % 20:06d}", "status": "paid",
        "country_code": "DE", "total_amount": f"{generation}.00", "ordered_at": moment,
    }  # fmt: skip
