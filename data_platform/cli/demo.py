"""`data-platform demo`: the whole line on the sample shop, and what came of it. Typed again, it does the same again."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from data_platform.cli.home import prepare_home
from data_platform.cli.output import Format, emit, note
from data_platform.cli.query import run_query
from data_platform.cli.sample import today, write_files
from data_platform.cli.status import table_status
from data_platform.errors import LoadFailed
from data_platform.lake.lake import get_lake
from data_platform.lake.ledger import latest_loads
from data_platform.lake.storage import storage_errors
from data_platform.settings import Settings, get_settings
from data_platform.sources.sample import default_start

SHOP = "shop"
FIGURES = {
    "revenue, EUR": "SELECT sum(gross_amount) FROM published.daily_revenue",
    "orders": "SELECT sum(order_count)::BIGINT FROM published.daily_revenue",
    "average order not cancelled, EUR": "SELECT round(sum(gross_amount) / (sum(order_count) - sum(cancelled_count)), 2) FROM published.daily_revenue",
    "best country by revenue": "SELECT max_by(country_code, amount) FROM (SELECT country_code, sum(gross_amount) AS amount FROM published.daily_revenue GROUP BY 1)",
    "customers who are champions": "SELECT count(*) FROM published.customer_segments WHERE segment = 'champions'",
}
NEXT = (
    "make ui                                          the web UI on http://127.0.0.1:3000, with this run in it",
    "data-platform status                             partitions and rows of every table",
    "data-platform query 'FROM published.daily_revenue LIMIT 5'",
    "data-platform backfill '*' --from DAY --to DAY   any part of it again",
)


def demo_command(days: int, scale: float, form: Format) -> None:
    """Writes the sample, loads it, prints the summary. Leaves with 1 when a partition failed."""
    from data_platform.cli.backfill import load_definitions
    from data_platform.cli.behind import early_days, parents_of

    started = time.monotonic()
    settings = pin_start(get_settings(), days)
    first = settings.start_date
    last = first + timedelta(days=days - 1)
    written = write_files(settings, first, days, scale)
    note(f"{written.total_rows:,} rows in {len(written.files):,} drop files, {first} to {last}")
    load_shop(settings, first, last, form)
    data = summary(settings) | {"seconds": round(time.monotonic() - started, 1)}
    emit(data, form, [
        ("Rows", data["tables"]), ("Rows that broke a rule", data["rules"]), ("Figures", data["figures"]),
    ])  # fmt: skip
    note(f"Partitions begin on {first}: PLATFORM_START_DATE in {settings.settings_file}")
    early = early_days(parents_of(load_definitions()), settings)
    if early:
        note(
            f"Late rows of {len(early)} days before that are in staging and in no mart; data-platform doctor says more."
        )
    note(f"\nDone in {data['seconds']} s. What to type next:")
    for line in NEXT:
        note(f"  {line}")


def pin_start(settings: Settings, days: int) -> Settings:
    """Keeps the first day in `settings.env`, so that tomorrow's demo is today's; a day that is set stays."""
    prepare_home(settings)
    if "start_date" in settings.model_fields_set:
        return settings
    with storage_errors(settings.settings_file):
        kept = settings.settings_file.read_text() if settings.settings_file.exists() else ""
        line = f"PLATFORM_START_DATE={default_start(today(), days)}\n"
        settings.settings_file.write_text(f"{kept}{'' if kept.endswith(chr(10)) or not kept else chr(10)}{line}")
    get_settings.cache_clear()
    return get_settings()


def load_shop(settings: Settings, first: date, last: date, form: Format) -> None:
    """Backfills everything that the shop feeds; other sources' assets are left alone."""
    from data_platform.cli.backfill import SHOWN, load_definitions, report_data, run_plan
    from data_platform.cli.plan import make_plan
    from data_platform.sources.registry import SOURCES

    others = [f'tag:"source"="{source.name}"+' for source in SOURCES if source.name != SHOP]
    selection = f"* and not ({' or '.join(others)})" if others else "*"
    defs = load_definitions()
    report = run_plan(settings, defs, make_plan(defs, selection, first, last))
    if not report.succeeded:
        problems = report_data(report)["problems"]
        emit(problems, form, [("Not done", problems[:SHOWN])])
        raise LoadFailed(f"{len(problems)} partitions are not there.", fix="data-platform doctor, then make demo again")


def summary(settings: Settings) -> dict[str, Any]:
    """Rows by fate, content hash and published version per table; rows by rule; five figures for a shopkeeper."""
    from data_platform.contracts.registry import contract

    hashes = table_hashes()
    tables, rules = [], []
    for row in table_status(settings):
        if not row["present"]:
            continue
        kept = {
            name: row[name]
            for name in ("table", "present", "read", "accepted", "quarantined", "merged", "flagged", "late")
        }
        tables.append(kept | {"content hash": hashes.get(row["table"], ""), "published": row["published"]})
        actions = {rule.name: rule.action for rule in contract(row["table"]).rules}
        rules += [
            {"table": row["table"], "rule": rule, "action": actions.get(rule, "warn"), "rows": count}
            for rule, count in sorted(row["by_rule"].items())
        ]
    figures = [{"figure": name, "value": _one(settings, sql)} for name, sql in FIGURES.items()]
    return {"tables": tables, "rules": rules, "figures": figures}


def table_hashes() -> dict[str, str]:
    """One hash per table over the content hashes of its partitions."""
    with get_lake().connect(read_only=True) as con:
        loads = latest_loads(con)
    by_table: dict[str, list[str]] = {}
    for load in sorted(loads, key=lambda found: found.partition_key):
        by_table.setdefault(load.asset, []).append(f"{load.partition_key}={load.content_hash}")
    return {table: _digest(parts) for table, parts in by_table.items()}


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _one(settings: Settings, sql: str) -> Any:
    _, rows = run_query(settings, sql)
    return rows[0][0] if rows else None
