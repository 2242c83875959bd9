"""What both IO managers ask of Dagster: which table, which partitions, which kind of frame. Nothing is stored here."""

from __future__ import annotations

from typing import Any

import dagster as dg

from data_platform.contracts.partitioning import Grain
from data_platform.contracts.registry import contracts
from data_platform.errors import UsageError
from data_platform.lake.keys import Target, stated_partitioning

_GRAINS: tuple[tuple[type[dg.PartitionsDefinition[str]], Grain], ...] = (
    (dg.HourlyPartitionsDefinition, "hour"), (dg.DailyPartitionsDefinition, "day"),
    (dg.MonthlyPartitionsDefinition, "month"), (dg.StaticPartitionsDefinition, "static"),
    (dg.DynamicPartitionsDefinition, "static"),
)  # fmt: skip


def target_of(context: dg.OutputContext | dg.InputContext) -> Target:
    """The table and partitions of an output, or of the asset that an input reads. Raises `UsageError` for partitions
    that are neither hourly, daily, monthly nor static, nor a product of these."""
    name = ".".join(context.asset_key.path)
    contract = next((found for found in contracts() if found.name == name), None)
    if not context.has_asset_partitions:
        return Target(name, contract, stated_partitioning(name, {}, None), ("",))
    keys = tuple(str(key) for key in context.asset_partition_keys)
    if contract is not None and contract.partition.dimensions:
        return Target(name, contract, contract.partition, keys)
    definition = context.asset_partitions_def
    if isinstance(definition, dg.MultiPartitionsDefinition):
        grains = {part.name: _grain(name, part.partitions_def) for part in definition.partitions_defs}
    else:
        grains = {"": _grain(name, definition)}
    return Target(name, contract, stated_partitioning(name, grains, _metadata(context).get("partition_expr")), keys)


def allows_missing(context: dg.InputContext) -> bool:
    """Whether the input's metadata says `allow_missing_partitions`."""
    return bool((context.definition_metadata or {}).get("allow_missing_partitions"))


def _metadata(context: dg.OutputContext | dg.InputContext) -> dict[str, Any]:
    """The asset's own metadata: an input's are those of the output it reads."""
    if isinstance(context, dg.InputContext):
        upstream = context.upstream_output
        return dict((upstream.definition_metadata if upstream else None) or context.definition_metadata or {})
    return dict(context.definition_metadata or {})


def _grain(name: str, definition: dg.PartitionsDefinition[str]) -> Grain:
    for kind, grain in _GRAINS:
        if isinstance(definition, kind):
            return grain
    raise UsageError(
        f"`{name}` has {type(definition).__name__}, which no table's partitions are.",
        fix="use hourly, daily, monthly, static or multi-partitions",
    )
