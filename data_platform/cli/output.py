"""How commands speak: data on stdout as a table or JSON, everything else on stderr, errors as one clear message."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from enum import StrEnum
from typing import Any, NoReturn

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data_platform.errors import PlatformError

Row = Mapping[str, Any]


class Format(StrEnum):
    """What `--format` takes."""

    table = "table"
    json = "json"


def stderr() -> Console:
    """For people: progress, notes, errors."""
    return Console(stderr=True, soft_wrap=True, highlight=False)


def note(text: str) -> None:
    """One line for people, on stderr."""
    stderr().print(escape(text))


def emit(data: Any, form: Format, tables: Sequence[tuple[str, Sequence[Row]]]) -> None:
    """Prints `data` as JSON, or the titled tables that say the same."""
    if form is Format.json:
        sys.stdout.write(json.dumps(data, default=plain, ensure_ascii=False, indent=2) + "\n")
        return
    console = Console(soft_wrap=not sys.stdout.isatty(), highlight=False, width=None if sys.stdout.isatty() else 250)
    for title, rows in tables:
        console.print(_table(title, rows))


def _table(title: str, rows: Sequence[Row]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    made = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for name in names:
        numeric = any(isinstance(row.get(name), int | float | Decimal) for row in rows)
        made.add_column(escape(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        made.add_row(*(escape(_text(row.get(name))) for name in names))
    if not rows:
        made.add_column("no rows")
    return made


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return value if isinstance(value, str) else str(plain(value))


def plain(value: Any) -> Any:
    """A value as JSON can hold it: exact decimals and dates as text."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray):
        return bytes(value).hex()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    return str(value)


def fail(message: str, code: int) -> NoReturn:
    """Prints one message and leaves with the code."""
    stderr().print(f"[bold red]Error:[/] {escape(message)}")
    raise SystemExit(code)


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turns what a user can cause into one message and an exit code: 1 failed, 2 misused. Bugs keep their traceback."""
    try:
        yield
    except PlatformError as error:
        fix = f"\n[bold]Fix:[/] {escape(error.fix)}" if error.fix else ""
        stderr().print(f"[bold red]Error:[/] {escape(error.message)}{fix}")
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        fail("Stopped. What was committed stays; type the same command to go on.", 1)
    except BrokenPipeError:
        # The reader of stdout has gone, as `| head` does.
        sys.stderr.close()
        raise SystemExit(1) from None
