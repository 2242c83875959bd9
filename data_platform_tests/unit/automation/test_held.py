"""Held rows are judged again once their parent is there, and not before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dagster as dg

from data_platform.automation.held import held_sensor, holding, requests
from data_platform.contracts.partitioning import UNPARTITIONED, Dimension, Partitioning, by
from data_platform.contracts.registry import contract
from data_platform.lake.lake import get_lake
from data_platform.lake.outcomes import LoadRecord
from data_platform.quality.screening import ensure_tables

DAYS = ("2026-01-05", "2026-01-06", "2026-01-08")


@dg.asset(key=["staging", "payments"], group_name="staging", partitions_def=dg.DailyPartitionsDefinition("2026-01-01"))
def payments() -> None: ...


def _tick() -> Any:
    definitions = dg.Definitions(assets=[payments], sensors=[held_sensor])
    with dg.DagsterInstance.ephemeral() as instance:
        return held_sensor.evaluate_tick(dg.build_sensor_context(instance=instance, definitions=definitions))


def test_the_shop_holds_lines_and_payments_for_their_order() -> None:
    assert {found.name for found in holding()} == {"staging.order_items", "staging.payments"}


def test_partitions_are_asked_for_when_a_parent_has_come() -> None:
    lake = get_lake()
    with lake.connect() as con:
        for table in (contract("staging.payments"), contract("staging.orders")):
            ensure_tables(lake, con, table)
        raw = {column.source: column.duckdb_type for column in contract("raw.payments").columns.values()}
        lake.ensure_table(con, "raw.payments", raw | {"arrival_date": "DATE"}, ("arrival_date",))
        for day in DAYS:
            origin = f"'a.jsonl' AS _file, '{day}' AS _file_hash, 1 AS _record, DATE '{day}' AS arrival_date"
            con.execute(f"INSERT INTO lake.raw.payments BY NAME SELECT ' O0000000001 ' AS order_id, {origin}")
            con.execute(f"""
                INSERT INTO lake.quarantine.payments BY NAME
                SELECT 'held' AS status, 'order_id.exists' AS rules, {origin}""")
        assert _tick().skip_message == "No held row has got its parent."
        con.execute(
            "INSERT INTO lake.staging.orders BY NAME SELECT 'O0000000001' AS order_id, DATE '2026-01-09' AS arrival_date"
        )
    lake.commit((), [LoadRecord("staging.orders", "2026-01-09", "run", "committed")])
    first = _tick().run_requests
    spans = [
        tuple(request.tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end")) for request in first
    ]
    assert spans == [("2026-01-05", "2026-01-06"), ("2026-01-08", "2026-01-08")]
    assert first[0].asset_selection == [dg.AssetKey(["staging", "payments"])]
    assert [request.run_key for request in _tick().run_requests] == [request.run_key for request in first]
    lake.commit((), [LoadRecord("staging.orders", "2026-01-10", "run", "committed")])
    assert _tick().run_requests[0].run_key != first[0].run_key


def test_partitions_that_are_no_days_are_asked_for_one_by_one() -> None:
    payments = contract("staging.payments")
    both = Partitioning((Dimension("arrival_date", "day"), Dimension("country", "static", keys=("DE",))))
    for partition, keys in (
        (by("hour", "hour"), ["2026-01-05-10:00", "2026-01-05-11:00"]),
        (by("month", "month"), ["2026-01-01"]),
        (both, ["2026-01-05|DE"]),
        (UNPARTITIONED, [""]),
    ):
        found = list(requests(replace(payments, partition=partition), keys, [7]))
        assert [request.partition_key or "" for request in found] == keys
        again = list(requests(replace(payments, partition=partition), keys, [8]))
        assert len({request.run_key for request in (*found, *again)}) == 2 * len(keys)
