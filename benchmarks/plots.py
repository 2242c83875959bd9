"""The pictures of `docs/benchmarks.md`, as SVG and PNG. Numbers come from the results; none is measured here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import Row
from benchmarks.results import Results

OURS, PEER, LIMIT = "#2b6cb0", "#dd6b20", "#718096"


def draw(results: Results, folder: Path) -> list[Path]:
    """Every picture that has numbers; returns the files."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams |= {"svg.hashsalt": "bench", "font.size": 10, "axes.grid": True, "grid.alpha": 0.3}
    pictures: dict[str, tuple[str, Callable[[Any, Sequence[Row]], None]]] = {
        "throughput": ("limit", _throughput), "partitions": ("partitions", _partitions),
        "memory": ("memory", _memory), "writers": ("writers", _writers),
    }  # fmt: skip
    made = []
    for name, (group, picture) in pictures.items():
        rows = [row for found in results.rows(group).values() for row in found if row.size]
        if rows:
            made += _save(folder / f"bench_{name}", picture, rows)
    return made


def _save(stem: Path, picture: Callable[[Any, Sequence[Row]], None], rows: Sequence[Row]) -> list[Path]:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    picture(axes, rows)
    axes.legend(frameon=False)
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_suffix(".svg"), stem.with_suffix(".png")]
    for path in paths:
        figure.savefig(path, dpi=120, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)
    return paths


def _sized(rows: Sequence[Row]) -> list[Row]:
    return sorted((row for row in rows if row.size), key=lambda row: row.size or 0)


def _throughput(axes: Any, rows: Sequence[Row]) -> None:
    found = _sized(rows)
    sizes = [row.size for row in found]
    axes.plot(sizes, [row.more["mb_s"] for row in found], "o-", color=OURS, label="ours, to published")
    axes.plot(sizes, [row.more["by_hand_mb_s"] for row in found], "s--", color=LIMIT, label="DuckDB by hand")
    stock = [(row.size, row.more["csv_mb"] / seconds) for row in found for seconds in row.peers.values()]
    if stock:
        axes.plot(*zip(*stock, strict=True), "^:", color=PEER, label="stock pairing, scaled")
    axes.set(xscale="log", ylim=0, xlabel="order lines", ylabel="MB/s of CSV", title="Throughput against size")


def _partitions(axes: Any, rows: Sequence[Row]) -> None:
    year = next((row for row in rows if row.more.get("fitted")), None)
    small = sorted((row for row in rows if row.size and not row.peers), key=lambda row: row.size or 0)
    axes.plot(
        [row.size for row in small], [row.ours for row in small], "o-", color=OURS, label="ours, 1,000 lines each"
    )
    if year:
        axes.plot([year.size], [year.ours], "D", color=OURS, label="ours, 10,000 lines each")
        counts, seconds = zip(*((int(count), took) for count, took in year.more["fitted"].items()), strict=True)
        axes.plot(counts, seconds, "^", color=PEER, label="stock backfill, measured")
        ends = [counts[0], year.more["days"]]
        axes.plot(
            ends, [seconds[0], year.peers["stock backfill"]], ":", color=PEER, label="stock backfill, extrapolated"
        )
    axes.set(
        xscale="log", yscale="log", xlabel="partitions", ylabel="seconds", title="Backfill time against partitions"
    )


def _memory(axes: Any, rows: Sequence[Row]) -> None:
    found = _sized(rows)
    axes.plot([row.size for row in found], [row.ours / 1024 for row in found], "o-", color=OURS, label="peak resident")
    axes.axhline(3, color=LIMIT, linestyle="--", label="the limit of 3 GiB")
    axes.set(xscale="log", ylim=0, xlabel="order lines", ylabel="GiB", title="Memory against size, PLATFORM_MEMORY=2GB")


def _writers(axes: Any, rows: Sequence[Row]) -> None:
    for catalog, style in (("sqlite", "o-"), ("postgres", "s--")):
        found = _sized([row for row in rows if row.more.get("catalog") == catalog])
        seconds = [row.more["seconds"] for row in found]
        axes.plot([row.size for row in found], seconds, style, color=OURS, label=f"{catalog}: 20 commits each")
    axes.set(ylim=0, xlabel="writers", ylabel="seconds", title="Time against concurrent writers")
