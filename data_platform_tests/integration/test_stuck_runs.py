"""A run whose process was killed does not stay `STARTED`: it is found, named and reported failed; a living one is let be."""

from __future__ import annotations

import multiprocessing as mp
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
import pytest

from data_platform.automation.stuck import stuck_sensor
from data_platform.cli import doctor
from data_platform.cli.home import left_running, open_instance, prepare_home
from data_platform.settings import Settings
from data_platform_tests.integration.stuck_workers import run_until_killed

pytestmark = pytest.mark.slow
spawn = mp.get_context("spawn")
Started = tuple[str, mp.process.BaseProcess, Any]


@contextmanager
def running(settings: Settings, *, is_ours: bool) -> Iterator[Started]:
    """A run that is in its step: (run id, process, connection)."""
    prepare_home(settings)
    run_id, (ours, theirs) = str(uuid.uuid4()), spawn.Pipe()
    process = spawn.Process(
        target=run_until_killed, args=(str(settings.home), run_id, theirs), kwargs={"is_ours": is_ours}
    )
    process.start()
    try:
        assert ours.poll(120) and ours.recv() == "started"
        yield run_id, process, ours
    finally:
        process.kill()
        process.join()


def status(settings: Settings, run_id: str) -> dg.DagsterRunStatus:
    with dg.DagsterInstance.from_config(str(settings.dagster_dir)) as instance:
        run = instance.get_run_by_id(run_id)
        assert run
        return run.status


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("is_ours", [True, False], ids=["of our command line", "of another command"])
def test_a_killed_run_is_named_by_doctor_and_failed_by_the_next_command(
    is_ours: bool, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(settings, is_ours=is_ours) as (run_id, process, _):
        assert left_running(settings) == [], "it lives"
        process.kill()
        process.join()
    assert status(settings, run_id) == dg.DagsterRunStatus.STARTED, "Dagster itself does not see it"
    (check,) = list(doctor.check_runs(settings))
    assert not check.ok and run_id in check.found and f"({process.pid}" in check.found
    assert check.fix.startswith("data-platform backfill --resume 0a1b2c3d" if is_ours else "the next data-platform")
    assert status(settings, run_id) == dg.DagsterRunStatus.STARTED, "the doctor changes nothing"
    with open_instance(settings):
        pass
    assert run_id in capsys.readouterr().err
    assert status(settings, run_id) == dg.DagsterRunStatus.FAILURE
    assert [found.ok for found in doctor.check_runs(settings)] == [True]


def test_the_sensor_reports_a_killed_run_and_leaves_one_that_lives(settings: Settings) -> None:
    with running(settings, is_ours=True) as (dead, process, _), running(settings, is_ours=True) as (alive, _, told):
        process.kill()
        process.join()
        with dg.DagsterInstance.from_config(str(settings.dagster_dir)) as instance:
            assert "1 stuck" in str(stuck_sensor(dg.build_sensor_context(instance=instance)).skip_message)
        assert status(settings, dead) == dg.DagsterRunStatus.FAILURE
        told.send("go on")
        assert told.poll(60) and told.recv() == "ended"
    assert status(settings, alive) == dg.DagsterRunStatus.SUCCESS


@pytest.mark.slow
@pytest.mark.long
def test_a_run_of_another_machine_is_left_to_it(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(settings, is_ours=True) as (run_id, process, _):
        process.kill()
        process.join()
    assert [stuck.run.run_id for stuck in left_running(settings)] == [run_id]
    monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
    assert left_running(settings) == []
