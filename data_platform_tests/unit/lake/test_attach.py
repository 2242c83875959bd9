"""Opening: one ATTACH statement, no password in any text, and clear words when it cannot be done."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from data_platform.errors import CatalogError, LakeError, SettingsError, StorageError
from data_platform.lake.attach import attachment, extension_path, postgres_catalog
from data_platform.lake.lake import Lake, Slice
from data_platform.lake.ledger import latest_loads
from data_platform.lake.outcomes import LoadRecord
from data_platform.lake.storage import redact, translate
from data_platform.settings import Settings, load_settings

URL = "postgresql://bob:s3cr%27et@db.example:6543/lake?sslmode=require"


def test_a_postgres_url_is_parsed_and_its_password_is_in_no_text() -> None:
    at = attachment(load_settings(catalog=URL))
    catalog = postgres_catalog(URL)
    assert (catalog.host, catalog.port, catalog.database, catalog.user, catalog.password) == (
        "db.example",
        6543,
        "lake",
        "bob",
        "s3cr'et",
    )
    for words in (repr(at), at.sql(), at.place, repr(catalog)):
        assert "s3cr" not in words
    assert "sslmode" in at.sql()
    assert "s3cr''et" in str(at.secret_sql())


@pytest.mark.parametrize(
    "url", ["mysql://bob:s3cret@h/x", "postgresql://bob:s3cret@h", "postgresql://bob:s3cret@h:port/x"]
)
def test_a_catalog_that_is_no_postgres_url_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(SettingsError, match="PLATFORM_CATALOG") as caught:
        attachment(load_settings(catalog=url))
    assert "s3cret" not in str(caught.value)


def test_a_server_that_does_not_answer_is_named_without_its_password() -> None:
    with pytest.raises(CatalogError, match=r"127\.0\.0\.1:1/lake` cannot be reached") as caught:
        Lake(load_settings(catalog="postgresql://bob:s3cret@127.0.0.1:1/lake")).connect()
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_passwords_are_taken_out_of_any_message() -> None:
    assert redact("host=a password=x1 user=b") == "host=a password=*** user=b"
    assert redact("host=a password='x 1' user=b") == "host=a password=*** user=b"
    assert redact("at postgresql://bob:x1@h/db") == "at postgresql://bob:***@h/db"


def test_a_missing_extension_package_is_named_with_the_command_that_brings_it() -> None:
    with pytest.raises(LakeError, match=rf"pip install duckdb-extension-no-such=={duckdb.__version__}"):
        extension_path("no_such")


def test_opening_writes_nothing_outside_the_home(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = tmp_path / "user"
    user.mkdir()
    monkeypatch.setenv("HOME", str(user))
    Lake(settings).connect().close()
    assert list(user.iterdir()) == []


def test_what_is_opened_is_safe_by_default(settings: Settings) -> None:
    con = Lake(settings).connect()
    things = "a Python variable"  # noqa: F841  (must not be found as a table)
    with pytest.raises(duckdb.CatalogException):
        con.execute("SELECT * FROM things")
    found = con.execute(
        "SELECT current_setting('TimeZone'), current_setting('autoinstall_known_extensions')"
    ).fetchone()
    assert found == ("UTC", False)


def test_a_reader_cannot_write(settings: Settings) -> None:
    con = Lake(settings).connect(read_only=True)
    with pytest.raises(duckdb.Error, match="read-only"):
        con.execute("CREATE TABLE lake.staging.t (a INTEGER)")


def test_a_second_connection_opens_no_second_engine(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake(settings)
    lake.connect().close()
    monkeypatch.setattr(duckdb, "connect", lambda *_, **__: pytest.fail("a second engine was opened"))
    for _ in range(100):
        lake.connect().close()


def test_a_lake_may_be_moved_with_its_home(settings: Settings, tmp_path: Path) -> None:
    lake = Lake(settings)
    con = lake.connect()
    lake.ensure_table(con, "staging.t", {"a": "INTEGER"})
    file = lake.stage(con, "staging.t", "SELECT 7 AS a")
    lake.commit([Slice("staging.t", {}, (file,) if file else ())])
    con.close()
    lake.close()
    moved = settings.home.rename(tmp_path / "else where")
    assert Lake(load_settings(home=moved)).connect().execute("SELECT a FROM lake.staging.t").fetchall() == [(7,)]


@pytest.mark.parametrize("read_only", [True, False])
def test_a_lake_of_an_earlier_version_gets_the_columns_that_its_ledger_lacks(
    settings: Settings, read_only: bool
) -> None:
    lake = Lake(settings)
    lake.record_failures([LoadRecord("raw.t", "2026-01-01", "run", "failed", error="why")])
    lake.connect().execute("ALTER TABLE lake.ops.loads DROP COLUMN built_from")
    lake.close()
    (load,) = latest_loads(Lake(settings).connect(read_only=read_only), outcome="failed")
    assert (load.error, load.built_from) == ("why", None)


@pytest.mark.parametrize("read_only", [True, False])
def test_a_lake_of_an_earlier_version_gets_the_table_that_its_ledger_lacks(settings: Settings, read_only: bool) -> None:
    lake = Lake(settings)
    lake.connect().execute("DROP TABLE lake.ops.contracts")
    lake.close()
    assert Lake(settings).connect(read_only=read_only).execute("FROM lake.ops.contracts").fetchall() == []


def test_a_missing_catalog_beside_its_files_is_not_replaced_by_an_empty_lake(settings: Settings) -> None:
    lake = Lake(settings)
    con = lake.connect()
    lake.ensure_table(con, "staging.t", {"a": "INTEGER"})
    lake.stage(con, "staging.t", "SELECT 7 AS a")
    con.close()
    lake.close()
    for path in settings.lake_dir.glob("catalog.sqlite*"):
        path.unlink()
    with pytest.raises(CatalogError, match="is missing, but"):
        Lake(settings).connect()


@pytest.mark.parametrize(
    "content", [b"this is no database at all, is it?" * 100, b"SQLite format 3\0" + b"\xff" * 4096]
)
def test_a_damaged_catalog_is_said_to_be_damaged(settings: Settings, content: bytes) -> None:
    settings.lake_dir.mkdir(parents=True)
    (settings.lake_dir / "catalog.sqlite").write_bytes(content)
    with pytest.raises(CatalogError, match=r"catalog\.sqlite"):
        Lake(settings).connect()


def test_a_home_that_the_engine_would_read_as_a_partition_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="day=2026"):
        Lake(load_settings(home=tmp_path / "day=2026-01-01")).connect()


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("IO Error: Could not write file: No space left on device", StorageError),
        ("Failed to execute: database or disk is full", StorageError),
        ("attempt to write a readonly database", StorageError),
        ("Read-only file system", StorageError),
        ("Permission denied", StorageError),
        ("file is not a database", CatalogError),
        ("connection to server at x failed: Connection refused", CatalogError),
        ("something else", LakeError),
    ],
)
def test_what_the_engine_says_becomes_an_error_with_a_fix(said: str, kind: type[LakeError]) -> None:
    error = translate(duckdb.IOException(said), "/somewhere")
    assert type(error) is kind
    assert error.fix


@pytest.mark.parametrize(
    "word", ["Permission denied", "No space left on device", "connection refused", "timeout expired"]
)
def test_the_words_of_a_value_are_not_taken_for_the_disk_s_or_the_catalog_s(word: str) -> None:
    with duckdb.connect() as con, pytest.raises(duckdb.ConversionException) as caught:
        con.execute(f"SELECT '{word}'::INTEGER")
    error = translate(caught.value, "/somewhere")
    assert (type(error), error.transient) == (LakeError, False)
    assert word not in error.message
