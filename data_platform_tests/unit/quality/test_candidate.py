"""Candidate rows: repeated keys are found however many passes that takes, and verdicts in steps are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import duckdb
import pandera.ibis as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_platform.contracts.model import REGISTRY, Contract, Key, PythonRule, column, table
from data_platform.quality import candidate
from data_platform.quality.candidate import judge_rows
from data_platform.quality.compiler import Judge

ROWS = st.lists(st.tuples(st.sampled_from(["a", "b", "", None]), st.sampled_from([-1, 2, None])), max_size=12)


@pytest.fixture(scope="module")
def pairs() -> Iterator[Contract]:
    @table("marts.pairs", grain="one row per pair", owner="a@example.com", key=Key(("id", "number")))
    class Pairs(pa.DataFrameModel):
        """Pairs."""

        id: str = column(description="Id", nullable=True)
        number: int = column(description="Number", ge=0, nullable=True)

    yield REGISTRY["marts.pairs"]
    del REGISTRY["marts.pairs"]


def broken(contract: Contract, rows: list[tuple[str | None, int | None]]) -> Counter[tuple[object, ...]]:
    """How often each row came out with which bits."""
    with duckdb.connect() as con:
        con.execute("CREATE TABLE given (id VARCHAR, number BIGINT)")
        if rows:
            con.executemany("INSERT INTO given VALUES (?, ?)", rows)
        judge_rows(con, Judge.of(contract), "given")
        judge_rows(con, Judge.of(contract), "given")  # as another build on the same connection does
        return Counter(con.execute("SELECT id, number, _broken FROM judged").fetchall())


@given(rows=ROWS, at_once=st.integers(1, 13))
def test_repeated_keys_are_found_in_any_number_of_passes(pairs, rows, at_once):
    judging = Judge.of(pairs)
    (ge,) = (1 << rule.bit for rule in judging.rules if rule.rule.name == "number.ge")
    count = Counter(rows)
    wanted = Counter(
        (id, number, (ge if number == -1 else 0) | (judging.key_bit if count[id, number] > 1 else 0))
        for id, number in rows
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidate, "_keys_at_once", lambda _con: at_once)
        assert broken(pairs, rows) == wanted


def test_a_rule_in_python_and_a_repeated_key_both_count(pairs):
    odd = PythonRule("odd", ("number",), lambda frame: frame["number"] % 2 == 1, "odd")
    contract = replace(pairs, python_rules=(odd,))
    judging = Judge.of(contract)
    (bit,) = (1 << rule.bit for rule in judging.rules if rule.rule.name == "odd")
    assert broken(contract, [("a", 2), ("a", 2), ("b", 1)]) == {("a", 2, bit | judging.key_bit): 2, ("b", 1, 0): 1}
