"""Assets that write and read through an IO manager, materialized in this process."""

from typing import Any

import dagster as dg

from data_platform_tests.unit.lake.frame_kinds import rows_of

DAILY = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-02-01")
SINGLE_RUN = dg.BackfillPolicy.single_run()


def writer(frame: Any, partitions: Any = None, column: Any = None, key: str = "staging/things") -> dg.AssetsDefinition:
    """An asset that returns the frame; a callable is called with the run's partition keys."""

    @dg.asset(
        key=key.split("/"), partitions_def=partitions, metadata={"partition_expr": column} if column else None,
        backfill_policy=SINGLE_RUN if partitions else None,
    )  # fmt: skip
    def things(context: dg.AssetExecutionContext):
        return frame(context.partition_keys if partitions else []) if callable(frame) else frame

    return things


def run(asset: dg.AssetsDefinition, *keys: str, manager: Any) -> dg.ExecuteInProcessResult:
    """Materializes the asset for one key, or in one run for the range from the first to the last."""
    tags = {}
    if len(keys) > 1:
        tags = {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]}
    return dg.materialize(
        [asset], resources={"io_manager": manager}, tags=tags,
        partition_key=keys[0] if len(keys) == 1 else None,
    )  # fmt: skip


def read(
    asset: dg.AssetsDefinition, kind: type, *keys: str, manager: Any, partitions: Any = None, metadata: Any = None
) -> Any:
    """What an asset downstream is given, annotated with this kind."""
    got: list[Any] = []

    def body(things) -> None:
        got.append(rows_of(things))
        got.append(type(things))

    body.__annotations__ = {"things": kind, "return": None}
    reader = dg.asset(
        name="reader", ins={"things": dg.AssetIn(asset.key, metadata=metadata or {})}, partitions_def=partitions,
        backfill_policy=SINGLE_RUN if partitions else None, io_manager_key="nothing",
    )(body)  # fmt: skip
    tags = {}
    if len(keys) > 1:
        tags = {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]}
    dg.materialize(
        [asset, reader], selection=[reader], tags=tags, partition_key=keys[0] if len(keys) == 1 else None,
        resources={"io_manager": manager, "nothing": dg.InMemoryIOManager()},
    )  # fmt: skip
    assert issubclass(got[1], kind)
    return got[0]
