"""What the settings take, and how they say what they do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_platform.errors import SettingsError
from data_platform.settings import PROJECT_ROOT, load_settings, unknown_variables


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MEMORY", "banana"), ("MEMORY", "2"), ("THREADS", "999999999999"), ("THREADS", "0"), ("LOCK_TIMEOUT", "inf"),
        ("START_DATE", "9999-12-31"), ("START_DATE", "0001-01-01"), ("HOME", "/tmp/what?"), ("HOME", "/tmp/back\\slash"),
        ("AUTOMATION", "perhaps"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"PLATFORM_{name}", value)
    with pytest.raises(SettingsError, match=f"`PLATFORM_{name}`") as error:
        load_settings()
    assert error.value.fix and error.value.exit_code == 2


@pytest.mark.parametrize("value", ["2GB", "1.5 GB", "512MiB", "800KB"])
def test_memory_is_what_duckdb_takes(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("PLATFORM_MEMORY", value)
    assert load_settings().memory == value


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "CATALOG", "START_DATE", "MEMORY", "THREADS"):
        monkeypatch.setenv(f"PLATFORM_{name}", "")
    settings = load_settings()
    assert settings.home == PROJECT_ROOT / ".platform" and settings.catalog is None and settings.threads is None


def test_the_file_under_home_is_read_and_the_environment_wins(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir()
    (home / "settings.env").write_text("PLATFORM_THREADS=3\nPLATFORM_MEMORY=2GB\n")
    monkeypatch.delenv("PLATFORM_THREADS")
    monkeypatch.setenv("PLATFORM_MEMORY", "1GB")
    assert (load_settings().threads, load_settings().memory) == (3, "1GB")
    (home / "settings.env").write_bytes(b"PLATFORM_THREADS=\xff\xfe")
    with pytest.raises(SettingsError, match=r"settings\.env` is not UTF-8"):
        load_settings()


def test_a_name_that_is_no_setting_is_found_wherever_it_stands(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir()
    (home / "settings.env").write_text("PLATFORM_THREDS=3\nPLATFORM_MEMORY=2GB\nOTHER=1\n")
    monkeypatch.setenv("PLATFORM_MEMROY", "1GB")
    assert unknown_variables(load_settings()) == ["PLATFORM_MEMROY", "PLATFORM_THREDS"]
