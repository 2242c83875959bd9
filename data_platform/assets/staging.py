"""`staging/*`: one asset per staging contract. Raw rows cast, screened and routed; thin over `quality.screening`."""

import dagster as dg

from data_platform.assets.metadata import column_schema
from data_platform.assets.naming import asset_key, check_specs
from data_platform.assets.outcomes import partition_keys, report
from data_platform.assets.progress import done
from data_platform.contracts.model import Contract
from data_platform.contracts.registry import contracts
from data_platform.lake.lake import get_lake
from data_platform.partitions import partitions_def
from data_platform.quality.screening import STAGING_ORIGIN, screen


def staging_asset(contract: Contract) -> dg.AssetsDefinition:
    """The asset of one staging contract. Tables its foreign keys name are screened first."""
    key = asset_key(contract.name)
    parents = dict.fromkeys(
        foreign.references for foreign in contract.foreign_keys if foreign.references != contract.name
    )
    partition_columns = {dimension.column: dimension.duckdb_type for dimension in contract.partition.dimensions}

    @dg.asset(
        key=key,
        deps=[asset_key(f"raw.{contract.table}"), *(asset_key(parent) for parent in parents)],
        partitions_def=partitions_def(contract.partition),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name="staging",
        kinds={"duckdb", "parquet"},
        owners=[contract.owner],
        description=f"{contract.description} Grain: {contract.grain}.",
        code_version=str(contract.version),
        metadata={
            "dagster/column_schema": column_schema(contract, {**STAGING_ORIGIN, **partition_columns}),
            "dagster/table_name": f"lake.{contract.name}",
            "quarantine_table": f"lake.quarantine.{contract.table}",
            "grain": contract.grain,
            "key": ", ".join(contract.key.columns) if contract.key else "none",
        },
        check_specs=check_specs(contract),
    )
    def staging(context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg]
        outcomes = screen(
            get_lake(), contract, partition_keys(context), context.run_id,
            on_done=lambda outcome: done(key, outcome.partition_key),
        )  # fmt: skip
        return report(context, key, outcomes)

    return staging


def staging_assets() -> list[dg.AssetsDefinition]:
    return [staging_asset(contract) for contract in contracts("staging")]
