"""A plan in words: which partitions, and what they will cost by what the ledger knows of earlier loads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from data_platform.assets.naming import table_of
from data_platform.cli.output import Format, emit, note
from data_platform.cli.plan import Plan
from data_platform.cli.spans import span_text, spans
from data_platform.lake.standings import Standings
from data_platform.partitions import name_of

RECENT = 30  # partitions of a table that its medians are over
SPANS = 3
UNKNOWN = "no history"


@dataclass(frozen=True)
class Usual:
    """Rows read and seconds of work per partition of one table. Medians, so that one odd day does not tell."""

    rows: float
    seconds: float


def usual(standings: Standings) -> Mapping[str, Usual]:
    """The medians of each table's most recently committed partitions."""
    committed: dict[str, list[tuple[int, int, float]]] = {}
    for (table, _), found in standings.of.items():
        if found.committed is not None:
            committed.setdefault(table, []).append((found.committed, found.rows or 0, found.seconds or 0.0))
    recent = {table: sorted(loads)[-RECENT:] for table, loads in committed.items()}
    return {
        table: Usual(median(rows for _, rows, _ in loads), median(seconds for _, _, seconds in loads))
        for table, loads in recent.items()
    }


def plan_data(plan: Plan, standings: Standings) -> dict[str, Any]:
    """The plan as rows: in which run each asset is, its partitions as ranges, and the rows and seconds to expect; `None`
    where the ledger has no load of the table."""
    known, rows = usual(standings), list[dict[str, Any]]()
    for number, wave in enumerate(plan.waves, 1):
        for asset in wave.assets:
            keys, definition = plan.keys[asset], plan.definitions[asset]
            ranges = spans(keys, definition.get_partition_keys()) if definition else []
            each = known.get(table_of(asset))
            rows.append({
                "run": number, "asset": asset.to_user_string(), "partitioned by": name_of(definition),
                "partitions": len(keys), "first": keys[0], "last": keys[-1],
                "ranges": [[span[0], span[-1]] for span in ranges],
                "rows": round(each.rows * len(keys)) if each else None,
                "seconds": round(each.seconds * len(keys), 1) if each else None,
            })  # fmt: skip
    told = [row for row in rows if row["rows"] is not None]
    return {
        "partitions": plan.size, "runs": len(plan.waves), "rows": sum(row["rows"] for row in told),
        "seconds": round(sum(row["seconds"] for row in told), 1),
        "without_history": [row["asset"] for row in rows if row["rows"] is None], "assets": rows,
    }  # fmt: skip


def show_plan(plan: Plan, standings: Standings, form: Format) -> None:
    """Prints what a backfill would do."""
    data = plan_data(plan, standings)
    emit(data, form, [("Plan", [_shown(row) for row in data["assets"]])])
    if not data["partitions"]:
        note("There is nothing to do.")
        return
    unknown, expected = len(data["without_history"]), f"about {data['rows']:,} rows and {data['seconds']:,} s of work"
    if unknown == len(data["assets"]):
        expected = "and the ledger has no history of them"
    elif unknown:
        expected += f", not counting {unknown} assets without a history"
    note(f"{data['partitions']:,} partitions, {expected}.")


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    texts = [span_text(sorted(set(span))) for span in row["ranges"]]
    more = f" and {len(texts) - SPANS} more" if len(texts) > SPANS else ""
    known = {name: UNKNOWN if row[name] is None else f"{row[name]:,}" for name in ("rows", "seconds")}
    named = {name: row[name] for name in ("run", "asset", "partitioned by", "partitions")}
    return named | {"which": ", ".join(texts[:SPANS]) + more} | known
