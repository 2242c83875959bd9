"""Contracts as the ledger has them: `ops.contracts`, one row per definition that a load committed under.

What a definition holds is not known here: it is JSON with a fingerprint.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import duckdb

from data_platform.lake.ledger import insert, utc_now


@dataclass(frozen=True)
class Recorded:
    """One row of `ops.contracts`: from this moment on loads of `asset` committed under this definition."""

    asset: str
    version: int
    fingerprint: str
    definition: str
    run_id: str = ""
    recorded_at: datetime = field(default_factory=utc_now)

    @property
    def plain(self) -> Mapping[str, Any]:
        """The definition, parsed."""
        found: Mapping[str, Any] = json.loads(self.definition)
        return found


def is_last(con: duckdb.DuckDBPyConnection, asset: str, version: int, fingerprint: str) -> bool:
    """Whether this definition under this version is the one recorded last."""
    # As an aggregate: a condition would be asked of the catalog too, which takes longer than to read this small table.
    last = con.execute(
        "SELECT arg_max((version, fingerprint), (snapshot_id, recorded_at)) FILTER (asset = ?) FROM lake.ops.contracts",
        [asset],
    ).fetchone()
    return last == ((version, fingerprint),)


def record(con: duckdb.DuckDBPyConnection, row: Recorded) -> None:
    """Appends the definition unless it is the last one already, in the caller's transaction."""
    if not is_last(con, row.asset, row.version, row.fingerprint):
        insert(con, "contracts", [dataclasses.asdict(row)])


def history(con: duckdb.DuckDBPyConnection, asset: str) -> list[Recorded]:
    """All that was recorded of a table, oldest first."""
    names = [spec.name for spec in dataclasses.fields(Recorded)]
    rows = con.execute(
        f"SELECT {', '.join(names)} FROM lake.ops.contracts WHERE asset = ? ORDER BY snapshot_id, recorded_at", [asset]
    ).fetchall()
    return [Recorded(*row) for row in rows]
