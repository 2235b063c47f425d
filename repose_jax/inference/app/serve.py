"""The page and its interface over HTTP, to this machine alone unless told otherwise.

What the page asks for, other programs may ask for, too: `/openapi.json` tells how, and
`repose_jax.Client` does. See `common/local_server` for who is listened to.
"""

from __future__ import annotations

import base64
import hmac
import json
import pathlib
import threading
from collections.abc import Callable
from typing import Any

from repose_jax.common.errors import UserError
from repose_jax.common.local_server import LocalHandler, LocalServer, listen
from repose_jax.data.image.files import encode_png
from repose_jax.inference.app.extension import Answer, Extension
from repose_jax.inference.app.japanese import answer_in_japanese
from repose_jax.inference.app.jobs import Conflict, Job, Jobs, TooMany
from repose_jax.inference.app.openapi import document
from repose_jax.inference.app.requests import (
    AlignmentRequest, PaintRequest, PhotoRequest, PoseRequest, SaveRequest, parse)
from repose_jax.inference.app.service import AppService

MOST_BYTES = 32 << 20
"""Of a request: photos travel in base64, which makes them a third larger."""

_AT_ONCE = 4  # requests that hold a photo in memory
_WAIT_S = 10.0  # for one of them, in the order in which they came; the body is not read before
_LONGEST_KEY = 128
_PAGE = pathlib.Path(__file__).with_name("page")
_HEAD = _PAGE / "head.part"  # of all pages, which name it where it belongs
_KINDS = {suffix: f"{kind}; charset=utf-8" for suffix, kind in (
    (".html", "text/html"), (".css", "text/css"), (".js", "text/javascript"),
    (".json", "application/json"))} | {".png": "image/png"}
_POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
           "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
_POSTED = {"/photo": PhotoRequest, "/pose": PoseRequest, "/save": SaveRequest,
           "/alignment": AlignmentRequest, "/paint": PaintRequest, "/jobs": PaintRequest}


class _Refused(Exception):
    """A request that is answered with a status and a line."""

    def __init__(self, status: int, where: str, what: str, mend: str):
        self.status, self.error = status, UserError(where, what, mend)


def make_server(service: AppService, host: str, port: int, say: Callable[[str], None], *,
                token: str = "", folder: pathlib.Path | None = None,
                more: Extension = Extension()) -> LocalServer:
    """A server of the page at `/` and of what it asks for.

    Args:
      service: answers.
      host, port: to listen at; port 0 takes a free one.
      say: is told of faults of ours.
      token: what requests must carry as `Authorization: Bearer TOKEN`; "" for none.
      folder: keeps jobs, with their photos, over a restart; None keeps them in memory.
      more: what is answered besides.

    Raises:
      UserError: the port or the folder cannot be had.
    """
    head, place = _HEAD.read_bytes(), f"<!-- {_HEAD.name} -->\n".encode()
    files = {f"/{path.name}": (path.read_bytes().replace(place, head), _KINDS[path.suffix])
             for path in _PAGE.iterdir() if path.suffix in _KINDS}
    files["/"] = files["/index.html"]
    posted = _POSTED | {path: kind for path, (kind, _) in more.posted.items()}
    answers: dict[str, Answer] = {
        "/photo": service.photo, "/pose": service.pose, "/save": service.save,
        "/alignment": service.alignment, **{path: make for path, (_, make) in more.posted.items()}}
    facts = {"/facts": service.facts, **more.told}
    told = facts | {"/openapi.json": lambda: document(
        posted, facts, bool(token), service.names)}
    places = threading.BoundedSemaphore(_AT_ONCE)

    def allowed(path: str) -> str:
        """The methods that a path knows; none of a path that is not here."""
        return ("GET, HEAD" if path in files or path in told else "POST" if path in posted
                else "GET, HEAD, DELETE" if path.startswith("/jobs/") else "")

    class Handler(LocalHandler):
        policy = _POLICY

        def do_GET(self):
            self._answer(self._got)

        do_HEAD = do_GET

        def do_POST(self):
            self.close_connection = True  # what is left of a refused body is not read as a request
            self._unread = self.length(2 * MOST_BYTES) or 0
            self._answer(self._posted)
            self.let_finish(self._unread)

        def do_DELETE(self):
            self.close_connection = True
            self._answer(self._stopped)

        def send_error(self, code, message=None, explain=None):
            """What the standard library refuses by itself, such as an unknown method, in our words."""
            self.close_connection = True
            self._fail(405 if code == 501 else code, UserError(
                "request", (message or "cannot be read").lower(), "see /openapi.json"))

        def _got(self) -> None:
            path = self.path.partition("?")[0]
            if not self.is_for_us():
                raise _Refused(403, "request", "calls this machine by another's name",
                               "use the address that `repose app` printed")
            if path in files:
                return self.reply(200, *files[path])
            if path in told:
                if path != "/openapi.json":
                    self._check_token()
                return self._json(200, told[path]())
            if path in answers or path in ("/paint", "/jobs"):
                raise _Refused(405, "request", "is to be posted", "see /openapi.json")
            self._json(200, _view(jobs, self._job(path)))

        def _posted(self) -> None:
            path = self.path.partition("?")[0]
            if self.is_for_us() and allowed(path) and "POST" not in allowed(path):
                raise _Refused(405, "request", "is for nothing that is posted to",
                               "see /openapi.json")
            if not self.is_for_us() or not self.is_of_the_page():
                raise _Refused(403, "request", "is not from the page itself, or not JSON",
                               "use the page that `repose app` shows, or application/json")
            self._check_token()
            if path not in posted:
                raise _Refused(404, "request", "is for nothing that is here", "see /openapi.json")
            length = self.length(MOST_BYTES)
            if length is None:
                raise _Refused(413, "request", f"is larger than {MOST_BYTES >> 20} MB or does not "
                               "say its size", "give a smaller photo")
            if not places.acquire(timeout=_WAIT_S):
                raise _Refused(503, "request", f"is one too many: {_AT_ONCE} are being read or "
                               "answered", "wait a moment")
            try:
                body = self._read(length)
                if path in answers:
                    return self._json(200, answers[path](parse(posted[path], body)))
                job = self._submitted(body)
            finally:
                places.release()
            if path == "/jobs":
                return self._json(202, _view(jobs, job))
            job.finished.wait()
            if job.state != "done":
                self._json(400, {"error": job.answer.get("error", "request: was stopped; ask again")})
            else:
                self._json(200, job.answer)

        def _read(self, length: int) -> bytes:
            self._unread = 0
            try:
                return self.body(length)
            except TimeoutError:
                raise _Refused(408, "request", "does not come to its end", "send it again") from None
            except ConnectionError:
                raise _Refused(400, "request", "is shorter than it says", "send it again") from None

        def _stopped(self) -> None:
            if not self.is_for_us() or not self.is_from_here():
                raise _Refused(403, "request", "is not from the page itself",
                               "use the page that `repose app` shows")
            path = self.path.partition("?")[0]
            if path in files or path in told or path in posted:
                raise _Refused(405, "request", "is for nothing that can be stopped",
                               "see /openapi.json")
            job = self._job(path)
            jobs.stop(job)
            self._json(200, _view(jobs, job))

        def _submitted(self, body: bytes) -> Job:
            key = self.headers.get("Idempotency-Key", "")
            if len(key) > _LONGEST_KEY or not all("!" <= c <= "~" for c in key):
                raise _Refused(400, "Idempotency-Key", "is too long or not ASCII",
                               f"give up to {_LONGEST_KEY} letters")
            return jobs.submit(body, self.client_address[0], key)

        def _job(self, path: str) -> Job:
            self._check_token()
            job = jobs.get(path.removeprefix("/jobs/")) if path.startswith("/jobs/") else None
            if job is None:
                raise _Refused(404, "request", "is for nothing that is here", "go to /")
            return job

        def _check_token(self) -> None:
            given = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if token and not hmac.compare_digest(given.encode(), token.encode()):
                raise _Refused(401, "Authorization", "is missing or wrong", "give the server's token")

        def _answer(self, make: Callable[[], None]) -> None:
            try:
                make()
            except _Refused as refused:
                self._fail(refused.status, refused.error)
            except Conflict as error:
                self._fail(409, error)
            except TooMany as error:
                self._fail(429, error)
            except UserError as error:
                self._fail(400, error)
            except OSError:  # whoever asked has hung up
                raise
            except Exception as error:  # noqa: BLE001  # told here and there, and the page goes on
                say(f"a request failed ({type(error).__name__}: {error})")
                self._fail(500, UserError("repose app", "has a defect, see its terminal",
                                          "please report it"))

        def _fail(self, status: int, error: UserError) -> None:
            path = getattr(self, "path", "").partition("?")[0]
            more = {401: {"WWW-Authenticate": "Bearer"}, 405: {"Allow": allowed(path)},
                    429: {"Retry-After": "5"}, 503: {"Retry-After": "1"}}
            self._json(status, {"error": str(error)}, more.get(status))

        def _json(self, status: int, values: dict[str, Any],
                  more: dict[str, str] | None = None) -> None:
            # A request that could not be read has no headers.
            wanted = getattr(self, "headers", None) or {}
            if wanted.get("Accept-Language", "").strip().lower().startswith("ja"):
                values = answer_in_japanese(values)
            body = json.dumps(values, allow_nan=False).encode()
            self.reply(status, body, "application/json; charset=utf-8", more)

    server = listen(Handler, host, port, say)
    try:
        jobs = Jobs(lambda body, watch: service.paint(parse(PaintRequest, body), watch),
                    lambda body: service.steps(parse(PaintRequest, body)), folder, say)
    except UserError:
        server.server_close()
        raise
    server.on_close = jobs.close
    return server


def _view(jobs: Jobs, job: Job) -> dict[str, Any]:
    """What is told of a job."""
    found: dict[str, Any] = {"id": job.id, "state": job.state, "step": job.step, "steps": job.steps,
                             "ahead": jobs.ahead(job), "seconds_left": job.seconds_left}
    if (preview := job.preview) is not None:
        found["preview"] = base64.b64encode(encode_png(preview)).decode("ascii")
    if job.state == "done":
        found["answer"] = job.answer
    if job.state == "failed":
        found |= job.answer
    return found
