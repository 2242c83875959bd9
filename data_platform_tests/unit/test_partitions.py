"""Partitions definitions from contracts, and days that mean partitions."""

from __future__ import annotations

from datetime import date, datetime

import dagster as dg
import pytest

from data_platform.cli.catalogue import expected_keys
from data_platform.contracts.partitioning import UNPARTITIONED, Dimension, Partitioning, by
from data_platform.errors import ContractError
from data_platform.partitions import keys_between, name_of, partitions_def, window_of
from data_platform.settings import Settings

FIRST, END = date(2026, 1, 1), date(2026, 3, 1)
COUNTRY = Dimension("country", "static", keys=("AT", "DE"))
DAY = Dimension("zone_day", "day", FIRST, END)
CASES = {
    "unpartitioned": UNPARTITIONED,
    "day": by("arrival_date", "day", start=FIRST, end=END),
    "month": by("month", "month", start=date(2025, 11, 17), end=END),
    "hour": by("hour", "hour", start=date(2026, 2, 27), end=END),
    "static": Partitioning((COUNTRY,)),
    "multi": Partitioning((DAY, COUNTRY)),
}


def definition(name: str) -> dg.PartitionsDefinition:
    made = partitions_def(CASES[name])
    assert made is not None
    return made


def test_equal_partitionings_are_equal_definitions_whatever_the_column_is_called(settings: Settings) -> None:
    assert partitions_def(by("arrival_date", "day")) == partitions_def(by("order_date", "day"))
    assert partitions_def(by("a", "day")) != partitions_def(by("a", "day", start=FIRST, end=END))
    assert partitions_def(by("a", "day")) != partitions_def(by("a", "month"))


def test_daily_tables_begin_at_the_platforms_start_date(settings: Settings) -> None:
    made = partitions_def(by("arrival_date", "day"))
    assert made is not None and made.get_partition_keys()[0] == settings.start_date.isoformat()


@pytest.mark.parametrize("name", [name for name in CASES if name != "unpartitioned"])
def test_keys_are_those_that_the_contract_can_read_and_status_expects(name: str) -> None:
    keys = definition(name).get_partition_keys()
    assert keys, name
    for key in keys:
        assert CASES[name].key(CASES[name].values(key)) == key
    assert list(keys) == expected_keys(CASES[name], FIRST, datetime(2027, 1, 1))


def test_what_is_not_over_is_not_expected() -> None:
    open_ended = by("arrival_date", "day")
    assert expected_keys(open_ended, FIRST, datetime(2026, 1, 3, 23, 59)) == ["2026-01-01", "2026-01-02"]
    assert expected_keys(by("m", "month"), FIRST, datetime(2026, 2, 28)) == ["2026-01-01"]
    assert expected_keys(UNPARTITIONED, FIRST) == [""]


@pytest.mark.parametrize(
    ("name", "start", "end", "expected"),
    [
        ("day", date(2026, 1, 31), date(2026, 2, 1), ["2026-01-31", "2026-02-01"]),
        ("month", date(2026, 1, 31), date(2026, 2, 1), ["2026-01-01", "2026-02-01"]),
        ("month", date(2026, 1, 15), date(2026, 1, 15), ["2026-01-01"]),
        ("static", date(2026, 1, 15), date(2026, 1, 15), ["AT", "DE"]),
        ("multi", date(2026, 1, 2), date(2026, 1, 2), ["AT|2026-01-02", "DE|2026-01-02"]),
        ("day", date(2027, 1, 1), date(2027, 1, 2), []),
        ("day", None, date(2026, 1, 1), ["2026-01-01"]),
        ("day", date(2026, 2, 28), None, ["2026-02-28"]),
    ],
)
def test_days_mean_every_partition_that_overlaps(
    name: str, start: date | None, end: date | None, expected: list[str]
) -> None:
    assert list(keys_between(definition(name), start, end)) == expected


def test_a_day_means_its_24_hours() -> None:
    found = keys_between(definition("hour"), date(2026, 2, 27), date(2026, 2, 27))
    assert (found[0], found[-1], len(found)) == ("2026-02-27-00:00", "2026-02-27-23:00", 24)


def test_no_days_mean_all_partitions() -> None:
    assert len(keys_between(definition("day"), None, None)) == 59


def test_windows_and_names() -> None:
    assert window_of(definition("month"), "2026-01-01") == (datetime(2026, 1, 1), datetime(2026, 2, 1))
    assert window_of(definition("multi"), "DE|2026-01-02") == (datetime(2026, 1, 2), datetime(2026, 1, 3))
    assert window_of(definition("static"), "AT") is None and window_of(None, "") is None
    names = ["day", "month", "hour", "static", "multi"]
    assert [name_of(definition(name)) for name in names] == names
    assert partitions_def(UNPARTITIONED) is None and name_of(None) == "unpartitioned"


def test_a_static_column_without_keys_is_refused() -> None:
    with pytest.raises(ContractError, match="`country` names no keys"):
        partitions_def(Partitioning((Dimension("country", "static"),)))
