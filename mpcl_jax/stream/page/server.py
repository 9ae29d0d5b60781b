"""The server of the local page: loopback only, one static file, server-sent events and reports.

Every request needs the random token of the address. Requests of other hosts and other pages are refused, so that
neither a website nor a name that resolves to this machine (DNS rebinding) can read predictions or write reports.
"""

import base64
import collections
import contextlib
import hashlib
import hmac
import http.server
import importlib.resources
import json
import os
import queue
import re
import secrets
import socketserver
import threading
import urllib.parse
from collections.abc import Iterable, Iterator, Sequence

from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.stream.events import Report, StreamPrediction
from mpcl_jax.stream.report_text import label_of

HISTORY = 720  # events that a page receives when it connects: one hour with a hop of 5 s
LARGEST_BODY = 65_536  # bytes of a report
LARGEST_QUEUE = 100  # reports that wait for the stream
HEARTBEAT = 10.0  # seconds without an event until a comment shows that the connection is alive
LOOPBACK = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?")
TEXT, HTML, JSON = "text/plain; charset=utf-8", "text/html; charset=utf-8", "application/json"


class PageServer:
    """A page at `url` with the predictions that `publish` receives; its reports arrive in `reports`.

    A context manager. The server listens on 127.0.0.1 only and runs in threads of its own.
    """

    def __init__(self, emotions: Sequence[str], sensors: Iterable[str], port: int = 0):
        """`port`: 0 takes a free one. Raises ConfigError where the port cannot be used."""
        self.emotions, self.sensors = tuple(emotions), tuple(sensors)
        self.reports: queue.Queue[Report] = queue.Queue(LARGEST_QUEUE)
        self.token = secrets.token_urlsafe(24)
        self._events: collections.deque[tuple[int, str]] = collections.deque(maxlen=HISTORY)
        self._count = self._readers = 0
        self._first = self._latest = None  # times of predictions, seconds
        self._closed = False
        self._changed = threading.Condition()
        try:
            self._server = _Server(("127.0.0.1", port), _Handler)
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"port {port} cannot be used ({error}); choose another, or 0 for a free one"
            ) from error
        self._server.page = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The address of the page, with its token."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/?token={self.token}"

    def publish(self, t: float, p: StreamPrediction) -> None:
        """Sends the prediction `p` of the window that ends at `t` (seconds) to every open page; never waits."""
        with self._changed:
            self._first = t if self._first is None else self._first
            self._latest = t
        self._send(
            since=t - self._first,
            distribution=[round(float(x), 5) for x in p.distribution],
            sensors=p.sensors,
            recalled=[(str(trial), round(float(weight), 4)) for trial, weight in p.recalled[:10]],
            normalised_from=float(p.normalised_from),
            notes=list(p.notes),
        )

    def report(self, text: bytes) -> None:
        """Puts the report `text` (JSON) of the wearer into the queue, with the time of the latest prediction.

        Raises ValueError where the text is not a report, queue.Full where no report can wait any more, and
        LookupError before the first prediction, when the time on the clock of the samples is not known.
        """
        label = label_of(text, self.emotions)
        if self._latest is None:
            raise LookupError("there is no prediction yet; send the report after the first one")
        self.reports.put_nowait(Report(self._latest, label))
        self._send(since=self._latest - self._first, reported=True)

    def _send(self, **event) -> None:
        with self._changed:
            self._count += 1
            self._events.append((self._count, json.dumps(event)))
            self._changed.notify_all()

    def events_after(self, number: int) -> Iterator[str]:
        """Server-sent events with a larger number than `number`, until the server is closed."""
        with self._changed:
            self._readers += 1
        try:
            about = {"emotions": self.emotions, "sensors": self.sensors, "history": HISTORY}
            yield f"retry: 2000\nevent: about\ndata: {json.dumps(about)}\n\n"
            while True:
                new, closed = self._news(number)
                number = new[-1][0] if new else number
                yield "".join(f"id: {i}\ndata: {data}\n\n" for i, data in new) or ": alive\n\n"
                if closed:
                    yield "event: end\ndata: {}\n\n"
                    return
        finally:
            with self._changed:
                self._readers -= 1
                self._changed.notify_all()

    def _news(self, number: int) -> tuple[list[tuple[int, str]], bool]:
        """Waits for events with a larger number; returns them and whether the server is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._count > number, HEARTBEAT)
            return [event for event in self._events if event[0] > number], self._closed

    def close(self) -> None:
        """Tells open pages that the stream has ended and stops the server. A second call does nothing."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._readers, timeout=1.0)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> "PageServer":
        """The server."""
        return self

    def __exit__(self, *_) -> None:
        """As `close`."""
        self.close()


class _Server(http.server.ThreadingHTTPServer):
    """Threads end with the process; a reader that leaves is no error."""

    daemon_threads = True
    allow_reuse_address = os.name != "nt"  # Windows lets a second program take the port
    page: PageServer

    def server_bind(self):
        """Without the look-up of this machine's name, which can take seconds."""
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, request, client_address):
        """Called inside `except`."""
        with contextlib.suppress(OSError):  # the reader has closed the connection or is silent
            raise
        # Anything else is a bug of this package: its traceback is needed.


class _Refused(Exception):
    """A request that gets a status and one sentence instead of an answer."""

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status = status


class _Handler(http.server.BaseHTTPRequestHandler):
    """One request."""

    timeout = 30  # seconds without a byte until a connection is closed
    server_version, sys_version = "mpcl", ""
    server: _Server

    def do_GET(self):
        self._serve({"/": self._page, "/events": self._events})

    def do_POST(self):
        # Read before any check: a connection that is closed with unread bytes is reset, and the reason is lost.
        self.body = self.rfile.read(min(self._length(), 16 * LARGEST_BODY))
        self._serve({"/report": self._report})

    def _serve(self, routes) -> None:
        path, _, query = self.path.partition("?")
        try:
            self._check(query)
            if path not in routes:
                raise _Refused(404, "there is no such page")
            routes[path]()
        except _Refused as refused:
            self._answer(refused.status, TEXT, f"{refused}\n".encode())

    def _check(self, query: str) -> None:
        """Refuses what does not come from the page itself or from the address that the command printed."""
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or not LOOPBACK.fullmatch(hosts[0]):
            raise _Refused(403, "the host is not this machine; open the address that the command printed")
        foreign = self.headers.get("Origin") not in (None, f"http://{hosts[0]}")
        if foreign or self.headers.get("Sec-Fetch-Site") not in (None, "same-origin", "none"):
            raise _Refused(403, "the request comes from another page; type or paste the address instead")
        token = urllib.parse.parse_qs(query).get("token", [""])[0]
        if not hmac.compare_digest(token.encode(), self.server.page.token.encode()):
            raise _Refused(403, "the token is missing or wrong; open the address that the command printed")

    def _length(self) -> int:
        """Bytes of the body as the request claims, 0 where it claims none."""
        claimed = self.headers.get("Content-Length", "")
        return int(claimed) if re.fullmatch(r"\d{1,12}", claimed) else 0

    def _page(self) -> None:
        page, policy = _content()
        self._answer(200, HTML, page, policy)

    def _events(self) -> None:
        last = self.headers.get("Last-Event-ID", "")
        self._begin(200, "text/event-stream; charset=utf-8")
        for text in self.server.page.events_after(int(last) if re.fullmatch(r"\d{1,12}", last) else 0):
            self.wfile.write(text.encode())

    def _report(self) -> None:
        if self.headers.get_content_type() != JSON:
            raise _Refused(415, f"a report is {JSON}")
        if "Transfer-Encoding" in self.headers or not self._length():
            raise _Refused(411, "the length of the report is missing")
        if self._length() > LARGEST_BODY:
            raise _Refused(413, f"a report has at most {LARGEST_BODY} bytes")
        try:
            self.server.page.report(self.body)
        except ValueError as error:
            raise _Refused(400, str(error)) from error
        except LookupError as error:
            raise _Refused(409, str(error)) from error
        except queue.Full as error:
            raise _Refused(503, "too many reports are waiting; try again later") from error
        self._answer(202, TEXT, b"the report is sent\n")

    def _answer(self, status: int, kind: str, body: bytes, policy: str = "default-src 'none'") -> None:
        self._begin(status, kind, [("Content-Length", str(len(body)))], policy)
        self.wfile.write(body)

    def _begin(self, status: int, kind: str, more=(), policy: str = "default-src 'none'") -> None:
        """Status and headers: nothing is stored, framed, guessed or passed on."""
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            (
                "Content-Security-Policy",
                f"{policy}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            ),
            ("Cache-Control", "no-store"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
            *more,
        ):
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_):
        """Nothing: a log of requests would hold the token."""


def _content() -> tuple[bytes, str]:
    """The page and its policy: the only script and style are those of the file, named by their digests."""
    text = (importlib.resources.files("mpcl_jax.stream.page") / "page.html").read_text(encoding="utf-8")

    def digest(tag: str) -> str:
        inside = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL).group(1)
        return f"'sha256-{base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()}'"

    rules = f"script-src {digest('script')}; style-src {digest('style')}; img-src data:; connect-src 'self'"
    return text.encode(), f"default-src 'none'; {rules}; require-trusted-types-for 'script'"
