"""Which of the rows that share a key is kept, where rows have none, or people decided about some."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import duckdb
import pandera.ibis as pa
import pytest

from data_platform.contracts.model import REGISTRY, Action, Contract, Key, column, table
from data_platform.contracts.partitioning import by
from data_platform.contracts.registry import contract
from data_platform.errors import ContractError
from data_platform.quality import decide, inbox, judging, keys, screening
from data_platform.quality.compiler import Judge
from data_platform.quality.inbox import Pick
from data_platform.quality.screening import screen
from data_platform.quality.second_look import freed
from data_platform_tests.unit.quality.test_screening import DAY, NEXT, load_customer, order, rows

ORDERS = contract("staging.orders")


def lines(scope: Any = "partition", actions: Mapping[str, Action] | None = None) -> Contract:
    """Lines with a number that may be let in unread."""
    body = {"id": column(description="Order"), "n": column(description="Line"), "note": column(description="N", nullable=True)}  # fmt: skip
    model = type(
        "Lines",
        (pa.DataFrameModel,),
        {**body, "__doc__": "Lines.", "__annotations__": {"id": str, "n": int, "note": str}},
    )
    REGISTRY.pop("staging.lines", None)
    table(
        "staging.lines", grain="one row per line", owner="a@example.com", partition=by("arrival_date", "day"),
        key=Key(("id", "n"), scope=scope), actions=actions or {},
    )(model)  # fmt: skip
    return REGISTRY["staging.lines"]


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    REGISTRY.pop("staging.lines", None)


@pytest.mark.parametrize("scope", ["partition", "table"])
@pytest.mark.parametrize("actions", [{"n.cast": "flag"}, {"n.cast": "warn", "n.not_null": "warn"}])
def test_rows_whose_key_cannot_be_read_share_it_with_no_other(lake, land, scope, actions):
    model = lines(scope, actions)
    unread = "many" if len(actions) == 1 else None
    file = [{"id": "1", "n": unread, "note": note} for note in "abc"]
    for day in (DAY, NEXT):
        land("lines", day, [*file, {"id": "1", "n": day[-1]}, {"id": "1", "n": day[-1]}])
        (outcome,) = screen(lake, model, [day], "run")
        assert outcome.committed, outcome.load.error
        assert (outcome.load.rows_accepted, outcome.load.rows_merged, outcome.load.rows_quarantined) == (4, 1, 0)
    (outcome,) = screen(lake, model, [DAY], "again")
    assert outcome.load.rows_accepted == 4


def test_a_record_that_cannot_be_read_is_never_let_in():
    with pytest.raises(ContractError, match=r"`record\.parse`.*`flag`"):
        Judge.of(lines(actions={"record.parse": "flag"}))


def test_rows_discarded_for_their_key_are_found_under_it_after_every_later_load(lake, land):
    load_customer(lake, land)
    land("orders", DAY, [order(1)])
    land("orders", NEXT, [order(1, ordered_at=f"{NEXT} 08:00:00"), order(2, ordered_at=f"{NEXT} 08:00:00")])
    screen(lake, ORDERS, [DAY, NEXT], "run")
    with lake.connect() as con:
        decide.discard(lake, con, Pick(ORDERS, rule="key"), "sent twice")
        for days in ([NEXT], [DAY, NEXT]):
            screen(lake, ORDERS, days, "again")
            assert freed(con, ORDERS) == {}
            (row,) = inbox.summary(con, Pick(ORDERS, rule="key"))
            assert (row["rule"], row["status"], row["rows"]) == ("key", "discarded", 1)
            reasons = rows(lake, "SELECT rules, reasons FROM lake.quarantine.orders")
            assert reasons == [
                ("key", f"order_id is not unique: the partition {DAY} has it already; discarded: sent twice")
            ]
        land("orders", DAY, [])
        screen(lake, ORDERS, [DAY], "the order has left")
        assert freed(con, ORDERS) == {}, "a discarded row waits for nothing"
        screen(lake, ORDERS, [NEXT], "again")
    assert rows(lake, "SELECT first_rule, rules, status FROM lake.quarantine.orders") == [
        ("discarded", "", "discarded")
    ]
    assert rows(lake, "SELECT order_id FROM lake.staging.orders") == [("O0000000002",)]


@pytest.mark.parametrize(
    "chunk_rows", [4, *(pytest.param(rows, marks=(pytest.mark.slow, pytest.mark.long)) for rows in (1, 1_000_000))]
)
def test_a_day_that_takes_keys_from_all_that_follow_is_judged_some_rows_at_a_time(lake, land, monkeypatch, chunk_rows):
    load_customer(lake, land)
    days, judged = [f"2026-01-{day:02}" for day in range(5, 11)], list[int]()
    for number, day in enumerate(days):
        at = f"{day} 08:00:00"
        # Each day brings an order of its own, that of the day before and that of the first day.
        land("orders", day, [order(n, ordered_at=at) for n in sorted({number, max(number - 1, 0), 0})])
    assert all(outcome.committed for outcome in screen(lake, ORDERS, days[1:], "the first day is missing"))
    monkeypatch.setattr(judging, "CHUNK_ROWS", chunk_rows)
    wrapped = screening.judge

    def watched(con: Any, *rest: Any, **more: Any) -> None:
        wrapped(con, *rest, **more)
        judged.append(con.execute("SELECT count(*) FROM judged").fetchone()[0])

    monkeypatch.setattr(screening, "judge", watched)
    outcomes = screen(lake, ORDERS, days[:1], "now it is there")
    assert all(outcome.committed for outcome in outcomes) and outcomes[0].partition_key == days[0]
    kept = rows(lake, "SELECT arrival_date::VARCHAR, order_id FROM lake.staging.orders ORDER BY ALL")
    assert kept == [(day, f"O{number:010d}") for number, day in enumerate(days)]
    assert all(
        outcome.load.rows_read == outcome.load.rows_accepted + outcome.load.rows_quarantined for outcome in outcomes
    )
    assert max(judged) <= max(3, chunk_rows)
    again = screen(lake, ORDERS, days, "all of them")
    assert {o.partition_key: o.load.content_hash for o in outcomes}.items() <= {
        o.partition_key: o.load.content_hash for o in again
    }.items()
    staged = {path.name for path in lake.attachment.data_path.rglob("*.parquet")}
    named = rows(lake, "SELECT data_file FROM ducklake_list_files('lake', 'orders', schema => 'staging')")
    assert {str(name).rpartition("/")[2] for (name,) in named} <= staged


def test_a_scan_takes_as_many_rows_as_memory_allows() -> None:
    found = []
    for memory in ("1GB", "12GB", "120GB"):
        with duckdb.connect(config={"memory_limit": memory}) as con:
            found.append([judging.rows_at_once(con, each) for each in (ORDERS, contract("staging.products"))])
    least, (orders, products), most = found
    assert least == [judging.LEAST_ROWS] * 2
    assert most == [judging.CHUNK_ROWS] * 2
    assert len(ORDERS.columns) > len(contract("staging.products").columns) and orders < products


@pytest.mark.parametrize("taken", ["O0000000001", "O0000000005", "O0000000009"])
def test_a_key_at_either_end_of_the_range_that_a_load_has_is_found_in_another_partition(lake, land, taken):
    load_customer(lake, land)
    land("orders", DAY, [order(int(taken[1:]))])
    land("orders", NEXT, [order(n, ordered_at=f"{NEXT} 08:00:00") for n in (1, 5, 9)])
    for day in (DAY, NEXT):
        screen(lake, ORDERS, [day], "run")
    kept = rows(lake, "SELECT order_id FROM lake.staging.orders WHERE arrival_date = DATE '2026-01-06' ORDER BY ALL")
    assert [name for (name,) in kept] == [f"O{n:010d}" for n in (1, 5, 9) if f"O{n:010d}" != taken]
    assert rows(lake, "SELECT rules FROM lake.quarantine.orders") == [("key",)]


def test_a_key_with_a_nul_character_is_compared_as_any_other(lake, land):
    contract = lines(scope="table")
    with lake.connect() as con:
        con.execute("CREATE TEMP TABLE c AS SELECT 'a' || chr(0) AS id, 1::BIGINT AS n UNION ALL SELECT 'b', 2")
        assert keys._between(con, contract, "c") == "\"n\" BETWEEN '1'::BIGINT AND '2'::BIGINT"
