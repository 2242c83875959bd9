"""The reader: asks the published tables over and over while workers are killed, and tells of every answer that is not whole."""

from __future__ import annotations

from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event

from data_platform.chaos.laws import Violation, readers_see
from data_platform.chaos.worker import World
from data_platform.lake.lake import Lake

PAUSE_SECONDS = 0.05


def read(world: World, stop: Event, told: Connection) -> None:
    """Reads until it is stopped; then tells how often it has read, and which versions it has seen."""
    lake = Lake(world.settings())
    reads, versions = 0, set[int]()
    con = lake.connect(read_only=True)
    while not stop.wait(PAUSE_SECONDS):
        try:
            seen, found = readers_see(con)
        except Exception as error:
            seen, found = set(), [Violation("readers", f"{type(error).__name__}: {str(error).splitlines()[0]}")]
        versions |= seen
        reads += 1
        if found:
            told.send(("violations", found))
    told.send(("reads", (reads, len(versions))))
