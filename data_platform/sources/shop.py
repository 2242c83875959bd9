"""The sample shop's feeds: one drop file per table and day, in three formats. Declarations alone."""

from __future__ import annotations

from data_platform.sources.declare import Feed, Format, Source


def _daily(table: str, extension: Format) -> Feed:
    return Feed(f"staging.{table}", f"shop/{table}/{{key}}.{extension}", extension)


SOURCE = Source(
    name="shop",
    owner="shop-data@example.com",
    description="The web shop's daily drop files",
    feeds=(
        _daily("customers", "jsonl"),
        _daily("products", "csv"),
        _daily("orders", "csv"),
        _daily("order_items", "csv"),
        _daily("payments", "jsonl"),
        _daily("events", "parquet"),
    ),
)
