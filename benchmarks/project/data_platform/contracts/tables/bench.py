"""The benchmarks' contracts: order lines that refer to products, and the mart built of both."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

import pandera.ibis as pa
from pandera.dtypes import Decimal

from data_platform.contracts.model import ForeignKey, Key, column, table
from data_platform.contracts.partitioning import by

Money = Annotated[Decimal, 18, 2, None]
FIRST_DAY = dt.date(2023, 1, 1)
STATUSES = ["placed", "paid", "shipped", "delivered", "cancelled", "returned"]
CHANNELS = ["web", "app", "store", "phone"]
OWNED: Any = {"owner": "bench@example.com"}


@table(
    "staging.bench_products", grain="one row per product", **OWNED, key=Key(("product_id",)), event_time="updated_at",
    partition=by("arrival_date", "day", start=FIRST_DAY, end=FIRST_DAY + dt.timedelta(days=1)),
)  # fmt: skip
class StagingBenchProducts(pa.DataFrameModel):
    """Products, all in one file."""

    product_id: str = column(description="Product number", str_matches=r"^P\d{6}$")
    product_name: str = column(description="Name")
    category: str = column(description="Category")
    updated_at: dt.datetime = column(description="Last change, UTC")


@table(
    "staging.bench_lines", grain="one row per line of an order", **OWNED,
    key=Key(("order_id", "line_number"), scope="table"), event_time="ordered_at",
    partition=by("arrival_date", "day", start=FIRST_DAY),
    foreign_keys=(ForeignKey("product_id", "staging.bench_products", "product_id"),),
)  # fmt: skip
class StagingBenchLines(pa.DataFrameModel):
    """Lines of orders."""

    order_id: str = column(description="Order", str_matches=r"^O\d{10}$")
    line_number: int = column(description="Line of the order, from 1", ge=1)
    customer_id: str = column(description="Customer")
    product_id: str = column(description="Product")
    status: str = column(description="State of the order", isin=STATUSES)
    channel: str = column(description="Where it was bought", isin=CHANNELS)
    quantity: int = column(description="Units", in_range={"min_value": 1, "max_value": 1000})
    unit_price: Money = column(description="Price of one unit, EUR", ge=0)
    ordered_at: dt.datetime = column(description="When it was ordered, UTC")


@table(
    "marts.bench_sales", grain="one row per line of an order", **OWNED, key=Key(("order_id", "line_number"), scope="table"),
    partition=by("order_date", "day", start=FIRST_DAY),
)  # fmt: skip
class BenchSales(pa.DataFrameModel):
    """Lines of orders with their product's category, by business day."""

    order_id: str = column(description="Order")
    line_number: int = column(description="Line of the order, from 1")
    order_date: dt.date = column(description="Business day")
    customer_id: str = column(description="Customer")
    product_id: str = column(description="Product")
    category: str = column(description="Category of the product")
    status: str = column(description="State of the order", isin=STATUSES)
    channel: str = column(description="Where it was bought", isin=CHANNELS)
    quantity: int = column(description="Units", gt=0)
    unit_price: Money = column(description="Price of one unit, EUR", ge=0)
    line_amount: Money = column(description="quantity × unit_price, EUR", ge=0)


@table(
    "staging.bench_empty", grain="one row per reading", **OWNED,
    partition=by("arrival_date", "day", start=FIRST_DAY),
)  # fmt: skip
class StagingBenchEmpty(pa.DataFrameModel):
    """A feed whose files have a header and no rows, judged by 5 rules."""

    meter_id: str = column(description="Meter")
    litres: int = column(description="Counter", ge=0, nullable=True)
    unit: str = column(description="Unit", isin=["l", "m3"])
