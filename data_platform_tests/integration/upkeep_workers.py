"""What upkeep's tests run in processes of their own: writers that stage and do not commit."""

from __future__ import annotations

import tempfile
from multiprocessing.connection import Connection

from data_platform.lake.lake import Slice
from data_platform.lake.owners import mark
from data_platform_tests.integration.lake_workers import FIRST, TABLE, open_lake


def stage_and_wait(home: str, catalog: str | None, told: Connection) -> None:
    """Stages rows of the first day and a throw-away folder, tells the file, and commits when it is told to."""
    lake = open_lake(home, catalog)
    with lake.connect() as con:
        file = lake.stage(con, TABLE, "SELECT 7 AS order_id, 7 AS writer", {"arrival_date": FIRST})
    assert file is not None
    scratch = tempfile.mkdtemp(prefix=f"read-{mark(lake.settings.lake_dir)}-", dir=lake.settings.home / "tmp")
    told.send((str(file.path), scratch))
    told.recv()
    lake.commit([Slice(TABLE, {"arrival_date": FIRST}, (file,))])
    told.send("committed")
