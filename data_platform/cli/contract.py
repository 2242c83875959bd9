"""`data-platform contract …`: the options. What the commands do is in `contract_words.py` and `contract_new.py`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from data_platform.cli.output import Format
from data_platform.cli.typed import FormatOption, command
from data_platform.settings import get_settings

contract = typer.Typer(
    help="What a table must be: look at it, see what changed, try a change on the lake, draft a new one.",
    no_args_is_help=True,
)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A table, such as orders or marts.daily_revenue.")]


class Against(StrEnum):
    """What `--against` takes."""

    lake = "lake"


@command(contract)
def show(name: NameArgument, format: FormatOption = Format.table) -> None:
    """Columns, rules, key, partition, version and owner of a table, as the code states them."""
    from data_platform.cli.contract_words import show_command

    show_command(name, format)


@command(contract)
def history(name: NameArgument, format: FormatOption = Format.table) -> None:
    """The definitions that loads committed under: version, since when, and what changed."""
    from data_platform.cli.contract_words import history_command

    history_command(get_settings(), name, format)


@command(contract)
def diff(
    name: NameArgument,
    start: Annotated[
        int | None, typer.Option("--from", metavar="VERSION", help="A recorded version; the last one when left out.")
    ] = None,
    end: Annotated[
        int | None, typer.Option("--to", metavar="VERSION", help="A recorded version; the code when left out.")
    ] = None,
    against: Annotated[
        Against | None, typer.Option("--against", help="lake: judge the rows that the lake has, and commit nothing.")
    ] = None,
    format: FormatOption = Format.table,
) -> None:
    """What differs between the code and the definition recorded last; with --against lake, what that does to the rows."""
    from data_platform.cli.contract_words import against_lake_command, diff_command

    if against is not None:
        against_lake_command(get_settings(), name, start, end, format)
        return
    diff_command(get_settings(), name, start, end, format)


@command(contract)
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new table, such as parcels.")],
    sample: Annotated[Path, typer.Option("--from", metavar="FILE", help="A sample: .csv, .jsonl or .parquet.")],
    source: Annotated[
        str | None,
        typer.Option("--source", metavar="NAME", help="The module of both files; the table's name if left out."),
    ] = None,
    owner: Annotated[str, typer.Option("--owner", help="Who answers for the table.")] = "you@example.com",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the modules and write nothing.")] = False,
    format: FormatOption = Format.table,
) -> None:
    """Draft a contract and a source from a sample file, ready to land and load it."""
    from data_platform.cli.contract_new import new_command

    new_command(name, sample, source, owner, dry_run=dry_run, form=format)
