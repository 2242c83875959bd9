"""Every contract of the platform, by `layer.table`. A new contract module is imported here, and nowhere else."""

from __future__ import annotations

from data_platform.contracts import shop, shop_marts  # noqa: F401  (imported for their registrations)
from data_platform.contracts.model import REGISTRY, Contract
from data_platform.errors import UsageError, did_you_mean


def contract(name: str) -> Contract:
    """The contract of `layer.table`. Raises `UsageError` naming the nearest table."""
    if name not in REGISTRY:
        raise UsageError(f"`{name}` has no contract.{did_you_mean(name, REGISTRY)}", fix="data-platform status")
    return REGISTRY[name]


def contracts(layer: str | None = None) -> tuple[Contract, ...]:
    """All contracts, or those of one layer, in order of registration."""
    return tuple(found for found in REGISTRY.values() if layer in (None, found.layer))
