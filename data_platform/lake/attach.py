"""How the lake is attached to an engine: extensions, connection options, and the one ATTACH statement.

dbt attaches with the same functions (`dbt_plugin.py`), so that both see one lake in one way. No table is touched here.
"""

from __future__ import annotations

import importlib
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import duckdb

from data_platform.errors import CatalogError, LakeError, SettingsError
from data_platform.lake.owners import mark
from data_platform.lake.sql import text
from data_platform.lake.storage import storage_errors
from data_platform.settings import Settings

SECRET = "lake_catalog"
# Conflicts within a table are not retried by DuckLake; these settings are for its catalog transactions.
RETRIES = {"ducklake_max_retry_count": "100", "ducklake_retry_wait_ms": "15", "ducklake_retry_backoff": "1.1"}


@dataclass(frozen=True)
class PostgresCatalog:
    """Where a Postgres catalog is. The password stays out of `repr`, of ATTACH and so of every message."""

    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False)
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        return f"postgresql://{self.host}:{self.port}/{self.database}"

    def parameters(self) -> dict[str, str]:
        """libpq's parameters, with the password: for a session, never for a message."""
        stated = {
            "host": self.host, "port": str(self.port), "dbname": self.database, "user": self.user, "password": self.password,
        }  # fmt: skip
        return {"connect_timeout": "10"} | dict(self.options) | {name: value for name, value in stated.items() if value}

    def conninfo(self) -> str:
        """libpq's other parameters as text, for ATTACH."""
        known = {"host", "port", "dbname", "user", "password"}
        quoted = {name: value.replace("\\", "\\\\").replace("'", "\\'") for name, value in self.parameters().items()}
        return " ".join(f"{name}='{value}'" for name, value in quoted.items() if name not in known)


def postgres_catalog(url: str) -> PostgresCatalog:
    """Parses `postgresql://user:password@host:port/database?sslmode=…`. Raises `SettingsError`, never with the URL."""
    wanted = "postgresql://user:password@host:port/database"
    try:
        parts = urlsplit(url)
        port = parts.port or 5432
    except ValueError:
        raise SettingsError("`PLATFORM_CATALOG` is no URL.", fix=f"write it as {wanted}") from None
    database = unquote(parts.path.lstrip("/"))
    if parts.scheme not in ("postgresql", "postgres") or not database:
        raise SettingsError("`PLATFORM_CATALOG` is no URL of a PostgreSQL database.", fix=f"write it as {wanted}")
    options = dict(parse_qsl(parts.query))
    asked = {name: options.pop(name, "") for name in ("host", "user", "password")}
    return PostgresCatalog(
        host=unquote(parts.hostname or "") or asked["host"] or "localhost", port=port, database=database,
        user=unquote(parts.username or "") or asked["user"],
        password=unquote(parts.password or "") or asked["password"], options=options,
    )  # fmt: skip


@dataclass(frozen=True)
class Attachment:
    """The catalog (a SQLite file or a Postgres database) and the folder of the Parquet files."""

    data_path: Path
    catalog: Path | PostgresCatalog

    @property
    def place(self) -> str:
        """The catalog for people: a path, or a URL without user and password."""
        return self.catalog.place if isinstance(self.catalog, PostgresCatalog) else str(self.catalog)

    def exists(self) -> bool:
        """Whether the catalog may be there; attaching to a missing SQLite file would leave an empty one."""
        return isinstance(self.catalog, PostgresCatalog) or self.catalog.exists()

    @property
    def has_files(self) -> bool:
        """Whether rows were ever written here: with no catalog beside them, it is lost and not new."""
        return any(self.data_path.rglob("*.parquet"))

    def lost_catalog(self) -> CatalogError:
        return CatalogError(
            f"The catalog `{self.place}` is missing, but `{self.data_path}` holds its files.",
            fix="restore the catalog from a backup",
        )

    @property
    def extensions(self) -> tuple[str, ...]:
        return ("postgres_scanner" if isinstance(self.catalog, PostgresCatalog) else "sqlite_scanner", "ducklake")

    @property
    def path(self) -> str:
        """What stands after ATTACH."""
        if isinstance(self.catalog, PostgresCatalog):
            return f"ducklake:postgres:{self.catalog.conninfo()}"
        return f"ducklake:sqlite:{self.catalog}"

    def options(
        self, *, read_only: bool = False, create: bool = False, version: int | None = None
    ) -> dict[str, str | int | bool]:
        """The options of ATTACH. The data path is given and not taken from the catalog, so that a lake may be moved."""
        found: dict[str, str | int | bool] = {
            "DATA_PATH": f"{self.data_path}/", "OVERRIDE_DATA_PATH": True,
            "DATA_INLINING_ROW_LIMIT": 0, "CREATE_IF_NOT_EXISTS": create,
        }  # fmt: skip
        if isinstance(self.catalog, PostgresCatalog):
            found["META_SECRET"] = SECRET
        else:
            # Without WAL a long reader breaks writers, and the reverse.
            found |= {"META_JOURNAL_MODE": "WAL", "META_BUSY_TIMEOUT": 30000}
        if read_only:
            found["READ_ONLY"] = True
        if version is not None:
            found["SNAPSHOT_VERSION"] = version
        return found

    def sql(self, *, read_only: bool = False, create: bool = False, version: int | None = None) -> str:
        """The one ATTACH statement, under the name `lake`; of a `version`, the lake as it was then."""
        stated = self.options(read_only=read_only, create=create, version=version)
        options = ", ".join(f"{name} {_literal(value)}" for name, value in stated.items())
        return f"ATTACH {text(self.path)} AS lake ({options})"

    def secret_sql(self) -> str | None:
        """Creates the temporary secret that ATTACH names, for Postgres; lives in memory with its engine alone."""
        if not isinstance(self.catalog, PostgresCatalog):
            return None
        at = self.catalog
        pairs = {
            "HOST": at.host,
            "PORT": str(at.port),
            "DATABASE": at.database,
            "USER": at.user,
            "PASSWORD": at.password,
        }
        stated = ", ".join(f"{name} {text(value)}" for name, value in pairs.items() if value)
        return f"CREATE OR REPLACE TEMPORARY SECRET {SECRET} (TYPE postgres, {stated})"


def attachment(settings: Settings) -> Attachment:
    """The lake that the settings name."""
    if settings.catalog is not None and settings.catalog.get_secret_value():
        return Attachment(settings.lake_dir / "data", postgres_catalog(settings.catalog.get_secret_value()))
    return Attachment(settings.lake_dir / "data", settings.lake_dir / "catalog.sqlite")


def refuse_misleading_home(settings: Settings) -> None:
    """Raises `SettingsError` for a home below a folder that is named like a partition."""
    misleading = [part for part in settings.home.parts if re.match(r"\w+=", part)]
    if misleading:
        raise SettingsError(
            f"`PLATFORM_HOME` has a folder `{misleading[0]}`: the engine would take it for a partition's value.",
            fix="set PLATFORM_HOME to a path without `name=`",
        )


def _literal(value: str | int | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else text(value)


def extension_path(name: str) -> Path:
    """The signed binary that a PyPI package brings. Raises `LakeError` naming the package that is missing."""
    package = f"duckdb-extension-{name.replace('_', '-')}"
    fix = f"pip install {package}=={duckdb.__version__}"
    try:
        folder = importlib.import_module(f"duckdb_extension_{name}").__path__[0]
    except ImportError:
        raise LakeError(f"The package `{package}` is not installed.", fix=fix) from None
    path = Path(folder) / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
    if not path.exists():
        raise LakeError(f"The package `{package}` is not of DuckDB's version {duckdb.__version__}.", fix=fix)
    return path


def _spill_folder(settings: Settings) -> Path:
    """Where one engine puts what does not fit into memory; it makes and removes the folder, but not those above it. Two
    engines that share one take each other's blocks, and crash."""
    above = settings.home / "tmp"
    with storage_errors(above):
        above.mkdir(parents=True, exist_ok=True)
    return above / f"spill-{mark(settings.lake_dir)}-{uuid.uuid4().hex[:8]}"


def engine_config(settings: Settings) -> dict[str, str | bool | int | float | list[str]]:
    """What one engine is opened with. A missing table must not resolve to a Python variable, so replacement scans
    are off; nothing is installed or downloaded."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "python_enable_replacements": False, "autoinstall_known_extensions": False, "autoload_known_extensions": False,
        "temp_directory": str(_spill_folder(settings)),
    }  # fmt: skip
    if settings.memory:
        config["memory_limit"] = settings.memory
    if settings.threads:
        config["threads"] = settings.threads
    return config


def equip(con: duckdb.DuckDBPyConnection, at: Attachment) -> None:
    """Loads the extensions by path and sets what ATTACH needs, on an engine opened with `engine_config`."""
    for name in at.extensions:
        con.execute(f"LOAD {text(str(extension_path(name)))}")
    con.execute("SET GLOBAL TimeZone = 'UTC'")
    for option, value in RETRIES.items():
        con.execute(f"SET GLOBAL {option} = {value}")
    secret = at.secret_sql()
    if secret:
        con.execute(secret)


def open_engine(settings: Settings, at: Attachment) -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory with the extensions and limits, nothing attached."""
    con = duckdb.connect(":memory:", config=engine_config(settings))
    equip(con, at)
    return con


def memory_limit(con: duckdb.DuckDBPyConnection) -> int:
    """The bytes that the engine's own memory is bounded by."""
    (memory,) = con.execute("SELECT parse_formatted_bytes(current_setting('memory_limit'))").fetchone() or (0,)
    return int(memory)
