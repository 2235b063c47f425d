"""A web server for one page of ours, with the standard library alone.

Meant for this machine, or a room or a network that is trusted: there is no encryption and nobody logs
in. Pages of other sites, which a browser in that network may have open, can neither read nor post: the
name that a request calls this machine by, and the page that it comes from, are checked.
"""

from __future__ import annotations

import http.server
import ipaddress
import socket
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable

from repose_jax.common.errors import UserError

_SECONDS = 30
_BODY_SECONDS = 120  # for all of a body: who sends a byte now and then would keep a place for ever
_REST_SECONDS, _SILENCE_SECONDS = 20, 1  # for what is left of a refused body
_CONNECTIONS = 1024  # each has a thread
_CHUNK = 1 << 20
_WAITING = 128  # connections, as when a whole class begins at once
_HEADERS = {
    "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin"}


class LocalHandler(http.server.BaseHTTPRequestHandler):
    """What requests to a page of ours share: whom they are from, and how they are answered.

    Attributes:
      policy: the Content-Security-Policy of every answer.
    """

    server: LocalServer
    timeout = _SECONDS
    policy = "frame-ancestors 'none'"

    def is_for_us(self) -> bool:
        """Whether the request calls us by a number or a name of ours, as no other site can."""
        name = _host_of(f"//{self.headers.get('Host', '')}")
        return name in self.server.names or _is_number(name)

    def is_of_the_page(self) -> bool:
        """Whether a browser sent JSON from our page; what is no browser names no page."""
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return self.is_from_here() and kind == "application/json"

    def is_from_here(self) -> bool:
        """Whether the request is of a page of ours, or of what is no browser."""
        origin = self.headers.get("Origin")
        return origin is None or origin.partition("//")[2] == self.headers.get("Host", "")

    def length(self, most: int) -> int | None:
        """The bytes of the body; None where that is not told, or is more than `most`."""
        told = self.headers.get("Content-Length", "")
        sound = told.isascii() and told.isdigit() and len(told) < 12 and int(told) <= most
        return int(told) if sound else None

    def body(self, length: int) -> bytes:
        """The body, of so many bytes.

        Raises:
          TimeoutError: it does not come in time.
          ConnectionError: it ends early.
        """
        end, parts = time.monotonic() + _BODY_SECONDS, []
        while length:
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError("the body does not come")
            self.connection.settimeout(min(left, _SECONDS))
            parts.append(self.rfile.read1(min(length, _CHUNK)))
            if not parts[-1]:
                raise ConnectionError("the body ends early")
            length -= len(parts[-1])
        self.connection.settimeout(_SECONDS)
        return b"".join(parts)

    def let_finish(self, length: int) -> None:
        """Takes what is still sent of a refused body of so many bytes, and keeps none of it.

        Who is hung up on while they send sees a broken connection in place of the answer. Ends with the
        body, after a second of silence, or when it has taken long enough.
        """
        end = time.monotonic() + _REST_SECONDS
        try:
            while length > 0 and (left := end - time.monotonic()) > 0:
                self.connection.settimeout(min(left, _SILENCE_SECONDS))
                if not (part := self.rfile.read1(min(length, _CHUNK))):
                    return
                length -= len(part)
        except OSError:  # silent, or gone
            pass

    def reply(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8",
              more: dict[str, str] | None = None) -> None:
        """Answers the request, with more headers where there are any."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in {**_HEADERS, "Content-Security-Policy": self.policy,
                            **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format, *args):
        """Requests are not told: addresses of those who ask are nobody's business."""


class LocalServer(http.server.ThreadingHTTPServer):
    """Has threads, as browsers open connections ahead of need, which would keep others waiting.

    Attributes:
      names: what this machine may be called.
      say: is told of requests that failed for a fault of ours.
      on_close: is called when the server is closed.
    """

    request_queue_size = _WAITING

    def __init__(self, address: tuple[str, int], handler: type[LocalHandler],
                 say: Callable[[str], None]):
        self.on_close: Callable[[], None] = lambda: None
        self.names = {"localhost", address[0].lower(), socket.gethostname().lower(),
                      socket.getfqdn().lower()}
        self.say = say
        self._places = threading.BoundedSemaphore(_CONNECTIONS)
        super().__init__(address, handler)

    def process_request(self, request, client_address):
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)  # hung up
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request, client_address):
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def server_close(self):
        self.on_close()
        super().server_close()

    def handle_error(self, request, client_address):
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):  # somebody who hangs up is nothing to tell
            self.say(f"a request failed ({type(error).__name__}: {error})")


def listen(handler: type[LocalHandler], host: str, port: int,
           say: Callable[[str], None]) -> LocalServer:
    """A server that listens; port 0 takes a free one.

    Raises:
      UserError: the port cannot be had.
    """
    try:
        return LocalServer((host, port), handler, say)
    except (OSError, OverflowError) as error:
        raise UserError(f"{host}:{port}", f"cannot be listened at ({error})",
                        "choose another --port") from None


def _host_of(address: str) -> str:
    try:
        return urllib.parse.urlsplit(address).hostname or ""
    except ValueError:  # half of a bracket
        return ""


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
