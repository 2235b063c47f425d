"""The page over HTTP, to this machine alone unless told otherwise; see `common/local_server`."""

from __future__ import annotations

import json
import pathlib
import threading
from collections.abc import Callable
from typing import Any

from repose_jax.common.errors import UserError
from repose_jax.common.local_server import LocalHandler, LocalServer, listen
from repose_jax.inference.app.requests import (
    PaintRequest, PhotoRequest, PoseRequest, SaveRequest, parse)
from repose_jax.inference.app.service import AppService

MOST_BYTES = 32 << 20
"""Of a request: photos travel in base64, which makes them a third larger."""

_AT_ONCE = 4  # requests that hold a photo in memory
_PAGE = pathlib.Path(__file__).with_name("page")
_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript",
          ".json": "application/json"}
_POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
           "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")


def make_server(service: AppService, host: str, port: int,
                say: Callable[[str], None]) -> LocalServer:
    """A server of the page at `/` and of what it asks for.

    Args:
      service: answers.
      host, port: to listen at; port 0 takes a free one.
      say: is told of faults of ours.

    Raises:
      UserError: the port cannot be had.
    """
    files = {f"/{path.name}": (path.read_bytes(), f"{_KINDS[path.suffix]}; charset=utf-8")
             for path in _PAGE.iterdir() if path.suffix in _KINDS}
    files["/"] = files["/index.html"]
    answers: dict[str, tuple[type, Callable[[Any], dict[str, Any]]]] = {
        "/photo": (PhotoRequest, service.photo), "/pose": (PoseRequest, service.pose),
        "/save": (SaveRequest, service.save), "/paint": (PaintRequest, service.paint)}
    places = threading.BoundedSemaphore(_AT_ONCE)

    class Handler(LocalHandler):
        policy = _POLICY

        def do_GET(self):
            path = self.path.partition("?")[0]
            if not self.is_for_us():
                self._fail(403, UserError("request", "calls this machine by another's name",
                                          "use the address that `repose app` printed"))
            elif path in files:
                self.reply(200, *files[path])
            elif path == "/facts":
                self._answer(service.facts)
            else:
                self._fail(404, UserError("request", "is for no page that is here", "go to /"))

        def do_POST(self):
            self.close_connection = True
            length = self.length(MOST_BYTES)
            if not self.is_for_us() or not self.is_of_the_page():
                return self._fail(403, UserError("request", "is not from the page itself",
                                                 "use the page that `repose app` shows"))
            if self.path not in answers:
                return self._fail(404, UserError("request", "is for nothing that is here", "go to /"))
            if length is None:
                return self._fail(413, UserError(
                    "request", f"is larger than {MOST_BYTES >> 20} MB or does not say its size",
                    "give a smaller photo"))
            if not places.acquire(blocking=False):
                return self._fail(503, UserError(
                    "request", f"is one too many: {_AT_ONCE} are being answered", "wait a moment"))
            try:
                kind, answer = answers[self.path]
                self._answer(lambda: answer(parse(kind, self.rfile.read(length))))
            finally:
                places.release()

        def _answer(self, make: Callable[[], dict[str, Any]]) -> None:
            try:
                found = make()
            except UserError as error:
                return self._fail(400, error)
            except OSError:  # whoever asked has hung up
                raise
            except Exception as error:  # noqa: BLE001  # told here and there, and the page goes on
                say(f"a request failed ({type(error).__name__}: {error})")
                return self._fail(500, UserError(
                    "repose app", "has a defect, see its terminal", "please report it"))
            self._json(200, found)

        def _fail(self, status: int, error: UserError) -> None:
            self._json(status, {"error": str(error)})

        def _json(self, status: int, values: dict[str, Any]) -> None:
            body = json.dumps(values, allow_nan=False).encode()
            self.reply(status, body, "application/json; charset=utf-8")

    return listen(Handler, host, port, say)
