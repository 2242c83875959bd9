"""The benchmarks' feeds."""

from __future__ import annotations

from data_platform.sources.declare import Feed, Source

SOURCE = Source(
    name="bench",
    owner="bench@example.com",
    description="Generated drop files",
    feeds=(
        Feed("staging.bench_products", "bench/products/{key}.csv", "csv"),
        Feed("staging.bench_lines", "bench/lines/{key}.csv", "csv"),
        Feed("staging.bench_empty", "bench/empty/{key}.csv", "csv"),
    ),
)
