"""What all commands share: `--format`, and errors as one clear message."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, Any

import typer

from data_platform.cli.output import Format, clear_errors

FormatOption = Annotated[Format, typer.Option("--format", help="How data is printed on stdout.")]


def command(app: typer.Typer, name: str | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Registers a command of `app` whose errors become one clear message."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def clear(*args: Any, **kwargs: Any) -> None:
            with clear_errors():
                function(*args, **kwargs)

        return app.command(name, help=function.__doc__)(clear)

    return register
