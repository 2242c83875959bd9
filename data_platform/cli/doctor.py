"""`data-platform doctor`: what is wrong here, and the command that mends it. It changes nothing but a probe file,
and the shape of a ledger that an earlier version made."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from data_platform.cli.catalogue import known_tables
from data_platform.cli.output import Format, emit
from data_platform.errors import GateTimeout, PlatformError, did_you_mean
from data_platform.lake.attach import refuse_misleading_home
from data_platform.lake.lake import get_lake
from data_platform.lake.ledger import latest_loads
from data_platform.lake.publish import published_views
from data_platform.lake.sql import text
from data_platform.lake.upkeep import find_orphans
from data_platform.settings import PROJECT_ROOT, VARIABLES, Settings, load_settings, unknown_variables

LOW_DISK = 1 << 30
MUCH_ORPHANED = 64 << 20
SHOWN = 5
BUILD = "data-platform backfill 'group:marts or group:published'"
LOCK = PROJECT_ROOT / "requirements.lock"
WANTED = PROJECT_ROOT / "requirements.in"


@dataclass(frozen=True)
class Check:
    """One finding; `fix` is a command or an action, empty when all is well."""

    check: str
    ok: bool
    found: str
    fix: str = ""


def doctor_command(form: Format) -> None:
    """Prints every check; leaves with 1 when something is wrong."""
    checks = examine()
    rows = [
        {"": "ok" if check.ok else "WRONG", "check": check.check, "found": check.found, "fix": check.fix}
        for check in checks
    ]
    emit([asdict(check) for check in checks], form, [("", rows)])
    if not all(check.ok for check in checks):
        raise SystemExit(1)


def examine() -> list[Check]:
    """Every check, in the order in which one would mend them. A check that cannot be made is one that failed."""
    try:
        settings = load_settings()
    except PlatformError as error:
        return [Check("settings", False, error.message, error.fix or "")]
    found = [Check("settings", True, f"PLATFORM_HOME is {settings.home}")]
    for name in unknown_variables(settings):
        said = f"`{name}` is no setting.{did_you_mean(name, VARIABLES)}"
        found.append(Check("settings", False, said, "rename it or unset it"))
    for make in (*HERE, check_runs, check_definitions, check_marts):
        found += safely(make, settings)
    return found


def safely(make: Callable[[Settings], Iterator[Check]], settings: Settings) -> list[Check]:
    name = make.__name__.removeprefix("check_")
    try:
        return list(make(settings))
    except PlatformError as error:
        return [Check(name, False, error.message, error.fix or "")]
    except Exception as error:  # a doctor that dies says nothing of the rest
        return [
            Check(
                name,
                False,
                f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
                "report this",
            )
        ]


def check_python(_: Settings) -> Iterator[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Check("python", (3, 11) <= sys.version_info[:2] <= (3, 13), version, "")


def check_versions(_: Settings) -> Iterator[Check]:
    if not (LOCK.exists() and WANTED.exists()):
        yield Check("versions", True, "no lock here to compare with")
        return
    pins = dict(re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)", LOCK.read_text(), re.MULTILINE))
    wanted = [
        re.split(r"[\[<>=~! ]", line)[0] for line in WANTED.read_text().splitlines() if line and line[0] not in "#-"
    ]
    wrong = []
    for name in wanted:
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            installed = "missing"
        if name in pins and installed != pins[name]:
            wrong.append(f"{name} {installed}, locked {pins[name]}")
    fix = "make clean setup" if wrong else ""
    yield Check("versions", not wrong, "; ".join(wrong) or f"{len(wanted)} packages as locked", fix)


def check_home(settings: Settings) -> Iterator[Check]:
    place = next(folder for folder in (settings.home, *settings.home.parents) if folder.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".doctor-"):
            pass
    except OSError as error:
        fix = "remount or chown it, or set PLATFORM_HOME to another folder"
        yield Check("home", False, f"`{place}` cannot be written: {error.strerror}", fix)
        return
    refuse_misleading_home(settings)
    missing = not settings.dagster_dir.is_dir()
    yield Check("home", not missing, "not made yet" if missing else "writable", "data-platform init" if missing else "")


def check_disk(settings: Settings) -> Iterator[Check]:
    place = next(folder for folder in (settings.home, *settings.home.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    yield Check(
        "disk", free >= LOW_DISK, f"{free / (1 << 30):.1f} GB free", "" if free >= LOW_DISK else "free some space"
    )


def check_catalog(_: Settings) -> Iterator[Check]:
    lake = get_lake()
    if not lake.attachment.exists():
        if lake.attachment.has_files:
            raise lake.attachment.lost_catalog()
        yield Check("catalog", True, f"no lake yet at {lake.attachment.place}")
        return
    with lake.connect(read_only=True) as con:
        row = con.execute("SELECT max(snapshot_id) FROM ducklake_snapshots('lake')").fetchone()
    yield Check("catalog", True, f"{lake.attachment.place} answers, snapshot {row[0] if row else 'none'}")


def check_gate(settings: Settings) -> Iterator[Check]:
    lake = get_lake()
    if not settings.lake_dir.exists():
        yield Check("gate", True, "free")
        return
    try:
        with lake.gate.hold(timeout=1.0):
            yield Check("gate", True, "free")
    except GateTimeout as error:
        yield Check("gate", True, f"a writer is at work: {error.message}")


def check_views(_: Settings) -> Iterator[Check]:
    lake = get_lake()
    if not lake.attachment.exists():
        return
    with lake.connect(read_only=True) as con:
        views = published_views(con)
    for view in views:
        if view.problem:
            fix = f"data-platform backfill published/{view.table}"
            yield Check("published", False, f"`published.{view.table}`: {view.problem}", fix)
    if not any(view.problem for view in views):
        yield Check("published", True, f"{len(views)} views, each version is there")


def check_loads(settings: Settings) -> Iterator[Check]:
    """Partitions whose last load failed: they show the rows they had. Tables without a contract are history."""
    lake = get_lake()
    if not lake.attachment.exists():
        return
    with lake.connect(read_only=True) as con:
        loads = latest_loads(con, outcome=None)
    known = {table.name for table in known_tables(settings)}
    failed = [load for load in loads if load.outcome == "failed" and load.asset in known]
    for table in sorted({load.asset for load in failed}):
        keys = sorted(load.partition_key for load in failed if load.asset == table)
        named = ", ".join(f"`{key}`" for key in keys[:SHOWN] if key) + (" …" if len(keys) > SHOWN else "")
        found = (
            f"the last load of {len(keys)} partitions of `{table}` failed: {named}"
            if named
            else f"the last load of `{table}` failed"
        )
        yield Check("loads", False, found, f"data-platform status {table} says why")
    if not failed:
        yield Check("loads", True, "no partition's last load failed")


def check_set_aside(_: Settings) -> Iterator[Check]:
    """Rows whose reason to be in quarantine has gone."""
    if not get_lake().attachment.exists():
        return
    from data_platform.cli.freed import freed_rows

    found = freed_rows()
    for row in found:
        yield Check("quarantine", False, row.said, row.command)
    if not found:
        yield Check("quarantine", True, "no row is there for a key that has become free, or a parent that has come")


def check_files(_: Settings) -> Iterator[Check]:
    """The Parquet files that the catalog names."""
    lake = get_lake()
    if not lake.attachment.exists():
        return
    with lake.connect(read_only=True) as con:
        tables = con.execute(
            "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'lake' ORDER BY ALL"
        ).fetchall()
        files = [
            (f"{layer}.{table}", path)
            for layer, table in tables
            for (path,) in con.execute(
                f"SELECT data_file FROM ducklake_list_files('lake', {text(table)}, schema => {text(layer)})"
            ).fetchall()
        ]
    gone = [(table, path) for table, path in files if "://" not in path and not Path(path).exists()]
    for table in sorted({table for table, _ in gone}):
        paths = [path for name, path in gone if name == table]
        fix = f"restore `{paths[0]}` from a backup, or load its partition again"
        yield Check("files", False, f"`{table}` lacks {len(paths)} of its files", fix)
    if not gone:
        yield Check("files", True, f"{len(files)} data files are there")


def check_orphans(_: Settings) -> Iterator[Check]:
    """Files of writers that died before they committed: harmless, but for the space."""
    lake = get_lake()
    if not lake.attachment.exists():
        return
    with lake.connect(read_only=True) as con:
        found = find_orphans(lake, con)
    said = f"{len(found.files)} files of dead writers, {found.size / (1 << 20):.1f} MB"
    small = found.size < MUCH_ORPHANED
    yield Check("orphans", small, said, "" if small else "data-platform upkeep")


def check_dagster(settings: Settings) -> Iterator[Check]:
    yaml = settings.dagster_dir / "dagster.yaml"
    yield Check("dagster.yaml", yaml.exists(), str(yaml), "" if yaml.exists() else "data-platform init")
    stated = settings.dagster_home
    if stated is None:
        fix = f"export DAGSTER_HOME={settings.dagster_dir}, or work where .env is (`make setup` writes it)"
        known = (Path.cwd() / ".env").exists() and "DAGSTER_HOME" in (Path.cwd() / ".env").read_text()
        found = "set by .env" if known else "not set: `dagster` and `dg`, typed here, would start an empty instance"
        yield Check("DAGSTER_HOME", True, found, "" if known else fix)
        return
    same = stated.exists() and settings.dagster_dir.exists() and stated.samefile(settings.dagster_dir)
    fix = "" if same else f"export DAGSTER_HOME={settings.dagster_dir}"
    yield Check("DAGSTER_HOME", same, str(stated), fix)


def check_dbt(_: Settings) -> Iterator[Check]:
    project = PROJECT_ROOT / "dbt" / "dbt_project.yml"
    yield Check(
        "dbt", project.exists(), str(project), "" if project.exists() else "restore the folder dbt/ of the repository"
    )


def check_runs(settings: Settings) -> Iterator[Check]:
    """Runs that Dagster shows as running and that nobody works on."""
    from data_platform.cli.engine import BACKFILL_TAG
    from data_platform.cli.home import left_running
    from data_platform.cli.resume import SELECTION

    found = left_running(settings)
    for stuck in found:
        tags = stuck.run.tags
        fix = (
            f"data-platform backfill --resume {tags[BACKFILL_TAG]}"
            if SELECTION in tags
            else "the next data-platform backfill reports it failed, as does the daemon (make ui)"
        )
        yield Check("runs", False, f"run {stuck.run.run_id} is shown as running. {stuck.cause}", fix)
    if not found:
        yield Check("runs", True, "no run is left without its process")


def check_definitions(_: Settings) -> Iterator[Check]:
    from data_platform.cli.backfill import load_definitions
    from data_platform.contracts.registry import contracts

    assets = {".".join(key.path) for key in load_definitions().resolve_asset_graph().materializable_asset_keys}
    for mart in contracts("marts"):
        if mart.name not in assets:
            found, fix = f"`{mart.name}` has a contract and no model", f"write dbt/models/marts/{mart.table}.sql"
            yield Check("definitions", False, found, fix)
    yield Check("definitions", True, f"{len(assets)} assets load")


def check_marts(settings: Settings) -> Iterator[Check]:
    """Accepted rows that the marts do not show."""
    if not get_lake().attachment.exists():
        return
    from data_platform.cli.backfill import load_definitions
    from data_platform.cli.behind import early_days, parents_of, stale_ranges

    parents = parents_of(load_definitions())
    stale = stale_ranges(parents)
    for first, last in stale:
        found = f"marts lack rows of {first} to {last}"
        yield Check("marts", False, found, f"{BUILD} --from {first} --to {last}")
    if not stale:
        yield Check("marts", True, "every day that rows were loaded for is built")
    early = early_days(parents, settings)
    if early:
        found = f"late rows of {len(early)} days before {settings.start_date}, the first partition, are in staging and in no mart"
        fix = f"to see them: PLATFORM_START_DATE={early[0]} in {settings.settings_file}, then {BUILD} --from {early[0]} --to {early[-1]}"
        yield Check("early rows", True, found, fix)


HERE = (
    check_python, check_versions, check_home, check_disk, check_catalog, check_gate, check_files, check_orphans,
    check_loads, check_set_aside, check_views, check_dagster, check_dbt,
)  # fmt: skip
