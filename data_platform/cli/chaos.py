"""`data-platform chaos`: kills on purpose in a throw-away home, a progress bar, and what broke. How is in `chaos/`."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from data_platform.chaos.run import VICTIMS, Chaos, Kill, Result
from data_platform.chaos.worker import World
from data_platform.cli.output import Format, emit, note, stderr
from data_platform.errors import UsageError
from data_platform.lake.attach import attachment, open_engine, postgres_catalog
from data_platform.lake.tables import attach
from data_platform.settings import Settings

SHOWN = 20


def chaos_command(
    settings: Settings, seconds: int, seed: int | None, kills: int | None, catalog: str | None, form: Format
) -> None:
    """Kills, and prints the kills by point and by victim and every violation. Leaves with 1 when there is one. Raises
    `UsageError` for a catalog that is in use."""
    seed = random.randrange(10_000) if seed is None else seed
    with tempfile.TemporaryDirectory(prefix="data-platform-chaos-", ignore_cleanup_errors=True) as home:
        world = World(Path(home), catalog)
        if catalog is not None:
            refuse_used(settings, world)
        result = with_bar(world, seconds, seed, kills)
    data = report(result, seed)
    tables = [("Kills", data["points"]), ("What happened", [data["counts"]])]
    emit(data, form, [*tables, *([("Violations", data["violations"][:SHOWN])] if data["violations"] else [])])
    if data["violations"]:
        note(f"The laws were broken. To see it again: data-platform chaos --seconds {seconds} --seed {seed}")
        raise SystemExit(1)
    note(f"{len(result.kills)} kills, and each law held. Seed {seed}.")


def refuse_used(settings: Settings, world: World) -> None:
    """Raises `UsageError` when the catalog is the user's own, or holds any lake."""
    given = postgres_catalog(world.catalog or "")
    scratch = world.settings()
    if attachment(settings).place == given.place:
        raise UsageError(
            f"`--catalog` is `PLATFORM_CATALOG`: `{given.place}`.", fix="give the URL of an empty scratch database"
        )
    with open_engine(scratch, attachment(scratch)) as con:
        if attach(con, attachment(scratch), read_only=True):
            raise UsageError(f"`{given.place}` holds a lake already.", fix="give the URL of an empty scratch database")


def with_bar(world: World, seconds: int, seed: int, kills: int | None) -> Result:
    columns = (TextColumn("{task.description:<28}"), BarColumn(), TextColumn("{task.fields[kills]} kills"))
    with Progress(*columns, TimeElapsedColumn(), console=stderr()) as progress:
        task = progress.add_task("the first load", total=kills or seconds, kills=0)
        done: list[Kill] = []

        def on_kill(kill: Kill) -> None:
            done.append(kill)
            moved = len(done) if kills else min(seconds, progress.tasks[0].elapsed or 0)
            progress.update(task, completed=moved, description=f"{kill.victim}, {kill.point}", kills=len(done))

        return Chaos(world, seed, on_kill).run(seconds, kills)


def report(result: Result, seed: int) -> dict[str, Any]:
    """The kills by point and victim, what the workers and readers did meanwhile, and every violation."""
    counted = Counter((kill.point, kill.victim) for kill in result.kills)
    broken = Counter(kill.point for kill in result.kills for _ in kill.broken)
    points = [
        {"point": point, **{victim: counted[point, victim] for victim in VICTIMS}, "violations": broken[point]}
        for point in sorted({point for point, _ in counted}, key=lambda point: (point.partition(" ")[2], point))
    ]
    at = [
        {"after": f"{kill.victim}, {kill.point}", "law": found.law, "found": found.said}
        for kill in result.kills
        for found in kill.broken
    ]
    names = {
        "cycle": "cycles", "loaded": "loads", "published": "publishes", "refused": "refused loads", "reads": "reads",
        "versions read": "versions read", "orphans": "files removed", "folders": "folders removed",
    }  # fmt: skip
    return {
        "seed": seed,
        "kills": len(result.kills),
        "points": points,
        "counts": {"kills": len(result.kills)} | {name: result.counts[word] for word, name in names.items()},
        "refusals": dict(result.refusals),
        "violations": [*at, *({"after": "", "law": found.law, "found": found.said} for found in result.broken)],
    }
