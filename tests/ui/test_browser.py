"""One journey through the served app in a real browser, as a person would make it."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest
from conftest import missing

from scenarios import load
from scenarios.compare import compare
from scenarios.decision import sentence
from scenarios.strategies import STRATEGIES
from ui.question import MOST_REQUESTS, requests

if TYPE_CHECKING:
    from playwright.sync_api import Page

OWN = ("http://localhost:", "ws://localhost:", "data:", "blob:")
"""What the page may ask for: nothing from outside."""
LIMIT = 60
"""Seconds that anything may take on a slow machine."""
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Where the app listens: started as users start it, from a folder that is not the repository."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", "from ui.cli import main; main()", "ui", "--headless", "--port", str(port)]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log) as app:
        try:
            _await(f"http://localhost:{port}/_stcore/health")
            yield f"http://localhost:{port}"
        finally:
            app.terminate()


def _await(address: str) -> None:
    until = time.monotonic() + LIMIT
    while True:
        try:
            with urlopen(address, timeout=5):
                return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """A page of a real browser, which notes what goes wrong in it."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("no playwright: pip install playwright")
    chromium = shutil.which("chromium")
    if chromium is None:
        missing("no browser: apt-get install chromium chromium-driver")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(LIMIT * 1000)
        yield page
        browser.close()


def test_a_person_asks_stops_asks_again_and_reads_the_answer(address: str, page: Page, tmp_path: Path) -> None:
    troubles: list[str] = []
    page.on("console", lambda note: troubles.append(note.text) if note.type == "error" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda asked: troubles.append(asked.url) if not asked.url.startswith(OWN) else None)

    name = "resnet50-on-gpus"
    own = load.load(name)
    pool = next(iter(own.scenario.pools))
    replicas, repeated = own.scenario.pools[pool].replicas + 1, 3
    many = own.scenario.run.replications * max(1, MOST_REQUESTS // requests(own.case()))
    answer = sentence(
        compare(load.load(name, [f"pools.{pool}.replicas={replicas}", f"run.replications={repeated}"]), STRATEGIES)
    )

    page.goto(address)
    page.get_by_role("heading", name="What is the cheapest way to meet the objectives?").wait_for()
    _choose(page, "Scenario", name)
    page.get_by_text(own.scenario.title).wait_for()
    _type(page, "Replicas", replicas)
    _type(page, "Replications", many)
    page.wait_for_url(f"**run.replications={many}*")

    page.get_by_role("button", name="Compare").click()
    page.get_by_text(re.compile(rf"replication \d+ of {many}")).wait_for()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped.").wait_for()

    _type(page, "Replications", repeated)
    page.get_by_role("button", name="Compare").click()
    page.get_by_text(answer, exact=True).wait_for()
    chart = page.locator("[data-testid=stVegaLiteChart][aria-label]").first
    assert answer in (chart.get_attribute("aria-label") or "")
    page.get_by_text("Timeline", exact=True).click()
    page.get_by_text("Replicas that take requests").wait_for()
    assert f"pools.{pool}.replicas={replicas}" in page.url

    page.screenshot(path=tmp_path / "answer.png", full_page=True)
    assert (tmp_path / "answer.png").stat().st_size > 20_000
    assert not page.get_by_test_id("stException").count()
    assert "Traceback" not in page.inner_text("body")
    assert not troubles


def _choose(page: Page, label: str, option: str) -> None:
    page.get_by_label(label).first.click()
    page.get_by_role("option", name=option).click()


def _type(page: Page, label: str, value: int) -> None:
    box = page.get_by_role("spinbutton", name=label)
    box.fill(str(value))
    box.press("Enter")
