"""Results as Markdown: a table per group, and what machine gave them. Pictures are `plots.py`."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.groups.all import GROUPS
from benchmarks.harness import Group, Row
from benchmarks.results import Results

PLOTS = {
    "limit": "throughput", "partitions": "partitions", "memory": "memory", "writers": "writers",
}  # fmt: skip
HEAD = "| what | unit | ours | limit | ratio | aim | peers | |\n| --- | --- | ---: | ---: | ---: | --- | --- | --- |"


def markdown(results: Results, *, absolute: bool = True) -> str:
    """All groups that have results. `absolute` aside, ratios only."""
    parts = [
        "# Benchmarks: the last results",
        "Written by `make bench`; the method is in [benchmarks](../benchmarks/README.md).",
    ]
    for group in GROUPS:
        rows = every_row(group, results)
        if rows:
            parts += [f"## {group.title}", _table(rows, absolute=absolute)]
            if absolute and group.name in PLOTS:
                parts.append(f"![{group.title}](img/bench_{PLOTS[group.name]}.svg)")
            parts.append(_machine(group, results))
    return "\n\n".join(parts) + "\n"


def every_row(group: Group, results: Results) -> list[Row]:
    """Rows of all parts, then those that compare parts."""
    by_part = results.rows(group.name)
    return [*(row for rows in by_part.values() for row in rows), *group.combine(by_part)]


def _table(rows: Sequence[Row], *, absolute: bool) -> str:
    return "\n".join([HEAD, *(_line(row, absolute=absolute) for row in rows)])


def _line(row: Row, *, absolute: bool) -> str:
    peers = ", ".join(f"{name}: {_number(value)}" for name, value in row.peers.items()) if absolute else ""
    cells = [
        row.case, row.unit if absolute else "", _number(row.ours) if absolute else "",
        _number(row.limit) if absolute else "", _number(row.ratio), row.aim, peers, row.said if absolute else "",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _machine(group: Group, results: Results) -> str:
    lines = []
    for part, found in results.groups[group.name].items():
        of, probe = found["of"], found["probe"]
        machine = of["machine"]
        lines.append(
            f"{part}: commit {of['commit']}, {found['at'][:10]}, {machine['cpu']}, {machine['cores']} cores, "
            f"{machine['memory_gib']} GiB, Python {machine['python']}, DuckDB {machine['duckdb']}, Dagster "
            f"{machine['dagster']}; 10 million additions took {probe[0]} s before and {probe[1]} s after"
        )
    return "<small>" + "<br>".join(lines) + "</small>"
