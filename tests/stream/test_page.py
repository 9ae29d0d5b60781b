"""The local page in a browser, and what its server refuses."""

import http.client
import json
import queue
import re
import socket
import time
import urllib.parse

import numpy as np
import pytest
from browser_fixture import requests_of

from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.stream.events import StreamPrediction
from mpcl_jax.stream.page import server as page_server
from mpcl_jax.stream.page.server import PageServer
from mpcl_jax.stream.report_text import label_of

HOSTILE = "<img src=x onerror=window.hacked=1>"
EMOTIONS = ("calm", HOSTILE, "stress")


def prediction(*share, sensors=None, **more):
    sensors = sensors or {"eda": "present", "bvp": "present"}
    return StreamPrediction(np.array(share, np.float32), EMOTIONS, sensors, more.pop("recalled", []), **more)


@pytest.fixture
def page():
    with PageServer(EMOTIONS, ("eda", "bvp")) as server:
        yield server


def ask(page, method="GET", path=None, body=None, token=None, **headers):
    """Status, headers and text of one request."""
    port = int(re.search(r":(\d+)/", page.url)[1])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    path = (path or "/") + f"?token={page.token if token is None else token}"
    connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read().decode()


def send(page, label, **headers):
    body = label if isinstance(label, str) else json.dumps(label)
    return ask(page, "POST", "/report", body, **{"Content_Type": "application/json", **headers})[::2]


def test_the_page_is_on_loopback_only_with_a_policy_and_is_not_stored(page):
    assert page._server.server_address[0] == "127.0.0.1"
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{32}", page.url)
    status, headers, text = ask(page)
    assert status == 200 and "Live prediction" in text
    assert headers["Cache-Control"] == "no-store" and headers["Referrer-Policy"] == "no-referrer"
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "Python" not in headers["Server"]
    assert not re.findall(r"(?:src|href)=\"(?!data:)", text) and "url(" not in text and "http" not in text


@pytest.mark.parametrize(
    "path, headers, status, reason",
    [
        ("/", {"Host": "attacker.example"}, 403, "the host is not this machine"),  # DNS rebinding
        ("/events", {"Host": "127.0.0.1.attacker.example:80"}, 403, "the host is not this machine"),
        ("/events", {"Host": "localhost@attacker.example"}, 403, "the host is not this machine"),
        ("/", {"Origin": "https://attacker.example"}, 403, "comes from another page"),
        ("/events", {"Origin": "null"}, 403, "comes from another page"),
        ("/events", {"Origin": "http://localhost:3000"}, 403, "comes from another page"),
        ("/", {"Sec_Fetch_Site": "cross-site"}, 403, "comes from another page"),
        ("/events", {"Sec_Fetch_Site": "same-site"}, 403, "comes from another page"),
        ("/", {"token": ""}, 403, "the token is missing or wrong"),
        ("/events", {"token": "ä" * 32}, 403, "the token is missing or wrong"),
        ("/server.py", {}, 404, "there is no such page"),
        ("/../page.html", {}, 404, "there is no such page"),
        ("/report", {}, 404, "there is no such page"),
    ],
)
def test_foreign_requests_are_refused_with_a_reason(page, path, headers, status, reason):
    if "token" in headers:
        headers = {"token": urllib.parse.quote(headers["token"])}
    refused, sent, text = ask(page, path=path, **headers)
    assert refused == status and reason in text and text.count("\n") == 1
    assert "Access-Control-Allow-Origin" not in sent


@pytest.mark.parametrize(
    "label, headers, status, reason",
    [
        ([1, 0], {}, 400, "the report has 2 numbers; the model has 3 emotions"),
        ([0, 0, 0], {}, 400, "every value of the report is 0"),
        ([1, -1, 0], {}, 400, "is not a number from 0 to 1000000"),
        ("[1, NaN, 0]", {}, 400, "is not a number"),
        ("[1, 1e999, 0]", {}, 400, "is not a number"),
        ([1, True, "2"], {}, 400, "is not a number"),
        ("[1, " + "9" * 400 + ", 0]", {}, 400, "is not a number"),
        ({"joy": 1}, {}, 400, "the report names 'joy'; the emotions are calm, "),
        ("3", {}, 400, "neither a list of numbers nor an object"),
        ("{", {}, 400, "the report is not JSON"),
        ("\udcff".encode("utf-8", "surrogateescape"), {}, 400, "the report is not JSON"),
        ("[" * 60_000, {}, 400, "the report is not JSON"),
        (" " * 65_537, {}, 413, "a report has at most 65536 bytes"),
        ("", {}, 411, "the length of the report is missing"),
        ([1, 0, 0], {"Content_Type": "text/plain"}, 415, "a report is application/json"),
        ([1, 0, 0], {"Origin": "https://attacker.example"}, 403, "comes from another page"),
    ],
)
def test_bad_reports_are_refused_with_a_reason(page, label, headers, status, reason):
    page.publish(5.0, prediction(0.2, 0.3, 0.5))
    if isinstance(label, bytes):
        answer = ask(page, "POST", "/report", label, Content_Type="application/json")[::2]
    else:
        answer = send(page, label, **headers)
    assert answer[0] == status and reason in answer[1], answer
    assert page.reports.empty()


def test_a_report_has_the_time_of_the_latest_prediction(page):
    assert send(page, [1, 0, 0]) == (409, "there is no prediction yet; send the report after the first one\n")
    page.publish(100.0, prediction(0.2, 0.3, 0.5))
    page.publish(105.0, prediction(0.2, 0.3, 0.5))
    assert send(page, {"stress": 3, "calm": 1})[0] == 202
    report = page.reports.get_nowait()
    assert report.time == 105.0 and report.label.tolist() == [1, 0, 3] and report.label.dtype == np.float32


def test_reports_that_wait_are_bounded(page):
    page.publish(0.0, prediction(0.2, 0.3, 0.5))
    for _ in range(page_server.LARGEST_QUEUE):
        page.report(b"[1, 0, 0]")
    with pytest.raises(queue.Full):
        page.report(b"[1, 0, 0]")
    assert send(page, [1, 0, 0])[0] == 503


def test_history_is_bounded_and_a_reader_that_reconnects_continues(page):
    for t in range(page_server.HISTORY + 100):
        page.publish(float(t), prediction(0.2, 0.3, 0.5))
    page._closed = True  # the reader gets what there is and an end
    events = "".join(page.events_after(0))
    assert events.count('\ndata: {"since"') == page_server.HISTORY and events.endswith(
        "event: end\ndata: {}\n\n"
    )
    later = "".join(page.events_after(page_server.HISTORY + 98))
    assert [int(x) for x in re.findall(r"^id: (\d+)", later, re.M)] == [819, 820]
    page._closed = False


def test_closing_ends_readers_and_frees_the_port(page):
    port = int(re.search(r":(\d+)/", page.url)[1])
    with pytest.raises(ConfigError, match=f"port {port} cannot be used"):
        PageServer(EMOTIONS, (), port)
    reader = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    reader.request("GET", f"/events?token={page.token}")
    answer = reader.getresponse()
    began = time.monotonic()
    page.close()
    page.close()
    assert time.monotonic() - began < 8 and "event: end" in answer.read().decode()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_a_label_is_a_list_or_names():
    assert label_of("[0, 2.5, 1]", EMOTIONS).tolist() == [0, 2.5, 1]
    assert label_of(b'{"stress": 4}', EMOTIONS).tolist() == [0, 0, 4]


ARROW_LEFT, ARROW_RIGHT = "\ue012", "\ue014"  # keys of WebDriver


def look(browser, script):
    return browser.execute_script(f"return {script}")


def until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.05)


def text_of(browser, name):
    return look(browser, f"document.getElementById('{name}').textContent")


def sized(browser, width, scheme="light"):
    metrics = {"width": width, "height": 850, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": features})


def opened(browser, page):
    """Opens the page and waits until its events have arrived."""
    requests_of(browser), browser.get_log("browser")
    browser.get(page.url)
    until(lambda: text_of(browser, "state") == "connected")


def test_a_browser_shows_predictions_and_sends_a_report(browser, page):
    sized(browser, 1280)
    opened(browser, page)
    assert browser.find_element("id", "blank").is_displayed()
    page.publish(100.0, prediction(0.2, 0.3, 0.5))
    absent = {"eda": "present", "bvp": "absent"}
    more = {"recalled": [("film 3", 0.25)], "normalised_from": 60.0, "notes": ("bvp is lost",)}
    page.publish(105.0, prediction(0.1, 0.7, 0.2, sensors=absent, **more))
    until(lambda: "0:05" in text_of(browser, "when"))
    bars = look(browser, "[...document.querySelectorAll('#bars .number')].map(x => x.textContent)")
    assert bars == ["10 %", "70 %", "20 %"]
    sensors = look(browser, "[...document.querySelectorAll('#sensors li')].map(x => x.textContent)")
    assert sensors == ["eda✓ present", "bvp✗ absent"]
    assert "film 3" in text_of(browser, "recalled") and "0.25" in text_of(browser, "recalled")
    assert "60 s of this subject" in text_of(browser, "normalised") and "bvp is lost" in text_of(
        browser, "notes"
    )
    assert not browser.find_element("id", "blank").is_displayed()

    send_button = browser.find_element("id", "send")
    assert not send_button.is_enabled()
    sliders = browser.find_elements("css selector", "#sliders input")
    sliders[2].send_keys(ARROW_RIGHT * 3)
    send_button.click()
    until(lambda: text_of(browser, "sent") == "The report is sent.")
    report = page.reports.get_nowait()
    assert report.time == 105.0 and report.label.tolist() == [0, 0, 3]
    assert (
        not send_button.is_enabled()
        and look(browser, "document.querySelector('#sliders output').value") == "0"
    )
    until(
        lambda: "Triangles mark 1 reports" in browser.find_element("id", "chart").get_attribute("aria-label")
    )

    assert look(browser, "window.hacked") is None and browser.get_log("browser") == []
    base = page.url.split("?")[0]
    assert {url.split("?")[0] for url in requests_of(browser) if not url.startswith("data:")} == {
        base,
        base + "events",
        base + "report",
    }


def test_a_screen_reader_gets_a_sentence_labels_and_a_table(browser, page):
    sized(browser, 1280)
    opened(browser, page)
    page.publish(0.0, prediction(0.5, 0.1, 0.4))
    until(lambda: text_of(browser, "spoken").startswith("Prediction at 0:00: calm 50 %, stress 40 %"))
    page.publish(5.0, prediction(0.52, 0.1, 0.38))  # nothing new to say
    page.publish(10.0, prediction(0.1, 0.1, 0.8, sensors={"eda": "present", "bvp": "absent"}))
    until(lambda: "0:10: stress 80 %" in text_of(browser, "spoken"))
    assert text_of(browser, "spoken").endswith("Absent sensors: bvp.")
    tree = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    named = {(x["role"]["value"], x.get("name", {}).get("value")) for x in tree if not x["ignored"]}
    assert {("slider", name) for name in (*EMOTIONS, "Time shown")} <= named
    assert {
        ("status", ""),
        ("button", "Send report"),
        ("table", "Predicted distribution over emotions"),
    } <= named
    assert [
        name
        for role, name in named
        if role in ("image", "img") and name.startswith("Stacked shares of 3 emotions")
    ]
    rows = look(browser, "[...document.querySelectorAll('#table tbody tr')].map(x => x.textContent)")
    assert rows == ["0:1010 %10 %80 %", "0:0552 %10 %38 %", "0:0050 %10 %40 %"]


def test_an_earlier_time_can_be_shown_and_predictions_can_be_hidden(browser, page):
    sized(browser, 1280)
    opened(browser, page)
    for k in range(4):
        page.publish(5.0 * k, prediction(0.1 * k, 0.5, 0.5 - 0.1 * k))
    until(lambda: "0:15" in text_of(browser, "when"))
    browser.find_element("id", "at").send_keys(ARROW_LEFT)
    assert text_of(browser, "when") == "Window at 0:10"
    page.publish(20.0, prediction(0.4, 0.5, 0.1))
    until(lambda: text_of(browser, "clock") == "0:20")
    assert text_of(browser, "when") == "Window at 0:10"
    browser.find_element("id", "latest").click()
    assert text_of(browser, "when") == "Latest window, 0:20"
    browser.find_element("id", "blind").click()
    shown = [name for name in ("over", "now", "form") if browser.find_element("id", name).is_displayed()]
    assert shown == ["form"]


def test_the_page_reconnects_after_a_loss_without_a_gap(browser, page, monkeypatch):
    sized(browser, 1280)
    opened(browser, page)
    page.publish(0.0, prediction(0.2, 0.3, 0.5))
    until(lambda: text_of(browser, "clock") == "0:00")

    def broken(*_):
        raise ConnectionResetError

    with monkeypatch.context() as patch:
        patch.setattr(PageServer, "_news", broken)
        page.publish(5.0, prediction(0.2, 0.3, 0.5))
        until(lambda: text_of(browser, "state") == "not connected")
        assert "The page tries again" in text_of(browser, "lost")
        page.publish(10.0, prediction(0.2, 0.3, 0.5))
    page.publish(15.0, prediction(0.2, 0.3, 0.5))
    until(lambda: text_of(browser, "clock") == "0:15")
    times = look(browser, "[...document.querySelectorAll('#table tbody th')].map(x => x.textContent)")
    assert times == ["0:15", "0:10", "0:05", "0:00"]
    assert text_of(browser, "state") == "connected" and not browser.find_element("id", "lost").is_displayed()
    page.close()
    until(lambda: text_of(browser, "state") == "ended")
    assert "The stream has ended" in text_of(browser, "lost")


@pytest.mark.parametrize("width, scheme", [(1280, "dark"), (390, "light"), (320, "dark")])
def test_nothing_is_wider_than_the_page_and_text_is_readable(browser, page, width, scheme):
    sized(browser, width, scheme)
    opened(browser, page)
    page.publish(0.0, prediction(0.2, 0.3, 0.5, recalled=[("a very long name of a trial " * 3, 0.5)]))
    until(lambda: text_of(browser, "clock") == "0:00")
    assert look(browser, "document.documentElement.scrollWidth") <= width
    small = "[...document.querySelectorAll('button,input')].filter(x => x.type !== 'checkbox' && x.offsetHeight < 30)"
    assert look(browser, f"{small}.length") == 0
    ink, card = look(
        browser,
        "['--ink', '--card'].map(x => getComputedStyle(document.documentElement).getPropertyValue(x))",
    )
    assert (ink < card) == (scheme == "light")
