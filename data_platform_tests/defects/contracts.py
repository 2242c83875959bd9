"""Contracts made to be broken: between them every kind of rule, and a column per check so that each defect has one rule.

They are in the registry while they are loaded: what is generated from it (dbt's yml, assets, feeds) must not know of them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import ibis.expr.datatypes as ibis_types
import pandera.ibis as pa
from pandera.dtypes import Decimal

from data_platform.contracts.model import REGISTRY, Contract, ForeignKey, Key, column
from data_platform.contracts.partitioning import by
from data_platform.contracts.tables.shop import READABLE

Amount = Annotated[Decimal, 18, 2, None]
SHARED: Any = {"owner": "tests@example.com", "partition": by("arrival_date", "day"), "quarantine_limit": 1.0}


class StagingDepots(pa.DataFrameModel):
    """Depots, the parents of parcels."""

    depot_id: str = column(description="Depot", str_matches=r"^D\d{4}$")
    seen_at: dt.datetime = column(description="When it reported, UTC")


class StagingParcels(pa.DataFrameModel):
    """Parcels, with a column per check."""

    parcel_id: str = column(description="matches", str_matches=r"^P\d{8}$")
    carrier: str = column(description="isin", isin=["DHL", "GLS", "Österreichische Post", "O'Neil & Co"])
    channel: str = column(description="notin", notin=["test", "unknown"])
    reference: str = column(description="startswith", str_startswith="REF_")
    document: str = column(description="endswith", nullable=True, str_endswith=".pdf")
    tracking_url: str = column(description="contains", nullable=True, str_contains=r"https?://[a-z]+\.example")
    title: str = column(description="length", str_length={"min_value": 3, "max_value": 40})
    postcode: str = column(description="length, exact", nullable=True, str_length={"exact_value": 5})
    currency: str = column(description="eq", nullable=True, eq="EUR")
    remark: str = column(description="ne", nullable=True, ne="n/a")
    recipient: str = column(description="no mojibake", nullable=True, str_matches=READABLE)
    instruction: str = column(
        description="no control characters", nullable=True, str_matches=r"^[^\x00-\x1f\x7f-\x9f]*$"
    )
    size_class: str = column(description="either of two", source="Size class", nullable=True, str_matches=r"S|XL")
    pieces: int = column(description="gt", gt=0)
    stops: int = column(description="ge", nullable=True, ge=1)
    attempts: int = column(description="lt", nullable=True, lt=10)
    floor: ibis_types.int16 = column(description="le", nullable=True, le=200)
    quantity: int = column(description="in_range", nullable=True, in_range={"min_value": 1, "max_value": 1000})
    price: Amount = column(description="decimal, ge", ge=0)
    duty: Amount = column(description="decimal, lt", nullable=True, lt=1_000_000)
    weight: float = column(description="double, gt", nullable=True, gt=0)
    load_factor: float = column(
        description="half-open range", nullable=True,
        in_range={"min_value": 0, "max_value": 1, "include_max": False},
    )  # fmt: skip
    is_fragile: bool = column(description="boolean", nullable=True)
    insured_on: dt.date = column(description="date, ge", nullable=True, ge=dt.date(2000, 1, 1))
    booked_on: dt.date = column(description="date of a stated format", nullable=True, format="%d.%m.%Y")
    shipped_on: dt.date = column(description="first of two dates", nullable=True)
    delivered_on: dt.date = column(description="second of two dates", nullable=True)
    signed_at: dt.datetime = column(description="time of a stated format", nullable=True, format="%d/%m/%Y %H:%M")
    scanned_at: dt.datetime = column(description="time with a UTC offset or without", nullable=True)
    depot_id: str = column(description="foreign key")
    sent_at: dt.datetime = column(description="event time")

    @pa.dataframe_check(name="delivered_after_shipped", description="delivered_on not before shipped_on")
    def delivered_after_shipped(cls, data):  # type: ignore[no-untyped-def]
        return data.table.delivered_on >= data.table.shipped_on


class StagingReadings(pa.DataFrameModel):
    """Readings of a meter: a key once per day."""

    meter_id: str = column(description="Meter")
    litres: int = column(description="Counter", ge=0)
    read_at: dt.datetime = column(description="Event time")


DEPOTS = Contract(
    "staging.depots", StagingDepots, grain="one row per depot and day", key=Key(("depot_id",)), event_time="seen_at",
    **SHARED,
)  # fmt: skip
PARCELS = Contract(
    "staging.parcels", StagingParcels, grain="one row per parcel", key=Key(("parcel_id",), scope="table"),
    event_time="sent_at", foreign_keys=(ForeignKey("depot_id", "staging.depots", "depot_id"),), **SHARED,
)  # fmt: skip
READINGS = Contract(
    "staging.readings", StagingReadings, grain="one row per meter and day", key=Key(("meter_id",)),
    event_time="read_at", **SHARED,
)  # fmt: skip


@contextmanager
def registered() -> Iterator[None]:
    """The registry knows them meanwhile: a child looks there how its parent is partitioned."""
    own = {contract.name: contract for contract in (DEPOTS, PARCELS, READINGS)}
    REGISTRY.update(own)
    try:
        yield
    finally:
        for name in own:
            del REGISTRY[name]
