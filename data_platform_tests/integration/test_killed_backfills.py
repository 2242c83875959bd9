"""`data-platform backfill` killed with SIGKILL again and again, each time gone on with: what comes out is what a backfill
that nobody touched brings, in the lake, in the ledger and in Dagster."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest

from data_platform.lake.hashing import content_hash_sql
from data_platform.lake.lake import Lake
from data_platform.lake.ledger import latest_loads
from data_platform.settings import Settings

pytestmark = pytest.mark.slow
FIRST, DAYS = date(2026, 1, 1), 6
LAST = FIRST + timedelta(days=DAYS - 1)
EVERYTHING = ["backfill", "*", "--from", str(FIRST), "--to", str(LAST)]
LAYERS = ("raw", "staging", "quarantine", "marts", "published")
OF_THE_LOAD = {"run_id", "quarantined_at"}


@dataclass
class Person:
    """Somebody with a home of their own, who types commands."""

    home: Path
    landing: Path
    catalog: str | None = None
    said: str = field(default="", init=False)

    @property
    def settings(self) -> Settings:
        return Settings(home=self.home, catalog=self.catalog, start_date=FIRST, landing=self.landing)

    def types(self, *words: str, killed_after: float | None = None) -> int | None:
        """The exit code; None when the command was killed first."""
        environment = os.environ | {
            "PLATFORM_HOME": str(self.home), "DAGSTER_HOME": str(self.home / "dagster"),
            "PLATFORM_LANDING": str(self.landing), "PLATFORM_START_DATE": str(FIRST),
            "PLATFORM_CATALOG": self.catalog or "",
        }  # fmt: skip
        command = [str(Path(sys.executable).with_name("data-platform")), *words]
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            try:
                self.said = process.communicate(timeout=killed_after)[0]
                return process.returncode
            except subprocess.TimeoutExpired:
                process.kill()
                self.said = process.communicate()[0]
                return None

    def goes_on(self, killed_after: float | None = None) -> int | None:
        with dg.DagsterInstance.from_config(str(self.home / "dagster")) as instance:
            has_begun = instance.get_runs_count()
        return self.types(*(["backfill", "--resume"] if has_begun else EVERYTHING), killed_after=killed_after)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Person, float]:
    """Who was left alone, and the seconds it took them."""
    home = tmp_path_factory.mktemp("untouched") / "platform"
    person = Person(home, home / "landing")
    assert person.types("sample", "--start", str(FIRST), "--days", str(DAYS), "--scale", "0.01") == 0, person.said
    started = time.perf_counter()
    assert person.types(*EVERYTHING) == 0, person.said
    return person, time.perf_counter() - started


def test_a_backfill_killed_at_random_ends_as_one_that_nobody_touched(
    home: Path, untouched: tuple[Person, float]
) -> None:
    model, seconds = untouched
    person = killed_and_gone_on_with(Person(home, model.landing), seconds, seed=1)
    assert seen(person) == seen(model)
    assert person.types("doctor") == 0, person.said


@pytest.mark.long
def test_it_does_so_on_either_catalog(home: Path, catalog: str | None, untouched: tuple[Person, float]) -> None:
    model, seconds = untouched
    person = killed_and_gone_on_with(Person(home, model.landing, catalog), seconds, seed=2)
    assert seen(person) == seen(model)
    assert person.types("doctor") == 0, person.said


def killed_and_gone_on_with(person: Person, seconds: float, *, seed: int) -> Person:
    """Somebody whose backfill is killed again and again, ten times at most, and then ends."""
    moments, killed = random.Random(seed), 0
    outcome = person.types(*EVERYTHING, killed_after=moments.uniform(seconds / 3, seconds * 2 / 3))
    while outcome is None and killed < 10:
        killed += 1
        outcome = person.goes_on(killed_after=moments.uniform(seconds / 4, seconds * 2 / 3))
    assert killed, "no kill came in time"
    assert outcome in (0, None), person.said
    assert person.goes_on() == 0, person.said
    return person


def seen(person: Person) -> tuple[object, ...]:
    """All that can be seen: rows, the ledger, and what Dagster shows."""
    return dict(tables(person)), loads(person), materialised(person)


def tables(person: Person) -> Iterator[tuple[str, tuple[int, str]]]:
    """Rows and content hash of each table and view, without what differs from load to load."""
    lake = Lake(person.settings)
    try:
        with lake.connect(read_only=True) as con:
            names = con.execute(
                "SELECT table_schema, table_name FROM information_schema.tables WHERE table_catalog = 'lake' ORDER BY ALL"
            ).fetchall()
            for schema, table in names:
                if schema in LAYERS:
                    described = con.execute(f"DESCRIBE lake.{schema}.{table}").fetchall()
                    types = {
                        name: kind
                        for name, kind, *_ in described
                        if not name.startswith("_") and name not in OF_THE_LOAD
                    }
                    found = con.execute(f"SELECT count(*), {content_hash_sql(types)} FROM lake.{schema}.{table}")
                    yield f"{schema}.{table}", found.fetchall()[0]
    finally:
        lake.close()


def loads(person: Person) -> dict[tuple[str, str], tuple[int | None, ...]]:
    """What the ledger has of each partition's latest load."""
    lake = Lake(person.settings)
    try:
        with lake.connect(read_only=True) as con:
            return {
                (load.asset, load.partition_key): (
                    load.rows_read, load.rows_accepted, load.rows_quarantined, load.rows_merged,
                )
                for load in latest_loads(con)
            }  # fmt: skip
    finally:
        lake.close()


def materialised(person: Person) -> dict[str, set[str]]:
    """The partitions of each asset that Dagster shows as materialised."""
    with dg.DagsterInstance.from_config(str(person.home / "dagster")) as instance:
        runs = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
        assert not runs, "a run is shown as running"
        return {key.to_user_string(): instance.get_materialized_partitions(key) for key in instance.all_asset_keys()}
