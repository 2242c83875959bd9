"""`data-platform quality …`: what the rules of the contracts cost and catch."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from data_platform.cli.output import Format, emit, note
from data_platform.cli.typed import FormatOption, command
from data_platform.settings import Settings, get_settings

quality = typer.Typer(help="What the rules cost and what they catch.", no_args_is_help=True)


@command(quality)
def rules(
    table: Annotated[
        str | None, typer.Argument(metavar="[TABLE]", help="One staging table; all when left out.")
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, help="Loads of so many days back.")] = 90,
    format: FormatOption = Format.table,
) -> None:
    """Rank the rules of a table by the time they take, beside the rows they caught."""
    rules_command(get_settings(), table, days, format)


@command(quality)
def history(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="A table, such as orders or marts.daily_revenue.")],
    rule: Annotated[str | None, typer.Option("--rule", help="One rule; all that did not pass when left out.")] = None,
    partition: Annotated[
        str | None, typer.Option("--partition", metavar="KEY", help="Loads of this partition.")
    ] = None,
    loads: Annotated[int, typer.Option("--loads", min=1, max=1_000_000, help="So many of the newest loads.")] = 50,
    format: FormatOption = Format.table,
) -> None:
    """What the rules of a table said of each load, newest first, failed loads too."""
    history_command(get_settings(), table, rule, partition, loads, format)


def history_command(
    settings: Settings, table: str, rule: str | None, partition: str | None, loads: int, form: Format
) -> None:
    """Reads the ledger. Raises `UsageError` for a rule that the table has not and never had."""
    from data_platform.cli.contract_words import contract_of
    from data_platform.cli.query import require_lake
    from data_platform.lake.lake import get_lake
    from data_platform.quality.verdicts import NOT_JUDGED, NOT_KEPT, verdicts_of

    contract = contract_of(table)
    require_lake(settings)
    with get_lake().connect(read_only=True) as con:
        found = verdicts_of(con, contract.name, rule, partition, loads)
    if rule is not None and all(row["verdict"] in (NOT_JUDGED, NOT_KEPT) for row in found):
        contract.rule(rule)
    emit(found, form, [("", found)])


def rules_command(settings: Settings, table: str | None, days: int, form: Format) -> None:
    """Measures on the rows that the lake has; nothing is written."""
    from datetime import timedelta

    from data_platform.cli.inbox import contract_of
    from data_platform.cli.query import require_lake
    from data_platform.contracts.registry import contracts
    from data_platform.lake.lake import get_lake
    from data_platform.lake.ledger import latest_loads, utc_now
    from data_platform.quality.worth import worth

    wanted = [contract_of(table)] if table else list(contracts("staging"))
    require_lake(settings)
    found: list[dict[str, Any]] = []
    with get_lake().connect(read_only=True) as con:
        loaded = {load.asset for load in latest_loads(con)}
        for contract in wanted:
            if contract.name not in loaded:
                continue
            for each in worth(con, contract, utc_now() - timedelta(days=days)):
                row = {
                    "table": contract.name,
                    "rule": each.rule,
                    "action": each.action,
                    "said": each.said(f"in {days} days"),
                }
                found.append(
                    row
                    | {
                        "seconds": round(each.seconds, 4),
                        "share": round(each.share, 4),
                        "caught": each.caught,
                        "read": each.read,
                    }
                )
    shown = [{name: row[name] for name in ("table", "rule", "action", "caught", "said")} for row in found]
    emit(found, form, [("", shown)])
    if shown and form is Format.table:
        note("The rest of a screening's time reads, counts and writes.")
