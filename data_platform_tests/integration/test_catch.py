"""The catch test: every defect that the sample shop plants is caught by the rule meant for it, and no clean row is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import duckdb
import pytest

from data_platform.contracts.registry import contract
from data_platform.lake.lake import Lake
from data_platform.quality.screening import screen
from data_platform.settings import load_settings
from data_platform.sources.load import load_raw
from data_platform.sources.registry import feed_of
from data_platform.sources.sample import expected_truth_sql, write_sample

TABLES = ("customers", "products", "orders", "order_items", "payments", "events")
START, DAYS = dt.date(2026, 3, 1), 6


@pytest.fixture(scope="module")
def screened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with `truth` and `found`: (table, file, record, fate, rules) as planted and as the platform judged."""
    settings = load_settings(home=tmp_path_factory.mktemp("catch") / "home")
    write_sample(settings.landing_dir, start=START, days=DAYS, scale=0.2)
    lake = Lake(settings)
    keys = [(START + dt.timedelta(days=number)).isoformat() for number in range(DAYS)]
    for table in TABLES:
        for outcome in (
            *load_raw(lake, feed_of(table), keys, "run"), *screen(lake, contract(f"staging.{table}"), keys, "run"),
        ):  # fmt: skip
            assert outcome.committed, outcome.load.error
    con = lake.connect()
    con.execute(f"CREATE TEMP TABLE truth AS {expected_truth_sql(settings.landing_dir)}")
    con.execute("CREATE TEMP TABLE found AS " + " UNION ALL ".join(_found(table) for table in TABLES))
    yield con
    con.close()
    lake.close()


def _found(table: str) -> str:
    kept = (
        f"SELECT _file, _record FROM lake.staging.{table} UNION ALL SELECT _file, _record FROM lake.quarantine.{table}"
    )
    return f"""
        SELECT '{table}' AS "table", _file AS file, _record AS record, 'quarantined' AS fate, rules
            FROM lake.quarantine.{table}
        UNION ALL SELECT '{table}', _file, _record, 'flagged', _flags FROM lake.staging.{table} WHERE _flags IS NOT NULL
        UNION ALL SELECT '{table}', _file, _record, 'merged', 'key'
            FROM lake.raw.{table} AS raw ANTI JOIN ({kept}) AS kept USING (_file, _record)"""


def test_every_planted_defect_is_caught_by_the_rule_meant_for_it(screened):
    missed = screened.execute("""
        SELECT t.kind, t."table", t.file, t.record, t.fate, t.rules, f.fate, f.rules
        FROM truth AS t LEFT JOIN found AS f USING ("table", file, record)
        WHERE f.fate IS DISTINCT FROM t.fate
            OR list_sort(string_split(f.rules, ',')) IS DISTINCT FROM list_sort(string_split(t.rules, ','))""").fetchall()
    assert missed == []


def test_no_clean_row_is_caught(screened):
    false_alarms = screened.execute('FROM found ANTI JOIN truth USING ("table", file, record)').fetchall()
    assert false_alarms == []


def test_every_kind_of_dirt_was_there_to_be_caught(screened):
    kinds = {kind for (kind,) in screened.execute("SELECT DISTINCT kind FROM truth").fetchall()}
    assert kinds >= {
        "missing_key", "duplicate_within_day", "duplicate_across_days", "bad_cast", "bad_email", "negative_amount",
        "unknown_status", "orphan", "future_time", "late_row", "misencoded_text", "two_defects",
    }  # fmt: skip


def test_the_counts_of_the_ledger_are_the_rows_of_the_tables(screened):
    for table in TABLES:
        read, accepted, quarantined, merged = screened.execute(
            "SELECT sum(rows_read), sum(rows_accepted), sum(rows_quarantined), sum(rows_merged) "
            "FROM lake.ops.loads WHERE asset = ?", [f"staging.{table}"],
        ).fetchone()  # fmt: skip
        assert read == accepted + quarantined + merged
        assert read == screened.execute(f"SELECT count(*) FROM lake.raw.{table}").fetchone()[0]
        assert accepted == screened.execute(f"SELECT count(*) FROM lake.staging.{table}").fetchone()[0]
        assert quarantined == screened.execute(f"SELECT count(*) FROM lake.quarantine.{table}").fetchone()[0]
