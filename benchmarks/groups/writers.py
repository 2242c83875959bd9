"""`writers`: 1 to 8 processes that each overwrite days of one table, with 4 that read it, on both catalogs; beside them
the same writers with DuckLake alone, which does not repeat a commit that lost.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.copy import ROOT, environment
from benchmarks.harness import Candidate, Command, Group, Part, Row, Runs, Scale, middle, python
from benchmarks.shared import OURS

READERS, COMMITS = 4, 20
ALONE = "DuckLake alone"


def parts(scale: Scale) -> list[Part]:
    """A part per catalog and number of writers. Quick: none, for there is no ratio to tell."""
    if scale.quick:
        return []
    return [_part(catalog, writers, COMMITS, scale) for catalog in ("sqlite", "postgres") for writers in (1, 2, 4, 8)]


def _part(catalog: str, writers: int, commits: int, scale: Scale) -> Part:
    def rows(runs: Runs) -> list[Row]:
        first, asked = runs[OURS][0], writers * commits
        if any(run["committed"] != asked or run["wrong_reads"] for run in runs[OURS]):
            raise RuntimeError(f"Commits were lost, or readers saw a torn day: {runs[OURS]}")
        rate = asked / middle(runs[OURS])
        lost = [asked - run["committed"] for run in runs[ALONE]]
        waits = f"wait p50 {middle(runs[OURS], 'wait_p50'):.3f} s, p99 {middle(runs[OURS], 'wait_p99'):.3f} s"
        said = f"{first['committed']} of {asked}, 0 errors, {first['reads']} reads, none torn; {waits}; {ALONE} lost {max(lost)} of {asked}"
        more = {
            name: middle(runs[OURS], name) for name in ("wait_p50", "wait_p99", "commit_p50", "commit_p99", "seconds")
        } | {"catalog": catalog, "lost_alone": lost}  # fmt: skip
        alone = (asked - max(lost)) / middle(runs[ALONE])
        case = f"{writers} writers × {commits} commits, {READERS} readers, {catalog}"
        return [
            Row(case, "commits/s", rate, aim="all, 0 errors", peers={ALONE: alone}, size=writers, said=said, more=more)
        ]

    candidates = [
        _candidate(OURS, catalog, writers, commits),
        _candidate(ALONE, catalog, writers, commits, "--without-gate"),
    ]
    return Part(f"{catalog}, {writers} writers", lambda folder: None, candidates, rows, scale.times(3))  # noqa: ARG005


def _candidate(name: str, catalog: str, writers: int, commits: int, *flags: str) -> Candidate:
    def command(_inputs: Path, scratch: Path) -> Command:
        arguments = python("benchmarks.writing", catalog, writers, READERS, commits, *flags)
        return Command(arguments, environment(ROOT, scratch / "home"), ROOT)

    return Candidate(name, command)


GROUP = Group("writers", "Writers", parts)
