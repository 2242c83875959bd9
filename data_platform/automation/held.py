"""Judges rows again that were held for a parent which has arrived since."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import date

import dagster as dg

from data_platform.assets.naming import asset_key
from data_platform.automation.marts import ranges
from data_platform.contracts.model import Contract
from data_platform.contracts.registry import contracts
from data_platform.lake.lake import get_lake
from data_platform.lake.ledger import latest_loads
from data_platform.quality.second_look import arrived
from data_platform.settings import get_settings

AT_ONCE = (
    25  # runs that one tick asks for, where partitions are no days; the next state of the parents asks for the rest
)


def holding() -> list[Contract]:
    """The staging tables whose rows may wait for a parent."""
    return [contract for contract in contracts("staging") if any(fk.held for fk in contract.foreign_keys)]


def requests(contract: Contract, keys: Sequence[str], state: Sequence[int]) -> Iterator[dg.RunRequest]:
    """Runs that screen these partitions again, each tried once for a state: days by range, other partitions one by one."""
    selection = [asset_key(contract.name)]
    if [dimension.grain for dimension in contract.partition.dimensions] == ["day"]:
        for first, last in ranges([date.fromisoformat(key) for key in keys]):
            tags = {
                "dagster/asset_partition_range_start": first.isoformat(),
                "dagster/asset_partition_range_end": last.isoformat(),
            }
            run_key = _digest(f"{contract.name} {first} {last} {state}")
            yield dg.RunRequest(run_key=run_key, asset_selection=selection, tags=tags)
        return
    for key in keys[:AT_ONCE]:
        run_key = _digest(f"{contract.name} {key} {state}")
        yield dg.RunRequest(run_key=run_key, asset_selection=selection, partition_key=key or None)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dg.sensor(
    name="held_rows", minimum_interval_seconds=60, asset_selection=dg.AssetSelection.groups("staging"),
    default_status=dg.DefaultSensorStatus.RUNNING if get_settings().automation == "on" else dg.DefaultSensorStatus.STOPPED,
    description="Screens partitions again whose held rows have got their parent; the marts follow by `stale_marts`.",
)  # fmt: skip
def held_sensor(_context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """A range is tried once for each state of the tables it refers to."""
    asked = False
    with get_lake().connect(read_only=True) as con:
        newest = {load.asset: load.snapshot_id for load in sorted(latest_loads(con), key=lambda load: load.snapshot_id)}
        for contract in holding():
            state = [newest.get(fk.references, 0) for fk in contract.foreign_keys]
            for request in requests(contract, arrived(con, contract), state):
                asked = True
                yield request
    if not asked:
        yield dg.SkipReason("No held row has got its parent.")
