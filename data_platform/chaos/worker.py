"""The processes that are killed: a parent, and its worker that loads raw → staging → marts → published over and over.

The rooms are used directly, as the assets use them; a process that imports this module once can fork many workers.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

from data_platform.assets.dbt_build import build_marts
from data_platform.chaos import drops
from data_platform.contracts.registry import contract
from data_platform.lake import points
from data_platform.lake.commit import snapshot_id
from data_platform.lake.lake import Lake
from data_platform.lake.outcomes import Outcome
from data_platform.lake.publish import publish
from data_platform.lake.upkeep import upkeep
from data_platform.quality.audit import build_mart
from data_platform.quality.screening import ensure_tables, screen
from data_platform.settings import Settings, load_settings
from data_platform.sources.load import load_raw
from data_platform.sources.registry import feed_of

Victim = Literal["worker", "parent", "both"]
# What a dbt build of the orders reads beside the tables of the kills.
EMPTY = ("order_items", "payments")
MARTS = ("marts.dim_customers", "marts.dim_products", "marts.fct_orders")
_MARTS_SQL = {
    "marts.dim_customers": "SELECT customer_id, email, full_name, country_code, 'Germany' AS country_name, signed_up_at, "
    "updated_at FROM lake.staging.customers",
    "marts.dim_products": "SELECT product_id, product_name, category, unit_price, updated_at FROM lake.staging.products",
    "marts.fct_orders": "SELECT order_id, ordered_at::DATE AS order_date, ordered_at, customer_id, status, country_code, "
    "0 AS line_count, 0 AS gross_amount, total_amount, 0 AS paid_amount, false AS is_cancelled "
    "FROM lake.staging.orders WHERE ordered_at::DATE::VARCHAR IN ('{days}')",
}
READERS = timedelta(seconds=20)


@dataclass(frozen=True)
class World:
    """Where it happens: a throw-away home, and its catalog (`None`: SQLite under it)."""

    home: Path
    catalog: str | None = field(default=None, repr=False)

    def settings(self) -> Settings:
        """Settings of this world, and nothing of the user's."""
        return load_settings(
            home=self.home, catalog=self.catalog, landing=None, start_date=drops.FIRST, memory="512MB", threads=1,
            lock_timeout=120.0,
        )  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """What one worker does until it dies. It kills `victim` when it reaches `point` for the `nth` time; without a point
    somebody else kills. `cycles` ends it by itself; `uses_dbt` and `keeps_up` say what each cycle includes."""

    generation: int
    point: str = ""
    nth: int = 1
    victim: Victim = "worker"
    cycles: int = 1_000_000
    uses_dbt: bool = False
    keeps_up: bool = False


def parent(world: World, plan: Plan, told: Connection) -> None:
    """Forks the worker and waits for it, as a launcher of runs does. Ends when the worker ends."""
    us = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            _work(world, plan, told, us)
        finally:
            os._exit(0)
    told.close()
    os.waitpid(child, 0)


def _work(world: World, plan: Plan, told: Connection, parent_pid: int) -> None:
    told.send(("worker", os.getpid()))
    points.listen(killer(plan, parent_pid))
    lake = Lake(world.settings())
    try:
        for number in range(plan.cycles):
            if os.getppid() != parent_pid:
                return  # an orphan ends with the cycle that it was in
            cycle(lake, days_of(plan.generation + number), plan.generation + number, plan, told.send)
    except Exception as error:
        told.send(("error", f"{type(error).__name__}: {error}"))


def killer(plan: Plan, parent_pid: int) -> Callable[[str], None]:
    """What listens in the worker: it kills at the plan's point, itself last."""
    count, lock = 0, threading.Lock()

    def reached(point: str) -> None:
        nonlocal count
        with lock:
            if point != plan.point:
                return
            count += 1
            if count != plan.nth:
                return
            if plan.victim != "worker" and os.getppid() == parent_pid:
                os.kill(parent_pid, signal.SIGKILL)
            if plan.victim != "parent":
                os.kill(os.getpid(), signal.SIGKILL)

    return reached


def days_of(generation: int) -> Sequence[date]:
    """The days that a generation's cycle loads: all of them in one commit, or one, by turns."""
    return drops.DAYS if generation % 2 else (drops.DAYS[generation // 2 % len(drops.DAYS)],)


def cycle(
    lake: Lake, days: Sequence[date], generation: int, plan: Plan, tell: Callable[[tuple[str, object]], None]
) -> None:
    """The files of some days, new in content, from the landing folder to what readers see. `tell` hears of each load that
    was committed (`loaded`, its id) or refused (`refused`, why), and of each publish (`published`, its version)."""
    keys, run_id = [day.isoformat() for day in days], f"generation-{generation}"
    for day in days:
        drops.write(lake.settings.landing_dir, day, generation)
    for table in drops.TABLES:
        _told(load_raw(lake, feed_of(table), keys, run_id), tell)
    for table in drops.TABLES:
        _told(screen(lake, contract(f"staging.{table}"), keys, run_id), tell)
    if plan.uses_dbt:
        _with_dbt(lake, keys, run_id, tell)
    else:
        _by_hand(lake, keys, run_id, tell)
    tell(("published", publish(lake, MARTS, run_id).version))
    if plan.keeps_up:
        upkeep(lake, keep_days=READERS / timedelta(days=1), readers=READERS)
    tell(("cycle", generation))


def _by_hand(lake: Lake, days: Sequence[str], run_id: str, tell: Callable[[tuple[str, object]], None]) -> None:
    """The marts in SQL of our own: dbt's start costs more than all the rest."""
    for mart in MARTS:
        stated = contract(mart)
        keys = days if stated.partition.dimensions else [""]
        rows = _MARTS_SQL[mart].format(days="', '".join(days))
        with lake.connect() as con:
            seen = snapshot_id(con)
            con.execute(f"CREATE OR REPLACE TEMP TABLE built AS {rows}")
            _told(build_mart(lake, stated, con, "built", keys, run_id, built_from=seen), tell)


def _with_dbt(lake: Lake, days: Sequence[str], run_id: str, tell: Callable[[tuple[str, object]], None]) -> None:
    with lake.connect() as con:
        for table in EMPTY:
            ensure_tables(lake, con, contract(f"staging.{table}"))
    for marts, keys in ((MARTS[:2], [""]), (MARTS[2:], days)):
        for outcomes in build_marts(lake, [contract(mart) for mart in marts], keys, run_id).values():
            _told(outcomes, tell)


def _told(outcomes: Sequence[Outcome], tell: Callable[[tuple[str, object]], None]) -> None:
    for outcome in outcomes:
        tell(("loaded", outcome.load.load_id) if outcome.committed else ("refused", outcome.load.error))
