"""Every contract of the platform, by `layer.table`. Each module of `contracts/tables` is imported, in order of name,
for the contracts it registers; raw contracts follow from the staging ones."""

from __future__ import annotations

from data_platform.contracts.model import REGISTRY, Contract
from data_platform.contracts.modules import files_digest, import_tables
from data_platform.contracts.raw import register_raw
from data_platform.contracts.validation import check_parents
from data_platform.errors import UsageError, did_you_mean

READ = files_digest()
"""The files' digest from before they were imported."""
import_tables()
check_parents(REGISTRY)
register_raw()


def contract(name: str) -> Contract:
    """The contract of `layer.table`. Raises `UsageError` naming the nearest table."""
    if name not in REGISTRY:
        raise UsageError(f"`{name}` has no contract.{did_you_mean(name, REGISTRY)}", fix="data-platform status")
    return REGISTRY[name]


def find(name: str, *layers: str) -> Contract:
    """The contract that people mean by `layer.table`, `layer/table` or a bare name, which is looked for in these layers,
    in their order. Raises `UsageError` naming the nearest table."""
    full = name.replace("/", ".")
    if "." in full and full.partition(".")[0] in layers:
        return contract(full)
    by_table = {found.table: found for layer in reversed(layers) for found in contracts(layer)}
    if full not in by_table:
        raise UsageError(
            f"`{name}` is no table of {' or '.join(layers)}.{did_you_mean(full, by_table)}", fix="data-platform status"
        )
    return by_table[full]


def contracts(layer: str | None = None) -> tuple[Contract, ...]:
    """All contracts, or those of one layer, in order of registration."""
    return tuple(found for found in REGISTRY.values() if layer in (None, found.layer))
