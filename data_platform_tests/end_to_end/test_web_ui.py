"""The web UI in a real Chromium: four layers in the graph, an asset's page, a backfill started by clicking.

`SCREENSHOT_DIR=docs/img pytest -m browser` keeps the pictures that the README shows.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from data_platform.contracts.registry import contract
from data_platform.settings import PROJECT_ROOT
from data_platform_tests.serving import free_port, serving

BIN = Path(sys.executable).parent
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH: install Debian's package `chromium`"),
]
# Without these, Chromium looks for its maker's servers at every start.
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
DAYS = 5
LOADED = 2
PATIENCE = 300_000  # milliseconds; a backfill through the daemon is several runs of some seconds each


def _environment(home: Path) -> dict[str, str]:
    return os.environ | {"PLATFORM_HOME": str(home), "DAGSTER_HOME": str(home / "dagster")}


def _platform(home: Path, *arguments: str) -> str:
    done = subprocess.run(
        [BIN / "data-platform", *arguments], cwd=PROJECT_ROOT, env=_environment(home), check=True, capture_output=True,
        text=True,
    )  # fmt: skip
    return done.stdout


@pytest.fixture(scope="module")
def first() -> str:
    return (datetime.now(UTC).date() - timedelta(days=DAYS)).isoformat()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, first: str) -> Path:
    """Five landed days of the sample shop, the first two of them loaded and published."""
    home = tmp_path_factory.mktemp("ui") / "platform"
    home.mkdir()
    (home / "settings.env").write_text(f"PLATFORM_START_DATE={first}\n")
    _platform(home, "sample", "--start", first, "--days", str(DAYS), "--scale", "0.05")
    last = (datetime.fromisoformat(first) + timedelta(days=LOADED - 1)).date().isoformat()
    _platform(
        home, "backfill", '+key:"published/daily_revenue" or key:"published/fct_orders"', "--from", first, "--to", last
    )
    return home


@pytest.fixture(scope="module")
def broken(built: Path) -> str:
    """A rule that rows of the loaded days broke: which they are hangs on the calendar."""
    found = json.loads(_platform(built, "quarantine", "list", "orders", "--format", "json"))
    return min(row["rule"] for row in found if row["rule"] in {rule.name for rule in contract("staging.orders").rules})


@pytest.fixture(scope="module")
def url(built: Path) -> Iterator[str]:
    """The web UI and the daemon, as `make ui` starts them."""
    url = f"http://127.0.0.1:{free_port()}"
    command = [BIN / "dagster", "dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", url.rpartition(":")[2]]
    with serving(command, url, _environment(built), PROJECT_ROOT, built / "ui.log"):
        yield url


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1500, "height": 950})
        page.set_default_timeout(120_000)
        expect.set_options(timeout=120_000)
        yield page
        browser.close()


def picture(page: Page, name: str) -> None:
    folder = os.environ.get("SCREENSHOT_DIR")
    if folder:
        (PROJECT_ROOT / folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PROJECT_ROOT / folder / f"{name}.png")


def test_the_graph_shows_the_four_layers(url: str, page: Page) -> None:
    page.goto(f"{url}/asset-groups")
    nodes = page.locator("[class*=CollapsedGroupNode_collapsedGroupNodeContainer]")
    expect(nodes).to_have_count(4)
    assert {text.strip() for text in nodes.all_inner_texts()} == {"raw", "staging", "marts", "published"}
    picture(page, "asset-graph")


def test_an_asset_page_shows_columns_partitions_and_checks(url: str, page: Page, broken: str) -> None:
    page.goto(f"{url}/assets/staging/orders")
    for text in ("order_id", "DECIMAL(18,2)", "Sum of the order's lines, EUR", "shop-data@example.com", "Row count"):
        expect(page.get_by_text(text).first).to_be_visible()
    picture(page, "asset-columns")
    page.get_by_role("tab", name="Partitions").or_(page.get_by_text("Partitions", exact=True)).first.click()
    expect(page.get_by_text(f"Materialized ({LOADED})")).to_be_visible()
    expect(page.get_by_text(f"Missing ({DAYS - LOADED})")).to_be_visible()
    picture(page, "asset-partitions")
    page.goto(f"{url}/assets/staging/orders?view=checks&checkDetail={broken.replace('.', '__')}")
    expect(page.get_by_text(f"Checks ({len(contract('staging.orders').rules)})")).to_be_visible()
    for text in (broken, "expected", "data-platform quarantine show orders"):
        expect(page.get_by_text(text).first).to_be_visible()
    picture(page, "asset-checks")


def test_the_overview_shows_a_summary_of_the_load_and_curves_over_the_partitions(url: str, page: Page) -> None:
    page.goto(f"{url}/assets/staging/orders")
    row = page.get_by_role("row").filter(has_text="summary").first
    row.scroll_into_view_if_needed()
    link = row.get_by_text("[Show Markdown]")  # where many rules were broken, which hangs on the day
    expect(link.or_(row.get_by_text("rows read")).first).to_be_visible()
    if link.count():
        link.click()
    for text in ("rows read", "accepted", "quarantined"):
        expect(page.get_by_text(re.compile(text)).first).to_be_visible()
    picture(page, "asset-summary")
    page.keyboard.press("Escape")
    page.get_by_text("Plots", exact=True).click()
    for curve in ("rows_accepted", "rows_quarantined", "quality_score", "freshness_lag_hours"):
        expect(page.get_by_text(curve, exact=True).first).to_be_visible()
    page.get_by_text("dagster/row_count", exact=True).scroll_into_view_if_needed()
    picture(page, "asset-curves")


def test_a_backfill_of_three_days_started_by_clicking_ends_green(url: str, page: Page, first: str) -> None:
    page.goto(f"{url}/asset-groups")
    page.locator(".CodeMirror").first.click()
    page.keyboard.type('+key:"published/fct_orders"')
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("fct_orders"))
    page.get_by_role("button", name="Materialize").first.click()
    expect(page.get_by_text(re.compile(r"Launch runs to materialize 13 assets"))).to_be_visible()
    page.get_by_role("button", name="Missing", exact=True).click()
    expect(page.get_by_text(f"{DAYS - LOADED} partitions").first).to_be_visible()
    picture(page, "backfill-launch")
    page.get_by_role("button", name="Launch backfill").click()
    made = page.get_by_text(re.compile("Created backfill"))
    expect(made).to_be_visible()
    backfill = re.search(r"Created backfill\s+(\w+)", made.first.inner_text())
    assert backfill
    page.goto(f"{url}/runs/b/{backfill.group(1)}")
    days = [(datetime.fromisoformat(first) + timedelta(days=day)).date().isoformat() for day in (LOADED, DAYS - 1)]
    expect(page.get_by_text("...".join(days))).to_be_visible()
    expect(page.get_by_text("100% completed")).to_have_count(13, timeout=PATIENCE)
    expect(page.get_by_text("Failed", exact=True)).to_have_count(1)  # the head of a column
    expect(page.get_by_text("Succeeded", exact=True)).to_have_count(3)  # column, the dimension, the backfill itself
    picture(page, "backfill-done")
    page.goto(f"{url}/assets/published/fct_orders?view=partitions")
    expect(page.get_by_text(f"Materialized ({DAYS})")).to_be_visible()
