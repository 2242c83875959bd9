"""Loads drop files as they arrive: each version of each file exactly once, and none that is still being written.

A file is loaded when two ticks in a row see the same size and modification time, unless the ledger has the very
bytes already. What a file must hold is not known here; what changed in the marts is not loaded from here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import time_ns
from urllib.parse import unquote

import dagster as dg

from data_platform.assets.naming import asset_key
from data_platform.contracts.partitioning import Partitioning
from data_platform.contracts.registry import contract
from data_platform.lake.lake import get_lake
from data_platform.lake.ledger import latest_loads
from data_platform.partitions import partitions_def
from data_platform.settings import get_settings
from data_platform.sources.declare import KEY, Feed, Source
from data_platform.sources.load import source_file
from data_platform.sources.registry import SOURCES, feeds

# File servers' clocks and coarse timestamps: changes this recent are looked at again.
OVERLAP_NS = 60 * 10**9


@dataclass(frozen=True)
class Drop:
    """One file of one feed as it is now. `key` is its partition, `None` for a file that holds many. `changed_ns` is
    when the file system last saw it change, which no copying tool can set back."""

    source: Source
    feed: Feed
    path: str
    key: str | None
    version: str
    changed_ns: int


@dataclass
class Seen:
    """The cursor. Files that changed before `watermark` are dealt with, but for those in `waiting`; `done` are those
    after it that are. So it stays small, however many files there are."""

    watermark: int = -1
    waiting: dict[str, str] = field(default_factory=dict)
    done: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_cursor(cls, text: str | None) -> Seen:
        return cls(**json.loads(text)) if text else cls()

    def to_cursor(self) -> str:
        return json.dumps(vars(self))


def drops(landing: Path, sources: Iterable[Source] = SOURCES) -> Iterator[Drop]:
    """Every file in the landing folder that a feed asks for, by path. Links that lead nowhere are skipped."""
    for source in sources:
        for feed in source.feeds:
            name = re.compile("([^/]+)".join(re.escape(part) for part in feed.path.split(KEY)))
            for path in sorted(landing.glob(re.sub(r"([*?\[])", r"[\1]", feed.path).replace(KEY, "*"))):
                relative = path.relative_to(landing).as_posix()
                match = name.fullmatch(relative)
                try:
                    stat = path.stat()
                except OSError:
                    continue
                if match is None or not path.is_file():
                    continue
                key = unquote(match.group(1)) if KEY in feed.path else None
                yield Drop(source, feed, relative, key, f"{stat.st_size}-{stat.st_mtime_ns}", stat.st_ctime_ns)


@dataclass(frozen=True)
class Read:
    """The last committed load of a raw partition: when it began, and the files that it read, as the ledger names them."""

    began: datetime
    files: tuple[str, ...]


Reads = Mapping[tuple[str, str], Read]


def take_new(found: Sequence[Drop], seen: Seen, reads: Reads, landing: Path, now_ns: int) -> list[Drop]:
    """The files to load now; moves `seen` on. `reads` has the last committed load of each raw partition, whoever started
    it, the key being `` for a file of many partitions. Files of partitions that are not over yet, and those that changed
    since the last tick, wait."""
    watermark = min(max((drop.changed_ns for drop in found), default=seen.watermark), now_ns - OVERLAP_NS)
    dealt_with, complete, waiting = list[Drop](), list[Drop](), dict[str, str]()
    for drop in found:
        read = reads.get((drop.feed.raw, drop.key or ""))
        is_old = drop.changed_ns <= seen.watermark and drop.path not in seen.waiting
        if is_old or seen.done.get(drop.path) == drop.version or _began_later(read, drop):
            dealt_with.append(drop)
        elif seen.waiting.get(drop.path) == drop.version and _is_over(drop):
            (dealt_with if _has_same_bytes(read, drop, landing) else complete).append(drop)
        else:
            waiting[drop.path] = drop.version
    seen.waiting, seen.watermark = waiting, max(seen.watermark, watermark)
    seen.done = {drop.path: drop.version for drop in (*dealt_with, *complete) if drop.changed_ns > seen.watermark}
    return complete


def _began_later(read: Read | None, drop: Drop) -> bool:
    return read is not None and drop.changed_ns < read.began.replace(tzinfo=UTC).timestamp() * 1e9


def _has_same_bytes(read: Read | None, drop: Drop, landing: Path) -> bool:
    """Whether the file was only touched: copied again, or its mode changed."""
    if read is None:
        return False
    with (landing / drop.path).open("rb") as file:
        return source_file(drop.path, hashlib.file_digest(file, "sha256").hexdigest()) in read.files


def _is_over(drop: Drop) -> bool:
    """Whether the file's partition exists by now; a name that is no partition key waits for ever, and loads nothing."""
    definition = partitions_def(contract(drop.feed.contract).partition)
    return drop.key is None or (definition is not None and definition.has_partition_key(drop.key))


def run_requests(ready: Sequence[Drop]) -> Iterator[dg.RunRequest]:
    """Runs for raw and staging of the feeds that arrived. What arrived together is loaded together, a range of partitions
    in one run: rows refer to rows of other feeds and of days before, and a run costs seconds before it reads a file."""
    batches: dict[tuple[str, Partitioning], dict[str | None, list[Drop]]] = {}
    for drop in ready:
        place = drop.source.name, contract(drop.feed.contract).partition
        batches.setdefault(place, {}).setdefault(drop.key, []).append(drop)
    for (source, partitioning), arrived in batches.items():
        definition = partitions_def(partitioning)
        keys = definition.get_partition_keys() if definition is not None else []
        if None in arrived:
            yield _request(source, arrived.pop(None), keys)
        in_order = [key for key in keys if key in arrived]
        while in_order:
            run = _range(in_order, keys, arrived, is_multi=isinstance(definition, dg.MultiPartitionsDefinition))
            del in_order[: len(run)]
            yield _request(source, [drop for key in run for drop in arrived[key]], run)


def _range(
    left: Sequence[str], keys: Sequence[str], arrived: Mapping[str | None, Sequence[Drop]], *, is_multi: bool
) -> list[str]:
    """The first keys that follow each other without a gap and to which the same feeds belong."""
    start, feeds_of = keys.index(left[0]), {drop.feed for drop in arrived[left[0]]}
    run = [left[0]]
    for offset, key in enumerate(left[1:], 1):
        if is_multi or keys[start + offset] != key or {drop.feed for drop in arrived[key]} != feeds_of:
            break
        run.append(key)
    return run


def _request(source: str, group: Sequence[Drop], keys: Sequence[str]) -> dg.RunRequest:
    """A run over `keys`, one or a range, or of an unpartitioned table when there is none."""
    digest = hashlib.sha256("\n".join(f"{drop.path}|{drop.version}" for drop in group).encode()).hexdigest()[:16]
    tags = {"data_platform/trigger": "drop"}
    if len(keys) > 1:
        tags |= {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]}
    tables = dict.fromkeys(table for drop in group for table in (drop.feed.raw, drop.feed.contract))
    return dg.RunRequest(
        run_key=f"{source}/{digest}", partition_key=keys[0] if len(keys) == 1 else None, tags=tags,
        asset_selection=[asset_key(table) for table in tables],
    )  # fmt: skip


def _reads() -> Reads:
    """The last committed load of each raw partition. A file of many partitions counts when all of them are loaded: since
    the oldest of those loads, and as the files that all of them read."""
    with get_lake().connect(read_only=True) as con:
        loads = [load for load in latest_loads(con) if load.asset.startswith("raw.")]
    found = {
        (load.asset, load.partition_key): Read(load.started_at, load.source_files) for load in loads if load.started_at
    }
    for feed in feeds():
        definition = partitions_def(contract(feed.contract).partition)
        if KEY not in feed.path and definition is not None:
            parts = [found.get((feed.raw, key)) for key in definition.get_partition_keys()]
            there = [part for part in parts if part is not None]
            if there and len(there) == len(parts):
                files = set.intersection(*(set(part.files) for part in there))
                found[feed.raw, ""] = Read(min(part.began for part in there), tuple(files))
    return found


RAW_AND_STAGING = [asset_key(table) for feed in feeds() for table in (feed.raw, feed.contract)]


@dg.sensor(
    name="drop_files", minimum_interval_seconds=30, asset_selection=dg.AssetSelection.assets(*RAW_AND_STAGING),
    default_status=dg.DefaultSensorStatus.RUNNING if get_settings().automation == "on" else dg.DefaultSensorStatus.STOPPED,
    description="Loads each version of each drop file once, when it is complete and its partition is over.",
)  # fmt: skip
def drop_sensor(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    seen, landing, now = Seen.from_cursor(context.cursor), get_settings().landing_dir, time_ns()
    ready = take_new(list(drops(landing)), seen, _reads(), landing, now)
    yield from run_requests(ready)
    if not ready:
        yield dg.SkipReason(f"No new file is complete; {len(seen.waiting)} wait.")
    context.update_cursor(seen.to_cursor())
