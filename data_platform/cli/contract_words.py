"""`data-platform contract show`, `history` and `diff`: contracts and their changes in words and tables."""

from __future__ import annotations

from typing import Any

import duckdb

from data_platform.cli.output import Format, emit, note, stderr
from data_platform.cli.query import require_lake
from data_platform.contracts.differences import Difference, differences
from data_platform.contracts.export import definition, fingerprint
from data_platform.contracts.model import Contract
from data_platform.contracts.registry import find
from data_platform.errors import LakeError, UsageError
from data_platform.lake import recorded
from data_platform.lake.lake import get_lake
from data_platform.lake.recorded import Recorded
from data_platform.lake.storage import about_values, redact
from data_platform.settings import Settings

SHORT = 12
Row = dict[str, Any]


def contract_of(name: str) -> Contract:
    """A bare name means the staging table, else the mart. Raises `UsageError`."""
    return find(name, "staging", "marts", "raw")


def show_command(name: str, form: Format) -> None:
    contract = contract_of(name)
    columns = [_column(contract, column) for column in contract.columns]
    rules: list[Row] = [
        {"rule": rule.name, "action": rule.action, "expected": rule.expected}
        for rule in contract.rules
        if contract.layer != "raw"  # raw takes what comes: nothing is judged there
    ]
    facts: Row = {
        "name": contract.name, "version": contract.version, "grain": contract.grain, "owner": contract.owner,
        "description": contract.description,
        "key": {"columns": list(contract.key.columns), "scope": contract.key.scope} if contract.key else None,
        "partition": [{"column": part.column, "grain": part.grain} for part in contract.partition.dimensions],
        "event_time": contract.event_time, "business_time": contract.business_time,
        "freshness_hours": contract.freshness.total_seconds() / 3600 if contract.freshness else None,
        "fingerprint": fingerprint(contract),
    }  # fmt: skip
    words = facts | {
        "key": f"{', '.join(contract.key.columns)} once per {contract.key.scope}" if contract.key else "none",
        "partition": ", ".join(f"{part.column} ({part.grain})" for part in contract.partition.dimensions) or "none",
        "fingerprint": facts["fingerprint"][:SHORT],
    }
    shown = [{"": fact.replace("_", " "), contract.name: value} for fact, value in words.items() if value is not None]
    tables = [("", shown[1:]), ("Columns", columns), *([("Rules", rules)] if rules else [])]
    emit(facts | {"columns": columns, "rules": rules}, form, tables)


def _column(contract: Contract, name: str) -> Row:
    column = contract.columns[name]
    return {
        "column": column.name, "type": column.duckdb_type, "nullable": column.nullable, "pii": column.pii,
        "source": column.source, "format": " or ".join(column.format) or None, "description": column.description,
    }  # fmt: skip


def _recorded(settings: Settings, contract: Contract) -> list[Recorded]:
    if contract.layer == "raw":
        staging = contract.name.replace("raw.", "staging.", 1)
        raise UsageError(
            f"`{contract.name}` has no history of its own: it follows from `{staging}`.", fix=f"name `{staging}`"
        )
    require_lake(settings)
    with get_lake().connect(read_only=True) as con:
        return recorded.history(con, contract.name)


def history_command(settings: Settings, name: str, form: Format) -> None:
    contract = contract_of(name)
    found = _recorded(settings, contract)
    rows: list[Row] = []
    for before, row in zip([None, *found], found, strict=False):
        changes = differences(before.plain, row.plain) if before else []
        rows.append({
            "version": row.version, "fingerprint": row.fingerprint, "since": row.recorded_at, "run": row.run_id,
            "changed": [str(change) for change in changes],
            "flag": "version not raised" if before and changes and row.version <= before.version else None,
        })  # fmt: skip
    shown = [
        row | {"fingerprint": row["fingerprint"][:SHORT], "run": row["run"][:SHORT], "changed": _in_words(place, row)}
        for place, row in enumerate(rows)
    ]
    emit(rows, form, [(contract.name, shown)])
    if not rows:
        note(f"No load of `{contract.name}` has committed since contracts are recorded.")
    elif (rows[-1]["version"], rows[-1]["fingerprint"]) != (contract.version, fingerprint(contract)):
        note(f"The code has another definition by now: data-platform contract diff {contract.name}")


def _in_words(place: int, row: Row) -> str:
    if place == 0:
        return "first recorded"
    return "\n".join(row["changed"]) or "nothing but the version"


def diff_command(settings: Settings, name: str, start: int | None, end: int | None, form: Format) -> None:
    contract = contract_of(name)
    found = _recorded(settings, contract)
    if not found:
        raise UsageError(
            f"No load of `{contract.name}` has committed since contracts are recorded: there is nothing to compare with.",
            fix=f"data-platform backfill 'key:\"{contract.name.replace('.', '/')}\"' --from yesterday --to yesterday",
        )
    old = found[-1] if start is None else _of_version(contract, found, start)
    new = None if end is None else _of_version(contract, found, end)
    changes = differences(old.plain, new.plain if new else definition(contract))
    data = [{"change": change.kind, "name": change.name, "said": change.said} for change in changes]
    emit(data, form, [("", data)])
    now = new.version if new else contract.version
    _say(contract, changes, f"version {old.version}", f"version {now}" if new else f"the code (version {now})")
    if changes and now <= old.version and (new is None or new is not old):
        note(f"The version is not raised: {now}, recorded as {old.version}.")


def _say(contract: Contract, changes: list[Difference], old: str, new: str) -> None:
    count = f"{len(changes)} differences" if changes else "no difference"
    note(f"`{contract.name}`: {count} between {old} as recorded and {new}.")


def _of_version(contract: Contract, found: list[Recorded], version: int) -> Recorded:
    there = [row for row in found if row.version == version]
    if not there:
        known = ", ".join(str(number) for number in sorted({row.version for row in found}))
        raise UsageError(
            f"`{contract.name}` was never recorded with version {version}: there is {known}.",
            fix=f"data-platform contract history {contract.name}",
        )
    return there[-1]


def against_lake_command(settings: Settings, name: str, start: int | None, end: int | None, form: Format) -> None:
    """Judges the lake's raw rows under the contract of today and compares with what became of them."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from data_platform.quality.against import MANY_PARTITIONS, judge_lake

    contract = contract_of(name)
    if start is not None or end is not None:
        raise UsageError(
            "`--against lake` judges under the contract of today, not of a recorded version.",
            fix="leave --from and --to out",
        )
    if contract.layer != "staging":
        raise UsageError(
            f"`{contract.name}` is not judged from raw rows: only staging tables are.", fix="name a staging table"
        )
    require_lake(settings)
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("partitions"),
        TimeElapsedColumn(), console=stderr(), transient=True,
    )  # fmt: skip
    task = bar.add_task(contract.name)

    def on_done(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total)
        if total >= MANY_PARTITIONS:
            bar.start()

    try:
        with get_lake().connect(read_only=True) as con:
            found = judge_lake(con, contract, on_done)
    except duckdb.Error as error:
        raise LakeError(
            f"`{contract.name}` cannot be judged on the lake as it is: {about_values(error) or redact(str(error)).splitlines()[0]}",
            fix=f"data-platform contract diff {contract.name} says what changed; load the table, or its parents, again",
        ) from None
    finally:
        if bar.live.is_started:
            bar.stop()
    data: Row = {
        "table": contract.name, "partitions": found.partitions, "rows": found.rows,
        "partitions_with_a_difference": len({row["partition"] for row in found.differences}),
        "to_quarantine": found.to_quarantine, "to_accept": found.to_accept,
        "by_rule": found.by_rule, "differences": found.differences, "refused": found.refused,
    }  # fmt: skip
    totals = [{"rule": rule, **counts} for rule, counts in found.by_rule.items()]
    parts = [("By partition", found.differences), ("Totals", totals)] if totals else []
    refused = [("Partitions that would not commit", found.refused)] if found.refused else []
    emit(data, form, [*parts, *refused])
    note(
        f"`{contract.name}`: {found.rows:,} rows of {found.partitions} partitions judged under the contract of today; "
        f"{found.to_quarantine:,} accepted ones would be quarantined, {found.to_accept:,} quarantined ones accepted."
    )
