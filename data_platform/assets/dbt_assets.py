"""The marts that dbt builds, as Dagster assets: one step per way of being partitioned. Specs come from dbt's manifest
through dagster-dbt, what they say of a table from its contract.
"""

# No `from __future__ import annotations`: Dagster reads the annotation of `context` and refuses it as text.
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtProject

from data_platform.assets.dbt_build import build_marts
from data_platform.assets.dbt_manifest import read_manifest
from data_platform.assets.dbt_runner import manifest_path
from data_platform.assets.metadata import column_schema
from data_platform.assets.naming import asset_key, check_specs, table_of
from data_platform.assets.outcomes import (
    collect,
    failed_of,
    failure,
    keys_to_resume,
    log_good,
    partition_keys,
    stop_if_not_all,
)
from data_platform.assets.progress import done
from data_platform.contracts.dbt_yml import mart_contracts
from data_platform.contracts.model import Contract
from data_platform.contracts.registry import contract
from data_platform.lake.lake import get_lake
from data_platform.lake.outcomes import Outcome
from data_platform.partitions import name_of, partitions_def
from data_platform.settings import get_settings


class MartTranslator(DagsterDbtTranslator):
    """A model is `marts/<model>`, described by its contract; a source is the asset its yml names."""

    def __init__(self) -> None:
        super().__init__(DagsterDbtTranslatorSettings(enable_asset_checks=False))

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        if dbt_resource_props["resource_type"] == "model":
            return dg.AssetKey(["marts", dbt_resource_props["name"]])
        return super().get_asset_key(dbt_resource_props)

    def get_asset_spec(self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None) -> dg.AssetSpec:
        spec = super().get_asset_spec(manifest, unique_id, project)
        if not unique_id.startswith("model."):
            return spec
        return _described(spec, contract(table_of(spec.key)))


def dbt_mart_assets() -> list[dg.AssetsDefinition]:
    """One multi-asset per partitions definition among the marts that have a dbt model."""
    specs = _specs()
    groups: list[tuple[dg.PartitionsDefinition[str] | None, list[Contract]]] = []
    for found in mart_contracts():
        definition = partitions_def(found.partition)
        members = next((members for other, members in groups if other == definition), None)
        if members is None:
            groups.append((definition, [found]))
        else:
            members.append(found)
    names = [name_of(definition) for definition, _ in groups]
    return [
        _group(f"marts_{name}" + (f"_{number}" if names.count(name) > 1 else ""), definition, members, specs)
        for number, (name, (definition, members)) in enumerate(zip(names, groups, strict=True), 1)
    ]


def _group(
    name: str, definition: dg.PartitionsDefinition[str] | None, members: Sequence[Contract],
    specs: Mapping[dg.AssetKey, dg.AssetSpec],
) -> dg.AssetsDefinition:  # fmt: skip
    keys = {asset_key(member.name): member for member in members}

    @dg.multi_asset(
        name=name,
        specs=[specs[key] for key in keys],
        check_specs=[check for member in members for check in check_specs(member)],
        partitions_def=definition,
        backfill_policy=dg.BackfillPolicy.single_run(),
        can_subset=True,
    )
    def marts(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
        selected = [member for key, member in keys.items() if key in context.selected_asset_keys]
        outcomes = build_marts(
            get_lake(), selected, partition_keys(context), context.run_id,
            on_done=lambda outcome: done(asset_key(outcome.load.asset), outcome.partition_key),
        )  # fmt: skip
        stop_if_not_all(context, {asset_key(member.name): outcomes.get(member.name, ()) for member in selected})
        yield from _reported(context, outcomes)

    return marts


def _reported(
    context: dg.AssetExecutionContext, outcomes: Mapping[str, Sequence[Outcome]]
) -> Iterator[dg.MaterializeResult[None]]:
    """Results when all is well; else the good partitions are logged and one failure names the bad ones of every mart."""
    failures = {name: failed_of(found) for name, found in outcomes.items() if failed_of(found)}
    if not failures:
        for name, found in outcomes.items():
            yield collect(context, asset_key(name), found)
        return
    for name, found in outcomes.items():
        log_good(context, asset_key(name), found)
    raise failure({asset_key(name): failed for name, failed in failures.items()}, keys_to_resume(context))


def _specs() -> dict[dg.AssetKey, dg.AssetSpec]:
    """The spec of each model that has a contract. Named here, because dagster-dbt's `select` imports a quarter of a second
    of dbt's graph to find the same."""
    manifest, translator = read_manifest(manifest_path(get_settings())), MartTranslator()
    marts = {found.table for found in mart_contracts()}
    found = [
        translator.get_asset_spec(manifest, unique_id, None)
        for unique_id, node in manifest["nodes"].items()
        if node["resource_type"] == "model" and node["name"] in marts
    ]
    return {spec.key: spec for spec in found}


def _described(spec: dg.AssetSpec, mart: Contract) -> dg.AssetSpec:
    """dbt's spec with the contract's words, the marts its foreign keys name as further inputs, and no seeds."""
    known = {dep.asset_key for dep in spec.deps}
    layers = ("staging", "marts")
    also = dict.fromkeys(asset_key(foreign.references) for foreign in mart.foreign_keys)
    return spec.replace_attributes(
        deps=[
            *(dep for dep in spec.deps if dep.asset_key.path[0] in layers),
            *(dg.AssetDep(key) for key in also if key not in known),
        ],
        description=f"{mart.description} Grain: {mart.grain}.",
        group_name="marts",
        owners=[mart.owner],
        kinds={"dbt", "duckdb"},
        code_version=f"{mart.version}:{spec.code_version}",
    ).merge_attributes(
        metadata={
            "dagster/column_schema": column_schema(mart),
            "dagster/table_name": f"lake.{mart.name}",
            "grain": mart.grain,
            "key": ", ".join(mart.key.columns) if mart.key else "none",
        }
    )
