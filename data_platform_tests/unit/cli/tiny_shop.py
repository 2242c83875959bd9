"""A shop of eight days whose assets write nothing but the ledger: what is run, in which order and how it ends, in no time."""

# No `from __future__ import annotations`: Dagster reads the annotation of `context` and refuses it as text.
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from typer.testing import CliRunner, Result

from data_platform.assets.outcomes import partition_keys, report
from data_platform.cli import backfill, go_on, status_gaps
from data_platform.cli.app import app
from data_platform.cli.home import open_instance
from data_platform.lake import ledger, stopping
from data_platform.lake.commit import snapshot_id
from data_platform.lake.lake import get_lake
from data_platform.lake.outcomes import LoadRecord, Outcome
from data_platform.settings import Settings, load_settings

DAYS = dg.DailyPartitionsDefinition(start_date="2026-01-01", end_date="2026-01-09")
EDGES: dict[str, tuple[str, ...]] = {
    "raw/customers": (),
    "raw/orders": (),
    "staging/customers": ("raw/customers",),
    "staging/orders": ("raw/orders", "staging/customers"),
    "marts/dim_customers": ("staging/customers",),
    "marts/fct_orders": ("staging/orders", "marts/dim_customers"),
    "marts/customer_segments": ("marts/fct_orders",),
    "published/fct_orders": ("marts/fct_orders",),
}
WHOLE = {"marts/dim_customers", "marts/customer_segments"}


def day(number: int) -> str:
    return f"2026-01-{number:02}"


@dataclass
class Shop:
    """What the assets do: `text` is what a partition's hash is made of, `days` the business days of a staging partition
    (its own, if nothing is said), `bad` what fails; at `interrupt` it is asked to stop, as Ctrl-C asks. `ran` is what was loaded, `read_at` the version that it was read from."""

    text: dict[tuple[str, str], str] = field(default_factory=dict)
    days: dict[tuple[str, str], tuple[int, ...]] = field(default_factory=dict)
    bad: set[tuple[str, str]] = field(default_factory=set)
    interrupt: tuple[str, str] | None = None
    ran: set[tuple[str, str]] = field(default_factory=set)
    read_at: int | None = None

    @property
    def definitions(self) -> dg.Definitions:
        return dg.Definitions(
            [self._asset(name, deps) for name, deps in EDGES.items()], executor=dg.in_process_executor
        )

    def load(self, asset: str, *keys: str, run_id: str = "run") -> list[Outcome]:
        """Commits partitions to the ledger, or records that they failed; those that an interrupt keeps from being begun
        are left out."""
        loads = []
        for key in keys:
            if stopping.asked():
                break
            loads.append(self._load(asset, key, run_id))
            self.ran.add((asset, key))
            if (asset, key) == self.interrupt:
                stopping.ask()
        lake = get_lake()
        lake.record_failures([load for load in loads if load.outcome == "failed"])
        lake.commit((), [load for load in loads if load.outcome == "committed"])
        return [Outcome(load) for load in loads]

    def _load(self, asset: str, key: str, run_id: str) -> LoadRecord:
        place, table = (asset, key), asset.replace("/", ".")
        if place in self.bad:
            return LoadRecord(table, key, run_id, "failed", error=f"{asset} {key} is broken.")
        own = (int(key[-2:]),) if asset.startswith("staging") else ()
        return LoadRecord(
            table, key, run_id, "committed", rows_read=10, rows_accepted=10, seconds=0.5,
            business_days=tuple(date(2026, 1, number) for number in self.days.get(place, own)),
            content_hash=self.text.get(place, "as ever"), built_from=self.read_at,
        )  # fmt: skip

    def load_all(self, days: Iterable[str] = tuple(DAYS.get_partition_keys())) -> None:
        """Commits these days of everything, and publishes."""
        for name in EDGES:
            if name.startswith("published"):
                self.publish(name.removeprefix("published/"))
            else:
                self.load(name, *([""] if name in WHOLE else days))
        self.ran.clear()

    def publish(self, name: str) -> None:
        """Points the view of a mart to the lake as it is."""
        with get_lake().gate.hold(), get_lake().connect() as con:
            row = {"publish_id": os.urandom(4).hex(), "table_name": f"marts.{name}", "version": snapshot_id(con)}
            ledger.insert(con, "publishes", [row | {"published_at": ledger.utc_now()}])

    def _asset(self, name: str, deps: tuple[str, ...]) -> dg.AssetsDefinition:
        key = dg.AssetKey(name.split("/"))

        @dg.asset(
            key=key, deps=[dep.split("/") for dep in deps], partitions_def=None if name in WHOLE else DAYS,
            group_name=key.path[0], backfill_policy=dg.BackfillPolicy.single_run(),
        )  # fmt: skip
        def made(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
            keys = partition_keys(context)
            if key.path[0] == "published":
                self.publish(key.path[-1])
                self.ran |= {(name, partition) for partition in keys}
                return dg.MaterializeResult()
            return report(context, key, self.load(name, *keys, run_id=context.run_id))

        return made


@pytest.fixture(scope="session")
def empty_instance(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dagster's folder as it is before the first run: making its databases is half of a short test's time."""
    settings = load_settings(home=tmp_path_factory.mktemp("empty") / "platform")
    open_instance(settings).dispose()
    return settings.dagster_dir


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch, settings: Settings, empty_instance: Path) -> Shop:
    """A shop that nobody has loaded yet, in the place of the platform's definitions."""
    shutil.copytree(empty_instance, settings.dagster_dir)
    made = Shop()
    definitions = made.definitions
    for module in (backfill, go_on, status_gaps):
        monkeypatch.setattr(module, "load_definitions", lambda: definitions)
    return made


def typed(*arguments: str, code: int = 0) -> Result:
    """What a command said."""
    result = CliRunner().invoke(app, list(arguments), prog_name="data-platform")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == code, result.output
    return result


def said(*arguments: str, code: int = 0) -> Any:
    """The same as JSON."""
    return json.loads(typed(*arguments, "--format", "json", code=code).stdout)


def ran_of(shop: Shop) -> dict[str, set[str]]:
    """What was loaded since this was last asked, by asset."""
    found: dict[str, set[str]] = {}
    for asset, key in shop.ran:
        found.setdefault(asset, set()).add(key)
    shop.ran.clear()
    return found
