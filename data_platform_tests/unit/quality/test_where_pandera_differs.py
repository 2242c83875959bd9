"""Where our SQL and pandera on pandas, or pandera on ibis, give different verdicts: docs/decisions/0007 tells why.

Each row of the decision's table has its test here.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import duckdb
import ibis
import pandera.ibis
import pytest
from pandera.errors import SchemaErrors

from data_platform.contracts.model import column
from data_platform.errors import ContractError
from data_platform.quality.compiler import broken_mask, compile_rules
from data_platform_tests.unit.quality.on_pandas import Case, Column, by_pandas, by_sql


@pytest.fixture(scope="module")
def con() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def case(kind: str, values: list[Any], nullable: bool = True, **checks: Any) -> Case:
    return Case((Column(kind, nullable, checks, values),))


def is_valid_on_ibis(found: Case) -> bool:
    """What pandera says on ibis of the whole table."""
    try:
        found.contract().model.validate(ibis.memtable(found.frame()), lazy=True)
    except SchemaErrors:
        return False
    return True


def test_pandera_on_ibis_anchors_only_the_first_alternative_of_a_pattern(con):
    found = case("text", ["S", "XL", "MXL"], str_matches="S|XL")
    assert is_valid_on_ibis(found)
    assert by_sql(con, found) == by_pandas(found) == {(2, "c0.matches")}


def test_pandera_on_ibis_drops_the_flags_of_a_compiled_pattern(con):
    found = case("text", ["ab", "AB", "xAB"], str_matches=re.compile("ab", re.IGNORECASE))
    assert not is_valid_on_ibis(case("text", ["AB"], str_matches=re.compile("ab", re.IGNORECASE)))
    assert by_sql(con, found) == by_pandas(found) == {(2, "c0.matches")}
    newline = case("text", ["a\nb", "ab"], str_contains=re.compile("a.b", re.DOTALL))
    assert by_sql(con, newline) == by_pandas(newline) == {(1, "c0.contains")}


def test_an_empty_pattern_is_found_in_every_text(con):
    found = case("text", ["", "a", "é"], str_matches="", str_contains="")
    assert by_sql(con, found) == by_pandas(found) == set()


def test_a_verbose_pattern_is_refused():
    with pytest.raises(ContractError, match="is verbose"):
        compile_rules(case("text", ["a"], str_contains=re.compile("a b", re.VERBOSE)).contract())


def test_a_null_among_the_allowed_values_allows_nothing_else(con):
    found = case("text", ["a", "b", None], isin=["a", None])
    assert by_sql(con, found) == by_pandas(found) == {(1, "c0.isin")}
    forbidden = case("text", ["a", "b", None], notin=["a", None])
    assert by_sql(con, forbidden) == by_pandas(forbidden) == {(0, "c0.notin")}


def test_unique_is_silently_ignored_on_ibis_and_refused_by_us():
    class Model(pandera.ibis.DataFrameModel):
        id: str = pandera.ibis.Field(unique=True)

    rows = ibis.memtable({"id": ["a", "a"]})
    assert Model.validate(rows, lazy=True).count().execute() == 2
    with pytest.raises(ContractError, match="unique"):
        column(description="id", unique=True)


def test_a_dollar_is_the_very_end_of_a_text_and_not_before_its_last_line_feed(con):
    found = case("text", ["a", "a\n"], str_matches="^a$")
    assert by_pandas(found) == set()
    assert by_sql(con, found) == {(1, "c0.matches")}


@pytest.mark.parametrize(("pattern", "value"), [(r"^\d$", "٣"), (r"^\w$", "é"), (r"^\s$", "\u00a0")])
def test_classes_of_characters_are_ascii(con, pattern, value):
    found = case("text", [value], str_matches=pattern)
    assert by_pandas(found) == set()
    assert by_sql(con, found) == {(0, "c0.matches")}


@pytest.mark.parametrize("pattern", ["(?=a)a", r"a\Z", r"(a)\1"])
def test_a_pattern_that_needs_looking_around_is_an_error_and_no_verdict(con, pattern):
    found = case("text", ["a", "aa"], str_matches=pattern)
    by_pandas(found)
    with pytest.raises(duckdb.InvalidInputException, match="invalid"):
        by_sql(con, found)


def test_whole_numbers_beyond_a_double_are_compared_exactly(con):
    found = case("int", [2**53 + 1, 2**53], gt=float(2**53))
    assert by_pandas(found) == {(0, "c0.gt"), (1, "c0.gt")}, "2**53 + 1 became a double"
    assert by_sql(con, found) == {(1, "c0.gt")}


def test_nan_made_inside_the_engine_is_a_value_above_all_others(con):
    found = case("float", [float("nan")], nullable=False, gt=1.0, lt=2.0)
    assert by_sql(con, found) == by_pandas(found) == {(0, "c0.not_null")}, "pandas' NaN is NULL on its way in"
    rules = compile_rules(found.contract())
    mask = con.execute(f"SELECT {broken_mask(rules)} FROM (SELECT 'nan'::DOUBLE AS c0)").fetchone()[0]
    assert {rule.rule.name for rule in rules if mask >> rule.bit & 1} == {"c0.lt"}


def test_nothing_is_in_an_empty_list_and_neither_is_null(con):
    found = case("text", ["a", None], isin=[])
    assert by_pandas(found) == {(0, "c0.isin")}
    assert by_sql(con, found) == {(0, "c0.isin"), (1, "c0.isin")}


def test_a_bound_with_a_time_zone_is_a_moment_where_pandas_cannot_compare(con):
    bound = dt.datetime(2026, 1, 1, 5, tzinfo=dt.timezone(dt.timedelta(hours=5)))
    found = case("time", [dt.datetime(2025, 12, 31, 23), dt.datetime(2026, 1, 1, 1)], gt=bound)
    assert by_sql(con, found) == {(0, "c0.gt")}
    with pytest.raises(TypeError):
        by_pandas(found)


def test_null_passes_a_check_on_text_as_on_pandas_unless_the_contract_says_otherwise(con):
    found = case("text", [None, "b"], str_startswith="b", str_length={"min_value": 1}, ne="x")
    assert by_sql(con, found) == by_pandas(found) == set()
