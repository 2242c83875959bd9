"""`data-platform status --gaps`: partitions that are missing, failed or stale, and the commands that close the gaps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from data_platform.cli.backfill import load_definitions
from data_platform.cli.catalogue import known_tables
from data_platform.cli.gaps import Gap, failed_above, find_gaps, ledger_of
from data_platform.cli.output import Format, emit, note
from data_platform.cli.plan import Item, Plan, make_plan
from data_platform.cli.resume import KINDS, Request
from data_platform.cli.spans import span_text, spans
from data_platform.lake.lake import get_lake
from data_platform.settings import Settings


def gaps_command(
    settings: Settings, selection: str | None, days: tuple[date | None, date | None], form: Format
) -> None:
    """Prints the gaps of a table or a selection, and the commands that close them. Raises `UsageError`."""
    known = [table.name for table in known_tables(settings)]
    name = (selection or "*").replace("/", ".")
    wanted = f'key:"{name.replace(".", "/")}"' if name in known else selection or "*"
    plan = make_plan(load_definitions(), wanted, *days)
    standings = ledger_of(get_lake())
    gaps, above = find_gaps(plan, standings), failed_above(plan, standings)
    commands = [
        Request(f'key:"{asset.to_user_string()}"+', *days, only="failed").command
        for asset in dict.fromkeys(gap.item.asset for gap in above)
    ]
    commands += [
        Request(wanted, *days, only=kind).command for kind in KINDS.values() if kind in {gap.kind for gap in gaps}
    ]
    gaps = [*above, *gaps]
    rows = [
        {"asset": gap.item.asset.to_user_string(), "partition": gap.item.partition, "gap": gap.kind, "cause": gap.cause}
        for gap in gaps
    ]
    emit({"gaps": rows, "commands": commands}, form, [("Gaps", gap_rows(plan, gaps))] if gaps else [])
    if not gaps:
        note("There is no gap: every partition was loaded, none failed, none is stale.")
    for command in commands:
        note(f"To close them: {command}")


def gap_rows(plan: Plan, gaps: Sequence[Gap]) -> list[dict[str, object]]:
    """Gaps as rows of a table: neighbours of one kind together, with the cause of the first."""
    causes = {(gap.item, gap.kind): gap.cause for gap in gaps}
    rows = list[dict[str, object]]()
    for asset in dict.fromkeys([*plan.keys, *(gap.item.asset for gap in gaps)]):
        own = [gap for gap in gaps if gap.item.asset == asset]
        definition = plan.definitions[asset]
        ordered = [""] if definition is None else definition.get_partition_keys()
        for kind in ("failed", "missing", "stale"):
            for span in spans({gap.item.partition for gap in own if gap.kind == kind}, ordered):
                rows.append({
                    "asset": asset.to_user_string(), "gap": kind, "partitions": span_text(span) or "the table",
                    "count": len(span), "cause": _said([causes[Item(asset, key), kind] for key in span]),
                })  # fmt: skip
    return rows


def _said(causes: Sequence[str]) -> str:
    others = len([cause for cause in causes if cause != causes[0]])
    return causes[0] + (f" … and {others} other cause{'s' if others > 1 else ''}" if others else "")
