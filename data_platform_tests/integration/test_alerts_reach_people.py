"""A stale table and a failed run reach a real web server and a real mail server on loopback."""

from __future__ import annotations

import email
import json
import socket
import threading
from collections.abc import Iterator
from email import policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import dagster as dg
import pytest
from aiosmtpd.controller import Controller

from data_platform.automation.failures import run_failure_sensor
from data_platform.automation.freshness import freshness_sensor
from data_platform.settings import get_settings


class Hook(ThreadingHTTPServer):
    """Keeps what is posted to it; answers `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.posts: list[dict[str, Any]] = []
        self.status = 200

    @property
    def url(self) -> str:
        return f"json://user:hunter2@127.0.0.1:{self.server_port}/hook?retry=0"


class _Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts.append(json.loads(body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


class Mailbox:
    def __init__(self) -> None:
        self.mails: list[email.message.EmailMessage] = []

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:
        self.mails.append(email.message_from_bytes(envelope.content, policy=policy.default))  # type: ignore[arg-type]
        return "250 OK"


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    box = Mailbox()
    # The controller calls its own port to see that it is up, so it must be told a number.
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    yield box, port
    controller.stop()


@dg.asset(key=["staging", "orders"])
def broken() -> None:
    raise ValueError("the file is not there")


def _tick(sensor: dg.SensorDefinition, instance: dg.DagsterInstance, cursor: str | None) -> str | None:
    context = dg.build_sensor_context(instance=instance, cursor=cursor, definitions=dg.Definitions(sensors=[sensor]))
    return sensor.evaluate_tick(context).cursor


def test_stale_tables_are_posted_once_per_owner(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATFORM_ALERT_URLS", hook.url)
    get_settings.cache_clear()
    with dg.DagsterInstance.ephemeral() as instance:
        cursor = _tick(freshness_sensor, instance, None)
        told = len(hook.posts)
        _tick(freshness_sensor, instance, cursor)
    bodies = [post["message"] for post in hook.posts]
    assert 1 <= told == len(hook.posts), "a second tick posts nothing"
    assert sum("Owner: shop-data@example.com" in body for body in bodies) == 1
    assert any("`staging.orders` is stale" in body and "Next: data-platform backfill" in body for body in bodies)
    assert "hunter2" not in (get_settings().home / "alerts.jsonl").read_text()


def test_a_failed_run_is_mailed_though_the_hook_before_it_refuses(
    hook: Hook, mailbox: tuple[Mailbox, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    box, port = mailbox
    hook.status = 500
    mail = f"mailto://127.0.0.1:{port}/?from=platform@example.com&to=oncall@example.com&mode=insecure"
    monkeypatch.setenv("PLATFORM_ALERT_URLS", f"{hook.url}, {mail}")
    get_settings.cache_clear()
    with dg.DagsterInstance.ephemeral() as instance:
        cursor = _tick(run_failure_sensor, instance, None)
        dg.materialize([broken], instance=instance, raise_on_error=False)
        _tick(run_failure_sensor, instance, cursor)
    (message,) = box.mails
    assert message["To"].endswith("oncall@example.com") or "oncall@example.com" in message["To"]
    assert "Run of `staging/orders` failed" in message["Subject"]
    text = message.get_body(("plain", "html")).get_content()  # type: ignore[union-attr]
    assert "the file is not there" in text
    assert "data-platform backfill" in text
    kinds = [json.loads(line) for line in (get_settings().home / "alerts.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in kinds] == ["run_failure", "not_delivered"]
    assert kinds[1]["targets"] == ["target 1 of 2 (`json://…`)"]
