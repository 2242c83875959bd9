"""The commands and their options. What they do is in the other modules, imported when a command needs them: `--help`
and `status` must not wait for Dagster and pandera."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from data_platform.cli.contract import contract
from data_platform.cli.interrupts import stops_between_partitions
from data_platform.cli.output import Format, fail
from data_platform.cli.quality import quality
from data_platform.cli.quarantine import quarantine
from data_platform.cli.typed import FormatOption, command
from data_platform.errors import UsageError
from data_platform.settings import get_settings

app = typer.Typer(
    name="data-platform",
    help="A lakehouse: backfill, look, ask, repair. State lives under PLATFORM_HOME.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(quarantine, name="quarantine")
app.add_typer(quality, name="quality")
app.add_typer(contract, name="contract")
YESTERDAY = "yesterday"
LAST_DAY = date(2999, 12, 31)


def parse_day(option: str, value: str | None) -> date | None:
    """A day as YYYY-MM-DD, or `yesterday` (in UTC, as partitions are); YYYY-MM means the first or the last day of that
    month. Raises `UsageError`."""
    if value is None:
        return None
    if value == YESTERDAY:
        return datetime.now(UTC).date() - date.resolution
    try:
        found = date.fromisoformat(f"{value}-01" if len(value) == 7 else value)
        if found > LAST_DAY:
            raise UsageError(f"`{option} {value}` is after {LAST_DAY}.", fix="name a day that partitions reach")
        if len(value) == 7 and option == "--to":
            return date(found.year + found.month // 12, found.month % 12 + 1, 1) - date.resolution
        return found
    except ValueError:
        raise UsageError(
            f"`{option} {value}` is no day.",
            fix=f"write it as YYYY-MM-DD, such as {option} 2026-01-31, or {option} {YESTERDAY}",
        ) from None


@command(app)
def backfill(
    selection: Annotated[
        str | None,
        typer.Argument(
            help="Assets in Dagster's selection syntax, such as 'key:\"raw/orders\"+', group:staging or *; with --resume "
            "the id of a backfill, or nothing for the last one that did not end."
        ),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="DAY", help="First day; every partition that overlaps is meant.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="DAY", help="Last day, inclusive; default: the last one there is.")
    ] = None,
    only_missing: Annotated[
        bool, typer.Option("--only-missing", help="Those never loaded, and what hangs on them.")
    ] = False,
    only_failed: Annotated[
        bool, typer.Option("--only-failed", help="Those whose latest attempt failed, and what hangs on them.")
    ] = False,
    stale: Annotated[
        bool, typer.Option("--stale", help="Those whose inputs changed since, and what hangs on them.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a backfill that did not end.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan with the rows and seconds to expect, and do nothing.")
    ] = False,
    format: FormatOption = Format.table,
) -> None:
    """Load partitions of assets, in one run when all is well; what failed is named, the rest is carried on. Ctrl-C stops
    it between partitions, and --resume goes on."""
    days = parse_day("--from", start), parse_day("--to", end)
    kinds = {"--only-missing": only_missing, "--only-failed": only_failed, "--stale": stale, "--resume": resume}
    kind = one_of(kinds, days, selection)
    with stops_between_partitions():
        from data_platform.cli.backfill import ONLY, backfill_command
        from data_platform.cli.go_on import resume_backfill

        if selection is None or resume:
            resume_backfill(get_settings(), selection, dry_run=dry_run, form=format)
        else:
            backfill_command(get_settings(), selection, days, dry_run=dry_run, form=format, only=ONLY.get(kind))


def one_of(kinds: Mapping[str, bool], days: tuple[date | None, date | None], selection: str | None) -> str:
    """The one of the options that was given, or ``. Raises `UsageError` for two, or for what does not go together."""
    given = [option for option, is_given in kinds.items() if is_given]
    if len(given) > 1:
        raise UsageError(f"`{given[0]}` and `{given[1]}` exclude each other.", fix="choose one")
    if given == ["--resume"] and days != (None, None):
        raise UsageError(
            "`--resume` and a range exclude each other: a backfill goes on with the range it began with.",
            fix="leave `--from` and `--to` out",
        )
    if given != ["--resume"] and selection is None:
        raise UsageError("`backfill` needs a selection of assets.", fix="data-platform backfill '*', or --resume")
    return given[0] if given else ""


@command(app)
def status(
    table: Annotated[
        str | None,
        typer.Argument(help="One table, such as staging.orders; all when left out. With --gaps also a selection."),
    ] = None,
    gaps: Annotated[
        bool,
        typer.Option("--gaps", help="List the partitions that are missing, failed or stale, and what closes them."),
    ] = False,
    start: Annotated[str | None, typer.Option("--from", metavar="DAY", help="First day of the gaps.")] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="DAY", help="Last day of the gaps, inclusive.")] = None,
    format: FormatOption = Format.table,
) -> None:
    """Per table: partitions present and missing, rows by fate, the last load."""
    days = parse_day("--from", start), parse_day("--to", end)
    if gaps:
        from data_platform.cli.status_gaps import gaps_command

        gaps_command(get_settings(), table, days, format)
        return
    if days != (None, None):
        raise UsageError("`status` takes a range only with `--gaps`.", fix="add --gaps, or leave the range out")
    from data_platform.cli.status import status_command

    status_command(get_settings(), table, format)


@command(app)
def query(
    sql: Annotated[str, typer.Argument(help="One statement, such as 'SELECT * FROM published.daily_revenue'.")],
    limit: Annotated[
        int, typer.Option("--limit", min=0, help="Rows shown in a table; 0 shows all. JSON has all.")
    ] = 200,
    format: FormatOption = Format.table,
) -> None:
    """Ask the lake. The connection is read-only."""
    from data_platform.cli.query import query_command

    query_command(get_settings(), sql, limit, format)


@command(app)
def doctor(format: FormatOption = Format.table) -> None:
    """Check versions, catalog, gate, disk, published views, Dagster and dbt; say what is wrong and what mends it."""
    from data_platform.cli.doctor import doctor_command

    doctor_command(format)


@command(app)
def upkeep(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what there is to do and do nothing.")] = False,
    keep_days: Annotated[
        int, typer.Option("--keep-days", min=1, help="Versions so young stay; published ones always do.")
    ] = 30,
    format: FormatOption = Format.table,
) -> None:
    """Remove what dead writers left, merge small files, expire old versions that nobody shows."""
    from data_platform.cli.upkeep import upkeep_command

    upkeep_command(get_settings(), keep_days, dry_run=dry_run, form=format)


@command(app)
def chaos(
    seconds: Annotated[int, typer.Option("--seconds", min=1, help="How long to go on killing.")] = 120,
    seed: Annotated[int | None, typer.Option("--seed", help="The same seed kills at the same points.")] = None,
    kills: Annotated[int | None, typer.Option("--kills", min=1, help="Stop after so many.")] = None,
    catalog: Annotated[
        str | None,
        typer.Option("--catalog", metavar="URL", help="An empty scratch database; never your own catalog."),
    ] = None,
    format: FormatOption = Format.table,
) -> None:
    """Kill loading processes on purpose, in a throw-away home, and check that nothing is torn, lost or doubled."""
    from data_platform.cli.chaos import chaos_command

    chaos_command(get_settings(), seconds, seed, kills, catalog, format)


@command(app)
def sample(
    start: Annotated[
        str | None, typer.Option("--start", metavar="DAY", help="First day; default: so that the last is yesterday.")
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=8000, help="How many days.")] = 90,
    scale: Annotated[float, typer.Option("--scale", help="1 is over a million rows in 90 days.")] = 1.0,
    seed: Annotated[int, typer.Option("--seed", help="Another seed, another shop.")] = 42,
    broken_files: Annotated[
        bool, typer.Option("--broken-files", help="Plant broken files instead, one day per kind.")
    ] = False,
    format: FormatOption = Format.table,
) -> None:
    """Write the sample shop's drop files into the landing folder, with labelled dirt."""
    from data_platform.cli.sample import sample_command

    sample_command(get_settings(), parse_day("--start", start), days, scale, seed, broken_files, format)


@command(app)
def land(
    file: Annotated[Path, typer.Argument(help="The file to copy; it stays where it is.")],
    feed: Annotated[str, typer.Option("--feed", metavar="TABLE", help="The feed it is for, such as orders.")],
    partition: Annotated[
        str | None,
        typer.Option(
            "--partition",
            metavar="KEY",
            help="Its partition, such as 2026-01-05 or yesterday, when the feed has a file per partition.",
        ),
    ] = None,
    load: Annotated[
        bool, typer.Option("--load", help="Then backfill that partition and all that follows from it.")
    ] = False,
    format: FormatOption = Format.table,
) -> None:
    """Copy a file into the landing folder under the name its feed expects, in one step that no reader sees half of."""
    from data_platform.cli.land import land_command

    if partition == YESTERDAY:
        partition = str(parse_day("--partition", partition))
    with stops_between_partitions():
        land_command(get_settings(), file, feed, partition, load=load, form=format)


@command(app)
def init(format: FormatOption = Format.table) -> None:
    """Make PLATFORM_HOME's folders and Dagster's settings. Done by the other commands too; harmless to repeat."""
    from data_platform.cli.home import init_command

    init_command(get_settings(), format)


@command(app)
def demo(
    days: Annotated[int, typer.Option("--days", min=1, max=8000, help="How many days of the shop.")] = 90,
    scale: Annotated[float, typer.Option("--scale", help="1 is over a million rows in 90 days.")] = 1.0,
    format: FormatOption = Format.table,
) -> None:
    """The whole line on a sample shop: 90 days of drop files, backfilled to published tables, and a summary."""
    from data_platform.cli.demo import demo_command

    demo_command(days, scale, format)


def main() -> None:
    """The entry point of `data-platform`."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None:  # closed by who started us
            raise SystemExit(1)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    for given in sys.argv[1:]:
        if not given.isascii() and any("\ud800" <= letter <= "\udfff" for letter in given):
            fail(f"`{given.encode(errors='backslashreplace').decode()}` is not text of UTF-8.", 2)
    app()
