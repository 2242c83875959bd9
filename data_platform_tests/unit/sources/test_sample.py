"""The sample shop: pure days, labelled dirt, clean rows that are clean."""

from __future__ import annotations

import importlib.util
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from data_platform.errors import PlatformError, UsageError
from data_platform.sources import sample
from data_platform.sources.sample import default_start, expected_truth_sql, truth_files, write_sample

_spec = importlib.util.spec_from_file_location("sample_judge", Path(__file__).with_name("sample_judge.py"))
assert _spec is not None
assert _spec.loader is not None
judging = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(judging)

START = date(2026, 3, 5)
KINDS = {
    "missing_key", "duplicate_within_day", "duplicate_across_days", "bad_cast", "bad_email", "negative_amount",
    "unknown_status", "orphan", "future_time", "late_row", "misencoded_text", "two_defects",
}  # fmt: skip


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, sample.SampleSummary]:
    landing = tmp_path_factory.mktemp("small")
    return landing, write_sample(landing, start=START, days=3, scale=0.05)


@pytest.fixture(scope="module")
def judged(small: tuple[Path, sample.SampleSummary]) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    judging.judge(con, small[0])
    con.execute(f"CREATE TABLE truth AS {expected_truth_sql(small[0])}")
    return con


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, sample.SampleSummary]:
    landing = tmp_path_factory.mktemp("week")
    return landing, write_sample(landing, start=START, days=7)


def _contents(landing: Path, day: date) -> dict[str, bytes]:
    return {str(path.relative_to(landing)): path.read_bytes() for path in landing.rglob(f"{day}.*")}


def test_a_day_is_the_same_bytes_whatever_the_start_and_the_number_of_days(
    small: tuple[Path, sample.SampleSummary], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    middle = START + timedelta(days=1)
    write_sample(tmp_path / "alone", start=middle, days=1, scale=0.05)
    monkeypatch.setattr(sample, "_ORDERS_AT_ONCE", 1)
    write_sample(tmp_path / "one by one", start=middle - timedelta(days=4), days=5, scale=0.05)
    expected = _contents(small[0], middle)
    assert len(expected) == 7
    assert _contents(tmp_path / "alone", middle) == expected
    assert _contents(tmp_path / "one by one", middle) == expected


def test_another_seed_is_another_shop(small: tuple[Path, sample.SampleSummary], tmp_path: Path) -> None:
    write_sample(tmp_path, start=START, days=1, scale=0.05, seed=7)
    one, other = _contents(small[0], START), _contents(tmp_path, START)
    assert one.keys() == other.keys()
    assert all(one[name] != other[name] for name in one)


def test_every_kind_of_dirt_is_in_three_small_days(small: tuple[Path, sample.SampleSummary]) -> None:
    assert set(small[1].dirt) == KINDS


def test_a_default_sample_has_a_million_rows_and_twenty_of_each_kind(week: tuple[Path, sample.SampleSummary]) -> None:
    in_90_days = 90 / 7
    assert week[1].total_rows * in_90_days > 1_050_000
    assert set(week[1].dirt) == KINDS
    assert min(week[1].dirt.values()) * in_90_days > 40


def test_one_to_three_rows_in_a_hundred_are_dirty(
    small: tuple[Path, sample.SampleSummary], week: tuple[Path, sample.SampleSummary]
) -> None:
    for _, summary in (small, week):
        assert 0.01 < summary.dirt.total() / summary.total_rows < 0.03


def test_the_summary_counts_what_the_files_hold(
    small: tuple[Path, sample.SampleSummary], judged: duckdb.DuckDBPyConnection
) -> None:
    landing, summary = small
    for table in judging.COLUMNS:
        assert judged.execute(f"SELECT count(*) FROM {table}").fetchone() == (summary.rows[table],)
    assert judged.execute("SELECT count(*) FROM truth").fetchone() == (summary.dirt.total(),)
    assert sorted(summary.files) == sorted(path for path in landing.rglob("*.*") if path.parent.name != "_truth")


def _misjudged(con: duckdb.DuckDBPyConnection) -> list[tuple[object, ...]]:
    """Labelled rows that break other rules than their label names, and clean rows that break any."""
    return con.execute("""
        WITH found AS (
            SELECT file, record, fate, rules, list(rule) FILTER (rule IS NOT NULL) AS broken
            FROM truth FULL JOIN broken USING (file, record) GROUP BY ALL
        ), expected AS (
            SELECT *, CASE WHEN fate = 'merged' THEN ['key.merged'] ELSE string_split(rules, ',') END AS meant,
                -- what is sent again happened the day before: late as well, but set aside for its key
                CASE WHEN fate = 'flagged' THEN broken ELSE list_filter(broken, lambda r: r NOT LIKE '%.late') END AS judged
            FROM found
        )
        SELECT file, record, meant, judged FROM expected WHERE list_sort(meant) IS DISTINCT FROM list_sort(judged)
    """).fetchall()


def test_labelled_rows_break_just_the_rules_named_and_clean_rows_none(judged: duckdb.DuckDBPyConnection) -> None:
    assert _misjudged(judged) == []
    assert judged.execute("SELECT count(DISTINCT rules) > 25 FROM truth").fetchone() == (True,)


def test_a_full_size_day_alone_is_labelled_as_truly(tmp_path: Path) -> None:
    write_sample(tmp_path, start=date(2026, 12, 25), days=1)
    con = duckdb.connect()
    judging.judge(con, tmp_path)
    con.execute(f"CREATE TABLE truth AS {expected_truth_sql(tmp_path)}")
    assert _misjudged(con) == []
    # rows sent again are late ones here: the day before is not there
    again = con.execute("SELECT DISTINCT rules, fate FROM truth WHERE kind = 'duplicate_across_days' ORDER BY ALL")
    assert again.fetchall() == [(f"{at}.late", "flagged") for at in ("occurred_at", "ordered_at", "paid_at")]


def test_the_truth_names_the_key_of_the_row_it_points_at(judged: duckdb.DuckDBPyConnection) -> None:
    for table, key in judging.KEYS.items():
        wrong = judged.execute(f"""
            SELECT truth.key, {key} FROM truth LEFT JOIN {table} USING (file, record)
            WHERE "table" = '{table}' AND kind <> 'missing_key' AND truth.key IS DISTINCT FROM {key}
        """).fetchall()
        assert wrong == []


def test_a_row_sent_again_is_the_row_of_the_day_before(judged: duckdb.DuckDBPyConnection) -> None:
    compared = 0
    for table, columns in judging.COLUMNS.items():
        again = f"SELECT {columns.replace(' ', ', ')} FROM {table} JOIN truth USING (file, record) WHERE kind = 'duplicate_across_days' AND rules = 'key'"
        compared += len(judged.execute(again).fetchall())
        assert (
            judged.execute(
                f"{again} EXCEPT SELECT {columns.replace(' ', ', ')} FROM {table} ANTI JOIN truth USING (file, record)"
            ).fetchall()
            == []
        )
    assert compared >= 2


def test_every_order_is_worth_its_lines_and_late_ones_come_whole(judged: duckdb.DuckDBPyConnection) -> None:
    lines = "(SELECT * FROM order_items ANTI JOIN (FROM truth WHERE fate <> 'flagged') AS bad USING (file, record))"
    orders = "(SELECT * FROM orders ANTI JOIN (FROM truth WHERE fate <> 'flagged') AS bad USING (file, record))"
    wrong = judged.execute(f"""
        SELECT order_id, total_amount, sum(quantity::INT * unit_price::DECIMAL(18,2)) AS lines
        FROM {orders} AS o LEFT JOIN {lines} AS l USING (order_id, day, ordered_at)
        WHERE order_id NOT IN (SELECT key FROM truth WHERE kind = 'duplicate_across_days')
        GROUP BY ALL HAVING total_amount::DECIMAL(18,2) IS DISTINCT FROM lines
    """).fetchall()
    assert wrong == []
    late = "SELECT count(DISTINCT order_id) FROM {} JOIN truth USING (file, record) WHERE kind = 'late_row'"
    assert judged.execute(late.format("orders")).fetchone() == judged.execute(late.format("order_items")).fetchone()
    assert judged.execute(late.format("payments")).fetchone() != (0,)


def test_it_looks_like_a_shop(week: tuple[Path, sample.SampleSummary]) -> None:
    con = duckdb.connect()
    judging.read(con, week[0])
    days = con.execute("SELECT count(*) FROM orders GROUP BY day ORDER BY day").fetchall()
    assert max(days) > min(days)
    statuses = Counter(dict(con.execute("SELECT status, count(*) FROM orders GROUP BY 1").fetchall()))
    assert statuses["shipped"] > statuses["cancelled"] > statuses["teleported"]
    assert con.execute("SELECT count(DISTINCT country_code) FROM orders").fetchone() == (17,)  # 16 and the unknown XX
    assert con.execute("SELECT max(n) > 2 FROM (SELECT count(*) AS n FROM orders GROUP BY customer_id)").fetchone() == (
        True,
    )
    names = "SELECT bool_or(product_name LIKE '%,%') AND bool_or(product_name LIKE '%\"%') FROM products"
    assert con.execute(names).fetchone() == (True,)
    # two draws of one hash must not move together: status and country are independent
    shares = con.execute(
        "SELECT avg((status = 'shipped')::INT) FROM orders WHERE country_code IN ('DE', 'GB', 'FR', 'ES') GROUP BY country_code"
    ).fetchall()
    assert all(0.25 < share < 0.42 for (share,) in shares)


def test_each_day_is_told_in_order_and_no_half_file_stays(tmp_path: Path) -> None:
    told: list[date] = []
    write_sample(tmp_path, start=START, days=2, scale=0.01, on_day=told.append)
    assert told == [START, START + timedelta(days=1)]
    assert [path.name for path in truth_files(tmp_path)] == [f"{day}.parquet" for day in told]
    assert [path for path in tmp_path.rglob("*") if path.name.startswith(".")] == []


def test_the_default_ends_yesterday() -> None:
    assert default_start(date(2026, 4, 1)) + timedelta(days=89) == date(2026, 3, 31)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"days": 0}, "--days 0"),
        ({"scale": 0.0}, "--scale 0.0"),
        ({"scale": 10_000.0}, "--scale 10000.0"),
        ({"start": date(1999, 1, 1)}, "1999-01-01"),
    ],
)
def test_what_the_shop_cannot_do_is_refused_before_anything_is_written(
    wrong: dict[str, object], named: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=named):
        write_sample(tmp_path, **{"start": START, "days": 1, **wrong})  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_landing_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "landing").write_text("")
    with pytest.raises(PlatformError, match="landing"):
        write_sample(tmp_path / "landing", start=START, days=1, scale=0.01)


@pytest.mark.slow
def test_the_default_sample_of_90_days_has_a_million_rows(tmp_path: Path) -> None:
    summary = write_sample(tmp_path, start=default_start(date(2026, 4, 1)))
    assert summary.total_rows >= 1_000_000
    assert len(summary.files) == 90 * 6
    assert min(summary.dirt.values()) >= 20
