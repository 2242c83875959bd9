"""`data-platform land`: a file from anywhere, put where its feed expects it. Nothing is read or judged here."""

from __future__ import annotations

import os
import shutil
from datetime import date, datetime
from pathlib import Path

from data_platform.cli.catalogue import expected_keys
from data_platform.cli.home import prepare_home
from data_platform.cli.output import Format, emit
from data_platform.contracts.registry import contract
from data_platform.errors import UsageError
from data_platform.lake.storage import storage_errors
from data_platform.settings import Settings
from data_platform.sources.declare import KEY, Feed
from data_platform.sources.registry import feed_of


def land_command(
    settings: Settings, file: Path, table: str, partition: str | None, *, load: bool, form: Format
) -> None:
    """Copies the file, then backfills if asked to; prints where it is and what to type next."""
    feed = feed_of(table)
    cut = contract(feed.contract).partition.dimensions
    if load and partition is not None and (len(cut) != 1 or cut[0].grain == "hour"):
        raise UsageError(
            "`--load` loads whole days, and this partition is less.",
            fix=f"land it, then: dg launch --assets {feed.raw.replace('.', '/')} --partition '{partition}'",
        )
    target = land_file(settings, file, feed, partition)
    selection, days = f'key:"raw/{feed.table}"+', _days(feed, partition)
    if load:
        from data_platform.cli.backfill import backfill_command

        backfill_command(settings, selection, days, dry_run=False, form=form)
        return
    dates = f" --from {days[0]} --to {days[1]}" if days[0] else ""
    row = {"feed": feed.table, "file": str(target), "next": f"data-platform backfill '{selection}'{dates}"}
    emit(row, form, [("", [row])])


def _days(feed: Feed, partition: str | None) -> tuple[date | None, date | None]:
    """The days that a partition is of; none for a static one, or a file of all partitions."""
    if partition is None:
        return None, None
    cut = contract(feed.contract).partition
    part = next((part for part in cut.dimensions if part.grain != "static"), None)
    if part is None:
        return None, None
    window = part.window(part.key(cut.values(partition)[part.column]))
    return window[0].date(), (window[1] - datetime.resolution).date()


def _refuse_unknown(settings: Settings, feed: Feed, partition: str) -> None:
    """Raises `UsageError` for a key that is none, and for one that no backfill would load."""
    cut = contract(feed.contract).partition
    cut.values(partition)
    known = expected_keys(cut, settings.start_date)
    if partition in known:
        return
    time = next((part for part in cut.dimensions if part.grain != "static"), None)
    if time is None or time.start:
        fix = f"name one of them, such as `{known[-1]}`" if known else "leave `--partition` out"
        fix += ", or state an earlier `start=` in the contract" if time else ""
    else:
        fix = "wait until it is over, or set PLATFORM_START_DATE for earlier ones"
    span = f"they run from `{known[0]}` to `{known[-1]}`" if known else "none is over yet"
    raise UsageError(f"`{feed.contract}` has no partition `{partition}`: {span}.", fix=fix)


def land_file(settings: Settings, file: Path, feed: Feed, partition: str | None) -> Path:
    """Copies to a hidden name beside the target, then renames. Raises `UsageError`, `StorageError`."""
    if not file.is_file():
        raise UsageError(f"`{file}` is not a file.", fix="name a file that is there")
    if file.suffix.lstrip(".") not in (feed.format, Path(feed.path).suffix.lstrip(".")):
        raise UsageError(f"`{file.name}` is no {feed.format} file, which the feed `{feed.table}` takes.")
    if KEY in feed.path and partition is None:
        raise UsageError(f"The feed `{feed.table}` has a file per partition.", fix="say which with --partition KEY")
    if partition is not None:
        _refuse_unknown(settings, feed, partition)
    prepare_home(settings)
    target = feed.locate(settings.landing_dir, partition or "")
    half = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with storage_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(file, half)
            with half.open("rb+") as copy:
                os.fsync(copy.fileno())
            half.replace(target)
        finally:
            half.unlink(missing_ok=True)
    return target
