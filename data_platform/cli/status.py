"""`data-platform status`: what the ledger knows of each table. Neither Dagster nor pandera is imported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from data_platform.cli.catalogue import Known, expected_keys, known_tables
from data_platform.cli.output import Format, emit
from data_platform.errors import UsageError, did_you_mean
from data_platform.lake.lake import get_lake
from data_platform.lake.ledger import Load, latest_loads
from data_platform.lake.publish import View, published_views
from data_platform.lake.storage import storage_errors
from data_platform.settings import Settings

BARE = ("staging", "marts", "raw")  # where a bare name is looked for
SHOWN = ("table", "present", "missing", "failed", "read", "accepted", "quarantined", "merged", "last load", "published")


def status_command(settings: Settings, table: str | None, form: Format) -> None:
    """Prints one row per table; of one table also the missing and failed partitions. Raises `UsageError`."""
    rows = table_status(settings)
    if table is not None:
        known = [row["table"] for row in rows]
        full = table.replace("/", ".")
        name = next((bare for bare in (f"{layer}.{full}" for layer in BARE) if bare in known), full)
        if name not in known:
            raise UsageError(f"There is no table `{table}`.{did_you_mean(name, known)}", fix="data-platform status")
        rows = [row for row in rows if row["table"] == name]
    tables: list[tuple[str, list[dict[str, Any]]]] = [("", [{key: row[key] for key in SHOWN} for row in rows])]
    if table is not None:
        tables.append(("Rows by rule", [{"rule": rule, "rows": count} for rule, count in rows[0]["by_rule"].items()]))
        spans = [{"missing": span, "partitions": count} for span, count in in_a_row(rows[0])]
        tables.append(("Missing", spans))
        tables.append(
            ("Failed", [{"partition": key, "cause": why} for key, why in rows[0]["failed_partitions"].items()])
        )
    emit([{key: value for key, value in row.items() if key != "expected_partitions"} for row in rows], form, tables)


def table_status(settings: Settings) -> list[dict[str, Any]]:
    """One row per table with a contract, in the order of the layers. Without a lake everything is missing."""
    committed, failed, views = list[Load](), list[Load](), list[View]()
    lake = get_lake()
    if lake.attachment.exists():
        with storage_errors(lake.attachment.place), lake.connect(read_only=True) as con:
            committed = latest_loads(con)
            failed = [load for load in latest_loads(con, outcome=None) if load.outcome == "failed"]
            views = published_views(con)
    published = {view.table: view for view in views}
    rows = []
    for known in known_tables(settings):
        layer, name = known.name.split(".")
        good = [load for load in committed if load.asset == known.name]
        bad = [load for load in failed if load.asset == known.name]
        view = published.get(name) if layer == "marts" else None
        rows.append(_row(settings, known, good, bad) | {"published": f"version {view.version}" if view else ""})
    return rows


def _row(settings: Settings, known: Known, good: Sequence[Load], bad: Sequence[Load]) -> dict[str, Any]:
    present = {load.partition_key for load in good}
    expected = expected_keys(known.partition, settings.start_date)
    missing = [key for key in expected if key not in present]
    last = max((*good, *bad), key=lambda load: load.snapshot_id, default=None)
    return {
        "table": known.name,
        "present": len(present),
        "missing": len(missing),
        "failed": len(bad),
        "read": sum(load.rows_read for load in good),
        "accepted": sum(load.rows_accepted for load in good),
        "quarantined": sum(load.rows_quarantined for load in good),
        "merged": sum(load.rows_merged for load in good),
        "flagged": sum(load.rows_flagged for load in good),
        "late": sum(load.rows_late for load in good),
        "by_rule": dict(by_rule(good)),
        "last load": last.finished_at if last else None,
        "last_outcome": last.outcome if last else None,
        "missing_partitions": missing,
        "expected_partitions": expected,
        "failed_partitions": {load.partition_key or known.name: load.error for load in bad},
    }


def in_a_row(row: Mapping[str, Any]) -> list[tuple[str, int]]:
    """The missing partitions as spans of neighbours: `first … last` and how many."""
    missing, spans = set(row["missing_partitions"]), list[list[str]]()
    previous = ""
    for key in row["expected_partitions"]:
        if key in missing:
            if previous in missing:
                spans[-1].append(key)
            else:
                spans.append([key])
        previous = key
    return [(span[0] if len(span) == 1 else f"{span[0]} … {span[-1]}", len(span)) for span in spans]


def by_rule(loads: Iterable[Load]) -> Counter[str]:
    """Rows that broke each rule, over loads."""
    found: Counter[str] = Counter()
    for load in loads:
        found.update(load.by_rule)
    return found
