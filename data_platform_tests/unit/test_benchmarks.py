"""The benchmarks' own machinery: turns, medians, scaling, results that are kept, and candidates that do the same job."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import by_hand, plots
from benchmarks.groups import limit, partitions
from benchmarks.harness import Candidate, Command, Part, Row, Runs, Scale, middle, run_part
from benchmarks.lines import generate
from benchmarks.results import Results

ROWS = [Row("a", "s", 3.0, 2.0, 1.5, "≤ 1.5", size=10.0)]


def candidate(name: str, log: Path, code: str, **stated: float) -> Candidate:
    """A process that writes its name to the log."""
    whole = f"open({str(log)!r}, 'a').write({name!r}); {code}"
    return Candidate(name, lambda inputs, scratch: Command([sys.executable, "-c", whole], {}, scratch), **stated)


def test_candidates_take_turns_and_the_slow_one_is_run_less_often_and_scaled(tmp_path: Path) -> None:
    seen: dict[str, list[float]] = {}

    def rows(runs: Runs) -> list[Row]:
        seen.update({name: [run["seconds"] for run in found] for name, found in runs.items()})
        return ROWS

    log = tmp_path / "log"
    one = candidate("a", log, "print('{\"seconds\": 2}')")
    slow = candidate("b", log, "print('{\"seconds\": 3}')", scale=10, repeats=2)
    assert run_part(Part("p", lambda folder: None, [one, slow], rows, 3), lambda line: None) == ROWS
    assert log.read_text() == "ababa"
    assert seen == {"a": [2, 2, 2], "b": [30, 30]}


def test_a_run_that_fails_fails_the_part_with_what_it_said(tmp_path: Path) -> None:
    dying = candidate("a", tmp_path / "log", "raise SystemExit('no cheese')")
    with pytest.raises(RuntimeError, match="no cheese"):
        run_part(Part("p", lambda folder: None, [dying], lambda runs: ROWS, 1), lambda line: None)


def test_a_part_is_done_for_its_commit_and_machine_only_and_comes_back_as_it_was(tmp_path: Path) -> None:
    of = {"commit": "abc", "machine": {"cores": 2}, "repeats": 5}
    Results(tmp_path / "latest.json").put("limit", "one", of, ROWS, probe=[0.6, 0.7])
    kept = Results(tmp_path / "latest.json")
    assert kept.has("limit", "one", of)
    assert not kept.has("limit", "one", of | {"commit": "def"})
    assert not kept.has("limit", "two", of)
    assert kept.rows("limit") == {"one": ROWS}


def test_the_median_is_that_of_the_runs() -> None:
    assert middle([{"seconds": 3}, {"seconds": 1}, {"seconds": 100}]) == 3


@pytest.mark.parametrize("combine", [limit.combine, partitions.combine])
def test_sizes_are_compared_by_what_one_row_or_partition_costs(
    combine: Callable[[dict[str, list[Row]]], list[Row]],
) -> None:
    rows = {
        f"{size} small": [Row("x", "s", seconds, size=size, peers={})]
        for size, seconds in ((100, 10.0), (1_000, 150.0))
    }
    (row,) = combine(rows)
    assert row.ratio == pytest.approx(1.5)


def test_the_script_by_hand_accounts_for_every_line(tmp_path: Path) -> None:
    assert generate(tmp_path / "landing", 20_000, 2) > 20_000 * 60
    found = by_hand.run(tmp_path / "landing", tmp_path / "out", 2)
    assert found == {"accepted": 19_800, "quarantined": 175, "merged": 25}


def test_pictures_are_drawn_from_the_results_that_there_are(tmp_path: Path) -> None:
    results = Results(tmp_path / "latest.json")
    more = {"mb_s": 20.0, "by_hand_mb_s": 40.0, "csv_mb": 71.0}
    results.put("limit", "one", {}, [Row("a", "s", 3.0, 2.0, 1.5, size=1e6, peers={"stock": 9.0}, more=more)])
    results.put("memory", "one", {}, [Row("a", "MiB", 2000.0, size=1e7)])
    made = plots.draw(results, tmp_path / "img")
    assert sorted(path.name for path in made) == [
        "bench_memory.png", "bench_memory.svg", "bench_throughput.png", "bench_throughput.svg",
    ]  # fmt: skip
    assert all(path.stat().st_size > 5_000 for path in made)


def test_quick_parts_are_small_and_sizes_may_be_stated() -> None:
    assert [part.name for part in limit.parts(Scale(quick=True))] == ["100,000 lines"]
    assert [part.name for part in limit.parts(Scale(sizes=(7_000,)))] == ["7,000 lines"]
