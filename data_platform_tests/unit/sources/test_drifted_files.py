"""Files that changed their headers and their way to write dates and numbers: declarations alone take them in."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pandera.ibis as pa
import pytest

from data_platform.contracts.model import REGISTRY, Contract, Key, column, table
from data_platform.contracts.partitioning import by
from data_platform.contracts.raw import raw_contract
from data_platform.errors import ContractError
from data_platform.lake.lake import Lake
from data_platform.lake.outcomes import LoadRecord
from data_platform.quality.screening import screen
from data_platform.settings import load_settings
from data_platform.sources.declare import Feed, Format
from data_platform.sources.load import load_raw

DAY = "2026-01-05"
OLD = [("1", "2026-01-04", "12.50"), ("2", "2026-01-05", "7.00")]


@pytest.fixture
def drifting() -> Iterator[Contract]:
    """A contract whose feed has had two names for each column and two ways to write a date."""

    @table(
        "staging.drifting", grain="one row per number", owner="a@example.com", partition=by("arrival_date", "day"),
        key=Key(("number",)),
    )  # fmt: skip
    class Drifting(pa.DataFrameModel):
        """Numbers with a date."""

        number: str = column(description="Number", source="No", aliases=("Number", "Nummer"))
        day: dt.date = column(description="Day", source="Day", aliases=("Tag",), format=("%Y-%m-%d", "%d.%m.%Y"))
        amount: float = column(description="Amount", source="Amount", aliases=("Betrag",))

    REGISTRY["raw.drifting"] = raw_contract(REGISTRY["staging.drifting"])
    yield REGISTRY["staging.drifting"]
    del REGISTRY["staging.drifting"], REGISTRY["raw.drifting"]


def _write(path: Path, form: Format, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if form == "csv":
        path.write_text("\n".join(",".join(row) for row in (header, *rows)) + "\n")
    elif form == "jsonl":
        path.write_text("".join(json.dumps(dict(zip(header, row, strict=True))) + "\n" for row in rows))
    else:
        values = ", ".join(str(row) for row in rows)
        names = ", ".join(f'"{name}"' for name in header)
        duckdb.connect().execute(f"COPY (FROM (VALUES {values}) AS t({names})) TO '{path}' (FORMAT parquet)")


def _load(
    home: Path, contract: Contract, form: Format, header: tuple[str, ...], rows: list[Any]
) -> tuple[Any, LoadRecord]:
    lake = Lake(load_settings(home=home))
    feed = Feed("staging.drifting", f"d/{{key}}.{form}", form)
    _write(lake.settings.landing_dir / feed.file(DAY), form, header, rows)
    (raw,) = load_raw(lake, feed, [DAY], "run")
    assert raw.committed or not raw.rules, raw.load.error
    if raw.committed:
        (outcome,) = screen(lake, contract, [DAY], "run")
        return raw, outcome.load
    return raw, raw.load


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_other_headers_and_another_date_format_give_the_same_table(
    tmp_path: Path, drifting: Contract, form: Format
) -> None:
    raw, old = _load(tmp_path / "old", drifting, form, ("No", "Day", "Amount"), OLD)
    drifted = [(number, dt.date.fromisoformat(day).strftime("%d.%m.%Y"), amount) for number, day, amount in OLD]
    raw, new = _load(tmp_path / "new", drifting, form, ("Betrag", "Tag", "Number"), [row[::-1] for row in drifted])
    assert (old.rows_accepted, new.rows_accepted) == (2, 2) and new.content_hash == old.content_hash
    assert all(rule.passed for rule in raw.rules), "a known alias is no unknown column"


def test_a_column_under_none_of_its_names_fails_the_day(tmp_path: Path, drifting: Contract) -> None:
    raw, load = _load(tmp_path, drifting, "csv", ("Nr", "Tag", "Betrag"), OLD)
    assert not raw.committed and "lacks the required column `No`" in load.error


def test_an_unknown_column_beside_an_alias_is_still_told(tmp_path: Path, drifting: Contract) -> None:
    raw, load = _load(tmp_path, drifting, "csv", ("No", "Tag", "Betrag", "colour"), [(*row, "red") for row in OLD])
    assert load.rows_accepted == 2 and "`colour` in 2 of 2 records" in next(r.actual for r in raw.rules if not r.passed)
    with Lake(load_settings(home=tmp_path)).connect() as con:
        assert con.execute("SELECT DISTINCT _extra FROM lake.raw.drifting").fetchall() == [('{"colour":"red"}',)]


def test_a_decimal_comma_is_a_declaration(tmp_path: Path, drifting: Contract) -> None:
    columns = dict(drifting.columns)
    columns["amount"] = replace(columns["amount"], decimal=",")
    drifting.__dict__["columns"] = columns
    rows = [("1", "2026-01-04", '"12,50"'), ("2", "2026-01-05", "7"), ("3", "2026-01-05", "7.5")]
    _, load = _load(tmp_path, drifting, "csv", ("No", "Day", "Amount"), rows)
    assert load.by_rule == {"amount.cast": 1} and load.measures["amount.mean"] == 9.75


def test_one_header_for_two_columns_is_refused() -> None:
    class Twice(pa.DataFrameModel):
        """Two columns."""

        one: str = column(description="One", source="A")
        two: str = column(description="Two", aliases=("A",))

    with pytest.raises(ContractError, match="two columns for the header `A`"):
        table("staging.twice", grain="none", owner="a@example.com")(Twice)


def test_records_that_use_either_name_leave_no_unknown_column_behind(tmp_path: Path, drifting: Contract) -> None:
    lake = Lake(load_settings(home=tmp_path))
    feed = Feed("staging.drifting", "d/{key}.jsonl", "jsonl")
    path = lake.settings.landing_dir / feed.file(DAY)
    path.parent.mkdir(parents=True)
    path.write_text(
        '{"No": "1", "Day": "2026-01-04", "Amount": 1}\n{"Nummer": "2", "Day": "2026-01-04", "Betrag": 2}\n'
    )
    (raw,) = load_raw(lake, feed, [DAY], "run")
    assert raw.committed, raw.load.error
    with lake.connect() as con:
        assert con.execute("SELECT No, Amount, _extra FROM lake.raw.drifting ORDER BY 1").fetchall() == [
            ("1", "1", None), ("2", "2", None),
        ]  # fmt: skip
