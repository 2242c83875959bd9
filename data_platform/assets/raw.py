"""`raw/*`: one asset per feed. Every record as it came, with its origin; nothing is judged here."""

import dagster as dg

from data_platform.assets.metadata import column_schema
from data_platform.assets.naming import asset_key, raw_check_specs
from data_platform.assets.outcomes import partition_keys, report
from data_platform.assets.progress import done
from data_platform.contracts.registry import contract
from data_platform.lake.lake import get_lake
from data_platform.partitions import partitions_def
from data_platform.sources.declare import Feed, Source
from data_platform.sources.load import load_raw
from data_platform.sources.registry import SOURCES

KINDS = {"csv": "csv", "jsonl": "json", "parquet": "parquet"}
RULES = {
    "extra_columns": "no column that the contract does not know; such columns are kept in `_extra`",
    "unparsable_records": "records that can be read; others are kept as raw bytes with their offset",
}


def raw_asset(source: Source, feed: Feed) -> dg.AssetsDefinition:
    """The asset of one feed, partitioned as its staging contract is."""
    staged = contract(feed.contract)
    key = asset_key(feed.raw)

    @dg.asset(
        key=key,
        partitions_def=partitions_def(staged.partition),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name="raw",
        kinds={"duckdb", KINDS[feed.format]},
        owners=[source.owner],
        description=f"Records of `{feed.path}` as they came, all text, with file, hash, record number and offset. {source.description}.",
        metadata={
            "dagster/column_schema": column_schema(
                contract(feed.raw), {part.column: part.duckdb_type for part in staged.partition.dimensions}
            ),
            "dagster/table_name": f"lake.{feed.raw}",
            "source": source.name,
            "landing_path": feed.path,
        },
        tags={"source": source.name},
        check_specs=raw_check_specs(feed.raw, RULES),
    )
    def raw(context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg]
        outcomes = load_raw(
            get_lake(), feed, partition_keys(context), context.run_id,
            on_done=lambda outcome: done(key, outcome.partition_key),
        )  # fmt: skip
        return report(context, key, outcomes)

    return raw


def raw_assets() -> list[dg.AssetsDefinition]:
    return [raw_asset(source, feed) for source in SOURCES for feed in source.feeds]
