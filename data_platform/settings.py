"""The one typed settings object, read from `PLATFORM_*` variables and `PLATFORM_HOME/settings.env`.

No other module reads the environment. Nothing here touches the disk except to read the settings file.
"""

from __future__ import annotations

import os
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Literal

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from data_platform.errors import SettingsError

PROJECT_ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """All settings. Secrets are `SecretStr`, so that no message, log or repr prints them."""

    model_config = SettingsConfigDict(
        env_prefix="PLATFORM_", extra="ignore", env_file_encoding="utf-8", env_ignore_empty=True
    )

    home: Path = Field(PROJECT_ROOT / ".platform", description="Folder of all state: landing/, lake/, dagster/.")
    catalog: SecretStr | None = Field(
        None, description="postgresql://… for a shared catalog; unset: SQLite under home."
    )
    start_date: date = Field(
        date(2026, 1, 1), ge=date(1970, 1, 1), le=date(2999, 12, 31), description="First daily partition."
    )
    memory: str | None = Field(
        None,
        pattern=r"^\d+(\.\d+)?\s*[KMGT]i?B$",
        description="DuckDB's memory limit, such as 2GB; unset: DuckDB's default.",
    )
    threads: int | None = Field(None, ge=1, le=1024, description="DuckDB's threads; unset: all cores.")
    lock_timeout: float = Field(600.0, gt=0, allow_inf_nan=False, description="Seconds to wait for the commit gate.")
    alert_urls: SecretStr = Field(SecretStr(""), description="Apprise URLs, separated by blanks or commas.")
    automation: Literal["on", "off"] = Field("off", description="Whether schedules and sensors that load data run.")
    landing: Path | None = Field(None, description="Folder of drop files; unset: landing/ under home.")

    dagster_home: Path | None = Field(
        None, validation_alias="DAGSTER_HOME", description="Where stock Dagster commands look."
    )

    @field_validator("home", "landing", mode="after")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        if value is None:
            return None
        found = value.expanduser().resolve()
        if set(str(found)) & {"?", "\\"}:
            raise ValueError("a path with `?` or a backslash is no path to SQLite's drivers")
        return found

    @property
    def landing_dir(self) -> Path:
        return self.landing or self.home / "landing"

    @property
    def lake_dir(self) -> Path:
        return self.home / "lake"

    @property
    def dagster_dir(self) -> Path:
        return self.home / "dagster"

    @property
    def settings_file(self) -> Path:
        return self.home / "settings.env"


VARIABLES = frozenset(f"PLATFORM_{name.upper()}" for name in Settings.model_fields if name != "dagster_home")


def load_settings(**overrides: object) -> Settings:
    """Reads the settings afresh. Raises `SettingsError` naming the variable and never its value."""
    home = Path(str(overrides.get("home") or os.environ.get("PLATFORM_HOME") or PROJECT_ROOT / ".platform"))
    try:
        return Settings(_env_file=home.expanduser() / "settings.env", **overrides)  # type: ignore[arg-type]
    except UnicodeDecodeError:
        raise SettingsError(f"`{home / 'settings.env'}` is not UTF-8.", fix="write it as UTF-8") from None
    except ValidationError as error:
        first = error.errors()[0]
        name = "PLATFORM_" + "_".join(str(part) for part in first["loc"]).upper()
        field = Settings.model_fields.get(str(first["loc"][0]))
        meant = f" ({field.description.rstrip('.')})" if field and field.description else ""
        raise SettingsError(
            f"`{name}` cannot be used: {first['msg']}.", fix=f"set `{name}`{meant} or unset it"
        ) from None


def unknown_variables(settings: Settings) -> list[str]:
    """Names that begin as the settings' do and are none of them, in the environment or the settings file: a slip of
    the pen would go unseen otherwise."""
    stated = {*os.environ, *dotenv_values(settings.settings_file)}
    return sorted(name for name in stated if name.startswith("PLATFORM_") and name not in VARIABLES)


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process. Tests that change the environment call `get_settings.cache_clear()`."""
    return load_settings()


def set_unless_stated(variable: str, value: str) -> None:
    """Sets another tool's variable for this process and its children, unless the user has set it."""
    os.environ.setdefault(variable, value)
