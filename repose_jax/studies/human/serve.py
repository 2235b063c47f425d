"""Serves a study's page and keeps the answers that it posts; whom it trusts: `common/local_server`."""

from __future__ import annotations

import os
import pathlib
import threading
from collections.abc import Callable

from repose_jax.common.errors import UserError
from repose_jax.common.files import check_writable, write_content
from repose_jax.common.local_server import LocalHandler, LocalServer, listen
from repose_jax.studies.human.answers import parse_answers
from repose_jax.studies.human.key import read_key

_MOST_BYTES = 1 << 20
_META = '<meta name="answers-to" content="{}">'


def make_server(folder: str | os.PathLike[str], host: str, port: int,
                say: Callable[[str], None]) -> LocalServer:
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

    class Handler(LocalHandler):
        def do_GET(self):
            if not self.is_for_us():
                self.reply(403, b"this is another machine")
            elif self.path.partition("?")[0] in ("/", "/index.html"):
                self.reply(200, content, "text/html; charset=utf-8")
            else:
                self.reply(404, b"there is no such page")

        def do_POST(self):
            length = self.length(_MOST_BYTES)
            if self.path != "/answers" or length is None:
                self.close_connection = True
                return self.reply(400, b"these are no answers")
            if not self.is_for_us() or not self.is_of_the_page():
                self.close_connection = True
                return self.reply(403, b"answers are taken from the study's own page alone")
            text = self.body(length)
            try:
                answers = parse_answers(text, key, "answers")
                with storing:
                    path = _place(folder / "answers", answers.participant)
                    write_content(path, text)
            except UserError as error:
                return self.reply(400, f"{error.what}; {error.mend}".encode())
            except OSError as error:
                say(f"answers could not be stored ({error})")
                return self.reply(500, b"they could not be stored; tell the experimenter")
            say(f"{answers.participant} answered: {path}")
            self.reply(200, b"stored")

    return listen(Handler, host, port, say)


def _place(folder: pathlib.Path, participant: str) -> pathlib.Path:
    name = f"answers-{participant}.json"
    if name.lower() in {path.name.lower() for path in folder.iterdir()}:
        raise UserError(name, f"the code {participant} has answered before",
                        "ask for a code of your own")
    return folder / name
