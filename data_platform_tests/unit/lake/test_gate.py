"""The gate within one process: re-entrant, one thread at a time, and honest about waits."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from data_platform.errors import GateTimeout
from data_platform.lake.gate import FileLatch, Gate, gate_for


def gate_at(path: Path, timeout: float = 10.0) -> Gate:
    return gate_for(str(path), lambda: FileLatch(path), timeout)


def test_a_holder_may_enter_again_and_the_lock_is_freed_at_the_end(tmp_path: Path) -> None:
    gate = gate_at(tmp_path / "a.lock")
    with gate.hold(), gate.hold():
        assert gate.still_held()
    assert not gate.still_held()
    other = Gate(FileLatch(tmp_path / "a.lock"), 1.0)
    with other.hold(timeout=0.1):
        pass


def test_one_process_has_one_gate_for_a_lock(tmp_path: Path) -> None:
    assert gate_at(tmp_path / "a.lock") is gate_at(tmp_path / "a.lock")
    assert gate_at(tmp_path / "a.lock") is not gate_at(tmp_path / "b.lock")


def test_threads_pass_one_after_the_other(tmp_path: Path) -> None:
    gate, inside, most = gate_at(tmp_path / "a.lock"), 0, 0
    start = threading.Barrier(8)

    def enter() -> None:
        nonlocal inside, most
        start.wait()
        for _ in range(10):
            with gate.hold():
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=enter) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_a_thread_that_waits_too_long_is_told_and_the_wait_of_the_next_is_measured(tmp_path: Path) -> None:
    gate, held, release = gate_at(tmp_path / "a.lock"), threading.Event(), threading.Event()

    def hold() -> None:
        with gate.hold():
            held.set()
            release.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    with pytest.raises(GateTimeout, match="another thread"), gate.hold(timeout=0.05):
        pass
    threading.Timer(0.1, release.set).start()
    with gate.hold() as waited:
        assert waited >= 0.05
    thread.join()
    assert gate.waited == waited


def test_an_error_inside_frees_the_gate(tmp_path: Path) -> None:
    gate = gate_at(tmp_path / "a.lock")
    with pytest.raises(ZeroDivisionError), gate.hold():
        raise ZeroDivisionError
    assert not gate.still_held()
