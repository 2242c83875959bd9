"""Our compiled SQL gives the verdict, row by row and rule by rule, that pandera gives on pandas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings

from data_platform_tests.unit.quality.on_pandas import Case, by_pandas, by_sql, cases

QUICK, THOROUGH = 60, 2_000


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET TimeZone = 'UTC'")
    yield connection
    connection.close()


@settings(max_examples=QUICK)
@given(cases())
def test_sql_and_pandas_agree_on_every_row_and_rule(con: duckdb.DuckDBPyConnection, case: Case) -> None:
    assert by_sql(con, case) == by_pandas(case)


@pytest.mark.slow
@pytest.mark.long
def test_sql_and_pandas_agree_on_thousands_of_tables_that_break_every_check(con: duckdb.DuckDBPyConnection) -> None:
    """Agreement says nothing of a check that no generated row ever breaks."""
    stated, broken = Counter[str](), Counter[str]()

    @settings(max_examples=THOROUGH, suppress_health_check=[HealthCheck.too_slow])
    @given(cases())
    def agree(case: Case) -> None:
        verdict = by_sql(con, case)
        assert verdict == by_pandas(case)
        stated.update(rule.name.partition(".")[2] for rule in case.contract().rules)
        broken.update(rule.partition(".")[2] for _, rule in verdict)

    agree()
    assert len(stated) == 15
    assert set(stated) == set(broken)
