"""`data-platform quarantine …`: the options of the inbox's commands. What they do is in `inbox.py`."""

from __future__ import annotations

from typing import Annotated

import typer

from data_platform.cli.output import Format
from data_platform.cli.typed import FormatOption, command
from data_platform.settings import get_settings

quarantine = typer.Typer(
    help="Rows that were set aside: look at them, fix them, bring them back or discard them.", no_args_is_help=True
)
TableArgument = Annotated[str, typer.Argument(metavar="TABLE", help="A staging table, such as orders.")]
RuleOption = Annotated[str | None, typer.Option("--rule", help="Rows that broke this rule, such as email.matches.")]
PartitionOption = Annotated[str | None, typer.Option("--partition", metavar="KEY", help="Rows of this partition.")]
FileOption = Annotated[str | None, typer.Option("--file", help="Rows of this file, as `list` and `show` name it.")]
RecordOption = Annotated[int | None, typer.Option("--record", help="The record with this number in its file.")]
StatusOption = Annotated[str | None, typer.Option("--status", help="open, held, fixed or discarded.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it is kept with the decision.")]


@command(quarantine, "list")
def list_rows(
    table: Annotated[
        str | None, typer.Argument(metavar="[TABLE]", help="One staging table; all when left out.")
    ] = None,
    rule: RuleOption = None,
    partition: PartitionOption = None,
    status: StatusOption = None,
    format: FormatOption = Format.table,
) -> None:
    """Per table, rule and status: how many rows, in which partitions, since when."""
    from data_platform.cli.inbox import list_command

    list_command(get_settings(), table, rule, partition, status, format)


@command(quarantine)
def show(
    table: TableArgument,
    rule: RuleOption = None,
    partition: PartitionOption = None,
    file: FileOption = None,
    record: RecordOption = None,
    status: StatusOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000_000, help="Rows at most.")] = 20,
    format: FormatOption = Format.table,
) -> None:
    """The rows themselves: what came, from where, and why they are here. Personal data is masked."""
    from data_platform.cli.inbox import pick_of, show_command

    show_command(get_settings(), pick_of(table, rule, partition, file, record, status), limit, format)


@command(quarantine)
def fix(
    table: TableArgument,
    set: Annotated[
        list[str], typer.Option("--set", metavar="COLUMN = SQL", help="The new text of a column; may be repeated.")
    ],
    rule: RuleOption = None,
    partition: PartitionOption = None,
    file: FileOption = None,
    record: RecordOption = None,
    reason: ReasonOption = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would become of the rows, and do nothing.")
    ] = False,
    format: FormatOption = Format.table,
) -> None:
    """Change the text of rows, as in --set 'email = lower(trim(email))'. `replay` then judges them again."""
    from data_platform.cli.inbox import fix_command, pick_of

    fix_command(
        get_settings(), pick_of(table, rule, partition, file, record), set, reason, dry_run=dry_run, form=format
    )


@command(quarantine)
def discard(
    table: TableArgument,
    reason: ReasonOption,
    rule: RuleOption = None,
    partition: PartitionOption = None,
    file: FileOption = None,
    record: RecordOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the rows, and do nothing.")] = False,
    format: FormatOption = Format.table,
) -> None:
    """Leave rows out for good. They stay in quarantine as `discarded`, with the reason."""
    from data_platform.cli.inbox import discard_command, pick_of

    discard_command(get_settings(), pick_of(table, rule, partition, file, record), reason, dry_run=dry_run, form=format)


@command(quarantine)
def reopen(
    table: TableArgument,
    reason: ReasonOption,
    rule: Annotated[
        str | None, typer.Option("--rule", help="Rows that broke this rule when they were decided about, or do now.")
    ] = None,
    partition: PartitionOption = None,
    file: FileOption = None,
    record: RecordOption = None,
    status: Annotated[str | None, typer.Option("--status", help="fixed or discarded: what was decided.")] = None,
    action: Annotated[
        str | None, typer.Option("--action", metavar="ID", help="Rows of one fix or discard, as it named itself.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the rows, and do nothing.")] = False,
    format: FormatOption = Format.table,
) -> None:
    """Take fixes and discards back, of rows that were accepted since too. `replay` then judges the rows as they came."""
    from data_platform.cli.inbox import pick_of, reopen_command

    pick = pick_of(table, rule, partition, file, record, status)
    reopen_command(get_settings(), pick, action, reason, dry_run=dry_run, form=format)


@command(quarantine)
def replay(
    table: TableArgument,
    rule: RuleOption = None,
    partition: PartitionOption = None,
    downstream: Annotated[
        bool, typer.Option("--downstream", help="Then rebuild and publish what the rows belong to.")
    ] = False,
    format: FormatOption = Format.table,
) -> None:
    """Judge rows again under the contract of today, fixes applied. Those that pass land in their own partition, once."""
    from data_platform.cli.inbox import pick_of, replay_command

    replay_command(get_settings(), pick_of(table, rule, partition), downstream=downstream, form=format)
