"""Which staging tables' rows a mart's partitions hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import dagster as dg

from data_platform.assets.naming import table_of
from data_platform.contracts.registry import contract


def staging_of(parents: Mapping[dg.AssetKey, Iterable[dg.AssetKey]], mart: dg.AssetKey) -> list[str]:
    """The staging tables that a mart is built from, directly or through other partitioned marts. A dimension that it only
    refers to puts no rows into it."""
    found = {table_of(parent) for parent in parents.get(mart, ()) if parent.path[0] == "staging"}
    for parent in parents.get(mart, ()):
        if parent.path[0] == "marts" and contract(table_of(parent)).partition.dimensions:
            found.update(staging_of(parents, parent))
    return sorted(found)
