"""Contracts of a real shop's year of invoices (Online Retail II, UCI, CC BY 4.0): its lines, and revenue by day and country.

Every line is kept that can be read. What is odd about it is flagged, so that totals reconcile with the file to the
thousandth: `gross = sales + returns + adjustments`, over all lines once exact duplicates are merged.
"""

from __future__ import annotations

import datetime as dt
from datetime import date, timedelta
from typing import Annotated, Any

import pandera.ibis as pa
from pandera.dtypes import Decimal

from data_platform.contracts.model import Key, column, table
from data_platform.contracts.partitioning import by

# 14 kinds of price have three decimals.
Amount = Annotated[Decimal, 18, 3, None]
RETAIL: Any = {
    "owner": "retail-data@example.com",
    "partition": by("invoice_month", "month", start=date(2009, 12, 1), end=date(2011, 1, 1)),
    "freshness": timedelta(days=31),
}


@table(
    "staging.online_retail", grain="one row per different invoice line", **RETAIL,
    key=Key(
        ("invoice", "stock_code", "description", "quantity", "invoiced_at", "unit_price", "customer_id", "country"),
        scope="partition",
    ),
    event_time="invoiced_at",
    actions={
        "stock_code.matches": "flag", "unit_price.ge": "flag", "unit_price.ne": "flag", "country.notin": "flag",
        "customer_known": "flag", "description_present": "flag", "only_cancellations_take_back": "flag",
        "cancellations_take_back": "flag", "no_cancellation": "warn",
    },
)  # fmt: skip
class StagingOnlineRetail(pa.DataFrameModel):
    """Lines of invoices. An invoice `C…` cancels: its lines are returns; an invoice `A…` adjusts bad debt."""

    invoice: str = column(
        description="Invoice number: six digits, after C for a cancellation or A for an adjustment",
        source="Invoice", str_matches=r"^[AC]?\d{6}$",
    )  # fmt: skip
    stock_code: str = column(
        description="Product number: five digits and letters; others are postage, fees, vouchers, tests",
        source="StockCode", str_matches=r"^\d{5}[A-Za-z]*$",
    )  # fmt: skip
    description: str = column(description="Product name, or a note on the stock", source="Description", nullable=True)
    quantity: int = column(
        description="Units; negative when they come back or are written off", source="Quantity", ne=0
    )
    invoiced_at: dt.datetime = column(description="When the invoice was written, local time", source="InvoiceDate")
    unit_price: Amount = column(description="Price of one unit, GBP", source="Price", ge=0, ne=0)
    customer_id: int = column(description="Customer number, when known", source="Customer ID", nullable=True)
    country: str = column(description="Country of the customer, in English", source="Country", notin=["Unspecified"])

    @pa.dataframe_check(name="customer_known", description="a customer")
    def customer_known(cls, data):  # type: ignore[no-untyped-def]
        return data.table.customer_id.notnull()

    @pa.dataframe_check(name="description_present", description="a description")
    def description_present(cls, data):  # type: ignore[no-untyped-def]
        return data.table.description.notnull()

    @pa.dataframe_check(name="only_cancellations_take_back", description="negative quantities on cancellations alone")
    def only_cancellations_take_back(cls, data):  # type: ignore[no-untyped-def]
        return (data.table.quantity >= 0) | data.table.invoice.startswith("C")

    @pa.dataframe_check(name="cancellations_take_back", description="cancellations with negative quantities")
    def cancellations_take_back(cls, data):  # type: ignore[no-untyped-def]
        return (data.table.quantity < 0) | ~data.table.invoice.startswith("C")

    @pa.dataframe_check(name="no_cancellation", description="no cancellation; such lines are returns")
    def no_cancellation(cls, data):  # type: ignore[no-untyped-def]
        return ~data.table.invoice.startswith("C")


@table(
    "marts.online_retail_revenue", grain="one row per day and country", key=Key(("revenue_date", "country"), scope="table"),
    **RETAIL,
)  # fmt: skip
class OnlineRetailRevenue(pa.DataFrameModel):
    """Revenue of the invoices by day and country: each line is a sale, a return or an adjustment."""

    revenue_date: dt.date = column(description="Day of the invoices")
    country: str = column(description="Country of the customers, in English")
    invoice_month: dt.date = column(description="First day of the month")
    line_count: int = column(description="Invoice lines", gt=0)
    sale_count: int = column(description="Different invoices with a sale", ge=0)
    cancellation_count: int = column(description="Different cancellations", ge=0)
    customer_count: int = column(description="Different customers known", ge=0)
    gross_amount: Amount = column(description="Sum of all lines, GBP")
    sales_amount: Amount = column(description="Lines with quantity and price above zero, GBP", ge=0)
    returns_amount: Amount = column(description="Other lines of cancellations, GBP", le=0)
    adjustments_amount: Amount = column(description="Lines that are neither: bad debt, written-off stock, gifts, GBP")

    @pa.dataframe_check(name="amounts_add_up", description="gross_amount = sales + returns + adjustments")
    def amounts_add_up(cls, data):  # type: ignore[no-untyped-def]
        parts = data.table.sales_amount + data.table.returns_amount + data.table.adjustments_amount
        return data.table.gross_amount == parts

    @pa.dataframe_check(name="day_in_month", description="revenue_date in invoice_month")
    def day_in_month(cls, data):  # type: ignore[no-untyped-def]
        return data.table.revenue_date.truncate("M") == data.table.invoice_month
