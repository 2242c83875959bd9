"""`LakeIOManager`, through Dagster: every kind of frame and of partitions, by name, typed, recorded, all or nothing."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import dagster as dg
import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from data_platform.errors import LakeError, LoadFailed, UsageError
from data_platform.lake import ledger
from data_platform.lake.io_manager import LakeIOManager
from data_platform.lake.lake import Audit, get_lake
from data_platform_tests.unit.lake import io_assets
from data_platform_tests.unit.lake.frame_kinds import KINDS, MAKE
from data_platform_tests.unit.lake.io_assets import DAILY, writer


def run(asset: dg.AssetsDefinition, *keys: str, manager: Any = None) -> dg.ExecuteInProcessResult:
    return io_assets.run(asset, *keys, manager=manager or LakeIOManager())


def read(asset: dg.AssetsDefinition, kind: type, *keys: str, partitions: Any = None, metadata: Any = None) -> Any:
    return io_assets.read(asset, kind, *keys, manager=LakeIOManager(), partitions=partitions, metadata=metadata)


def lake_rows(sql: str) -> list[tuple[Any, ...]]:
    con = get_lake().connect()
    try:
        return con.execute(sql).fetchall()
    finally:
        con.close()


ALL_TYPES = (
    "SELECT * FROM (VALUES (9007199254740993::BIGINT, 1.10::DECIMAL(18,2), 'ä''\"', DATE '2026-01-02', "
    "TIMESTAMP '2026-01-02 03:04:05.000006', true, 0.1::DOUBLE), (NULL, NULL, NULL, NULL, NULL, NULL, NULL)) "
    "t(n, amount, words, day, moment, yes, ratio)"
)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_frame_comes_back_exactly_as_it_went(kind: str) -> None:
    asset = writer(MAKE[kind](ALL_TYPES))
    assert run(asset).success
    expected = {
        "n": 9007199254740993, "amount": Decimal("1.10"), "words": "ä'\"", "day": date(2026, 1, 2),
        "moment": datetime(2026, 1, 2, 3, 4, 5, 6), "yes": True, "ratio": 0.1,
    }  # fmt: skip
    found = sorted(read(asset, KINDS[kind]), key=lambda row: row["n"] is None)
    assert found == [expected, dict.fromkeys(expected)]


def test_a_relation_never_goes_through_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("a relation became a pandas frame")

    asset = writer(duckdb.connect().sql("SELECT 1 AS n"))
    monkeypatch.setattr(pd.DataFrame, "__init__", forbidden)
    assert run(asset).success
    assert read(asset, duckdb.DuckDBPyRelation) == [{"n": 1}]


@pytest.mark.parametrize(
    ("partitions", "key", "column", "value"),
    [
        (dg.HourlyPartitionsDefinition("2026-01-01-00:00"), "2026-01-01-05:00", "hour", datetime(2026, 1, 1, 5)),
        (DAILY, "2026-01-05", "day", date(2026, 1, 5)),
        (dg.MonthlyPartitionsDefinition("2026-01-01"), "2026-01-01", "month", date(2026, 1, 1)),
        (
            dg.StaticPartitionsDefinition(["a/b'; DROP TABLE x", "c"]),
            "a/b'; DROP TABLE x",
            "part",
            "a/b'; DROP TABLE x",
        ),
    ],
)
def test_each_kind_of_partition_is_written_and_read_by_its_key(
    partitions: Any, key: str, column: str, value: Any
) -> None:
    asset = writer(pa.table({"n": [1, 2]}), partitions, column)
    run(asset, key)
    assert sorted(lake_rows(f"SELECT n, {column} FROM lake.staging.things")) == [(1, value), (2, value)]
    assert [row["n"] for row in read(asset, pa.Table, key, partitions=partitions)] == [1, 2]
    assert lake_rows("SELECT partition_key, outcome, rows_accepted FROM lake.ops.loads") == [(key, "committed", 2)]


def test_multi_partitions_go_to_columns_named_as_their_dimensions() -> None:
    partitions = dg.MultiPartitionsDefinition({"day": DAILY, "country": dg.StaticPartitionsDefinition(["AT", "DE"])})
    asset = writer(pa.table({"n": [7]}), partitions)
    for key in ("AT|2026-01-01", "DE|2026-01-01", "AT|2026-01-01"):
        dg.materialize([asset], resources={"io_manager": LakeIOManager()}, partition_key=key)
    found = lake_rows("SELECT country, day, n FROM lake.staging.things ORDER BY 1")
    assert found == [("AT", date(2026, 1, 1), 7), ("DE", date(2026, 1, 1), 7)]
    assert lake_rows("SELECT DISTINCT partition_key FROM lake.ops.loads ORDER BY 1") == [
        ("AT|2026-01-01",),
        ("DE|2026-01-01",),
    ]


def test_a_range_is_one_commit_and_its_days_without_rows_are_recorded_and_empty() -> None:
    def frame(keys: Any) -> pd.DataFrame:
        assert list(keys) == ["2026-01-01", "2026-01-02", "2026-01-03"]
        return pd.DataFrame({"day": [date(2026, 1, 1), date(2026, 1, 3), date(2026, 1, 3)], "n": [1, 2, 3]})

    asset = writer(frame, DAILY, "day")
    run(asset, "2026-01-01", "2026-01-03")
    expected = [("2026-01-01", 1), ("2026-01-02", 0), ("2026-01-03", 2)]
    assert lake_rows("SELECT partition_key, rows_accepted FROM lake.ops.loads ORDER BY 1") == expected
    assert lake_rows("SELECT count(DISTINCT snapshot_id) FROM lake.ops.loads") == [(1,)]
    got = read(asset, pd.DataFrame, "2026-01-01", "2026-01-03", partitions=DAILY)
    assert sorted(row["n"] for row in got) == [1, 2, 3]
    assert read(asset, pa.Table, "2026-01-02", partitions=DAILY) == []


def test_an_empty_frame_is_a_recorded_typed_empty_partition() -> None:
    full = pd.DataFrame({"n": [1], "words": ["x"]})
    run(writer(full, DAILY, "day"), "2026-01-01")
    asset = writer(full.iloc[:0], DAILY, "day")
    run(asset, "2026-01-01")
    assert lake_rows("SELECT * FROM lake.staging.things") == []
    assert [(load.rows_accepted, load.outcome) for load in ledger.latest_loads(get_lake().connect())] == [
        (0, "committed")
    ]
    got: list[pa.Schema] = []

    @dg.asset(ins={"things": dg.AssetIn(asset.key)}, partitions_def=DAILY, io_manager_key="nothing")
    def reader(things: pa.Table) -> None:
        got.append(things.schema)

    resources = {"io_manager": LakeIOManager(), "nothing": dg.InMemoryIOManager()}
    dg.materialize([asset, reader], selection=[reader], resources=resources, partition_key="2026-01-01")
    assert got[0].field("n").type == pa.int64()
    assert got[0].field("day").type == pa.date32()


def test_rows_of_a_partition_that_is_not_run_are_refused_and_nothing_changes() -> None:
    run(writer(pa.table({"n": [1]}), DAILY, "day"), "2026-01-01")
    stray = pa.table({"n": [2, 3], "day": [date(2026, 1, 1), date(2026, 1, 9)]})
    with pytest.raises(LakeError, match="another partition"):
        run(writer(stray, DAILY, "day"), "2026-01-01")
    with pytest.raises(UsageError, match="2026-01-09"):
        run(writer(stray, DAILY, "day"), "2026-01-01", "2026-01-02")
    assert lake_rows("SELECT n FROM lake.staging.things") == [(1,)]
    assert lake_rows("SELECT outcome, count(*) FROM lake.ops.loads GROUP BY 1 ORDER BY 1") == [
        ("committed", 1),
        ("failed", 3),
    ]
    assert len(list(get_lake().attachment.data_path.glob("staging/**/*.parquet"))) == 1


def test_a_partition_never_loaded_is_an_error_for_its_reader_unless_allowed() -> None:
    asset = writer(pa.table({"n": [1]}), DAILY, "day")
    run(asset, "2026-01-01")
    with pytest.raises(LakeError, match="never loaded for `2026-01-02`"):
        read(asset, pa.Table, "2026-01-02", partitions=DAILY)
    assert read(asset, pa.Table, "2026-01-02", partitions=DAILY, metadata={"allow_missing_partitions": True}) == []


def test_types_that_other_engines_cannot_read_are_refused_without_a_contract() -> None:
    for kind in ("HUGEINT", "UUID"):
        value = "1" if kind == "HUGEINT" else "uuid()"
        with pytest.raises(LakeError, match=kind):
            run(writer(duckdb.connect().sql(f"SELECT {value}::{kind} AS n")))


def test_what_is_no_frame_is_refused_and_not_pickled() -> None:
    with pytest.raises(UsageError, match="`dict` is no frame"):
        run(writer({"n": 1}))
    assert run(writer(None)).success


def test_the_contract_casts_orders_and_refuses() -> None:
    orders = {
        "order_id": ["O1"], "order_date": ["2026-01-01"], "ordered_at": ["2026-01-01 10:00:00"], "customer_id": ["C1"],
        "status": ["placed"], "country_code": ["AT"], "line_count": [1.0], "gross_amount": [10.5], "paid_amount": ["1"],
        "is_cancelled": ["false"],
    }  # fmt: skip
    days = dg.DailyPartitionsDefinition("2026-01-01")
    frame = pd.DataFrame(dict(reversed(orders.items())))
    run(writer(frame, days, key="marts/fct_orders"), "2026-01-01")
    found = lake_rows("SELECT order_date, line_count, gross_amount, is_cancelled FROM lake.marts.fct_orders")
    assert found == [(date(2026, 1, 1), 1, Decimal("10.50"), False)]
    with pytest.raises(LakeError, match="no column `surprise`"):
        run(writer(frame.assign(surprise=1), days, key="marts/fct_orders"), "2026-01-01")
    with pytest.raises(LakeError, match="cut off"):
        run(writer(frame.assign(line_count=1.5), days, key="marts/fct_orders"), "2026-01-01")
    assert lake_rows("SELECT count(*) FROM lake.marts.fct_orders") == [(1,)]


class Strict(LakeIOManager):
    """Refuses partitions with a negative number."""

    def audit(self, contract, con, relation, keys):
        bad = {str(day) for (day,) in con.execute(f"SELECT DISTINCT day FROM {relation} WHERE n < 0").fetchall()}
        return [Audit("staging.things", key, "", key not in bad, ("n.ge",) if key in bad else ()) for key in keys]


def test_a_partition_that_fails_the_audit_hook_keeps_its_rows_and_the_others_are_committed() -> None:
    old = pa.table({"n": [1, 2], "day": [date(2026, 1, 1), date(2026, 1, 2)]})
    new = pa.table({"n": [-5, 6], "day": [date(2026, 1, 1), date(2026, 1, 2)]})
    run(writer(old, DAILY, "day"), "2026-01-01", "2026-01-02", manager=Strict())
    with pytest.raises(LoadFailed, match="2026-01-01"):
        run(writer(new, DAILY, "day"), "2026-01-01", "2026-01-02", manager=Strict())
    assert lake_rows("SELECT n FROM lake.staging.things ORDER BY day") == [(1,), (6,)]
    passed = "SELECT a.passed, l.outcome FROM lake.ops.audits a JOIN lake.ops.loads l USING (load_id) ORDER BY 1, 2"
    assert lake_rows(passed) == [(False, "failed"), (True, "committed"), (True, "committed"), (True, "committed")]
