"""Ctrl-C in a process of its own: the first one asks to stop, the second one interrupts at once."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

CHILD = """
import os, signal
from data_platform.cli.interrupts import stops_between_partitions, telling
from data_platform.lake import stopping

def interrupted(*_):  # as Dagster does while a step runs
    raise RuntimeError("at any place")

def say(words):
    os.write(1, f"{words}\\n".encode())  # whole lines: two threads say something

with stops_between_partitions():
    signal.signal(signal.SIGINT, interrupted)
    try:
        if WORKING:
            with telling(say):
                say("working")
                while not stopping.asked():
                    pass
                say("between partitions")
                while True:
                    pass
        say("planning")
        while True:
            pass
    except RuntimeError as error:
        say(error)
assert not stopping.asked()
say("over")
"""


def child(working: bool) -> Iterator[subprocess.Popen[str]]:
    code = CHILD.replace("WORKING", str(working))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.fixture
def working() -> Iterator[subprocess.Popen[str]]:
    yield from child(True)


@pytest.fixture
def planning() -> Iterator[subprocess.Popen[str]]:
    yield from child(False)


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_the_first_one_asks_and_the_second_one_interrupts(working: subprocess.Popen[str]) -> None:
    assert said(working) == "working"
    working.send_signal(signal.SIGINT)
    assert {said(working), said(working)} == {
        "Stopping: the partitions that are being worked on are finished first. Ctrl-C again stops at once.",
        "between partitions",
    }
    working.send_signal(signal.SIGINT)
    assert (said(working), said(working)) == ("at any place", "over")
    assert working.wait() == 0


def test_before_work_begins_the_first_one_interrupts(planning: subprocess.Popen[str]) -> None:
    assert said(planning) == "planning"
    planning.send_signal(signal.SIGINT)
    assert (said(planning), said(planning)) == ("at any place", "over")
    assert planning.wait() == 0
