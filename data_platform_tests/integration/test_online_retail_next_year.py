"""The same year as next year's export would bring it: other headers, another date format, a new code. Declarations alone
take it in, and every line meets the fate it had.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pandera.api.checks import Check

from data_platform.contracts.model import REGISTRY, Contract
from data_platform.contracts.registry import contract
from data_platform.lake.lake import Lake
from data_platform.quality.screening import screen
from data_platform.settings import load_settings
from data_platform.sources.load import load_raw
from data_platform.sources.registry import feed_of
from data_platform_tests.integration.test_online_retail import FILE_VARIABLE, LINES, MONTHS, REAL_FILE

NAMES = ("Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "Customer ID", "Country")
RENAMED = {"Invoice": "InvoiceNo", "Price": "UnitPrice", "Customer ID": "CustomerID", "InvoiceDate": "Date"}
DATE = "%d/%m/%Y %H:%M:%S"
FATES = ("rows_read", "rows_accepted", "rows_quarantined", "rows_merged", "rows_flagged")


def next_year() -> Contract:
    """The contract with what a person would declare: aliases, a second date format, the new code."""
    old = contract("staging.online_retail")
    columns = {
        name: replace(column, aliases=(RENAMED[column.source],)) if column.source in RENAMED else column
        for name, column in old.columns.items()
    }
    columns["invoiced_at"] = replace(columns["invoiced_at"], format=("%Y-%m-%d %H:%M:%S", DATE))
    columns["country"] = replace(columns["country"], checks=(Check.notin(["Unspecified", "Unknown"]),))
    declared = replace(old)
    declared.__dict__["columns"] = columns
    return declared


def drifted(source: Path, folder: Path) -> Path:
    """A copy of the file in the new shape."""
    file = folder / "drifted.parquet"
    moment = 'coalesce(strftime(try_cast("InvoiceDate" AS TIMESTAMP), ?), "InvoiceDate"::VARCHAR)'.replace(
        "?", f"'{DATE}'"
    )
    changed = {"InvoiceDate": moment, "Country": "CASE WHEN Country = 'Unspecified' THEN 'Unknown' ELSE Country END"}
    chosen = ", ".join(
        f'{changed.get(name, f"{chr(34)}{name}{chr(34)}")} AS "{RENAMED.get(name, name)}"' for name in NAMES
    )
    duckdb.execute(f"COPY (SELECT {chosen} FROM '{source}') TO '{file}' (FORMAT parquet)")
    return file


def loaded(home: Path, file: Path, stated: Contract, formats: tuple[str, ...]) -> tuple[dict[str, Any], Any]:
    """Fates and rules of the year, and a number that all accepted rows together give, the changed code taken back."""
    lake = Lake(load_settings(home=home))
    feed = replace(feed_of("online_retail"), split_format=formats)
    place = lake.settings.landing_dir / feed.file("")
    place.parent.mkdir(parents=True)
    place.symlink_to(file)
    raw = load_raw(lake, feed, MONTHS, "run")
    assert all(outcome.committed for outcome in raw), [outcome.load.error for outcome in raw][:1]
    outcomes = screen(lake, stated, MONTHS, "run")
    assert all(outcome.committed for outcome in outcomes), [outcome.load.error for outcome in outcomes]
    rules: Counter[str] = Counter()
    for outcome in outcomes:
        rules.update(outcome.load.by_rule)
    told: dict[str, Any] = {fate: sum(getattr(outcome.load, fate) for outcome in outcomes) for fate in FATES}
    with lake.connect() as con:
        rows = con.execute("""
            SELECT count(*), sum(hash(COLUMNS(* EXCLUDE (_file, _file_hash, _flags))))
            FROM (SELECT * REPLACE (replace(country, 'Unknown', 'Unspecified') AS country) FROM lake.staging.online_retail)""")
        found = rows.fetchall()
    lake.close()
    return told | {"rules": dict(rules)}, found


@pytest.fixture(params=["small", "real"])
def year(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    if request.param == "real":
        if not REAL_FILE:
            pytest.skip(f"{FILE_VARIABLE} is not set: the real year is not read.")
        yield Path(REAL_FILE)
        return
    names = ", ".join(f'"{name}"' for name in NAMES)
    file = tmp_path / "small.parquet"
    duckdb.execute(f"COPY (SELECT * FROM (VALUES {LINES}) AS lines ({names})) TO '{file}' (FORMAT parquet)")
    yield file


def test_a_drifted_year_meets_the_fates_of_the_year_it_was(
    year: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = loaded(tmp_path / "old", year, contract("staging.online_retail"), ())
    declared = next_year()
    monkeypatch.setitem(REGISTRY, declared.name, declared)
    after = loaded(tmp_path / "new", drifted(year, tmp_path), declared, ("%Y-%m-%d %H:%M:%S", DATE))
    assert after == before and before[0]["rows_accepted"] > 0
