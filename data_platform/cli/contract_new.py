"""`data-platform contract new`: a contract and a source, drafted from a sample file and written into the project."""

from __future__ import annotations

import re
import shlex
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from data_platform.cli.output import Format, emit, note
from data_platform.contracts.dbt_yml import WRITE
from data_platform.contracts.registry import contracts
from data_platform.errors import StorageError, UsageError
from data_platform.quality.draft import Draft, draft
from data_platform.quality.draft_text import contract_text, source_text
from data_platform.quality.profile import facts, open_sample
from data_platform.settings import PROJECT_ROOT

NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")
PACKAGE = PROJECT_ROOT / "data_platform"


def new_command(name: str, sample: Path, source: str | None, owner: str, *, dry_run: bool, form: Format) -> None:
    """Writes both modules, or prints them. Raises `UsageError` for a name that is taken and a file that cannot be read."""
    table = name.removeprefix("staging.")
    module = source or table
    targets = _targets(table, module)
    with duckdb.connect() as con:
        con.execute("SET enable_progress_bar = false")
        file = open_sample(con, sample)
        made = draft(con, file, facts(con, file), table, module, owner, datetime.now(UTC).date() - timedelta(days=1))
    texts = dict(zip(targets, (contract_text(made), source_text(made)), strict=True))
    if not dry_run:
        _write(texts)
    files = {str(path.relative_to(PROJECT_ROOT)): text for path, text in texts.items()}
    steps = _next(made)
    data = {
        "table": f"staging.{table}", "rows": made.rows, "key": list(made.key), "event_time": made.event_time,
        "dry_run": dry_run, "files": files, "next": steps,
    }  # fmt: skip
    if form is Format.table and dry_run:
        for path, text in files.items():
            sys.stdout.write(f"# {path}\n{text}\n")
    else:
        emit(data, form, [("", _rows(made))])
    for said in made.notes:
        note(f"Mind: {said}")
    for path in files:
        note(f"{'Would write' if dry_run else 'Wrote'} {path}")
    if not dry_run:
        note("Read the contract: it states what held for the sample. Then:")
        for step in steps:
            note(f"  {step}")


def _targets(table: str, module: str) -> tuple[Path, Path]:
    for given in (table, module):
        if not NAME.fullmatch(given):
            raise UsageError(
                f"`{given}` cannot name a table or a module: lower-case letters, digits and underscores, at most 60.",
                fix="choose another name",
            )
    targets = (PACKAGE / "contracts" / "tables" / f"{module}.py", PACKAGE / "sources" / f"{module}.py")
    for path in targets:
        if path.exists():
            raise UsageError(
                f"`{path.relative_to(PROJECT_ROOT)}` is there already; nothing was written.",
                fix="choose another name with --source",
            )
    if table in {found.table for found in contracts()}:
        raise UsageError(f"A table `{table}` has a contract already; nothing was written.", fix="choose another name")
    return targets


def _write(texts: dict[Path, str]) -> None:
    written: list[Path] = []
    try:
        for path, text in texts.items():
            with path.open("x", encoding="utf-8") as file:
                written.append(path)
                file.write(text)
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        raise StorageError(
            f"`{error.filename}` cannot be written: {error.strerror}.", fix="make the folder writable"
        ) from None


def _rows(made: Draft) -> list[dict[str, object]]:
    return [
        {
            "column": column.name, "type": column.kind, "nullable": column.nullable, "pii": column.pii,
            "format": column.format, "rule": ", ".join(check for check, _ in column.checks),
            "note": "; ".join(column.notes),
        }
        for column in made.columns
    ]  # fmt: skip


def _next(made: Draft) -> list[str]:
    sample = shlex.quote(str(made.file.path))
    return [
        f"data-platform contract show {made.table}",
        f"data-platform land {sample} --feed {made.table} --partition yesterday --load",
        WRITE,
    ]
