"""Runs whose process died: Dagster shows them as running for ever. Found here, and reported failed with the cause.

Our command line's runs carry the mark of their process, whose lock tells whether it lives (`lake/owners.py`). Dagster's
own runs tell their process in an event; its run monitoring asks no process of the default launcher.
"""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass

import dagster as dg
import psutil

from data_platform.lake import owners
from data_platform.settings import Settings, get_settings

PROCESS_TAG = "data_platform/process"
BUSY = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)
# Clocks are set; a process that seems younger than its run's first event by less than this is the run's own.
CLOCK_SECONDS = 60.0
_PID = re.compile(r"\(pid: (\d+)\)")


@dataclass(frozen=True)
class Stuck:
    """A run that nobody works on any more, and why, in words."""

    run: dg.DagsterRun
    cause: str


def process_tags(settings: Settings) -> dict[str, str]:
    """The tags of a run of this process, by which its death will be noticed."""
    return {PROCESS_TAG: f"{owners.mark(settings.lake_dir)} {os.getpid()} {socket.gethostname()}"}


def stuck_runs(instance: dg.DagsterInstance, settings: Settings) -> list[Stuck]:
    """The unfinished runs whose process is dead. A process of another machine is left to that machine."""
    found = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=list(BUSY))):
        who = _dead_process(instance, record.dagster_run, settings)
        if who:
            cause = (
                f"Its process ({who}) died before the run had ended: it was killed, ran out of memory, or the machine was "
                "restarted. What it committed stays; `data-platform status` shows what is missing."
            )
            found.append(Stuck(record.dagster_run, cause))
    return found


def report_stuck(instance: dg.DagsterInstance, settings: Settings) -> list[Stuck]:
    """Ends the stuck runs, as failed or as the canceled runs they were to be, and returns them."""
    found = stuck_runs(instance, settings)
    for stuck in found:
        if stuck.run.status == dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(stuck.run, stuck.cause)
        else:
            instance.report_run_failed(stuck.run, stuck.cause)
    return found


def _dead_process(instance: dg.DagsterInstance, run: dg.DagsterRun, settings: Settings) -> str:
    """The dead process of a run in words; empty when it lives, or nobody here can tell."""
    tag = run.tags.get(PROCESS_TAG)
    if tag:
        mark, pid, host = tag.split(" ", 2)
        return f"{pid} on {host}" if owners.is_dead(settings.lake_dir, mark) else ""
    if settings.catalog is not None:
        return ""  # several machines work here, and Dagster's events do not name theirs
    page = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    pids = [
        (int(told.group(1)), record.event_log_entry.timestamp)
        for record in page.records
        if (told := _PID.search(record.event_log_entry.message))
    ]
    return str(pids[0][0]) if pids and not any(_lives(pid, since) for pid, since in pids) else ""


def _lives(pid: int, since: float) -> bool:
    """Whether the process that had this number at that time is there still."""
    try:
        process = psutil.Process(pid)
        return bool(process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= since + CLOCK_SECONDS)
    except psutil.NoSuchProcess:
        return False


@dg.sensor(
    name="stuck_runs", minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reports runs failed whose process died without a word.",
)  # fmt: skip
def stuck_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """The run-failure sensor tells people of them, as of every failed run."""
    found = report_stuck(context.instance, get_settings())
    return dg.SkipReason(f"{len(found)} stuck runs were reported failed.")
