from __future__ import annotations

import datetime as dt
from dataclasses import replace
from itertools import permutations
from typing import Any

import pandera.ibis as pa
import pytest

from data_platform.contracts.model import Key, column
from data_platform.contracts.registry import contract
from data_platform.errors import KeyConflict
from data_platform.quality import screening
from data_platform.quality.races import refuse_taken_keys
from data_platform.quality.screening import screen
from data_platform.quality.second_look import freed, parents_came

DAY, NEXT = "2026-01-05", "2026-01-06"


def order(number: int, **changed: object) -> dict[str, object]:
    row = {
        "order_id": f"O{number:010d}", "customer_id": "C00000001", "status": "paid", "country_code": "DE",
        "total_amount": "12.50", "ordered_at": f"{DAY} 10:00:00",
    }  # fmt: skip
    return row | changed


def customer(**changed: object) -> dict[str, object]:
    row = {
        "customer_id": "C00000001", "email": "ann@example.com", "full_name": "Ann Lee", "country_code": "DE",
        "signed_up_at": "2025-01-01 00:00:00", "updated_at": f"{DAY} 09:00:00",
    }  # fmt: skip
    return row | changed


def rows(lake: Any, sql: str) -> list[Any]:
    with lake.connect() as con:
        return con.execute(sql).fetchall()


def load_customer(lake: Any, land: Any) -> None:
    land("customers", DAY, [customer()])
    assert screen(lake, contract("staging.customers"), [DAY], "run")[0].committed


def test_every_row_gets_one_fate_and_the_counts_add_up(lake, land):
    load_customer(lake, land)
    land("orders", DAY, [
        order(1), order(2, status="lost"), order(3, total_amount="1,50"), order(4, customer_id="C99999999"),
        order(5), order(5, total_amount="13.00", ordered_at=f"{DAY} 11:00:00"), order(6, ordered_at="2026-01-04 23:00:00"),
        order(7, ordered_at=f"{NEXT} 00:00:00"), order(8, order_id=" ", status="lost"), {"_defect": "too few fields"},
    ])  # fmt: skip
    outcome = screen(lake, contract("staging.orders"), [DAY], "run")[0]
    load = outcome.load
    assert (load.rows_read, load.rows_accepted, load.rows_quarantined, load.rows_merged) == (10, 3, 6, 1)
    assert (load.rows_flagged, load.rows_late) == (1, 1)
    assert load.by_rule == {
        "status.isin": 2, "total_amount.cast": 1, "customer_id.exists": 1, "ordered_at.future": 1, "ordered_at.late": 1,
        "order_id.not_null": 1, "record.parse": 1,
    }  # fmt: skip
    kept = rows(lake, "SELECT order_id, total_amount::VARCHAR, _flags FROM lake.staging.orders ORDER BY 1")
    assert kept == [
        ("O0000000001", "12.50", None), ("O0000000005", "13.00", None), ("O0000000006", "12.50", "ordered_at.late"),
    ]  # fmt: skip
    why = dict(rows(lake, "SELECT _record, rules FROM lake.quarantine.orders"))
    assert why[9] == "order_id.not_null,status.isin"
    reason = rows(lake, 'SELECT reasons, "row" FROM lake.quarantine.orders WHERE _record = 3')[0]
    assert reason[0] == "total_amount: expected text that is a DECIMAL(18,2), got `1,50`"
    assert '"total_amount":"1,50"' in reason[1]


def test_a_load_whose_counts_do_not_add_up_does_not_commit(lake, land):
    load_customer(lake, land)
    land("orders", DAY, [order(1)], read=2)
    outcome = screen(lake, contract("staging.orders"), [DAY], "run")[0]
    assert not outcome.committed
    assert "2 rows were read and 1 accounted for" in outcome.load.error
    assert rows(lake, "SELECT count(*) FROM lake.staging.orders") == [(0,)]


def test_one_bad_day_does_not_keep_the_others_out(lake, land):
    load_customer(lake, land)
    land("orders", DAY, [order(1)], read=2)
    land("orders", NEXT, [order(1, ordered_at=f"{NEXT} 08:00:00"), order(2, ordered_at=f"{NEXT} 08:00:00")])
    bad, good, never = screen(lake, contract("staging.orders"), [DAY, NEXT, "2026-01-07"], "run")
    assert (bad.committed, good.committed, never.committed) == (False, True, False)
    # The failed day did not commit, so its order 1 makes no duplicate of the next day's.
    assert good.load.rows_accepted == 2
    assert "no committed load of `2026-01-07`" in never.load.error


def test_a_key_of_table_scope_is_kept_by_the_earlier_partition_and_said_so(lake, land):
    load_customer(lake, land)
    land("orders", DAY, [order(1)])
    land("orders", NEXT, [order(1, ordered_at=f"{NEXT} 08:00:00"), order(2, ordered_at=f"{NEXT} 08:00:00")])
    together = screen(lake, contract("staging.orders"), [DAY, NEXT], "run")
    assert [(o.load.rows_accepted, o.load.rows_quarantined) for o in together] == [(1, 0), (1, 1)]
    alone = screen(lake, contract("staging.orders"), [NEXT], "run")
    assert (alone[0].load.rows_accepted, alone[0].load.by_rule) == (1, {"key": 1})
    assert alone[0].load.content_hash == together[1].load.content_hash
    reason = rows(lake, "SELECT reasons FROM lake.quarantine.orders")
    assert reason == [(f"order_id is not unique: the partition {DAY} has it already",)]


@pytest.mark.long
@pytest.mark.slow
def test_the_order_in_which_days_are_loaded_does_not_decide_which_row_is_kept(lake, land):
    load_customer(lake, land)
    days = [DAY, NEXT, "2026-01-07"]
    land("orders", days[0], [order(1), order(2)])
    land("orders", days[1], [order(2, ordered_at=f"{NEXT} 08:00:00"), order(3, ordered_at=f"{NEXT} 08:00:00")])
    land("orders", days[2], [order(number, ordered_at="2026-01-07 08:00:00") for number in (1, 2, 3, 4)])
    model, found = contract("staging.orders"), set()
    for loading in permutations(days):
        for day in loading:
            assert all(outcome.committed for outcome in screen(lake, model, [day], "run"))
        kept = rows(lake, "SELECT arrival_date::VARCHAR, order_id FROM lake.staging.orders ORDER BY ALL")
        aside = rows(lake, "SELECT arrival_date::VARCHAR, _record, reasons FROM lake.quarantine.orders ORDER BY ALL")
        found.add((tuple(kept), tuple(aside)))
        for table in ("staging.orders", "quarantine.orders"):
            rows(lake, f"DELETE FROM lake.{table}")
        rows(lake, "DELETE FROM lake.ops.loads WHERE asset = 'staging.orders'")
    ((kept, aside),) = found
    assert [day for day, _ in kept] == [DAY, DAY, NEXT, "2026-01-07"] and len(aside) == 4


def test_a_later_day_that_loses_a_key_is_loaded_too_and_follows_in_the_outcomes(lake, land):
    load_customer(lake, land)
    land("orders", NEXT, [order(1, ordered_at=f"{NEXT} 08:00:00")])
    screen(lake, contract("staging.orders"), [NEXT], "run")
    land("orders", DAY, [order(1)])
    own, other = screen(lake, contract("staging.orders"), [DAY], "again")
    assert (own.partition_key, own.load.rows_accepted) == (DAY, 1)
    assert (other.partition_key, other.load.rows_accepted, other.load.by_rule) == (NEXT, 0, {"key": 1})
    assert other.load.business_days == () and own.load.run_id == other.load.run_id == "again"


def test_a_later_day_that_cannot_be_screened_again_keeps_its_key_and_the_row_is_set_aside(lake, land):
    load_customer(lake, land)
    land("orders", NEXT, [order(1, ordered_at=f"{NEXT} 08:00:00")])
    screen(lake, contract("staging.orders"), [NEXT], "run")
    land("orders", NEXT, [order(1, ordered_at=f"{NEXT} 08:00:00")], read=7)
    land("orders", DAY, [order(1), order(2)])
    (own,) = screen(lake, contract("staging.orders"), [DAY], "again")
    assert own.committed and (own.load.rows_accepted, own.load.by_rule) == (1, {"key": 1})
    assert rows(lake, "SELECT reasons FROM lake.quarantine.orders") == [
        (f"order_id is not unique: the partition {NEXT} has it already",)
    ]


def test_loading_a_day_again_gives_the_same_rows_and_hash_and_quarantines_nothing_twice(lake, land):
    load_customer(lake, land)
    land("orders", DAY, [order(1), order(2, status="lost")])
    first = screen(lake, contract("staging.orders"), [DAY], "run")[0].load
    second = screen(lake, contract("staging.orders"), [DAY], "again")[0].load
    assert first.content_hash == second.content_hash
    assert rows(lake, "SELECT count(*) FROM lake.quarantine.orders") == [(1,)]
    assert rows(lake, "SELECT count(*) FROM lake.staging.orders") == [(1,)]


def test_an_empty_day_is_a_recorded_empty_partition(lake, land):
    land("customers", DAY, [])
    outcome = screen(lake, contract("staging.customers"), [DAY], "run")[0]
    assert outcome.committed
    assert outcome.load.rows_read == 0
    assert outcome.load.content_hash == ""


def test_samples_show_where_a_row_is_and_mask_what_is_personal(lake, land):
    land("customers", DAY, [customer(), customer(customer_id="C00000002", email="not an address")])
    outcome = screen(lake, contract("staging.customers"), [DAY], "run")[0]
    broken = next(result for result in outcome.rules if result.rule == "email.matches")
    assert broken.count == 1
    assert not broken.passed
    assert broken.sample[0]["record"] == 2
    assert "address" not in str(broken.sample[0]["email"])
    assert outcome.load.rows_accepted == 1


def test_text_becomes_the_type_or_breaks_the_cast_rule_and_nothing_is_rounded(lake, land):
    load_customer(lake, land)
    land("orders", DAY, [
        order(1, ordered_at="2026-01-04T20:00:00-05:00"), order(2, ordered_at="infinity"), order(3, ordered_at="epoch"),
        order(4, total_amount="0.1000000000004"), order(5, total_amount="1.500"), order(6, ordered_at=f"{DAY}T10:00:00Z"),
        order(7, ordered_at="2026-01-02 (BC)"), order(8, ordered_at="0000-01-01"), order(9, ordered_at="9999-12-31T23:00:00-05:00"),
    ])  # fmt: skip
    load = screen(lake, contract("staging.orders"), [DAY], "run")[0].load
    assert load.by_rule == {"ordered_at.cast": 5, "total_amount.cast": 1}
    kept = rows(lake, "SELECT order_id, ordered_at::VARCHAR, total_amount::VARCHAR FROM lake.staging.orders ORDER BY 1")
    assert kept == [
        ("O0000000001", "2026-01-05 01:00:00", "12.50"), ("O0000000005", f"{DAY} 10:00:00", "1.50"),
        ("O0000000006", f"{DAY} 10:00:00", "12.50"),
    ]  # fmt: skip


def test_what_nobody_has_foreseen_fails_its_own_day_and_is_in_the_ledger(lake, land, monkeypatch):
    load_customer(lake, land)
    land("orders", DAY, [order(1)])
    land("orders", NEXT, [order(2, ordered_at=f"{NEXT} 08:00:00")])
    counted = screening._count

    def count(job: Any, keys: Any, started: float) -> Any:
        if NEXT in keys:
            raise AttributeError("'str' object has no attribute 'isoformat'")
        return counted(job, keys, started)

    monkeypatch.setattr(screening, "_count", count)
    good, bad = screen(lake, contract("staging.orders"), [DAY, NEXT], "run")
    assert good.committed and not bad.committed
    assert "AttributeError: 'str' object has no attribute" in bad.load.error
    failed = rows(lake, "SELECT partition_key, error FROM lake.ops.loads WHERE outcome = 'failed'")
    assert failed == [(NEXT, bad.load.error)]


def test_a_row_set_aside_for_a_key_that_became_free_is_found_and_comes_back(lake, land):
    load_customer(lake, land)
    orders, moved = contract("staging.orders"), order(1, ordered_at=f"{NEXT} 08:00:00")
    land("orders", DAY, [order(1), order(2)])
    assert screen(lake, orders, [DAY], "run")[0].committed
    land("orders", NEXT, [moved, order(2, ordered_at=f"{NEXT} 08:00:00", status="lost")])
    screen(lake, orders, [NEXT], "the newer day first")
    with lake.connect() as con:
        assert freed(con, orders) == {}, "the older day has the key still"
        land("orders", DAY, [])
        screen(lake, orders, [DAY], "the order has left")
        assert freed(con, orders) == {NEXT: 1}, "the other row breaks another rule as well"
        screen(lake, orders, list(freed(con, orders)), "once more")
        assert freed(con, orders) == {}
    assert rows(lake, "SELECT order_id, arrival_date::VARCHAR FROM lake.staging.orders") == [("O0000000001", NEXT)]


def test_a_row_whose_parent_came_in_time_after_all_is_found_and_comes_back(lake, land):
    orders, seven = contract("staging.orders"), {"customer_id": "C00000007"}
    later = str(dt.date.fromisoformat(NEXT) + dt.timedelta(days=1))
    load_customer(lake, land)
    good = [order(number, ordered_at=f"{NEXT} 08:00:00") for number in range(10, 20)]
    lacks_more = order(2, **seven, ordered_at=f"{NEXT} 08:00:00", status="lost")
    land("orders", NEXT, [order(1, **seven, ordered_at=f"{NEXT} 08:00:00"), lacks_more, *good])
    assert screen(lake, orders, [NEXT], "before its parent")[0].load.rows_quarantined == 2
    with lake.connect() as con:
        assert parents_came(con, orders) == {}
        for day in (later, NEXT):
            land("customers", day, [customer(**seven)])
            assert screen(lake, contract("staging.customers"), [day], "run")[0].committed
            assert parents_came(con, orders) == ({} if day == later else {NEXT: 1}), (
                "a later day's parent does not count"
            )
        assert screen(lake, orders, list(parents_came(con, orders)), "once more")[0].load.rows_quarantined == 1
        assert parents_came(con, orders) == {}


def test_a_table_that_was_never_loaded_has_no_freed_rows(lake):
    with lake.connect() as con:
        assert freed(con, contract("staging.orders")) == {}
        assert parents_came(con, contract("staging.orders")) == {}


def test_a_load_that_is_refused_for_its_share_names_the_rule_that_sets_most_aside(lake, land):
    load_customer(lake, land)
    late = {"ordered_at": "2026-01-01 10:00:00"}  # flagged, and by more rows than are set aside
    land("orders", DAY, [order(n, **late, status="lost" if n % 3 else "paid") for n in range(90)])
    outcome = screen(lake, contract("staging.orders"), [DAY], "run")[0]
    assert not outcome.committed
    assert "67% of 90 rows would be quarantined (limit 20%), most by `status.isin`" in outcome.load.error


class Numbered(pa.DataFrameModel):
    """Addresses that somebody takes for numbers."""

    email: str = column(description="E-mail address", pii="email")

    @pa.dataframe_check(name="is_number", description="a number")
    def is_number(cls, data):  # type: ignore[no-untyped-def]
        return data.table.email.cast("int64") > 0


class Daily(pa.DataFrameModel):
    """Customers as of a day."""

    customer_id: str = column(description="Id")
    updated_at: dt.date = column(description="Day of the change")


def test_the_event_time_may_be_a_day(lake, land):
    """As it is in most files that a newcomer drafts a contract from."""
    land("customers", DAY, [customer(updated_at=DAY)])
    (outcome,) = screen(lake, replace(contract("staging.customers"), model=Daily), [DAY], "run")
    assert outcome.committed, outcome.load.error
    assert outcome.load.event_min == outcome.load.event_max == dt.datetime(2026, 1, 5)


def test_an_error_of_the_engine_does_not_tell_the_personal_value_that_it_stumbled_over(lake, land):
    land("customers", DAY, [customer(email="o'john@secret.com")])
    model = replace(contract("staging.customers"), model=Numbered, key=None, event_time=None, business_time=None)
    (outcome,) = screen(lake, model, [DAY], "run")
    assert not outcome.committed and "Could not convert string ***" in outcome.load.error
    assert "secret" not in outcome.load.error
    ((kept,),) = rows(lake, "SELECT error FROM lake.ops.loads WHERE outcome = 'failed'")
    assert kept == outcome.load.error


def test_a_key_that_another_load_took_is_not_told_for_it_may_be_personal(lake, land):
    load_customer(lake, land)
    land("customers", NEXT, [customer(updated_at=f"{NEXT} 09:00:00")])
    screen(lake, contract("staging.customers"), [NEXT], "run")
    model = replace(contract("staging.customers"), key=Key(("email",), scope="table"))
    with lake.connect() as con, pytest.raises(KeyConflict, match="a key was committed") as told:
        refuse_taken_keys(model, [model.partition.values(NEXT)], 0, con)
    assert "@" not in str(told.value)
