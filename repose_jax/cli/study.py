"""`repose study build`, `repose study serve` and `repose study score`."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Annotated, Literal

import tyro

from repose_jax.cli.terminal import parse, say
from repose_jax.common.errors import UserError
from repose_jax.common.ranges import Natural, Positive, Range, Seed, Side, Weight


@dataclasses.dataclass(frozen=True)
class StudyBuildOptions:
    """Make a page that asks people about pictures, and its key; give away the page alone.

    Attributes:
      images: NAME=FOLDER of each method's results, named SOURCE_2_TARGET.png (or .jpg, or
        SOURCE_2_TARGET_vis) as PIDM and CFLD publish theirs.
      real: folder of the real target pictures.
      pairs: CSV of lines from,to: the file names of source and target.
      output: folder that gets index.html and key.json.
      sources: folder of the source pictures; by default that of the real ones.
      kind: what is asked, one or several: is a picture real or generated, which result is the
        best of all methods, which of two is better.
      questions: how many of each kind.
      checks: attention checks of each kind, with an obvious answer.
      seconds: for which a picture is shown that is to be judged real or generated.
      size: height and width in pixels that all pictures are resized to; needed where they differ.
      consent: text file shown to participants before they agree, in place of the page's own text.
      seed: of the draw.
    """

    images: tuple[str, ...]
    real: pathlib.Path
    pairs: pathlib.Path
    output: pathlib.Path
    sources: pathlib.Path | None = None
    kind: tuple[Literal["real-or-generated", "best", "pair"], ...] = ("real-or-generated",)
    questions: Positive = 30
    checks: Natural = 0
    seconds: Weight = 1.0
    size: tuple[Side, Side] | None = None
    consent: pathlib.Path | None = None
    seed: Seed = 0


def study_build(argv: Sequence[str]) -> int:
    """Make a page that asks people about pictures, and its key."""
    options = parse(StudyBuildOptions, "study build", argv)
    from repose_jax.pose.formats import read_text
    from repose_jax.studies.human.build import PageOptions, build
    from repose_jax.studies.human.draw import Material, draw_questions

    methods = parse_methods(options.images)
    if not options.kind:
        raise UserError("kind", "is none", "give one or more")
    page_options = PageOptions(
        seconds=options.seconds, size=options.size, seed=options.seed,
        consent=None if options.consent is None else read_text(options.consent))
    material = Material.open(options.pairs, methods, options.real, options.sources)
    questions = draw_questions(material, options.kind, options.questions, options.checks,
                               options.seed)
    page = build(questions, list(methods), options.output, page_options)
    say(f"wrote {page}, {page.stat().st_size / 1e6:.1f} MB, {len(questions)} questions: "
        "give it to participants")
    say(f"wrote {page.with_name('key.json')}: keep it to yourself")
    return 0


def parse_methods(words: Sequence[str]) -> dict[str, pathlib.Path]:
    """Folders by method of NAME=FOLDER words.

    Raises:
      UserError: for a word that is none, or a name that comes twice.
    """
    methods = {}
    for word in words:
        name, equals, folder = word.partition("=")
        if not equals or not name.strip() or not folder:
            raise UserError(word, "is no method", "give NAME=FOLDER")
        if "|" in name or not name.isprintable():
            raise UserError(word, "has a name that a table cannot hold", "choose another name")
        if name in methods:
            raise UserError(word, f"names {name} twice", "give each method a name of its own")
        methods[name] = pathlib.Path(folder)
    if not methods:
        raise UserError("images", "are none", "give NAME=FOLDER for one or more methods")
    return methods


@dataclasses.dataclass(frozen=True)
class StudyServeOptions:
    """Serve a study's page and keep the answers in its folder; for a trusted network.

    Attributes:
      study: folder that `repose study build` wrote.
      host: address to listen at; 0.0.0.0 lets other machines in.
      port: to listen at.
    """

    study: tyro.conf.Positional[pathlib.Path]
    host: str = "127.0.0.1"
    port: Annotated[int, Range(0, 65535)] = 8000


def study_serve(argv: Sequence[str]) -> int:
    """Serve a study's page and keep the answers in its folder."""
    options = parse(StudyServeOptions, "study serve", argv)
    from repose_jax.studies.human.serve import make_server

    with make_server(options.study, options.host, options.port, say) as server:
        say(f"http://{options.host}:{server.server_port}/ (Ctrl-C stops)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("stopped")
    return 0


@dataclasses.dataclass(frozen=True)
class StudyScoreOptions:
    """Score the answers to a study: R2G, G2R, accuracy, Jab and preferences, with intervals.

    Attributes:
      study: folder that `repose study build` wrote.
      answers: files that participants sent.
      output: scores as JSON; Markdown tables are written beside it.
      failed_checks: attention checks that a participant may fail and still count.
      seed: of the intervals.
    """

    study: tyro.conf.Positional[pathlib.Path]
    answers: tuple[pathlib.Path, ...]
    output: pathlib.Path
    failed_checks: Natural = 0
    seed: Seed = 0


def study_score(argv: Sequence[str]) -> int:
    """Score the answers to a study, with intervals."""
    options = parse(StudyScoreOptions, "study score", argv)
    from repose_jax.common.files import check_writable, write_content
    from repose_jax.evaluation.report.report import write_json
    from repose_jax.studies.human.answers import read_answers
    from repose_jax.studies.human.key import read_key
    from repose_jax.studies.human.score import markdown, score

    if options.output.suffix != ".json":
        raise UserError(options.output, "is not the name of a JSON file", "let it end in .json")
    key = read_key(options.study)
    scores = score(key, read_answers(options.answers, key), failed_checks=options.failed_checks,
                   seed=options.seed)
    check_writable(options.output.parent)
    table = markdown(scores)
    write_json(options.output, {
        "study": key.study, "settings": key.settings,
        "command": "repose study score " + " ".join(argv), **scores.to_dict()})
    write_content(options.output.with_suffix(".md"), table)
    say(table)
    say(f"wrote {options.output}")
    return 0
