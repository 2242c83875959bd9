"""`data-platform sample`: the sample shop's drop files."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from rich.progress import Progress

from data_platform.cli.home import prepare_home
from data_platform.cli.output import Format, emit, stderr
from data_platform.settings import Settings
from data_platform.sources.sample import SampleSummary, default_start, write_sample
from data_platform.sources.sample_broken import plant_broken_files


def sample_command(
    settings: Settings, start: date | None, days: int, scale: float, seed: int, broken_files: bool, form: Format
) -> None:
    """Writes the files and prints rows per table and labelled rows per kind of dirt."""
    first = start or default_start(today(), days)
    written = write_files(settings, first, days, scale, seed)
    data = summary_data(written, first, days)
    tables = [{"table": table, "rows": count} for table, count in data["rows"].items()]
    dirt = [{"planted": kind, "rows": count} for kind, count in data["dirt"].items()]
    sections = [(f"{data['total_rows']:,} rows from {first} to {data['last']}", tables), ("", dirt)]
    if broken_files:
        planted = plant_broken_files(settings.landing_dir, first, scale=scale, seed=seed)
        data["broken_files"] = [
            {"day": entry.day.isoformat(), "table": entry.table, "kind": entry.kind, "file": entry.file}
            for entry in planted
        ]
        sections.append(("Broken files, one of each kind from the first day on", data["broken_files"]))
    emit(data, form, sections)


def write_files(settings: Settings, first: date, days: int, scale: float = 1.0, seed: int = 42) -> SampleSummary:
    """The sample with a progress bar on stderr."""
    prepare_home(settings)
    with Progress(console=stderr()) as progress:
        task = progress.add_task("writing drop files", total=days)
        return write_sample(
            settings.landing_dir, start=first, days=days, scale=scale, seed=seed,
            on_day=lambda _: progress.advance(task),
        )  # fmt: skip


def summary_data(written: SampleSummary, first: date, days: int) -> dict[str, Any]:
    return {
        "first": first.isoformat(),
        "last": date.fromordinal(first.toordinal() + days - 1).isoformat(),
        "files": len(written.files),
        "total_rows": written.total_rows,
        "rows": dict(written.rows),
        "dirt": dict(sorted(written.dirt.items())),
    }


def today() -> date:
    """Today in UTC: partitions are days in UTC."""
    return datetime.now(UTC).date()
