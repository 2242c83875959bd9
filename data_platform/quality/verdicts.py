"""What was judged of each load, from the ledger: every rule, per partition and run, of failed loads too. Reading only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import duckdb

Row = dict[str, Any]
NOT_JUDGED, NOT_KEPT = "not judged", "not recorded"
"""Nobody judged the rule in that load; nobody kept verdicts yet when it was recorded."""


def verdicts_of(
    con: duckdb.DuckDBPyConnection, asset: str, rule: str | None = None, partition: str | None = None, loads: int = 50
) -> list[Row]:
    """The verdicts of the newest `loads` loads of a table, newest first: of one rule in every load, or of all those that
    did not pass. `verdict` is `passed`, `failed`, `not judged` or `not recorded`."""
    rows = con.execute(
        "SELECT partition_key, run_id, finished_at, outcome, rules FROM lake.ops.loads "
        "WHERE asset = ? AND (?::VARCHAR IS NULL OR partition_key = ?) ORDER BY snapshot_id DESC, partition_key LIMIT ?",
        [asset, partition, partition, loads],
    ).fetchall()
    return [
        {"partition": key, "finished_at": at, "load": outcome, **said, "run_id": run}
        for key, run, at, outcome, kept in rows
        for said in _said(None if kept is None else json.loads(kept), rule)
    ]


def _said(kept: Mapping[str, Any] | None, rule: str | None) -> Iterator[Row]:
    if not kept:
        yield {
            "rule": rule or "all",
            "verdict": NOT_KEPT if kept is None else NOT_JUDGED,
            "count": None,
            "actual": None,
        }
    elif rule is not None and rule not in kept:
        yield {"rule": rule, "verdict": NOT_JUDGED, "count": None, "actual": None}
    else:
        for name, found in kept.items():
            if name == rule or (rule is None and not found["passed"]):
                verdict = "passed" if found["passed"] else "failed"
                yield {"rule": name, "verdict": verdict, "count": found["count"], "actual": found.get("actual")}
