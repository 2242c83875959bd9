"""What an IO manager writes or reads: a table, its partitioning, the keys of the run. No Dagster, no engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from data_platform.contracts.model import Contract
from data_platform.contracts.partitioning import UNPARTITIONED, Dimension, Grain, Partitioning
from data_platform.errors import UsageError
from data_platform.lake.staging import Shape


@dataclass(frozen=True)
class Target:
    """`name` is the asset's key joined with dots; `keys` its partition keys in this run, `("",)` when unpartitioned."""

    name: str
    contract: Contract | None
    partitioning: Partitioning
    keys: tuple[str, ...]

    @property
    def values(self) -> list[dict[str, object]]:
        """Typed values of each key."""
        return [self.partitioning.values(key) for key in self.keys]

    def typed(self, found: Mapping[str, str]) -> dict[str, str]:
        """The table's columns for rows with these columns and types: the contract's where there is one, and the
        partition columns in the type of their grain."""
        columns = {c.name: c.duckdb_type for c in self.contract.columns.values()} if self.contract else dict(found)
        for dimension in self.partitioning.dimensions:
            if self.contract is None or dimension.column not in columns:
                columns[dimension.column] = dimension.duckdb_type
        return columns


def stated_partitioning(asset: str, grains: Mapping[str, Grain], stated: object) -> Partitioning:
    """The partitioning of an asset without a contract. `grains` are its dimensions by name (the name matters when
    there are several); `stated` its metadata `partition_expr`, the column of a single dimension. Several dimensions
    are named as their columns, so that keys and columns sort alike. Raises `UsageError`."""
    if not grains:
        return UNPARTITIONED
    if len(grains) > 1:
        return Partitioning(tuple(Dimension(name, grain) for name, grain in grains.items()))
    if not isinstance(stated, str) or not stated:
        raise UsageError(
            f"`{asset}` is partitioned, and nothing says by which column.",
            fix='state metadata={"partition_expr": "<column>"}, or write a contract',
        )
    return Partitioning((Dimension(stated, next(iter(grains.values()))),))


def shape_partitioning(shape: Shape) -> Partitioning:
    """The partitioning of a table as the catalog has it; days and months have one spelling of keys."""
    grains: Mapping[str, Grain] = {"DATE": "day", "TIMESTAMP": "hour"}
    return Partitioning(
        tuple(Dimension(name, grains.get(kind, "static")) for name, kind in shape.partition_types.items())
    )


def refuse_foreign(target: Target, found: Iterable[str]) -> None:
    """Raises `UsageError` when rows belong to partitions that this run does not write."""
    foreign = sorted(set(found) - set(target.keys))
    if foreign:
        raise UsageError(
            f"`{target.name}`: there are rows of partition `{foreign[0]}`, which this run does not write.",
            fix="filter them out, or run that partition too",
        )
