"""A real browser for the pages: headless Chromium, its console and its requests."""

import contextlib
import json
import pathlib
import shutil
import time

import pytest


@contextlib.contextmanager
def chromium():
    """Chromium driven by chromedriver; skips the test, with the reason, where either is missing."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    program, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if not (program and driver):
        pytest.skip("no chromium with chromedriver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield started
    started.quit()


def opened_without_complaint(browser, page: pathlib.Path) -> bool:
    """Opens a page; fails where the console is not empty or anything but the page's file is requested."""
    requests_of(browser)
    browser.get(page.as_uri())
    time.sleep(0.3)
    assert browser.get_log("browser") == []
    requests = requests_of(browser)
    assert page.as_uri() in requests
    assert [url for url in requests if url != page.as_uri() and not url.startswith("data:")] == []
    return True


def requests_of(browser) -> list[str]:
    """Addresses that the browser requested since the last call."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
