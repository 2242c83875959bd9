"""`data-platform upkeep`: the lake tidied, and what was done in numbers. Neither Dagster nor pandera is imported."""

from __future__ import annotations

from dataclasses import asdict

from data_platform.cli.output import Format, emit
from data_platform.cli.query import require_lake
from data_platform.lake.lake import get_lake
from data_platform.lake.upkeep import Upkeep, upkeep
from data_platform.settings import Settings


def upkeep_command(settings: Settings, keep_days: int, *, dry_run: bool, form: Format) -> None:
    """Tidies the lake, or says what there is to do. Raises `UsageError` when there is none."""
    require_lake(settings)
    found = upkeep(get_lake(), keep_days=keep_days, dry_run=dry_run)
    emit({"dry_run": dry_run, **asdict(found)}, form, [("", rows(found, dry_run=dry_run))])


def rows(found: Upkeep, *, dry_run: bool) -> list[dict[str, object]]:
    """What was done, a line for each kind of thing."""
    merged = ", ".join(f"{table} {before} → {after}" for table, (before, after) in found.merged.items())
    would = "would be " if dry_run else ""
    return [
        {"what": f"files of dead writers {would}removed", "count": found.orphans, "": f"{found.orphan_bytes:,} bytes"},
        {"what": "files of writers that may yet commit", "count": found.waiting, "": "kept"},
        {"what": f"throw-away folders {would}removed", "count": found.folders, "": ""},
        {"what": f"tables whose small files {would}merged", "count": len(found.merged), "": "" if dry_run else merged},
        {"what": f"versions {would}expired", "count": found.expired, "": f"{found.kept} kept"},
        {"what": f"files of expired versions {would}removed", "count": found.removed, "": f"{found.later} later"},
    ]
