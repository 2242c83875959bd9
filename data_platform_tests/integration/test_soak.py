"""A short soak: hours of pipelines with faults end right without a person, and nothing grows."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import pytest

from benchmarks import soak
from data_platform.contracts.model import REGISTRY
from data_platform.lake import retrying

pytestmark = pytest.mark.slow


def test_hours_with_faults_end_right_without_a_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "FIRST_WAIT_SECONDS", 0.05)
    known = set(REGISTRY)
    try:
        found = soak.run(tmp_path / "soak", 5, 6, share=0.3, seed=11)
    finally:
        for name in set(REGISTRY) - known:
            del REGISTRY[name]
    assert sum(found["faults_met"].values()) >= 9
    assert found["caught_up_by_a_later_hour"] >= 1
    assert found["wrong"] == [found["broken_for_good"]]
    assert found["wrong_and_alerted"] == 1
    assert found["orphans"] == 0
    early, late = found["samples"][:3], found["samples"][3:]
    # An hour's end may find a connection that still waits for the garbage collector; growth shows in every hour.
    assert min(sample["handles"] for sample in late) <= max(sample["handles"] for sample in early)
    assert max(sample["temporary_files"] for sample in late) == 0
    assert median(s["rss_mib"] for s in late) < 1.1 * median(s["rss_mib"] for s in early)
