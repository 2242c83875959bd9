"""How commands speak: data on stdout as a table or JSON, everything else on stderr, errors as one clear message."""

from __future__ import annotations

import errno
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
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
    return Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)


def note(text: str) -> None:
    """One line for people, on stderr."""
    stderr().print(escape(text))


def emit(data: Any, form: Format, tables: Sequence[tuple[str, Sequence[Row]]]) -> None:
    """Prints `data` as JSON, or the titled tables that say the same."""
    if form is Format.json:
        is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        text = json.dumps(_finite(data), default=plain, ensure_ascii=not is_utf8, allow_nan=False, indent=2)
        sys.stdout.write(text + "\n")
        return
    is_terminal = sys.stdout.isatty()
    console = Console(soft_wrap=not is_terminal, highlight=False, emoji=False, width=None if is_terminal else 250)
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


def _finite(value: Any) -> Any:
    """The value with NaN and the infinities as text: JSON has no numbers for them."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def fail(message: str, code: int) -> NoReturn:
    """Prints one message and leaves with the code."""
    stderr().print(f"[bold red]Error:[/] {escape(message)}")
    raise SystemExit(code)


def _forget_stdout() -> None:
    """What is left unwritten stays so: Python would try it once more at its end, and complain."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turns what a user can cause into one message and an exit code: 1 failed, 2 misused. Bugs keep their traceback."""
    try:
        yield
        sys.stdout.flush()
    except PlatformError as error:
        fix = f"\n[bold]Fix:[/] {escape(error.fix)}" if error.fix else ""
        stderr().print(f"[bold red]Error:[/] {escape(error.message)}{fix}")
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        fail("Stopped. What was committed stays; type the same command to go on.", 1)
    except BrokenPipeError:
        # The reader of stdout has gone, as `| head` does.
        _forget_stdout()
        raise SystemExit(1) from None
    except OSError as error:
        _forget_stdout()
        where = f"`{error.filename}`: " if error.filename else ""
        full = (
            "\nFix: free some disk space, below PLATFORM_HOME or where the output goes, and type the same command again"
        )
        fail(f"{where}{error.strerror or error}.{full if error.errno == errno.ENOSPC else ''}", 1)
