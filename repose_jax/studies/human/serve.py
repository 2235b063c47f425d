"""Serves a study's page and keeps the answers that it posts, with the standard library alone.

Meant for a room or a network that is trusted: there is no encryption and nobody logs in.
"""

from __future__ import annotations

import http.server
import os
import pathlib
import threading
from collections.abc import Callable

from repose_jax.common.errors import UserError
from repose_jax.common.files import check_writable, write_whole
from repose_jax.studies.human.answers import parse_answers
from repose_jax.studies.human.key import read_key

_MOST_BYTES = 1 << 20
_SECONDS = 30
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

    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = _SECONDS

        def do_GET(self):
            if self.path.partition("?")[0] in ("/", "/index.html"):
                self._reply(200, content, "text/html; charset=utf-8")
            else:
                self._reply(404, b"there is no such page")

        def do_POST(self):
            length = self.headers.get("Content-Length", "")
            if self.path != "/answers" or not length.isdecimal() or int(length) > _MOST_BYTES:
                self.close_connection = True
                return self._reply(400, b"these are no answers")
            text = self.rfile.read(int(length))
            try:
                answers = parse_answers(text, key, "answers")
                with storing:
                    path = _place(folder / "answers", answers.participant)
                    write_whole(path, lambda file: file.write(text))
            except UserError as error:
                return self._reply(400, f"{error.what}; {error.mend}".encode())
            say(f"{answers.participant} answered: {path}")
            self._reply(200, b"stored")

        def _reply(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8"):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format, *args):
            """Requests are not told: addresses of participants are nobody's business."""

    try:
        # Threads, as browsers open connections ahead of need, which would keep others waiting.
        return http.server.ThreadingHTTPServer((host, port), Handler)
    except (OSError, OverflowError) as error:
        raise UserError(f"{host}:{port}", f"cannot be listened at ({error})",
                        "choose another --port") from None


def _place(folder: pathlib.Path, participant: str) -> pathlib.Path:
    name = f"answers-{participant}.json"
    if name.lower() in {path.name.lower() for path in folder.iterdir()}:
        raise UserError(name, f"the code {participant} has answered before",
                        "ask for a code of your own")
    return folder / name
