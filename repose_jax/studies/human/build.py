"""Writes a study: one page that needs no other file, and the key that stays at home.

What could give a method away does not reach the page. Every picture is decoded, brought to one size
and encoded anew without metadata; ids are dealt at random; names stay in the key.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import importlib.resources
import io
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from repose_jax.common.errors import UserError
from repose_jax.common.files import check_writable, write_content
from repose_jax.common.ranges import Range, Seed, check_fields
from repose_jax.data.image.files import read_image
from repose_jax.studies.human.key import Entry, Key, Option, read_key
from repose_jax.studies.human.question import Picture, Question

_TILES = (8, 4)
_Side = Annotated[int, Range(16, 4096)]  # of the page's pictures, in pixels


@dataclasses.dataclass(frozen=True, kw_only=True)
class PageOptions:
    """How the page asks.

    Attributes:
      seconds: for which a picture is shown that is to be judged real or generated.
      size: (height, width) in pixels to which all pictures are resized; None demands that they
        are of one size.
      consent: paragraphs shown above the box to tick; None takes the page's own.
      seed: of ids and scramblings.
    """

    seconds: Annotated[float, Range(0.05, 60)] = 1.0
    size: tuple[_Side, _Side] | None = None
    consent: str | None = None
    seed: Seed = 0

    def __post_init__(self):
        check_fields(self)


def build(questions: Sequence[Question], methods: Sequence[str], folder: str | os.PathLike[str],
          options: PageOptions = PageOptions()) -> pathlib.Path:
    """Writes `index.html` and `key.json`.

    Args:
      questions: to ask.
      methods: whose results are in them.
      folder: gets the files.
      options: how to ask.

    Returns:
      The page.

    Raises:
      UserError: a picture cannot be read or is of another size, the folder cannot be written or
        holds another study.
    """
    folder = pathlib.Path(folder)
    rng = np.random.default_rng([options.seed, 99])
    pictures = list(dict.fromkeys(p for q in questions for p in (*q.references, *q.options)))
    ids = dict(zip(pictures, _deal("p", len(pictures), rng)))
    numbers = _deal("q", len(questions), rng)
    encoded, size = _encode(pictures, ids, options)
    asked = [{"id": number, "kind": q.kind, "references": [ids[p] for p in q.references],
              "options": sorted(ids[p] for p in q.options)}
             for number, q in sorted(zip(numbers, questions))]
    content = {"kinds": list(dict.fromkeys(q.kind for q in questions)),
               "seconds": options.seconds, "size": size, "consent": options.consent,
               "questions": asked, "pictures": dict(sorted(encoded.items()))}
    study = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    key = Key(study, tuple(methods), {
        number: Entry(q.kind, q.check, q.pair, {
            ids[p]: Option(p.origin, p.method, p.file.name) for p in q.options})
        for number, q in sorted(zip(numbers, questions))},
        dataclasses.asdict(options) | {"size": size})
    if (folder / "key.json").exists() and read_key(folder).study != study:
        raise UserError(folder, "holds another study, answers to which may be under way",
                        "choose another folder, or delete that one")
    page = _page({"study": study} | content)
    check_writable(folder)
    key.write(folder / "key.json")
    write_content(folder / "index.html", page)
    return folder / "index.html"


def _deal(letter: str, count: int, rng: np.random.Generator) -> list[str]:
    """Ids of one length, in random order."""
    width = len(str(count))
    return [f"{letter}{i + 1:0{width}}" for i in rng.permutation(count)]


def _encode(pictures: Sequence[Picture], ids: dict[Picture, str], options: PageOptions
            ) -> tuple[dict[str, str], tuple[int, int]]:
    """The pictures as data URIs by id, and their (height, width)."""
    encoded, first = {}, pictures[0].file
    size = options.size or (0, 0)
    for picture in pictures:
        image = read_image(picture.file)
        if options.size is None:
            if picture is pictures[0]:
                size = image.shape[0], image.shape[1]
            if image.shape[:2] != size:
                raise UserError(
                    picture.file, f"is {image.shape[0]}x{image.shape[1]}, {first} is "
                    f"{size[0]}x{size[1]}: the size would tell them apart",
                    "give --size HEIGHT WIDTH to resize all")
        elif image.shape[:2] != size:
            image = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.LANCZOS))
        if picture.origin == "scrambled":
            # Of the id, so that one file's scramblings differ.
            number = int(ids[picture][1:])
            image = _scramble(image, np.random.default_rng([options.seed, number]))
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, format="PNG", optimize=True)
        encoded[ids[picture]] = ("data:image/png;base64,"
                                 + base64.b64encode(buffer.getvalue()).decode())
    return encoded, (size[0], size[1])


def _scramble(image: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator
              ) -> UInt8[np.ndarray, "h w 3"]:
    """The picture's tiles in random order; rows and columns beyond whole tiles stay."""
    (rows, columns), result = _TILES, image.copy()
    h, w = image.shape[0] // rows, image.shape[1] // columns
    tiles = [np.s_[r * h:(r + 1) * h, c * w:(c + 1) * w]
             for r in range(rows) for c in range(columns)]
    for to, taken in zip(tiles, rng.permutation(len(tiles))):
        result[to] = image[tiles[taken]]
    return result


def _page(content: dict) -> str:
    """The template with style, script and content in their places."""
    parts = importlib.resources.files("repose_jax.studies.human") / "page"
    html, style, script = (
        (parts / f"study.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))
    # "<" would end the script element early if a text held "</script>".
    data = json.dumps(content, ensure_ascii=False).replace("<", "\\u003c")
    return (html.replace("/*style*/", style).replace("/*script*/", script)
            .replace("/*content*/", data))
