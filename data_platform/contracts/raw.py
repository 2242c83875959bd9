"""Raw contracts, derived: what a file's record looks like as it came. No column is stated here but a record's origin.

A raw table has a VARCHAR column per source column of its staging contract, the origin of each record, and the staging
table's partitions.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import pandera.ibis as pa

from data_platform.contracts.model import META, REGISTRY, ColumnMeta, Contract

ORIGIN: dict[str, tuple[type, bool, str]] = {
    "_file": (str, False, "Drop file, relative to the landing folder"),
    "_file_hash": (str, False, "sha256 of the drop file"),
    "_record": (int, False, "Number of the record in its file, from 1"),
    "_offset": (int, True, "Byte at which a record that could not be read begins"),
    "_bytes": (bytes, True, "Bytes of a record that could not be read"),
    "_defect": (str, True, "Why the record could not be read"),
    "_extra": (str, True, "JSON object of the columns that the contract does not know"),
    "_loaded_at": (dt.datetime, False, "When the record was loaded, UTC"),
    "_run_id": (str, False, "Run that loaded it"),
}


def raw_contract(staging: Contract) -> Contract:
    """The contract of the raw table behind a staging table."""
    annotations: dict[str, Any] = {}
    body: dict[str, Any] = {
        "__doc__": f"{staging.description.rstrip('.')}, as they came.",
        "__annotations__": annotations,
    }
    columns = {
        column.source: (str, True, column.description, column.pii, column.required)
        for column in staging.columns.values()
    }
    origin = {name: (*stated, None, True) for name, stated in ORIGIN.items()}
    for place, (name, (kind, nullable, description, pii, required)) in enumerate((columns | origin).items()):
        meta = ColumnMeta(source=name, pii=pii, required=required)
        annotations[f"column_{place}"] = kind
        body[f"column_{place}"] = pa.Field(
            alias=name, nullable=nullable, description=description, metadata={META: meta}
        )
    return Contract(
        name=f"raw.{staging.table}",
        model=type(f"Raw{staging.model.__name__.removeprefix('Staging')}", (pa.DataFrameModel,), body),
        grain="one row per record of a drop file",
        owner=staging.owner,
        partition=staging.partition,
        version=staging.version,
        freshness=staging.freshness,
    )


def register_raw() -> None:
    """Registers the raw contract of every staging contract that has none."""
    for contract in list(REGISTRY.values()):
        if contract.layer == "staging" and f"raw.{contract.table}" not in REGISTRY:
            REGISTRY[f"raw.{contract.table}"] = raw_contract(contract)
