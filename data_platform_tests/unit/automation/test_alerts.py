"""What an alert says, where it is kept, and what becomes of it when a target or the disk fails."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from data_platform.automation.alerts import Alert, redact, send
from data_platform.errors import StorageError
from data_platform.settings import Settings, load_settings

SINCE = datetime(2026, 3, 10, 12, tzinfo=UTC)


def _alert(subject: str = "`staging.orders` is stale", broke: str = "It is late.") -> Alert:
    return Alert(
        "freshness",
        subject,
        broke,
        "shop@example.com",
        "data-platform status",
        SINCE,
        ({"email": "a*** (9 characters)"},),
    )


def _lines(home: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (home / "alerts.jsonl").read_text().splitlines()]


def test_an_alert_is_kept_with_all_that_a_person_needs(settings: Settings, home: Path) -> None:
    assert send([_alert()], settings) == []
    (line,) = _lines(home)
    assert line["subject"] == "`staging.orders` is stale"
    assert line["since"] == "2026-03-10T12:00:00+00:00"
    assert line["owner"] == "shop@example.com"
    assert line["command"] == "data-platform status"
    assert line["sample"] == [{"email": "a*** (9 characters)"}]


def test_the_text_of_an_alert_ends_with_what_to_type_next() -> None:
    assert _alert().text.splitlines() == [
        "It is late.", "Since: 2026-03-10 12:00 UTC", "Owner: shop@example.com",
        'Sample: {"email": "a*** (9 characters)"}', "Next: data-platform status",
    ]  # fmt: skip


def test_targets_that_cannot_be_told_are_recorded_without_their_secrets(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = load_settings(alert_urls="nosuch://token-abc/x, json://user:hunter2@127.0.0.1:9/?retry=0")
    failed = send([_alert()], settings)
    assert failed == ["target 1 of 2 (`nosuch://…`)", "target 2 of 2 (`json://…`)"]
    alert, failure = _lines(home)
    assert failure["kind"] == "not_delivered"
    assert failure["alert_ids"] == [alert["alert_id"]]
    everything = "".join(capfd.readouterr()) + (home / "alerts.jsonl").read_text()
    assert "hunter2" not in everything
    assert "token-abc" not in everything


def test_a_target_that_raises_stops_neither_the_sensor_nor_the_targets_after_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import apprise

    asked = []

    def explode(self: object, **message: object) -> bool:
        asked.append(message["title"])
        raise RuntimeError("broken plugin")

    monkeypatch.setattr(apprise.Apprise, "notify", explode)
    settings = load_settings(alert_urls="json://127.0.0.1:9 xml://127.0.0.1:9")
    assert len(send([_alert()], settings)) == 2
    assert len(asked) == 2


def test_a_comma_within_an_address_does_not_split_it(home: Path) -> None:
    settings = load_settings(alert_urls="json://127.0.0.1:9/?to=a,b&retry=0")
    assert send([_alert()], settings) == ["target 1 of 1 (`json://…`)"]


def test_tables_of_one_owner_go_stale_in_one_message(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import apprise

    told = []
    monkeypatch.setattr(apprise.Apprise, "notify", lambda self, title, body, **_: told.append((title, body)) or True)
    send([_alert(f"`t{number}` is stale") for number in range(14)], load_settings(alert_urls="json://127.0.0.1:9"))
    ((title, body),) = told
    assert title == "`t0` is stale and 13 more"
    assert all(f"`t{number}` is stale" in body for number in range(14))
    assert len(_lines(home)) == 14


@pytest.fixture
def unwritable(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "home"


def test_a_home_that_cannot_be_written_does_not_keep_the_targets_from_being_told(
    unwritable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import apprise

    told = []
    monkeypatch.setattr(apprise.Apprise, "notify", lambda self, title, body, **_: told.append(title) or True)
    assert send([_alert()], load_settings(home=unwritable, alert_urls="json://127.0.0.1:9")) == ["`alerts.jsonl`"]
    assert told == ["`staging.orders` is stale"]


@pytest.mark.parametrize("urls", ["", "json://127.0.0.1:9/?retry=0"])
def test_an_alert_that_reaches_nobody_fails_the_tick(unwritable: Path, urls: str) -> None:
    with pytest.raises(StorageError, match=r"alerts\.jsonl` cannot be written"):
        send([_alert()], load_settings(home=unwritable, alert_urls=urls))


def test_secrets_of_the_settings_and_what_looks_like_one_are_taken_out(home: Path) -> None:
    settings = load_settings(catalog="postgresql://me:hunter2@db/lake")
    text = redact(
        "cannot attach postgresql://me:hunter2@db/lake, password='x y' token=abc s3://key:secret@bucket/f", settings
    )
    assert text == "cannot attach ***, password=*** token=*** s3://***@bucket/f"


def test_lines_of_several_processes_do_not_mix(home: Path) -> None:
    code = (
        "from data_platform.automation.alerts import Alert, send\n"
        "from data_platform.settings import load_settings\n"
        "for _ in range(100): send([Alert('freshness', 's', 'x' * 3000, 'o', 'c')], load_settings())"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert len(_lines(home)) == 300
