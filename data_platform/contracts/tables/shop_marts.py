"""The sample shop's mart contracts, by business day; dimensions and segments are unpartitioned."""

from __future__ import annotations

import datetime as dt
from datetime import timedelta
from typing import Any

import pandera.ibis as pa

from data_platform.contracts.model import ForeignKey, Key, column, table
from data_platform.contracts.partitioning import by
from data_platform.contracts.tables.shop import COUNTRIES, ORDER_STATUSES, PAYMENT_METHODS, PAYMENT_STATUSES, Money

SHOP: Any = {"owner": "shop-analytics@example.com", "freshness": timedelta(hours=36)}
SEGMENTS = ["champions", "loyal", "promising", "at_risk", "lost"]


@table("marts.dim_customers", grain="one row per customer", key=Key(("customer_id",), scope="table"), **SHOP)
class DimCustomers(pa.DataFrameModel):
    """Customers with their latest known data."""

    customer_id: str = column(description="Customer number")
    email: str = column(description="E-mail address", pii="email")
    full_name: str = column(description="First and last name", pii="name")
    country_code: str = column(description="ISO 3166-1 alpha-2 code of the country", isin=COUNTRIES)
    country_name: str = column(description="Country in English")
    signed_up_at: dt.datetime = column(description="First registration, UTC")
    updated_at: dt.datetime = column(description="Last change, UTC")


@table("marts.dim_products", grain="one row per product", key=Key(("product_id",), scope="table"), **SHOP)
class DimProducts(pa.DataFrameModel):
    """Products with their latest known data."""

    product_id: str = column(description="Product number")
    product_name: str = column(description="Name on the product page")
    category: str = column(description="Category of the catalogue")
    unit_price: Money = column(description="List price, EUR", gt=0)
    updated_at: dt.datetime = column(description="Last change, UTC")


@table("marts.dim_dates", grain="one row per calendar day", key=Key(("date_day",), scope="table"), **SHOP)
class DimDates(pa.DataFrameModel):
    """Calendar days from the platform's first day to the end of the current year."""

    date_day: dt.date = column(description="Day")
    year_number: int = column(description="Calendar year")
    quarter_number: int = column(description="Quarter of the year", in_range={"min_value": 1, "max_value": 4})
    month_number: int = column(description="Month of the year", in_range={"min_value": 1, "max_value": 12})
    iso_week_number: int = column(description="ISO 8601 week", in_range={"min_value": 1, "max_value": 53})
    iso_day_of_week: int = column(description="1 = Monday … 7 = Sunday", in_range={"min_value": 1, "max_value": 7})
    is_weekend: bool = column(description="Saturday or Sunday")


@table(
    "marts.fct_orders", grain="one row per order", key=Key(("order_id",), scope="table"),
    partition=by("order_date", "day"), event_time="ordered_at", **SHOP,
    foreign_keys=(ForeignKey("customer_id", "marts.dim_customers", "customer_id"),),
    actions={"lines_add_up": "warn"},
)  # fmt: skip
class FctOrders(pa.DataFrameModel):
    """Orders with their lines and captured payments summed."""

    order_id: str = column(description="Order number")
    order_date: dt.date = column(description="Business day of the order")
    ordered_at: dt.datetime = column(description="When the order was placed, UTC")
    customer_id: str = column(description="Customer who placed the order")
    status: str = column(description="State of the order", isin=ORDER_STATUSES)
    country_code: str = column(description="Country the order ships to", isin=COUNTRIES)
    line_count: int = column(description="Lines of the order", ge=0)
    gross_amount: Money = column(description="Sum of the order's lines, EUR", ge=0)
    total_amount: Money = column(description="What the shop says the order's lines sum up to, EUR", ge=0)
    paid_amount: Money = column(description="Payments captured less refunds, EUR")
    is_cancelled: bool = column(description="Whether the order was cancelled")

    @pa.dataframe_check(name="lines_add_up", description="gross_amount equals total_amount: no line is set aside")
    def lines_add_up(cls, data):  # type: ignore[no-untyped-def]
        return data.table.gross_amount == data.table.total_amount


@table(
    "marts.fct_order_items", grain="one row per line of an order", key=Key(("order_id", "line_number"), scope="table"),
    partition=by("order_date", "day"), **SHOP,
)  # fmt: skip
class FctOrderItems(pa.DataFrameModel):
    """Lines of orders with their customer."""

    order_id: str = column(description="Order the line belongs to")
    line_number: int = column(description="Line of the order, from 1")
    order_date: dt.date = column(description="Business day of the order")
    customer_id: str = column(description="Customer who placed the order")
    product_id: str = column(description="Product that was bought")
    quantity: int = column(description="Units bought", gt=0)
    unit_price: Money = column(description="Price of one unit, EUR", ge=0)
    line_amount: Money = column(description="quantity × unit_price, EUR", ge=0)


@table(
    "marts.fct_payments", grain="one row per payment", key=Key(("payment_id",), scope="table"),
    partition=by("payment_date", "day"), event_time="paid_at", **SHOP,
)  # fmt: skip
class FctPayments(pa.DataFrameModel):
    """Payments and refunds."""

    payment_id: str = column(description="Payment number")
    payment_date: dt.date = column(description="Business day of the payment")
    paid_at: dt.datetime = column(description="When the provider booked it, UTC")
    order_id: str = column(description="Order that was paid")
    method: str = column(description="How it was paid", isin=PAYMENT_METHODS)
    status: str = column(description="State of the payment", isin=PAYMENT_STATUSES)
    amount: Money = column(description="Amount, EUR", gt=0)


@table(
    "marts.daily_revenue", grain="one row per day and country", key=Key(("revenue_date", "country_code"), scope="table"),
    partition=by("revenue_date", "day"), **SHOP,
)  # fmt: skip
class DailyRevenue(pa.DataFrameModel):
    """Revenue by day and country; cancelled orders count as orders and bring no revenue."""

    revenue_date: dt.date = column(description="Business day")
    country_code: str = column(description="Country the orders ship to", isin=COUNTRIES)
    order_count: int = column(description="Orders placed", ge=0)
    customer_count: int = column(description="Different customers who ordered", ge=0)
    cancelled_count: int = column(description="Orders cancelled", ge=0)
    gross_amount: Money = column(description="Sum of lines of orders not cancelled, EUR", ge=0)
    paid_amount: Money = column(
        description="Payments captured less refunds of all the day's orders, cancelled ones too, EUR"
    )


@table(
    "marts.customer_segments",
    grain="one row per customer who ordered",
    key=Key(("customer_id",), scope="table"),
    **SHOP,
)
class CustomerSegments(pa.DataFrameModel):
    """Customers by recency, frequency and monetary value (RFM quintiles, 5 = best)."""

    customer_id: str = column(description="Customer number")
    last_order_date: dt.date = column(description="Day of the last order")
    recency_days: int = column(description="Days from the last order to the newest business day", ge=0)
    order_count: int = column(description="Orders not cancelled", gt=0)
    gross_amount: Money = column(description="Sum of orders not cancelled, EUR", ge=0)
    recency_score: int = column(description="Quintile of recency", in_range={"min_value": 1, "max_value": 5})
    frequency_score: int = column(description="Quintile of frequency", in_range={"min_value": 1, "max_value": 5})
    monetary_score: int = column(description="Quintile of value", in_range={"min_value": 1, "max_value": 5})
    segment: str = column(description="Segment of the three scores", isin=SEGMENTS)
