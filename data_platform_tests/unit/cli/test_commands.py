"""The commands as a user meets them: data on stdout, the rest on stderr, exits 0, 1 and 2, no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from data_platform.cli.app import app, parse_day
from data_platform.cli.catalogue import known_tables
from data_platform.contracts import registry
from data_platform.errors import UsageError
from data_platform.lake.lake import get_lake
from data_platform.settings import PROJECT_ROOT, Settings


def data_platform(*arguments: str) -> Result:
    result = CliRunner().invoke(app, list(arguments), prog_name="data-platform")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_status_counts_partitions_and_rows_by_fate(loaded: Settings) -> None:
    rows = {row["table"]: row for row in json.loads(data_platform("status", "--format", "json").stdout)}
    orders = rows["staging.orders"]
    assert (orders["present"], orders["failed"], orders["read"], orders["accepted"], orders["quarantined"]) == (
        1,
        1,
        3,
        1,
        2,
    )
    assert orders["failed_partitions"] == {"2026-01-02": "`x.csv` is not there."}
    assert "2026-01-01" not in orders["missing_partitions"] and "2026-01-02" in orders["missing_partitions"]
    assert orders["missing"] == len(orders["missing_partitions"])
    assert rows["marts.dim_products"]["published"].startswith("version ")
    assert rows["raw.orders"]["present"] == 0


def test_status_of_one_table_has_its_rules_and_its_gaps_as_spans(loaded: Settings) -> None:
    said = data_platform("status", "staging/orders").stdout
    assert "order_id.matches" in said and "2026-01-02 …" in said and "`x.csv` is not there." in said


def test_status_of_a_bare_name_means_staging_as_elsewhere(loaded: Settings) -> None:
    (row,) = json.loads(data_platform("status", "orders", "--format", "json").stdout)
    assert row["table"] == "staging.orders"


def test_tables_that_changed_after_they_were_imported_are_not_remembered(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "READ", "what the files were when this process began")
    assert known_tables(settings)
    assert not (settings.home / "cache" / "tables.json").exists()
    monkeypatch.undo()
    known_tables(settings)
    assert (settings.home / "cache" / "tables.json").exists()


def test_status_of_a_table_that_is_none_names_the_nearest(loaded: Settings) -> None:
    result = data_platform("status", "staging.ordrs")
    assert result.exit_code == 2 and "Did you mean `staging.orders`?" in result.stderr and result.stdout == ""


def test_status_without_a_lake_says_that_everything_is_missing_and_makes_none(settings: Settings) -> None:
    result = data_platform("status", "--format", "json")
    assert result.exit_code == 0 and all(row["present"] == 0 for row in json.loads(result.stdout))
    assert not settings.lake_dir.exists()


def test_query_prints_rows_as_json_with_exact_decimals(loaded: Settings) -> None:
    result = data_platform(
        "query", "--format", "json", "SELECT *, 1.50::DECIMAL(9,2) AS price FROM published.dim_products"
    )
    assert json.loads(result.stdout) == [{"product_id": "P1", "price": "1.50"}]


def test_query_prints_no_more_rows_than_asked_for_in_a_table(loaded: Settings) -> None:
    result = data_platform("query", "--limit", "2", "SELECT range AS n FROM range(10)")
    assert "The first 2 rows" in result.stderr and "9" not in result.stdout


@pytest.mark.parametrize(
    ("sql", "code", "said"),
    [
        ("SELECT * FROM published.dim_product", 1, "Did you mean"),
        ("SELEC 1", 1, "syntax error"),
        ("DELETE FROM lake.staging.orders", 2, "`query` only asks, and DELETE does more."),
        ("COPY (SELECT 1) TO 'x.csv'", 2, "COPY does more"),
        ("ATTACH 'x.db' AS x", 2, "ATTACH does more"),
        ("FROM ducklake_expire_snapshots('lake', versions => [1])", 2, "only asks"),
        ("SELECT 1; SELECT 2", 2, "one statement, not 2"),
        ("", 2, "one statement, not 0"),
    ],
)
def test_query_says_what_is_wrong_with_the_sql(loaded: Settings, sql: str, code: int, said: str) -> None:
    result = data_platform("query", sql)
    assert result.exit_code == code and said in result.stderr and result.stdout == ""
    assert "Traceback" not in result.stderr


def test_query_shows_what_is_there_and_no_pictures(loaded: Settings) -> None:
    sql = "SELECT ':x:' AS a, 'http://h:100:x' AS b, 'nan'::DOUBLE AS c, '-inf'::DOUBLE AS d, '[bold]' AS \"e:100:\""
    row = {"a": ":x:", "b": "http://h:100:x", "c": "nan", "d": "-inf", "e:100:": "[bold]"}
    assert json.loads(data_platform("query", sql, "--format", "json").stdout) == [row]
    shown = data_platform("query", sql).stdout.split()
    assert shown == [*row, *row.values()]


@pytest.mark.parametrize("form", ["table", "json"])
def test_a_terminal_that_cannot_show_a_letter_gets_its_number(loaded: Settings, form: str) -> None:
    command = [sys.executable, "-m", "data_platform", "query", "SELECT 'ł' AS a", "--format", form]
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PLATFORM_HOME": str(loaded.home)}
    done = subprocess.run(command, env=environment, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    assert "\\u0142" in done.stdout


def test_a_full_output_is_one_message(loaded: Settings) -> None:
    command = [sys.executable, "-m", "data_platform", "query", "SELECT 1"]
    environment = os.environ | {"PLATFORM_HOME": str(loaded.home)}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, env=environment, cwd=PROJECT_ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1 and "No space left" in done.stderr and "Traceback" not in done.stderr


def test_a_catalog_that_is_gone_is_not_taken_for_no_lake(loaded: Settings) -> None:
    get_lake().close()
    for path in loaded.lake_dir.glob("catalog.sqlite*"):
        path.unlink()
    result = data_platform("query", "SELECT 1")
    assert result.exit_code == 1 and "is missing, but" in result.stderr
    assert "restore the catalog" in data_platform("doctor").stdout


def test_query_without_a_lake_says_so(settings: Settings) -> None:
    result = data_platform("query", "SELECT 1")
    assert result.exit_code == 2 and "There is no lake" in result.stderr and not settings.lake_dir.exists()


def test_a_catalog_password_is_never_printed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATFORM_CATALOG", "postgresql://someone:s3cr3t@127.0.0.1:1/lake")
    from data_platform.settings import get_settings

    get_settings.cache_clear()
    for arguments in (("query", "SELECT 1"), ("status",)):
        result = data_platform(*arguments)
        assert result.exit_code == 1, arguments
        assert "s3cr3t" not in result.stdout + result.stderr


def test_a_setting_that_cannot_be_used_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATFORM_THREADS", "many-secrets")
    result = data_platform("status")
    assert result.exit_code == 2 and "`PLATFORM_THREADS`" in result.stderr and "many-secrets" not in result.stderr


def test_init_makes_the_home_with_dagsters_settings_and_repeats_harmlessly(settings: Settings) -> None:
    assert data_platform("init").exit_code == 0
    yaml = settings.dagster_dir / "dagster.yaml"
    assert "telemetry" in yaml.read_text()
    yaml.write_text("telemetry:\n  enabled: true\n")
    assert json.loads(data_platform("init", "--format", "json").stdout)["made"] == []
    assert "enabled: true" in yaml.read_text(), "what the user changed stays"


def test_land_puts_a_file_where_its_feed_expects_it(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "my orders.csv"
    file.write_text("order_id\n")
    result = data_platform("land", str(file), "--feed", "orders", "--partition", "2026-01-05", "--format", "json")
    landed = settings.landing_dir / "shop" / "orders" / "2026-01-05.csv"
    assert landed.read_text() == "order_id\n" and json.loads(result.stdout)["file"] == str(landed)
    assert [path.name for path in landed.parent.iterdir()] == ["2026-01-05.csv"]
    assert json.loads(result.stdout)["next"].endswith("'key:\"raw/orders\"+' --from 2026-01-05 --to 2026-01-05")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--feed", "ordrs", "--partition", "2026-01-05"), "Did you mean `orders`?"),
        (("--feed", "orders"), "--partition KEY"),
        (("--feed", "orders", "--partition", "../../../etc/passwd"), "is no day partition"),
        (("--feed", "events", "--partition", "2026-01-05"), "is no parquet file"),
        (
            ("--feed", "orders", "--partition", "2999-01-05"),
            "has no partition `2999-01-05`: they run from `2026-01-01`",
        ),
        (("--feed", "orders", "--partition", "2020-01-05"), "PLATFORM_START_DATE"),
    ],
)
def test_land_refuses_what_has_no_place(
    settings: Settings, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    file = tmp_path / "orders.csv"
    file.write_text("order_id\n")
    result = data_platform("land", str(file), *arguments)
    assert result.exit_code == 2 and said in result.stderr
    assert not list(settings.landing_dir.rglob("*.csv")) if settings.landing_dir.exists() else True


def test_land_without_a_file_says_so(tmp_path: Path) -> None:
    result = data_platform("land", str(tmp_path / "none.csv"), "--feed", "orders")
    assert result.exit_code == 2 and "is not a file" in result.stderr


def test_sample_writes_the_days_and_counts_what_it_planted(settings: Settings) -> None:
    result = data_platform("sample", "--start", "2026-01-01", "--days", "2", "--scale", "0.05", "--format", "json")
    said = json.loads(result.stdout)
    assert said["files"] == 12 and said["total_rows"] == sum(said["rows"].values()) and said["last"] == "2026-01-02"
    assert (settings.landing_dir / "shop" / "orders" / "2026-01-02.csv").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("backfil",),
        ("backfill",),
        ("status", "--format", "xml"),
        ("sample", "--days", "0"),
        ("sample", "--scale", "inf"),
        ("sample", "--days", "99999999999"),
        ("sample", "--days", "8000", "--start", "2040-01-01"),
        ("land", "setup.cfg", "--feed", "nope"),
    ],
)
def test_misuse_leaves_with_2(arguments: tuple[str, ...]) -> None:
    assert data_platform(*arguments).exit_code == 2


@pytest.mark.parametrize("value", ["2026-13-01", "tomorrow", "2026-02-30", "01.02.2026", "2026-1"])
def test_a_day_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="is no day"):
        parse_day("--from", value)


def test_yesterday_is_the_newest_partition_that_is_over(settings: Settings, tmp_path: Path) -> None:
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    assert parse_day("--to", "yesterday") == yesterday
    file = tmp_path / "orders.csv"
    file.write_text("order_id\n")
    assert data_platform("land", str(file), "--feed", "orders", "--partition", "yesterday").exit_code == 0
    assert (settings.landing_dir / "shop" / "orders" / f"{yesterday}.csv").exists()


def test_a_month_means_its_first_or_last_day() -> None:
    assert parse_day("--from", "2026-02") == date(2026, 2, 1)
    assert parse_day("--to", "2026-02") == date(2026, 2, 28)
    assert parse_day("--to", "2026-12") == date(2026, 12, 31)
    assert parse_day("--to", None) is None


@pytest.mark.parametrize(
    "sql",
    [
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{file}'",
        "explain (analyze) copy (select 1) to '{file}'",
        "SELECT * FROM ducklake_cleanup_old_files('lake', cleanup_all => true)",
        "EXPLAIN ANALYZE /* SELECT */ COPY (SELECT 1) TO '{file}'",
    ],
)
def test_query_refuses_what_asks_by_its_looks_alone(loaded: Settings, tmp_path: Path, sql: str) -> None:
    result = data_platform("query", sql.format(file=tmp_path / "x.csv"))
    assert result.exit_code == 2 and "only asks" in result.stderr
    assert not (tmp_path / "x.csv").exists()
    assert data_platform("query", "EXPLAIN ANALYZE SELECT 'ducklake_cleanup_old_files(' AS said").exit_code == 0


def test_an_empty_catalog_file_is_damaged_and_not_read_only(loaded: Settings) -> None:
    get_lake().close()
    (loaded.lake_dir / "catalog.sqlite").write_bytes(b"")
    result = data_platform("query", "SELECT 1")
    assert result.exit_code == 1 and "is damaged or is no catalog" in result.stderr


def test_a_day_that_no_partition_reaches_is_refused() -> None:
    with pytest.raises(UsageError, match="is after 2999-12-31"):
        parse_day("--to", "9999-12-31")


def test_an_argument_that_is_no_text_is_one_message() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "data-platform", b"query", b"SELECT '\xff'"], capture_output=True
    )
    assert done.returncode == 2 and b"is not text" in done.stderr and b"Traceback" not in done.stderr
