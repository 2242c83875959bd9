"""What a person woken at night is told, and how it reaches them. What deserves an alert is decided by the sensors.

Every alert is a line of `PLATFORM_HOME/alerts.jsonl` first, and then goes to the targets in `PLATFORM_ALERT_URLS`.
"""

from __future__ import annotations

import json
import logging
import os
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from data_platform.errors import StorageError
from data_platform.settings import Settings

Kind = Literal["run_failure", "check_failure", "freshness"]
SHOWN_IN_MESSAGE = 5
# A comma may be part of a URL, so only one that another URL follows separates.
BETWEEN_URLS = re.compile(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.\-]*://)")
SECRETS = (
    (re.compile(r"(?<=://)[^\s/@]+@"), "***@"),
    (re.compile(r"(?i)\b(password|passwd|token|secret|api_?key)(\s*[=:]\s*)('[^']*'|\"[^\"]*\"|\S+)"), r"\1\2***"),
)


@dataclass(frozen=True)
class Alert:
    """One breach. `broke` says what, in one sentence; `since` is UTC, `None` for what never worked; `command` is what
    to type next; `sample` rows are already masked."""

    kind: Kind
    subject: str
    broke: str
    owner: str
    command: str
    since: datetime | None = None
    sample: tuple[Mapping[str, Any], ...] = ()
    alert_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    raised_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def text(self) -> str:
        """The alert as a person reads it."""
        since = f"{self.since.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if self.since else "never worked"
        lines = [self.broke, f"Since: {since}", f"Owner: {self.owner}"]
        lines += [f"Sample: {json.dumps(dict(row), default=str, ensure_ascii=False)}" for row in self.sample]
        return "\n".join([*lines, f"Next: {self.command}"])


def send(alerts: Sequence[Alert], settings: Settings) -> list[str]:
    """Records the alerts and tells every target, one message per kind and owner. Returns what could not be told, without
    its secrets: targets, and the record itself when another target was told. Raises `StorageError` when nobody was:
    the sensor's tick shows it."""
    if not alerts:
        return []
    unwritten: StorageError | None = None
    try:
        _append(settings.home, [_line(alert, settings) for alert in alerts])
    except StorageError as error:
        unwritten = error
    urls = _urls(settings)
    failed = _tell(alerts, urls, settings)
    if unwritten is not None:
        if len(failed) == len(urls):
            raise unwritten
        return [*failed, "`alerts.jsonl`"]
    if failed:
        told = {"alert_ids": [alert.alert_id for alert in alerts], "targets": failed}
        _append(settings.home, [{"kind": "not_delivered", "raised_at": datetime.now(UTC).isoformat(), **told}])
    return failed


def redact(text: str, settings: Settings) -> str:
    """The text without the platform's secrets, and without what looks like one."""
    for secret in (settings.catalog, settings.alert_urls):
        if secret is not None and secret.get_secret_value():
            text = text.replace(secret.get_secret_value(), "***")
    for pattern, shown in SECRETS:
        text = pattern.sub(shown, text)
    return text


def _line(alert: Alert, settings: Settings) -> dict[str, Any]:
    row = asdict(alert)
    row["since"] = alert.since.astimezone(UTC).isoformat() if alert.since else None
    row["raised_at"] = alert.raised_at.isoformat()
    return row | {"broke": redact(alert.broke, settings)}


def _append(home: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """One write to a file opened for appending, so that lines of several processes never mix."""
    data = "".join(json.dumps(row, default=str, ensure_ascii=False) + "\n" for row in rows).encode()
    path = home / "alerts.jsonl"
    try:
        home.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            written = os.write(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StorageError(f"`{path}` cannot be written: {error.strerror}.", fix="data-platform doctor") from None
    if written != len(data):
        raise StorageError(
            f"`{path}` took {written} of {len(data)} bytes: the disk is full.", fix="data-platform doctor"
        )


def _urls(settings: Settings) -> list[str]:
    return [url for url in BETWEEN_URLS.split(settings.alert_urls.get_secret_value().strip(" ,")) if url]


def _tell(alerts: Sequence[Alert], urls: Sequence[str], settings: Settings) -> list[str]:
    if not urls:
        return []
    # Apprise takes 0.3 s to import, and most processes send nothing.
    import apprise

    # Its warnings print the URLs that it does not understand, secrets included.
    logging.getLogger("apprise").propagate = False
    failed = []
    for number, url in enumerate(urls, 1):
        target = apprise.Apprise()
        is_known = target.add(url)
        told = [is_known and _notify(target, message, settings) for message in _messages(alerts)]
        if not all(told):
            failed.append(f"target {number} of {len(urls)} (`{url.split('://')[0]}://…`)")
    return failed


def _notify(target: Any, message: tuple[str, str], settings: Settings) -> bool:
    import apprise

    try:
        return bool(
            target.notify(title=message[0], body=redact(message[1], settings), notify_type=apprise.NotifyType.FAILURE)
        )
    except Exception:
        # A broken target plugin must not take the sensor down, nor the targets after it.
        return False


def _messages(alerts: Sequence[Alert]) -> list[tuple[str, str]]:
    """Title and body, one per kind and owner: 14 tables that a dead loader made stale are one message."""
    found = []
    for _, group in groupby(sorted(alerts, key=_bundle), key=_bundle):
        bundle = list(group)
        more = f" and {len(bundle) - 1} more" if len(bundle) > 1 else ""
        texts = [f"{alert.subject}\n{alert.text}" for alert in bundle[:SHOWN_IN_MESSAGE]]
        if len(bundle) > SHOWN_IN_MESSAGE:
            texts.append("Also: " + ", ".join(alert.subject for alert in bundle[SHOWN_IN_MESSAGE:]))
        found.append((f"{bundle[0].subject}{more}", "\n\n".join(texts)))
    return found


def _bundle(alert: Alert) -> tuple[str, str]:
    return alert.kind, alert.owner
