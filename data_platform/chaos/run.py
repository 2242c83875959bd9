"""The killer: starts workers, has them killed by seed, and asks the laws after each death. No words for people here."""

from __future__ import annotations

import multiprocessing as mp
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, cast

from data_platform.chaos.laws import Violation, violations
from data_platform.chaos.reader import read
from data_platform.chaos.worker import Plan, Victim, World, parent
from data_platform.errors import GateTimeout, PlatformError
from data_platform.lake.lake import Lake
from data_platform.lake.points import POINTS
from data_platform.lake.upkeep import find_orphans, upkeep

VICTIMS: tuple[Victim, ...] = ("worker", "parent", "both")
RANDOM = "random time"
# Points that a cycle reaches more than once are met at one of their first times.
TIMES = {"stage": 12, "gate": 12, "begin": 10, "delete": 10, "add": 10, "ledger": 12, "commit": 10, "check": 3}
WARM_UP_CYCLES = 3
ATTEMPT_SECONDS, GATE_SECONDS = 300.0, 60.0
PRELOADED = [
    "data_platform.chaos.worker",
    "data_platform.chaos.reader",
    "data_platform.lake.dbt_plugin",
    "dbt.cli.main",
]


@dataclass(frozen=True)
class Kill:
    """One kill, and what it broke. `point` is a name of `POINTS` or a random time."""

    point: str
    victim: Victim
    broken: tuple[Violation, ...]


@dataclass
class Result:
    """All kills of a run. `broken` has the violations that belong to no one kill: the readers', and those at the end."""

    kills: list[Kill] = field(default_factory=list)
    broken: list[Violation] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)

    @property
    def violations(self) -> list[Violation]:
        return [*(found for kill in self.kills for found in kill.broken), *self.broken]


@dataclass
class Attempt:
    """A parent and its worker, alive or dead. `told` ends when both are dead."""

    process: BaseProcess
    told: Connection
    worker_pid: int = 0


class Chaos:
    """Kills in one world, one after another. `on_kill` hears of each."""

    def __init__(self, world: World, seed: int, on_kill: Callable[[Kill], None] = lambda _: None) -> None:
        self.world, self.on_kill = world, on_kill
        self.random = random.Random(seed)
        self.lake = Lake(world.settings())
        self.result = Result()
        self.loads: set[str] = set()
        self.version = 0
        self.alive: list[Attempt] = []
        self.errors: list[Violation] = []
        self.generation = 0
        # Workers are forked from one process that has imported everything and opened nothing.
        self.context = mp.get_context("forkserver")
        self.context.set_forkserver_preload(PRELOADED)
        # Python would tell people of the semaphores that the dead did not give back; it frees them all the same.
        sys.warnoptions.append("ignore:resource_tracker")

    def run(self, seconds: float, kills: int | None = None) -> Result:
        """Kills until the time is up or so many kills are done, and asks the laws one last time."""
        with ExitStack() as stack:
            stack.callback(self._end)
            self._warm_up()
            reader = stack.enter_context(self._reading())
            deadline = time.monotonic() + seconds
            for point, victim in self._schedule():
                if time.monotonic() > deadline or (kills is not None and len(self.result.kills) >= kills):
                    break
                kill = self._kill(point, victim)
                self.result.kills.append(kill)
                self.on_kill(kill)
            self._until_dead(stop=True)
            self._stop(*reader)
            self._last_look()
        return self.result

    def _schedule(self) -> Iterator[tuple[str, Victim]]:
        """Every point once, and random times between, in an order of the seed; then again."""
        while True:
            points = [*POINTS, *(RANDOM for _ in range(len(POINTS) // 3))]
            self.random.shuffle(points)
            victims = [VICTIMS[number % len(VICTIMS)] for number in range(len(points))]
            self.random.shuffle(victims)
            yield from zip(points, victims, strict=True)

    def _plan(self, point: str, victim: Victim) -> Plan:
        step = point.partition(" ")[2]
        self.generation += 1000
        nth = self.random.randint(1, TIMES.get(step, 1)) if point != RANDOM else 0
        return Plan(
            self.generation, point if point != RANDOM else "", nth, victim,
            uses_dbt=step in ("dbt model", "stage", "add") or self.random.random() < 0.1, keeps_up=step in ("expiry", "clean-up"),
        )  # fmt: skip

    def _kill(self, point: str, victim: Victim) -> Kill:
        attempt = self._start(self._plan(point, victim))
        if point == RANDOM:
            self._hear(lambda: bool(attempt.worker_pid))
            moment = time.monotonic() + self.random.uniform(0.3, 4.0)
            self._hear(lambda: time.monotonic() > moment)
            self._shoot(attempt, victim)
        is_parents = victim == "parent"
        done = self._hear(lambda: (not attempt.process.is_alive()) if is_parents else attempt not in self.alive)
        broken = [] if done else [Violation("error", f"no {victim} died at `{point}` within {ATTEMPT_SECONDS:g} s")]
        if not done:
            self._shoot(attempt, "both")
        # An orphaned worker goes on with the gate: what it writes meanwhile must keep the laws as well.
        return Kill(point, victim, (*broken, *self._look()))

    def _start(self, plan: Plan) -> Attempt:
        ours, theirs = self.context.Pipe(duplex=False)
        process = self.context.Process(target=parent, args=(self.world, plan, theirs))
        process.start()
        theirs.close()
        attempt = Attempt(process, ours)
        self.alive.append(attempt)
        return attempt

    def _shoot(self, attempt: Attempt, victim: Victim) -> None:
        pids = [attempt.process.pid] * (victim != "worker") + [attempt.worker_pid] * (victim != "parent")
        for pid in filter(None, pids):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _hear(self, done: Callable[[], bool]) -> bool:
        """Listens to all workers until `done`; False when that takes too long."""
        deadline = time.monotonic() + ATTEMPT_SECONDS
        while not done():
            if time.monotonic() > deadline:
                return False
            ready = wait([attempt.told for attempt in self.alive], timeout=0.02) if self.alive else []
            for attempt in [found for found in self.alive if found.told in ready]:
                try:
                    self._heard(attempt, *attempt.told.recv())
                except (EOFError, OSError):
                    attempt.told.close()
                    attempt.process.join()
                    self.alive.remove(attempt)
        return True

    def _heard(self, attempt: Attempt, word: str, value: Any) -> None:
        self.result.counts[word] += 1
        if word == "worker":
            attempt.worker_pid = cast(int, value)
        elif word == "loaded":
            self.loads.add(value)
        elif word == "published":
            self.version = max(self.version, value)
        elif word == "refused":
            self.result.refusals[str(value)] += 1
        elif word == "error":
            self.errors.append(Violation("error", f"a worker died of {value}"))

    def _look(self) -> list[Violation]:
        """The laws, asked now; and whether the gate is free, or held by a worker that lives."""
        found, self.errors = self.errors, []
        try:
            with self.lake.gate.hold(timeout=GATE_SECONDS):
                pass
        except GateTimeout as error:
            found.append(Violation("gate", str(error)))
        with self.lake.connect(read_only=True) as con:
            told = set(self.loads)
            found += violations(con, told)
            row = con.execute("SELECT max(version) FROM lake.ops.publishes").fetchone()
        if not row or (row[0] or 0) < self.version:
            found.append(Violation("lost", f"version {self.version} was published and is not shown"))
        return found

    def _warm_up(self) -> None:
        """Loads every day once, so that each kill meets rows that it might lose."""
        self._start(Plan(self.generation, cycles=WARM_UP_CYCLES))
        self._until_dead()
        found = [*self.result.broken, *self._look()]
        if found or self.result.counts["cycle"] != WARM_UP_CYCLES:
            said = "; ".join(violation.said for violation in found) or f"{dict(self.result.refusals)}"
            raise PlatformError(f"The laws do not hold before the first kill: {said}", fix="report this")

    @contextmanager
    def _reading(self) -> Iterator[tuple[Any, BaseProcess, Connection]]:
        stop = self.context.Event()
        ours, theirs = self.context.Pipe(duplex=False)
        process = self.context.Process(target=read, args=(self.world, stop, theirs))
        process.start()
        theirs.close()
        try:
            yield stop, process, ours
        finally:
            stop.set()
            process.join(30)
            process.kill()

    def _stop(self, stop: Any, process: BaseProcess, told: Connection) -> None:
        """Ends the reader and takes what it saw."""
        stop.set()
        with suppress(EOFError):
            while True:
                word, value = told.recv()
                if word == "violations":
                    self.result.broken += value
                else:
                    self.result.counts["reads"], self.result.counts["versions read"] = value
        process.join(30)
        if not self.result.counts["reads"]:
            self.result.broken.append(Violation("readers", "the reader died, or never read"))

    def _until_dead(self, *, stop: bool = False) -> None:
        """Waits until no worker lives. Orphans end with their cycle; with `stop` their parents are shot to make them orphans."""
        if stop:
            for attempt in self.alive:
                self._shoot(attempt, "parent")
        if not self._hear(lambda: not self.alive):
            self.result.broken.append(Violation("error", "a worker did not end"))

    def _last_look(self) -> None:
        """Upkeep removes what all the dead have left; then the laws once more."""
        done = upkeep(self.lake)
        self.result.counts["orphans"], self.result.counts["folders"] = done.orphans, done.folders
        with self.lake.connect() as con:
            left = find_orphans(self.lake, con)
        strays = [*left.files, *left.waiting, *(self.world.home / "tmp").glob("read-*"), *self._builds()]
        self.result.broken += [Violation("left behind", str(path)) for path in strays]
        self.result.broken += self._look()

    def _builds(self) -> Iterator[Any]:
        return (self.world.home / "build").glob("*")

    def _end(self) -> None:
        for attempt in self.alive:
            self._shoot(attempt, "both")
        self.lake.close()
