"""The same drop files give the same rows and content hashes, in any order, in ranges cut anyhow, with any parallelism."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from data_platform.assets.dbt_build import build_marts
from data_platform.contracts.dbt_yml import mart_contracts
from data_platform.contracts.model import Contract
from data_platform.contracts.registry import contracts
from data_platform.lake.lake import Lake
from data_platform.lake.publish import publish
from data_platform.quality import judging, screening
from data_platform.quality.screening import screen
from data_platform.settings import load_settings
from data_platform.sources import load as loading
from data_platform.sources.load import load_raw
from data_platform.sources.registry import feed_of
from data_platform.sources.sample import write_sample

pytestmark = pytest.mark.slow
FIRST, DAYS = date(2026, 1, 1), 4
KEYS = [str(FIRST + timedelta(days=number)) for number in range(DAYS)]
Rows = list[tuple[Any, ...]]


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drop") / "landing"
    write_sample(folder, start=FIRST, days=DAYS, scale=0.2)
    return folder


def staged() -> Iterable[Contract]:
    """The shop's staging contracts, parents before children."""
    left = [found for found in contracts("staging") if feed_of(found.table).path.startswith("shop/")]
    done: set[str] = set()
    while left:
        ready = [c for c in left if {fk.references for fk in c.foreign_keys} <= done | {c.name}]
        yield from ready
        done |= {found.name for found in ready}
        left = [found for found in left if found not in ready]


def loaded(home: Path, landing: Path, cuts: Sequence[Sequence[str]], threads: int) -> dict[str, Rows]:
    """Everything from files to published tables, each layer in these cuts; what came of it, load times and run ids aside."""
    lake = Lake(load_settings(home=home, landing=landing, threads=threads, start_date=FIRST))
    try:
        for contract in staged():
            for keys in cuts:
                assert all(found.committed for found in load_raw(lake, feed_of(contract.table), keys, "run"))
        for contract in staged():
            for keys in cuts:
                assert all(found.committed for found in screen(lake, contract, keys, "run"))
        for grains in ([], ["day"]):
            marts = [mart for mart in mart_contracts() if [by.grain for by in mart.partition.dimensions] == grains]
            for keys in cuts if grains else [[""]]:
                for found in build_marts(lake, marts, keys, "run").values():
                    assert all(outcome.committed for outcome in found), [outcome.load.error for outcome in found]
            publish(lake, [found.name for found in marts])
        return _contents(lake)
    finally:
        lake.close()


def _contents(lake: Lake) -> dict[str, Rows]:
    latest = "QUALIFY row_number() OVER (PARTITION BY asset, partition_key ORDER BY snapshot_id DESC) = 1"
    facts = "asset, partition_key, rows_read, rows_accepted, rows_quarantined, rows_merged, by_rule, content_hash"
    with lake.connect(read_only=True) as con:
        found = {"loads": con.execute(f"SELECT {facts} FROM lake.ops.loads {latest} ORDER BY ALL").fetchall()}
        tables = con.execute(
            "SELECT DISTINCT schema_name || '.' || table_name FROM duckdb_columns() WHERE database_name = 'lake' "
            "AND schema_name IN ('staging', 'quarantine', 'marts', 'published') ORDER BY 1"
        ).fetchall()
        for (table,) in tables:
            rows = f"SELECT COLUMNS(c -> c NOT IN ('_loaded_at', '_run_id', 'quarantined_at')) FROM lake.{table} ORDER BY ALL"
            found[table] = con.execute(rows).fetchall()
    return found


@pytest.fixture(scope="module")
def at_once(landing: Path, parsed_home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Rows]:
    home = tmp_path_factory.mktemp("at_once") / "platform"
    shutil.copytree(parsed_home, home)
    return loaded(home, landing, [KEYS], threads=1)


@pytest.mark.parametrize(
    ("cuts", "threads", "rows_at_once"),
    [
        pytest.param([[key] for key in reversed(KEYS)], 1, None, id="day by day, backwards"),
        pytest.param([KEYS[2:], KEYS[:2]], 4, 1, id="two ranges, one partition at a time, four threads"),
        pytest.param([KEYS], 4, 300, id="one range, few rows at a time", marks=pytest.mark.long),
    ],
)
def test_the_same_files_give_the_same_rows_and_hashes(
    at_once, landing, parsed_home, home, monkeypatch, cuts, threads, rows_at_once
):
    shutil.copytree(parsed_home, home)
    if rows_at_once:
        monkeypatch.setattr(judging, "CHUNK_ROWS", rows_at_once)
        monkeypatch.setattr(loading, "CHUNK", rows_at_once)
        monkeypatch.setattr(screening, "CHUNK_PARTITIONS", rows_at_once)
    found = loaded(home, landing, cuts, threads)
    assert sum(len(rows) for rows in at_once.values()) > 1_000
    assert found.keys() == at_once.keys()
    for name, rows in at_once.items():
        assert found[name] == rows, name
