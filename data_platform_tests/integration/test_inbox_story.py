"""From a broken feed to a mended table: what people do in the inbox ends where a clean feed would have ended."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from data_platform.settings import PROJECT_ROOT
from data_platform.sources.sample import sample_path, write_sample

pytestmark = [pytest.mark.slow, pytest.mark.long]
FIRST, DAYS = date(2026, 1, 1), 3
BROKEN = FIRST + timedelta(days=1)
COMMAND = Path(sys.executable).parent / "data-platform"
PAYMENTS = '+key:"published/fct_payments"'
Platform = Callable[..., Any]


def _platform(home: Path) -> Platform:
    def run(*arguments: str, code: int = 0) -> Any:
        environment = os.environ | {"PLATFORM_HOME": str(home)}
        done = subprocess.run(
            [COMMAND, *arguments, "--format", "json"], cwd=PROJECT_ROOT, env=environment, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
        return json.loads(done.stdout)

    return run


def _backfill(platform: Platform, first: date, last: date) -> None:
    platform("backfill", PAYMENTS, "--from", str(first), "--to", str(last))


def _hashes(platform: Platform) -> Any:
    return platform(
        "query",
        "SELECT partition_key, content_hash FROM lake.ops.loads WHERE asset = 'marts.fct_payments' "
        "QUALIFY row_number() OVER (PARTITION BY partition_key ORDER BY snapshot_id DESC) = 1 ORDER BY 1",
    )


def _published(platform: Platform) -> Any:
    return platform("query", "SELECT * FROM published.fct_payments ORDER BY ALL")


def _break(home: Path) -> int:
    """The provider sends some methods in capitals with a blank. Returns how many good rows were broken."""
    path = sample_path(home / "landing", "payments", BROKEN)
    lines, broken = path.read_text().splitlines(keepends=True), 0
    for number in range(0, len(lines), 9):
        said = re.search(r'"method":"(card|paypal|bank_transfer|voucher)"', lines[number])
        if said:
            lines[number] = lines[number].replace(said[0], f'"method":" {said[1].upper()} "')
            broken += 1
    path.write_text("".join(lines))
    return broken


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    home = tmp_path_factory.mktemp("clean") / "platform"
    write_sample(home / "landing", start=FIRST, days=DAYS, scale=0.05)
    platform = _platform(home)
    _backfill(platform, FIRST, FIRST + timedelta(days=DAYS - 1))
    return _hashes(platform), _published(platform)


def test_fixed_rows_end_where_a_clean_feed_would_have_ended_and_stay_there(home: Path, clean: tuple[Any, Any]) -> None:
    platform, last = _platform(home), FIRST + timedelta(days=DAYS - 1)
    write_sample(home / "landing", start=FIRST, days=DAYS, scale=0.05)
    broken = _break(home)
    _backfill(platform, FIRST, last)
    assert broken > 5 and _published(platform) != clean[1]
    expression = "method = lower(trim(method))"
    dry = platform("quarantine", "fix", "payments", "--rule", "method.isin", "--set", expression, "--dry-run")
    good = dry["would_be_accepted"]
    assert dry["rows_changed"] == broken and broken - 3 < good <= broken and dry["action"] is None
    fixed = platform(
        "quarantine", "fix", "payments", "--rule", "method.isin", "--set", expression, "--reason", "capitals"
    )
    assert fixed["rows_changed"] == broken
    replayed = platform("quarantine", "replay", "payments", "--rule", "method.isin", "--downstream")
    assert replayed["moved"] == good and replayed["problems"] == []
    assert (_hashes(platform), _published(platform)) == clean
    waiting = platform("quarantine", "list", "payments")
    assert platform("quarantine", "replay", "payments")["moved"] == 0
    for first, until in ((BROKEN, BROKEN), (FIRST, last)):
        _backfill(platform, first, until)
        assert (_hashes(platform), _published(platform)) == clean
        now = platform("quarantine", "list", "payments")
        assert [row | {"since": None} for row in now] == [row | {"since": None} for row in waiting]
    actions = platform("query", "SELECT action, rows, reason FROM lake.ops.actions ORDER BY made_at")
    assert [(row["action"], row["rows"]) for row in actions] == [("fix", broken), ("replay", good), ("replay", 0)]
    reopened = platform("quarantine", "reopen", "payments", "--action", fixed["action"], "--reason", "a wrong guess")
    assert (reopened["rows"], reopened["accepted_by_now"]) == (broken, good)
    again = platform("quarantine", "replay", "payments", "--rule", "method.isin")
    assert again["moved"] == 0 and again["after"]["open"] == again["before"]["open"] + good
    assert str(BROKEN) in again["downstream"] and _published(platform) == clean[1], "the marts are named, not built"
