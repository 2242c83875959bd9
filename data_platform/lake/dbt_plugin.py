"""What dbt runs when it opens a candidate file: the lake attached to it, read only and as `lake`.

dbt-duckdb imports this module by its name in `dbt/profiles.yml`. The engine's options and the statements are the
lake's own, so that dbt and the platform cannot attach differently, and no profile holds a password.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.adapters.duckdb.plugins import BasePlugin
from duckdb import DuckDBPyConnection

from data_platform.lake.attach import attachment, engine_config, equip
from data_platform.settings import Settings, get_settings

_handed: list[tuple[Settings, int | None]] = []


@contextmanager
def attaching(settings: Settings, version: int | None = None) -> Iterator[None]:
    """While open, dbt in this process attaches the lake of these settings instead of the environment's, at this version
    so that all models of a build read one state. dbt opens connections in threads of its own, so this is no context
    variable; its user lets one dbt run at a time."""
    _handed.append((settings, version))
    try:
        yield
    finally:
        _handed.pop()


def release() -> None:
    """Closes what dbt left open in this process: an engine holds its file, and no other engine may then open it."""
    try:
        environment = DuckDBConnectionManager.env()
    except Exception:
        return  # dbt opened none
    DuckDBConnectionManager.close_all_connections()  # type: ignore[no-untyped-call]
    environment.close()  # type: ignore[no-untyped-call]


class Plugin(BasePlugin):
    """Equips each engine that dbt opens."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:  # noqa: ARG002  (the adapter's signature)
        self.settings, self.version = _handed[-1] if _handed else (get_settings(), None)

    def update_connection_config(self, creds: object, config: dict[str, Any]) -> None:  # noqa: ARG002
        config.update(engine_config(self.settings))

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        at = attachment(self.settings)
        equip(conn, at)
        conn.execute(at.sql(read_only=True, version=self.version))
