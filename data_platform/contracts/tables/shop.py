"""The sample shop's staging contracts: what the six feeds must be, by arrival day."""

from __future__ import annotations

import datetime as dt
from datetime import timedelta
from typing import Annotated, Any

import pandera.ibis as pa
from pandera.dtypes import Decimal

from data_platform.contracts.measures import Threshold
from data_platform.contracts.model import ForeignKey, Key, column, table
from data_platform.contracts.partitioning import by

Money = Annotated[Decimal, 18, 2, None]
COUNTRIES = ["AT", "BE", "CH", "DE", "DK", "ES", "FR", "GB", "IE", "IT", "NL", "NO", "PL", "PT", "SE", "US"]
ORDER_STATUSES = ["placed", "paid", "shipped", "delivered", "cancelled", "returned"]
PAYMENT_METHODS = ["card", "paypal", "bank_transfer", "voucher"]
PAYMENT_STATUSES = ["captured", "refunded", "failed"]
EVENT_TYPES = ["page_view", "product_view", "add_to_cart", "checkout", "purchase"]
EMAIL = r"^[A-Za-z0-9._%+\-]+@[A-Za-z0-9\-]+(\.[A-Za-z0-9\-]+)+$"
# UTF-8 read as Latin-1 shows as Ã or Â before a C1 or Latin-1 symbol; bytes that were lost show as U+FFFD.
READABLE = "^([^\ufffdÃÂ]|[ÃÂ]([^\u0080-\u00bf]|$))*$"

SHOP: Any = {"owner": "shop-data@example.com", "partition": by("arrival_date", "day"), "freshness": timedelta(hours=36)}


@table(
    "staging.customers", grain="one row per customer and arrival day", **SHOP,
    key=Key(("customer_id",), scope="partition"), event_time="updated_at",
)  # fmt: skip
class StagingCustomers(pa.DataFrameModel):
    """Customers as they signed up or changed."""

    customer_id: str = column(description="Customer number: C and eight digits", str_matches=r"^C\d{8}$")
    email: str = column(description="E-mail address", pii="email", str_matches=EMAIL)
    full_name: str = column(description="First and last name", pii="name", str_matches=READABLE)
    country_code: str = column(description="ISO 3166-1 alpha-2 code of the country", isin=COUNTRIES)
    signed_up_at: dt.datetime = column(description="First registration, UTC")
    updated_at: dt.datetime = column(description="Last change, UTC")

    @pa.dataframe_check(name="updated_after_signup", description="updated_at not before signed_up_at")
    def updated_after_signup(cls, data):  # type: ignore[no-untyped-def]
        return data.table.updated_at >= data.table.signed_up_at


@table(
    "staging.products", grain="one row per product and arrival day", **SHOP,
    key=Key(("product_id",), scope="partition"), event_time="updated_at",
)  # fmt: skip
class StagingProducts(pa.DataFrameModel):
    """Products as they were listed or changed."""

    product_id: str = column(description="Product number: P and six digits", str_matches=r"^P\d{6}$")
    product_name: str = column(description="Name on the product page", str_matches=READABLE)
    category: str = column(description="Category of the catalogue")
    unit_price: Money = column(description="List price, EUR", gt=0)
    updated_at: dt.datetime = column(description="Last change, UTC")


@table(
    "staging.orders", grain="one row per order", **SHOP,
    key=Key(("order_id",), scope="table"), event_time="ordered_at",
    foreign_keys=(ForeignKey("customer_id", "staging.customers", "customer_id"),),
)  # fmt: skip
class StagingOrders(pa.DataFrameModel):
    """Orders as they were placed."""

    order_id: str = column(description="Order number: O and ten digits", str_matches=r"^O\d{10}$")
    customer_id: str = column(description="Customer who placed the order")
    status: str = column(description="State of the order", isin=ORDER_STATUSES)
    country_code: str = column(description="ISO 3166-1 alpha-2 code the order ships to", isin=COUNTRIES)
    total_amount: Money = column(description="Sum of the order's lines, EUR", ge=0)
    ordered_at: dt.datetime = column(description="When the order was placed, UTC")


@table(
    "staging.order_items", grain="one row per line of an order", **SHOP,
    key=Key(("order_id", "line_number"), scope="table"), event_time="ordered_at",
    foreign_keys=(
        ForeignKey("order_id", "staging.orders", "order_id", touches="ordered_at", held=True),
        ForeignKey("product_id", "staging.products", "product_id"),
    ),
)  # fmt: skip
class StagingOrderItems(pa.DataFrameModel):
    """Lines of orders."""

    order_id: str = column(description="Order the line belongs to")
    line_number: int = column(description="Line of the order, from 1", ge=1)
    product_id: str = column(description="Product that was bought")
    quantity: int = column(description="Units bought", in_range={"min_value": 1, "max_value": 1000})
    unit_price: Money = column(description="Price of one unit, EUR", ge=0)
    ordered_at: dt.datetime = column(description="When the order was placed, UTC")


@table(
    "staging.payments", grain="one row per payment", **SHOP,
    key=Key(("payment_id",), scope="table"), event_time="paid_at",
    foreign_keys=(ForeignKey("order_id", "staging.orders", "order_id", touches="ordered_at", held=True),),
    # A method that nobody knows is a typing error; many of them are a change at the provider.
    thresholds={"method.isin": Threshold(alert_above=0.05)},
)  # fmt: skip
class StagingPayments(pa.DataFrameModel):
    """Payments and refunds as the provider reported them."""

    payment_id: str = column(description="Payment number: T and ten digits", str_matches=r"^T\d{10}$")
    order_id: str = column(description="Order that was paid")
    method: str = column(description="How it was paid", isin=PAYMENT_METHODS)
    status: str = column(description="State of the payment", isin=PAYMENT_STATUSES)
    amount: Money = column(description="Amount, EUR", gt=0)
    paid_at: dt.datetime = column(description="When the provider booked it, UTC")


@table(
    "staging.events", grain="one row per page event", **SHOP,
    key=Key(("event_id",), scope="table"), event_time="occurred_at",
)  # fmt: skip
class StagingEvents(pa.DataFrameModel):
    """Page events of the web shop."""

    event_id: str = column(description="Event number: E and twelve digits", str_matches=r"^E\d{12}$")
    session_id: str = column(description="Browser session")
    customer_id: str = column(description="Customer, when signed in", nullable=True)
    event_type: str = column(description="What happened", isin=EVENT_TYPES)
    page_url: str = column(description="Path of the page", str_startswith="/")
    occurred_at: dt.datetime = column(description="When it happened, UTC")
