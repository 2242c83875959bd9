"""The feed of a real shop's year of invoices: one file, split into months by the invoice's date. Declarations alone."""

from __future__ import annotations

from data_platform.sources.declare import Feed, Source

SOURCE = Source(
    name="online_retail",
    owner="retail-data@example.com",
    description="Online Retail II, year 2009-2010: UCI Machine Learning Repository, doi 10.24432/C5CG6D, CC BY 4.0",
    feeds=(
        Feed(
            contract="staging.online_retail",
            path="online_retail/online_retail.parquet",
            format="parquet",
            split_by="InvoiceDate",
        ),
    ),
)
