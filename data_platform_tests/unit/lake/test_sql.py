"""Names and values as SQL and as paths: they work or are refused, and never mean anything else."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from urllib.parse import unquote

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_platform.errors import LakeError, UsageError
from data_platform.lake.sql import hive_path, ident, partition_text, partitions_condition, table_name, text, type_name

WORDS = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"))


@given(WORDS)
def test_a_text_is_the_same_after_the_engine_read_it(word: str) -> None:
    assert duckdb.execute(f"SELECT {text(word)}").fetchone() == (word,)


@given(
    st.text(
        st.characters(blacklist_categories=("Cs", "Cc", "Cf", "Co", "Cn", "Zl", "Zp", "Zs")), min_size=1, max_size=30
    )
)
def test_an_identifier_names_one_column_whatever_is_in_it(name: str) -> None:
    relation = duckdb.sql(f"SELECT 1 AS {ident(name)}")
    assert relation.columns == [name]


@pytest.mark.parametrize(
    "name",
    ["orders", "staging.", "other.orders", 'staging.or"ders', "staging.a; DROP TABLE x", "staging.a.b", "staging.../x"],
)
def test_a_table_name_that_is_not_plain_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a table"):
        table_name(name)


@pytest.mark.parametrize("kind", ["INTEGER); DROP TABLE x; --", "", "1NT", "VARCHAR'"])
def test_a_type_that_is_no_type_is_refused(kind: str) -> None:
    with pytest.raises(UsageError, match="is not the name of a column type"):
        type_name(kind)


@given(WORDS.filter(lambda word: len(word) < 30))
def test_a_partition_value_keeps_to_its_part_of_the_path_and_comes_back(word: str) -> None:
    try:
        path = hive_path({"part": partition_text(word, "VARCHAR")})
    except LakeError:
        assert word.lower() in ("null", "__hive_default_partition__") or len(word.encode()) > 40
        return
    assert "/" not in path
    assert unquote(path.removeprefix("part=")) == word


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (date(2026, 1, 2), "DATE", "2026-01-02"),
        (datetime(2026, 1, 2), "DATE", "2026-01-02"),
        (date(2026, 1, 2), "TIMESTAMP", "2026-01-02 00:00:00"),
        (datetime(2026, 1, 2, 3), "TIMESTAMP", "2026-01-02 03:00:00"),
        (datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))), "TIMESTAMP", "2026-01-02 01:00:00"),
        (datetime(2026, 1, 2, tzinfo=UTC), "DATE", "2026-01-02"),
        (True, "BOOLEAN", "true"),
        (7, "INTEGER", "7"),
    ],
)
def test_a_partition_value_has_one_spelling(value: object, kind: str, expected: str) -> None:
    assert partition_text(value, kind) == expected


@pytest.mark.parametrize("value", [None, "NULL", "null", "__HIVE_DEFAULT_PARTITION__", "x" * 200, "a\0b"])
def test_a_partition_value_that_would_become_another_is_refused(value: object) -> None:
    with pytest.raises(LakeError):
        partition_text(value, "VARCHAR")


def test_a_moment_is_no_day() -> None:
    with pytest.raises(LakeError, match="is no day"):
        partition_text(datetime(2026, 1, 2, 3), "DATE")


def test_the_condition_of_many_partitions_matches_them_and_no_others() -> None:
    types = {"day": "DATE", "shop": "VARCHAR"}
    wanted = [{"day": "2026-01-01", "shop": "a'b"}, {"day": "2026-01-02", "shop": "c"}]
    rows = "(VALUES (DATE '2026-01-01', 'a''b'), (DATE '2026-01-01', 'c'), (DATE '2026-01-02', 'c')) t(day, shop)"
    found = duckdb.sql(f"SELECT day::VARCHAR, shop FROM {rows} WHERE {partitions_condition(types, wanted)}").fetchall()
    assert found == [("2026-01-01", "a'b"), ("2026-01-02", "c")]
