"""Dagster's own backfill of the stock pairing: daemon, web server and a run per partition, as `dagster dev` starts them.

    python -m benchmarks.stock_backfill PARTITIONS

Asks for the backfill over GraphQL, as the web UI does, and waits until Dagster says that it is over. The seconds count
from the request; the servers are up and the products are loaded before.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg

from benchmarks.lines import days_of
from benchmarks.stock import defs, products

START_SECONDS, POLL_SECONDS = 240, 0.5
INSTANCE = "telemetry:\n  enabled: false\nconcurrency:\n  runs:\n    max_concurrent_runs: 1\n"
ASSETS = [{"path": ["bench", name]} for name in ("raw", "staging", "quarantine", "sales")]
LAUNCH = """mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
    ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } __typename } }"""
STATUS = """query ($id: String!) { partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill { status numPartitions error { message } } } }"""


def ask(url: str, query: str, **variables: Any) -> Any:
    """The `data` of a GraphQL answer."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["data"]


@contextmanager
def serving(home: Path) -> Iterator[str]:
    """`dagster dev` of the stock project until the block ends; gives its address once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).parent / "dagster"), "dev", "-m", "benchmarks.stock", "-p", str(port)]
    with (home / "server.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=home, start_new_session=True)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url, server)
        yield url
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/server_info", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(POLL_SECONDS)
    raise RuntimeError("`dagster dev` did not start")


def backfill(url: str, keys: list[str]) -> float:
    """Runs the backfill and returns its seconds. Raises `RuntimeError` when it did not succeed."""
    params = {"assetSelection": ASSETS, "partitionNames": keys}
    started = time.monotonic()
    answer = ask(url, LAUNCH, params=params)["launchPartitionBackfill"]
    if "backfillId" not in answer:
        raise RuntimeError(f"Dagster refused the backfill: {answer}")
    while True:
        found = ask(url, STATUS, id=answer["backfillId"])["partitionBackfillOrError"]
        if found["status"] not in ("REQUESTED", "CANCELING", "FAILING"):
            break
        time.sleep(POLL_SECONDS)
    if found["status"] != "COMPLETED_SUCCESS":
        raise RuntimeError(f"The backfill ended {found}")
    return time.monotonic() - started


def main() -> None:
    """Loads the products, serves, backfills, prints the seconds as JSON."""
    home = Path(os.environ["DAGSTER_HOME"])
    (home / "dagster.yaml").write_text(INSTANCE)
    with dg.DagsterInstance.get() as instance:
        dg.materialize([products], instance=instance, resources=defs.resources)
    with serving(home) as url:
        seconds = backfill(url, [day.isoformat() for day in days_of(int(sys.argv[1]))])
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
