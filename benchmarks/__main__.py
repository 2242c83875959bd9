"""`python -m benchmarks run [GROUP…] [--quick]`: runs what has no result yet, then writes tables and pictures."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

from benchmarks import machine, plots, report
from benchmarks.groups.all import GROUPS
from benchmarks.harness import Group, Part, Scale, run_part
from benchmarks.results import FOLDER, Results

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
NAMES = [group.name for group in GROUPS]
Names = Annotated[list[str] | None, typer.Argument(metavar=f"[{'|'.join(NAMES)}]…")]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@app.command()
def run(
    groups: Names = None, quick: bool = False, again: bool = False, sizes: str = "", repeats: int | None = None,
    parts: Annotated[str, typer.Option(help="Only parts whose name holds this.")] = "",
) -> None:  # fmt: skip
    """Runs the parts of these groups, all by default, that have no result of this commit on this machine."""
    results = Results(FOLDER / ("quick.json" if quick else "latest.json"))
    scale = Scale(quick, tuple(int(size) for size in sizes.split(",") if size), repeats)
    for group in _chosen(groups):
        for part in group.parts(scale):
            if parts in part.name:
                _run(group, part, results, again=again)
    _write(results, quick=quick)


@app.command("report")
def report_command(quick: bool = False) -> None:
    """Writes tables and pictures of the results that there are."""
    _write(Results(FOLDER / ("quick.json" if quick else "latest.json")), quick=quick)


def _run(group: Group, part: Part, results: Results, *, again: bool) -> None:
    of = {"commit": machine.commit(), "machine": machine.described(), "repeats": part.repeats}
    if results.has(group.name, part.name, of) and not again:
        _say(f"{group.name}, {part.name}: done already")
        return
    started, before = time.monotonic(), machine.probe()
    rows = run_part(part, _say)
    took = round(time.monotonic() - started)
    results.put(group.name, part.name, of, rows, probe=[before, machine.probe()], took_seconds=took)


def _write(results: Results, *, quick: bool) -> None:
    text = report.markdown(results, absolute=not quick)
    print(text)
    if not quick:
        docs = FOLDER.parent.parent / "docs"
        (docs / "benchmarks.md").write_text(text)
        plots.draw(results, docs / "img")


def _chosen(names: list[str] | None) -> list[Group]:
    unknown = [name for name in names or () if name not in NAMES]
    if unknown:
        raise typer.BadParameter(f"`{unknown[0]}` is no group. There are {', '.join(NAMES)}.")
    return [group for group in GROUPS if not names or group.name in names]


if __name__ == "__main__":
    app()
