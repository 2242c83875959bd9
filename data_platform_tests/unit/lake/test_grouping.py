"""The engine's threads while many groups are made: more for that long, the usual ones after it, whatever happens."""

import os
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pytest

from data_platform.lake.grouping import many_groups


def threads(con):
    return con.execute("SELECT current_setting('threads')").fetchone()[0]


def test_an_engine_that_has_the_whole_machine_splits_finer(monkeypatch):
    with duckdb.connect(config={"threads": 3}) as con:
        monkeypatch.setattr(os, "cpu_count", lambda: 3)
        with many_groups(con):
            assert threads(con) == 6
        assert threads(con) == 3


def test_an_engine_that_was_given_less_keeps_to_it(monkeypatch):
    with duckdb.connect(config={"threads": 1}) as con:
        monkeypatch.setattr(os, "cpu_count", lambda: 3)
        with many_groups(con):
            assert threads(con) == 1


def test_the_usual_threads_come_back_after_an_error_and_after_statements_side_by_side(monkeypatch):
    with duckdb.connect(config={"threads": 2}) as con:
        monkeypatch.setattr(os, "cpu_count", lambda: 2)

        def group(number):
            with con.cursor() as own, many_groups(own):
                return own.execute(
                    f"SELECT count(*) FROM (SELECT i % {number} FROM range(100000) t(i) GROUP BY 1)"
                ).fetchone()

        with pytest.raises(duckdb.CatalogException), many_groups(con):
            con.execute("SELECT missing() FROM range(1)")
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(group, range(1, 20))) == [(number,) for number in range(1, 20)]
        assert threads(con) == 2
