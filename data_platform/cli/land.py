"""`data-platform land`: a file from anywhere, put where its feed expects it. Nothing is read or judged here."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

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
    target = land_file(settings, file, feed, partition)
    selection = f'key:"raw/{feed.table}"+'
    if load:
        from data_platform.cli.backfill import backfill_command

        backfill_command(settings, selection, (None, None), dry_run=False, form=form)
        return
    row = {"feed": feed.table, "file": str(target), "next": f"data-platform backfill '{selection}'"}
    emit(row, form, [("", [row])])


def land_file(settings: Settings, file: Path, feed: Feed, partition: str | None) -> Path:
    """Copies to a hidden name beside the target, then renames. Raises `UsageError`, `StorageError`."""
    if not file.is_file():
        raise UsageError(f"`{file}` is not a file.", fix="name a file that is there")
    if file.suffix.lstrip(".") not in (feed.format, Path(feed.path).suffix.lstrip(".")):
        raise UsageError(f"`{file.name}` is no {feed.format} file, which the feed `{feed.table}` takes.")
    if KEY in feed.path and partition is None:
        raise UsageError(f"The feed `{feed.table}` has a file per partition.", fix="say which with --partition KEY")
    if partition is not None:
        contract(feed.contract).partition.values(partition)  # refuses a key that is none
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
