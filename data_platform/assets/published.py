"""`published/*`: what readers see. All marts of one partitions definition are one step, so one transaction repoints them."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import dagster as dg

from data_platform.assets.metadata import column_schema
from data_platform.assets.naming import asset_key
from data_platform.assets.outcomes import CAUSES, canceled, keys_to_resume, partition_keys, resume_command
from data_platform.assets.progress import done
from data_platform.contracts.model import Contract
from data_platform.contracts.registry import contracts
from data_platform.errors import PublishRefused
from data_platform.lake import stopping
from data_platform.lake.lake import Lake, get_lake
from data_platform.lake.ledger import latest_loads
from data_platform.lake.publish import Published, publish_passing
from data_platform.partitions import name_of, partitions_def


def published_assets() -> list[dg.AssetsDefinition]:
    """One multi-asset per partitions definition of the marts."""
    groups: dict[dg.PartitionsDefinition[str] | None, list[Contract]] = {}
    for contract in contracts("marts"):
        groups.setdefault(partitions_def(contract.partition), []).append(contract)
    return [_published_asset(definition, marts) for definition, marts in groups.items()]


def published_key(contract: Contract) -> dg.AssetKey:
    return asset_key(f"published.{contract.table}")


def _published_asset(definition: dg.PartitionsDefinition[str] | None, marts: Sequence[Contract]) -> dg.AssetsDefinition:
    tables = {published_key(mart): mart.name for mart in marts}

    @dg.multi_asset(
        name=_step_name(definition, marts),
        specs=[_spec(mart) for mart in marts],
        partitions_def=definition,
        backfill_policy=dg.BackfillPolicy.single_run(),
        can_subset=True,
    )
    def published(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:  # type: ignore[type-arg]
        if stopping.asked():
            raise canceled(context)
        lake, keys = get_lake(), partition_keys(context)
        selected = {key: table for key, table in tables.items() if key in context.selected_asset_keys}
        shown = publish_passing(lake, list(selected.values()), context.run_id)
        results = list(_results(context, lake, selected, shown, keys))
        if shown.refused:
            for result in results:
                for key in keys:
                    context.log_event(
                        dg.AssetMaterialization(str_key(result), partition=key or None, metadata=result.metadata)
                    )
            raise _refusal(selected, shown.refused, keys, keys_to_resume(context))
        yield from results

    return published


def str_key(result: dg.MaterializeResult[None]) -> dg.AssetKey:
    return dg.AssetKey.from_coercible(result.asset_key or "")


def _results(
    context: dg.AssetExecutionContext,
    lake: Lake,
    selected: Mapping[dg.AssetKey, str],
    shown: Published,
    keys: Sequence[str],
) -> Iterator[dg.MaterializeResult[None]]:
    for key, table in selected.items():
        if table in shown.refused:
            continue
        loads = lake.read(partial(latest_loads, asset=table, keys=keys))
        rows = {load.partition_key: load.rows_accepted for load in loads}
        metadata = {
            "version": shown.version,
            "previous_version": shown.previous.get(table) or 0,
            "partitions_changed": len(shown.changed.get(table, ())),
        }
        for partition in keys:
            done(key, partition)
            if partition:
                context.add_asset_metadata({"dagster/row_count": rows.get(partition, 0)}, key, partition)
        if keys == [""]:
            metadata["dagster/row_count"] = rows.get("", 0)
        yield dg.MaterializeResult(asset_key=key, metadata=metadata)


def _refusal(
    selected: Mapping[dg.AssetKey, str], refused: Mapping[str, PublishRefused], keys: Sequence[str],
    to_resume: Sequence[str],
) -> dg.Failure:  # fmt: skip
    bad = {key: str(refused[table]) for key, table in selected.items() if table in refused}
    causes = {key.to_user_string(): dict.fromkeys(keys, cause) for key, cause in bad.items()}
    return dg.Failure(
        " ".join(bad.values()),
        metadata={CAUSES: dg.MetadataValue.json(causes), "resume": resume_command(dict.fromkeys(bad, to_resume))},
        allow_retries=False,
    )


def _spec(mart: Contract) -> dg.AssetSpec:
    return dg.AssetSpec(
        published_key(mart),
        deps=[asset_key(mart.name)],
        group_name="published",
        kinds={"duckdb", "view"},
        owners=[mart.owner],
        description=f"{mart.description} A view of one audited version of `{mart.name}`. Grain: {mart.grain}.",
        metadata={
            "dagster/column_schema": column_schema(mart),
            "dagster/table_name": f"lake.published.{mart.table}",
            "grain": mart.grain,
        },
        tags={"layer": "published"},
    )


def _step_name(definition: dg.PartitionsDefinition[str] | None, marts: Sequence[Contract]) -> str:
    """`publish_day`, or with the mart's name where two definitions share a grain."""
    grain = name_of(definition)
    dated = definition is not None and any(part.start or part.end for part in marts[0].partition.dimensions)
    return f"publish_{grain}_{marts[0].table}" if dated else f"publish_{grain}"
