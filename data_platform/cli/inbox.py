"""`data-platform quarantine …`: what the inbox's commands do, in words and tables. Rows are judged in Dagster runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb

from data_platform.cli.output import Format, emit, note
from data_platform.cli.query import require_lake
from data_platform.contracts.model import Contract
from data_platform.contracts.registry import contracts, find
from data_platform.errors import UsageError
from data_platform.lake.lake import get_lake
from data_platform.lake.ledger import latest_loads
from data_platform.lake.patches import Action
from data_platform.quality import decide, inbox, reopen, replay
from data_platform.quality.aside import STATUSES
from data_platform.quality.inbox import Pick
from data_platform.settings import Settings


def pick_of(
    table: str, rule: str | None = None, partition: str | None = None, file: str | None = None,
    record: int | None = None, status: str | None = None,
) -> Pick:  # fmt: skip
    """The rows that the options name. Raises `UsageError` for a table that does not exist."""
    return Pick(contract_of(table), rule, partition, file, record, status)


def contract_of(table: str) -> Contract:
    """The contract of a staging table, also by the name of its quarantine. Raises `UsageError`."""
    return find(table.replace("/", ".").removeprefix("quarantine."), "staging")


@contextmanager
def _lake(settings: Settings, picks: Sequence[Pick], *, read_only: bool = True) -> Iterator[tuple[Any, list[Pick]]]:
    """A connection, and those picks whose quarantine table exists."""
    require_lake(settings)
    with get_lake().connect(read_only=read_only) as con:
        rows = con.execute(
            "SELECT table_name FROM duckdb_tables() WHERE database_name = 'lake' AND schema_name = 'quarantine'"
        )
        there = {name for (name,) in rows.fetchall()}
        found = [pick for pick in picks if pick.contract.table in there]
        for pick in found:
            inbox.require_rule(con, pick)
        yield con, found


def list_command(
    settings: Settings, table: str | None, rule: str | None, partition: str | None, status: str | None, form: Format
) -> None:
    wanted = [contract_of(table)] if table else list(contracts("staging"))
    if rule and not table:
        wanted = [contract for contract in wanted if rule in [known.name for known in contract.rules]]
        if not wanted:
            raise UsageError(f"No staging table has a rule `{rule}`.", fix="data-platform quarantine list")
    with _lake(settings, [Pick(contract, rule, partition, status=status) for contract in wanted]) as (con, picks):
        rows = [row for pick in picks for row in inbox.summary(con, pick)]
    emit(rows, form, [("", rows)])
    if rows and form is Format.table:
        first = rows[0]
        name = first["table"].removeprefix("staging.")
        which = f"--status {first['status']}" if first["rule"] in inbox.RULELESS else f"--rule {first['rule']}"
        note(f"The rows themselves: data-platform quarantine show {name} {which}")


def show_command(settings: Settings, pick: Pick, limit: int, form: Format) -> None:
    with _lake(settings, [pick]) as (con, picks):
        rows = inbox.shown(con, pick, limit) if picks else []
        total = sum(inbox.counts(con, pick).values()) if picks else 0
    flat = [_beside(row) for row in rows]
    emit(rows, form, [("", flat)])
    if len(rows) < total:
        note(f"{len(rows)} of {total} rows; --limit shows more.")


def _beside(row: Mapping[str, Any]) -> dict[str, Any]:
    """The inbox's columns beside the row's own; one of the row's that is named like one of the inbox's says so."""
    ours = {key: value for key, value in row.items() if key != "row"}
    return ours | {f"{name} (row)" if name in ours else name: value for name, value in row["row"].items()}


def fix_command(
    settings: Settings, pick: Pick, sets: Sequence[str], reason: str, *, dry_run: bool, form: Format
) -> None:
    _refuse_all(pick)
    wanted = decide.assignments(pick.contract, sets)
    with _lake(settings, [pick], read_only=False) as (con, picks):
        _refuse_none(con, pick, picks)
        _refuse_decided(con, pick)
        found = decide.propose(con, pick, wanted)
        action = None if dry_run or not found.changed else decide.fix(get_lake(), con, pick, wanted, reason)
    data = {
        "table": pick.contract.name, "rows_changed": found.changed, "would_be_accepted": found.accepted,
        "still_broken": dict(found.still_broken), "unchanged": found.unchanged, "unreadable": found.unreadable,
        "dry_run": dry_run, "action": action.action_id if action else None, "examples": list(found.examples),
    }  # fmt: skip
    verdicts = [{"after the fix": "accepted", "rows": found.accepted}]
    verdicts += [{"after the fix": f"still breaks {rule}", "rows": rows} for rule, rows in found.still_broken.items()]
    emit(data, form, [("", found.examples), ("", verdicts)])
    if found.unchanged:
        note(f"{found.unchanged} rows already have these texts: left as they are.")
    if found.unreadable:
        note(f"{found.unreadable} records cannot be read at all: correct their file, or discard them.")
    _next(pick, action, f"{found.changed} rows would change; nothing was done.")


def discard_command(settings: Settings, pick: Pick, reason: str, *, dry_run: bool, form: Format) -> None:
    _refuse_all(pick)
    _refuse_silence(reason)
    with _lake(settings, [pick], read_only=False) as (con, picks):
        _refuse_none(con, pick, picks)
        found = inbox.counts(con, pick)
        rows = sum(count for status, count in found.items() if status != "discarded")
        action = None if dry_run or not rows else decide.discard(get_lake(), con, pick, reason)
    data = {
        "table": pick.contract.name, "rows": rows, "reason": reason, "dry_run": dry_run,
        "action": action.action_id if action else None,
    }  # fmt: skip
    emit(data, form, [("", [data])])
    if action:
        note(
            f"To take it back: data-platform quarantine reopen {pick.contract.table} --action {action.action_id} --reason …"
        )


def reopen_command(
    settings: Settings, pick: Pick, decision: str | None, reason: str, *, dry_run: bool, form: Format
) -> None:
    if decision is None:
        _refuse_all(pick, ", --action")
    _refuse_silence(reason)
    with _lake(settings, [pick], read_only=False) as (con, picks):
        found = reopen.propose(con, pick, decision) if picks else reopen.Withdrawal()
        if not found.rows:
            raise UsageError(
                f"No fix or discard of `{pick.contract.name}` is meant ({pick}{f', action {decision}' if decision else ''}).",
                fix='data-platform query "SELECT action_id, action, picked, reason, rows FROM lake.ops.actions" shows what was decided',
            )
        action = None if dry_run else reopen.reopen(get_lake(), con, pick, found, reason)
    data = {
        "table": pick.contract.name, "rows": found.rows, "fixes": found.fixes, "discards": found.discards,
        "accepted_by_now": found.accepted, "reason": reason, "dry_run": dry_run, "action": action.action_id if action else None,
    }  # fmt: skip
    emit(data, form, [("", [data])])
    _next(pick, action, f"{found.rows} rows would be judged as they came; nothing was done.")


def replay_command(settings: Settings, pick: Pick, *, downstream: bool, form: Format) -> None:
    """Screens the partitions of the rows again, in Dagster runs; leaves with 1 when a partition failed."""
    from data_platform.cli.backfill import load_definitions, report_data, run_plan
    from data_platform.cli.replay_plan import around, sources

    with _lake(settings, [pick]) as (con, picks):
        before = replay.waiting(con, pick) if picks else None
        built = {load.asset for load in latest_loads(con)}
    if before is None or not before.partitions:
        emit({"table": pick.contract.name, "moved": 0, "partitions": []}, form, [])
        note(f"No row of `{pick.contract.name}` waits in quarantine ({pick}).")
        return
    defs = load_definitions()
    own, whole = around(defs, pick.contract.name, before.partitions, built)
    report = run_plan(settings, defs, own, whole if downstream else own)
    runs = [run.run_id for run in report.runs]
    done = replay.replayed(get_lake(), pick, before, runs)
    with get_lake().connect(read_only=True) as con:
        left = replay.Behind() if downstream else replay.behind(con, *sources(whole, pick.contract.name), runs)
    problems = report_data(report)["problems"]
    data = {
        "table": pick.contract.name, "moved": done.moved, "before": dict(before.counts), "after": dict(done.counts),
        "partitions": before.partitions, "action": done.action.action_id, "runs": runs, "downstream": left.days,
        "downstream_tables": left.tables, "problems": problems,
    }  # fmt: skip
    rows = [
        {"status": status, "before": before.counts.get(status, 0), "after": done.counts.get(status, 0)}
        for status in STATUSES
        if before.counts.get(status) or done.counts.get(status)
    ]
    emit(data, form, [(f"{done.moved} rows left the inbox", rows), *([("Not done", problems)] if problems else [])])
    _say_behind(left)
    if not report.succeeded:
        raise SystemExit(1)


def _say_behind(left: replay.Behind) -> None:
    """What is to be rebuilt. Days of marts take the tables without partitions along."""
    if left.days:
        command = f"'group:marts or group:published' --from {left.days[0]} --to {left.days[-1]}"
        and_tables = f", and {', '.join(left.tables)}" if left.tables else ""
        note(f"{len(left.days)} days of the marts are to be rebuilt{and_tables}: data-platform backfill {command}")
    elif left.tables:
        names = [name.removeprefix("marts.") for name in left.tables]
        selection = " or ".join(f'key:"marts/{name}" or key:"published/{name}"' for name in names)
        note(f"{', '.join(left.tables)} are to be rebuilt: data-platform backfill '{selection}'")


def _refuse_silence(reason: str) -> None:
    if not reason.strip():
        raise UsageError("`--reason` is empty.", fix="say why: somebody will ask")


def _refuse_all(pick: Pick, more: str = "") -> None:
    if (pick.rule, pick.partition, pick.file, pick.record) == (None, None, None, None):
        raise UsageError(
            f"The command names no rows: it would take all of `quarantine.{pick.contract.table}`.",
            fix=f"say which: --rule, --partition, --file, --record{more}",
        )


def _refuse_none(con: duckdb.DuckDBPyConnection, pick: Pick, there: Sequence[Pick]) -> None:
    if not there or not inbox.counts(con, pick):
        raise UsageError(
            f"No row of `quarantine.{pick.contract.table}` is meant ({pick}).",
            fix=f"data-platform quarantine list {pick.contract.table}",
        )


def _refuse_decided(con: duckdb.DuckDBPyConnection, pick: Pick) -> None:
    found = inbox.counts(con, pick)
    if not set(found) & set(inbox.WAITING):
        said = ", ".join(f"{rows} {status}" for status, rows in found.items())
        raise UsageError(
            f"No row of `quarantine.{pick.contract.table}` waits for a fix ({pick}): {said}.",
            fix=f"data-platform quarantine reopen {pick.contract.table} … --reason … takes a decision back",
        )


def _next(pick: Pick, action: Action | None, said: str) -> None:
    if action is None:
        note(said)
    else:
        note(f"To bring them back: data-platform quarantine replay {pick.contract.table} --downstream")
