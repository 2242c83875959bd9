"""Dagster runs in processes of their own, that do not end by themselves."""

from __future__ import annotations

import os
from multiprocessing.connection import Connection

import dagster as dg

from data_platform.automation.stuck import process_tags
from data_platform.cli.engine import BACKFILL_TAG
from data_platform.cli.home import open_instance
from data_platform.cli.resume import Request
from data_platform.settings import get_settings, load_settings


def run_until_killed(home: str, run_id: str, told: Connection, *, is_ours: bool) -> None:
    """A run that waits in its only step; with the tags of our command line, or as another command starts it."""
    os.environ["PLATFORM_HOME"] = home
    get_settings.cache_clear()
    settings = load_settings(home=home, catalog=None)

    @dg.op
    def wait() -> None:
        told.send("started")
        told.recv()

    @dg.job
    def waiting() -> None:
        wait()

    ours = {**process_tags(settings), **Request("*").tags, BACKFILL_TAG: "0a1b2c3d"}
    with open_instance(settings) as instance:
        waiting.execute_in_process(instance=instance, run_id=run_id, tags=ours if is_ours else {})
    told.send("ended")
