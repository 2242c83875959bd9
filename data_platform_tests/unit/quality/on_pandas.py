"""Generated contracts with frames, and the two judges of them: our compiled SQL, and pandera's own validation on pandas.

A verdict is a set of (row, rule). The frame goes to the engine as a frame of pandas does: through Arrow, NaN as NULL.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import ibis.expr.datatypes as ibis_types
import pandas as pd
import pandera.ibis
import pandera.pandas
import pyarrow as pa
from hypothesis import strategies as st
from pandera.errors import SchemaErrors

from data_platform.contracts.model import SHORT_NAMES, Contract
from data_platform.lake.sql import ident
from data_platform.quality.compiler import broken_mask, compile_rules

Verdict = set[tuple[int, str]]
UTC = dt.UTC
PANDAS_CHECKS = {"eq": "equal_to", "ne": "not_equal_to", "gt": "greater_than", "ge": "greater_than_or_equal_to",
                 "lt": "less_than", "le": "less_than_or_equal_to"}  # fmt: skip
TYPES: Mapping[str, tuple[Any, str]] = {
    "text": (str, "str"), "int": (int, "Int64"), "float": (float, "float64"), "bool": (bool, "boolean"),
    "time": (ibis_types.Timestamp, "datetime64[us]"), "zoned": (ibis_types.Timestamp, "datetime64[us, Europe/Berlin]"),
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column: `values` with None for NULL, `checks` by pandera's name for them with their arguments."""

    kind: str
    nullable: bool
    checks: Mapping[str, Any]
    values: Sequence[Any]


@dataclass(frozen=True)
class Case:
    """A table of generated columns, named c0, c1, …"""

    columns: tuple[Column, ...]

    def contract(self) -> Contract:
        body: dict[str, Any] = {"__doc__": "Generated.", "__annotations__": {}}
        for name, column in self.named():
            body["__annotations__"][name] = TYPES[column.kind][0]
            body[name] = pandera.ibis.Field(nullable=column.nullable, **column.checks)
        model = type("Generated", (pandera.ibis.DataFrameModel,), body)
        return Contract("marts.generated", model, grain="one row per row", owner="tests@example.com")

    def schema(self) -> pandera.pandas.DataFrameSchema:
        return pandera.pandas.DataFrameSchema({
            name: pandera.pandas.Column(TYPES[column.kind][1], self.pandas_checks(column), nullable=column.nullable)
            for name, column in self.named()
        })  # fmt: skip

    def frame(self) -> pd.DataFrame:
        return pd.DataFrame({name: _series(column.kind, column.values) for name, column in self.named()})

    def named(self) -> list[tuple[str, Column]]:
        return [(f"c{place}", column) for place, column in enumerate(self.columns)]

    @staticmethod
    def pandas_checks(column: Column) -> list[pandera.pandas.Check]:
        checks = []
        for name, stated in column.checks.items():
            arguments = _zoned(stated) if column.kind == "zoned" else stated
            make = getattr(pandera.pandas.Check, PANDAS_CHECKS.get(name, name))
            checks.append(make(**arguments) if isinstance(arguments, dict) else make(arguments))
        return checks


def by_sql(con: duckdb.DuckDBPyConnection, case: Case) -> Verdict:
    """What the compiled rules say, over the typed relation that an audit makes of a candidate."""
    contract = case.contract()
    rules = compile_rules(contract)
    rows = pa.Table.from_pandas(case.frame(), preserve_index=False)
    con.register("candidate", rows.append_column("_row", pa.array(range(len(rows)), pa.int64())))
    typed = ", ".join(f"CAST({ident(c.name)} AS {c.duckdb_type}) AS {ident(c.name)}" for c in contract.columns.values())
    masks = con.execute(f"SELECT _row, {broken_mask(rules)} FROM (SELECT _row, {typed} FROM candidate)").fetchall()
    return {(row, rule.rule.name) for row, mask in masks for rule in rules if mask >> rule.bit & 1}


def by_pandas(case: Case) -> Verdict:
    """What pandera says of the same frame."""
    try:
        case.schema().validate(case.frame(), lazy=True)
    except SchemaErrors as errors:
        names = {name: list(column.checks) for name, column in case.named()}
        found = errors.failure_cases[["column", "check", "check_number", "index"]].itertuples(index=False)
        return {(int(row), _rule(names[column], column, check, number)) for column, check, number, row in found}
    return set()


def _rule(checks: Sequence[str], column: str, check: str, number: Any) -> str:
    if check == "not_nullable":
        return f"{column}.not_null"
    name = checks[int(number)]
    return f"{column}.{SHORT_NAMES.get(name, name)}"


def _series(kind: str, values: Sequence[Any]) -> pd.Series:
    dtype = TYPES[kind][1]
    if kind == "zoned":
        return pd.Series(values, dtype="datetime64[us, UTC]").dt.tz_convert("Europe/Berlin")
    return pd.Series(values, dtype=dtype)


def _zoned(stated: Any) -> Any:
    if isinstance(stated, dict):
        return {name: _zoned(value) for name, value in stated.items()}
    if isinstance(stated, list):
        return [_zoned(value) for value in stated]
    return stated.replace(tzinfo=UTC) if isinstance(stated, dt.datetime) else stated


TEXTS = st.one_of(
    st.sampled_from(["", " ", "a", "A", "ab", "abc", "b", "ba", "é", "e\u0301", "🙂", "ß", "SS", "%", "a_c", "\\", "'", "NULL", "nan", "0", "12"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), max_size=5),
)  # fmt: skip
VALUES: Mapping[str, st.SearchStrategy[Any]] = {
    "text": TEXTS,
    "int": st.one_of(st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1), st.sampled_from([2**53, 2**53 + 1, 2**63 - 1, -(2**63)])),
    "float": st.one_of(st.floats(allow_nan=False), st.sampled_from([0.0, -0.0, 0.1, 0.30000000000000004, 1e22, 1e308, float("inf"), float("-inf")])),
    "bool": st.booleans(),
    "time": st.datetimes(dt.datetime(1000, 1, 1), dt.datetime(9000, 1, 1)),
    "zoned": st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1)),
}  # fmt: skip
PATTERNS = st.one_of(
    st.sampled_from(["a", "a|b", "^a|b", "b|^a", "^a$|^b$", "[a-z]+$", "^[^a]", ".", "^.{2,3}$", "", "(a|b){2}", "^$", "(?i)ab", "é|🙂", r"\.", "[0-9]{2}", "a.c", r"^\S*$"]),
    TEXTS.map(re.escape),
)  # fmt: skip


def _lengths() -> st.SearchStrategy[dict[str, int]]:
    sizes = st.integers(0, 4)
    return st.one_of(
        st.fixed_dictionaries({"min_value": sizes}), st.fixed_dictionaries({"max_value": sizes}),
        st.tuples(sizes, sizes).map(lambda both: {"min_value": min(both), "max_value": max(both)}), st.fixed_dictionaries({"exact_value": sizes}),
    )  # fmt: skip


def _checks(kind: str, value: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    some = st.lists(value, min_size=1, max_size=4)
    found: dict[str, st.SearchStrategy[Any]] = {"eq": value, "ne": value, "isin": some, "notin": some}
    if kind != "bool":
        ends = {"min_value": value, "max_value": value, "include_min": st.booleans(), "include_max": st.booleans()}
        found |= {"gt": value, "ge": value, "lt": value, "le": value, "in_range": _range(ends)}
    if kind == "text":
        parts = st.one_of(value, value.map(lambda text: text[:1] or "a"))
        found |= {"str_startswith": parts, "str_endswith": parts, "str_length": _lengths()}
        found |= {"str_matches": PATTERNS, "str_contains": PATTERNS}
    # Those of text only come first: what is drawn leans towards the front.
    names = st.lists(st.sampled_from(sorted(found, reverse=True)), min_size=1, max_size=4, unique=True)
    return names.flatmap(lambda chosen: st.fixed_dictionaries({name: found[name] for name in chosen}))


def _range(ends: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    def ordered(stated: dict[str, Any]) -> dict[str, Any]:
        low, high = sorted((stated["min_value"], stated["max_value"]))
        if low == high:
            return {"min_value": low, "max_value": high}  # pandera refuses an open interval of one point
        return {**stated, "min_value": low, "max_value": high}

    return st.fixed_dictionaries(ends).map(ordered)


@st.composite
def cases(draw: st.DrawFn, max_rows: int = 30) -> Case:
    """A table of one or two columns. Values and the checks' bounds come from one small pool, so that they meet."""
    size = draw(st.integers(0, max_rows))
    columns = []
    for kind in draw(st.lists(st.sampled_from([*TYPES, "text", "text"]), min_size=1, max_size=2)):
        pool = draw(st.lists(VALUES[kind], min_size=1, max_size=8))
        value = st.sampled_from(pool)
        values = draw(st.lists(st.one_of(st.none(), value, value, value), min_size=size, max_size=size))
        columns.append(Column(kind, draw(st.booleans()), draw(_checks(kind, value)), values))
    return Case(tuple(columns))
