"""The content hash: the same rows in any order are the same, and nothing else is."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_platform.lake.hashing import content_hash_sql

TYPES = {"n": "BIGINT", "word": "VARCHAR", "amount": "DECIMAL(18,2)", "moment": "TIMESTAMP", "raw": "BLOB"}
ROW = st.tuples(
    st.none() | st.integers(-(2**62), 2**62),
    st.none()
    | st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=8)
    | st.text("\x1e\x1f-:1", max_size=4),
    st.none() | st.decimals(-1000, 1000, places=2, allow_nan=False),
    st.none() | st.datetimes(),
    st.none() | st.binary(max_size=8),
)
con = duckdb.connect()


def digest(rows: list[tuple[Any, ...]], order: list[str] | None = None) -> str:
    """The hash of rows given in TYPES' order, read from a relation whose columns are in another."""
    names = order or list(TYPES)
    places = [list(TYPES).index(name) for name in names]
    values = ", ".join(f"({', '.join(f'?::{TYPES[name]}' for name in names)})" for _ in rows)
    nothing = f"(SELECT {', '.join(f'NULL AS {name}' for name in names)} WHERE false)"
    source = f"(VALUES {values}) t({', '.join(names)})" if rows else nothing
    flat = [row[place] for row in rows for place in places]
    found = con.execute(
        f"SELECT {content_hash_sql({name: TYPES[name] for name in names})} FROM {source}", flat
    ).fetchone()
    assert found is not None
    return str(found[0])


@settings(max_examples=60, deadline=None)
@given(st.lists(ROW, max_size=6), st.randoms(use_true_random=False), st.permutations(list(TYPES)))
def test_neither_the_order_of_rows_nor_of_columns_matters(
    rows: list[tuple[Any, ...]], chance: random.Random, order: list[str]
) -> None:
    shuffled = rows[:]
    chance.shuffle(shuffled)
    assert digest(rows) == digest(shuffled, order)


@settings(max_examples=60, deadline=None)
@given(st.lists(ROW, max_size=3), st.lists(ROW, max_size=3))
def test_other_rows_have_another_hash(left: list[tuple[Any, ...]], right: list[tuple[Any, ...]]) -> None:
    same = Counter(left) == Counter(right)
    assert (digest(left) == digest(right)) == same


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("SELECT NULL::VARCHAR AS a", "SELECT '' AS a"),
        ("SELECT 'NULL' AS a", "SELECT NULL::VARCHAR AS a"),
        ("SELECT '-' AS a", "SELECT NULL::VARCHAR AS a"),
        ("SELECT '1' AS a", "SELECT 1 AS a"),
        ("SELECT 1::INTEGER AS a", "SELECT 1::BIGINT AS a"),
        ("SELECT 'ab' AS a, 'c' AS b", "SELECT 'a' AS a, 'bc' AS b"),
        ("SELECT 'x' AS a, NULL::VARCHAR AS b", "SELECT NULL::VARCHAR AS a, 'x' AS b"),
        ("SELECT chr(30) AS a", "SELECT NULL::VARCHAR AS a"),
        ("SELECT 'a' || chr(31) AS a, 'b' AS b", "SELECT 'a' AS a, chr(31) || 'b' AS b"),
        ("SELECT 'a' || chr(31) || 'b' AS a, NULL::VARCHAR AS b", "SELECT 'a' AS a, 'b' || chr(31) || chr(30) AS b"),
        ("SELECT 1 AS a", "SELECT 1 AS b"),
        ("SELECT 1 AS a", "SELECT 1 AS a UNION ALL SELECT 1"),
        ("SELECT 1 AS a", "SELECT 1 AS a WHERE false"),
    ],
)
def test_what_looks_alike_is_told_apart(left: str, right: str) -> None:
    hashes = set()
    for sql in (left, right):
        relation = con.sql(sql)
        types = dict(zip(relation.columns, map(str, relation.types), strict=True))
        hashes.add(con.execute(f"SELECT {content_hash_sql(types)} FROM ({sql})").fetchone())
    assert len(hashes) == 2


def test_the_hash_of_known_rows_never_changes() -> None:
    types = {"a": "INTEGER", "b": "VARCHAR"}
    found = con.execute(f"SELECT {content_hash_sql(types)} FROM (VALUES (1, 'x'), (2, NULL)) t(a, b)").fetchone()
    assert found == ("d04ff6e288090bd1fe8bebb07e4cf88d",)
