"""Serves a study's page and keeps the answers that it posts, with the standard library alone.

Meant for a room or a network that is trusted: there is no encryption and nobody logs in. Pages of
other sites, which a browser in that network may have open, can neither read the study nor post to
it: the name that a request calls this machine by, and the page that it comes from, are checked.
"""

from __future__ import annotations

import http.server
import ipaddress
import os
import pathlib
import socket
import sys
import threading
import urllib.parse
from collections.abc import Callable

from repose_jax.common.errors import UserError
from repose_jax.common.files import check_writable, write_content
from repose_jax.studies.human.answers import parse_answers
from repose_jax.studies.human.key import read_key

_MOST_BYTES = 1 << 20
_SECONDS = 30
_WAITING = 128  # connections, as when a whole class begins at once
_HEADERS = {
    "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
    "Content-Security-Policy": "frame-ancestors 'none'", "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin"}
_META = '<meta name="answers-to" content="{}">'


def make_server(folder: str | os.PathLike[str], host: str, port: int,
                say: Callable[[str], None]) -> http.server.HTTPServer:
    """A server of the page at `/`, and of nothing else: the key stays where it is.

    Answers are checked against the key and written to `answers/answers-CODE.json`, each file whole
    or not at all; a code that has answered is refused.

    Args:
      folder: of the study.
      host, port: to listen at; port 0 takes a free one.
      say: is told of each participant.

    Raises:
      UserError: the folder holds no study, or the port cannot be had.
    """
    folder = pathlib.Path(folder)
    key = read_key(folder)
    try:
        page = (folder / "index.html").read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(folder / "index.html", f"cannot be read ({error.strerror})",
                        "build the study again") from None
    if _META.format("") not in page or key.study not in page:
        raise UserError(folder / "index.html", "is not the page of the key beside it",
                        "build the study again")
    content = page.replace(_META.format(""), _META.format("answers"), 1).encode()
    check_writable(folder / "answers")
    storing = threading.Lock()  # two answers of one code must not cross
    names = {"localhost", host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()}

    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = _SECONDS

        def do_GET(self):
            if not self._is_for_us():
                self._reply(403, b"this is another machine")
            elif self.path.partition("?")[0] in ("/", "/index.html"):
                self._reply(200, content, "text/html; charset=utf-8")
            else:
                self._reply(404, b"there is no such page")

        def do_POST(self):
            length = self.headers.get("Content-Length", "")
            if self.path != "/answers" or not length.isdecimal() or int(length) > _MOST_BYTES:
                self.close_connection = True
                return self._reply(400, b"these are no answers")
            if not self._is_for_us() or not self._is_of_the_page():
                self.close_connection = True
                return self._reply(403, b"answers are taken from the study's own page alone")
            text = self.rfile.read(int(length))
            try:
                answers = parse_answers(text, key, "answers")
                with storing:
                    path = _place(folder / "answers", answers.participant)
                    write_content(path, text)
            except UserError as error:
                return self._reply(400, f"{error.what}; {error.mend}".encode())
            except OSError as error:
                say(f"answers could not be stored ({error})")
                return self._reply(500, b"they could not be stored; tell the experimenter")
            say(f"{answers.participant} answered: {path}")
            self._reply(200, b"stored")

        def _is_for_us(self) -> bool:
            """Whether the request calls us by a number or a name of ours, as no other site can."""
            name = _host_of(f"//{self.headers.get('Host', '')}")
            return name in names or _is_number(name)

        def _is_of_the_page(self) -> bool:
            """Whether a browser sent it from our page; what is no browser names no page."""
            kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            origin = self.headers.get("Origin")
            own = origin is None or origin.partition("//")[2] == self.headers["Host"]
            return own and kind == "application/json"

        def _reply(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8"):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            for name, value in _HEADERS.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format, *args):
            """Requests are not told: addresses of participants are nobody's business."""

    # Threads, as browsers open connections ahead of need, which would keep others waiting.
    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = _WAITING

        def handle_error(self, request, client_address):
            error = sys.exc_info()[1]
            if not isinstance(error, OSError):  # somebody who hangs up is nothing to tell
                say(f"a request failed ({type(error).__name__}: {error})")

    try:
        return Server((host, port), Handler)
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


def _place(folder: pathlib.Path, participant: str) -> pathlib.Path:
    name = f"answers-{participant}.json"
    if name.lower() in {path.name.lower() for path in folder.iterdir()}:
        raise UserError(name, f"the code {participant} has answered before",
                        "ask for a code of your own")
    return folder / name
