"""An acceptance check as one HTML page for people who do not code."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from repose_jax.evaluation.metrics.metric import facts
from repose_jax.pose.draw import draw_skeleton
from repose_jax.pose.skeleton import Skeleton
from repose_jax.studies.acceptance_limits import CHECKS
from repose_jax.studies.acceptance_results import Acceptance, Result
from repose_jax.studies.acceptance_words import Language, bounds, counted, shown, state, word

_HEIGHT = 192
_STYLE = """
:root{--ink:#1d2327;--pale:#f4f6f7;--line:#d9dee2;--good:#0a7d4f;--bad:#b3261e}
body{font:16px/1.55 system-ui,"Noto Sans CJK JP",sans-serif;color:var(--ink);margin:2rem auto;
padding:0 1rem;max-width:72rem}
h1{font-size:1.6rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin-top:2rem}
.verdict{font-size:1.15rem;padding:.8rem 1.1rem;border-left:.4rem solid;background:var(--pale)}
.yes{border-color:var(--good)}.no{border-color:var(--bad)}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(21rem,1fr));gap:1rem}
.card{border:1px solid var(--line);border-top:.25rem solid var(--good);padding:.7rem}
.card.bad{border-top-color:var(--bad)}.card h3{font-size:.9rem;margin:0 0 .5rem;
overflow-wrap:anywhere}.row{display:flex;gap:.4rem}figure{margin:0;font-size:.75rem}
img{height:10rem;display:block}ul{list-style:none;padding:0;margin:.6rem 0 0;font-size:.88rem}
li::before{content:"\\2713\\00a0";color:var(--good);font-weight:700}
li.bad::before{content:"\\2717\\00a0";color:var(--bad)}li.none::before{content:"\\2013\\00a0"}
table{border-collapse:collapse}td,th{padding:.3rem .8rem;border-bottom:1px solid var(--line);
text-align:left}code{background:var(--pale);padding:.1rem .3rem;overflow-wrap:anywhere}
"""


def page(found: Acceptance, skeleton: Skeleton, command: str, language: Language = "en") -> str:
    """The page: the verdict, how often each check failed, and every result, failures first.

    Args:
      found: what came of the check.
      skeleton: of the poses.
      command: that made it, for engineers.
      language: of the page; notes and errors of the library are English.
    """
    say = _Say(language)
    title = say("report.title", model=found.facts["model"]["name"])
    verdict, kind = ("verdict.yes", "yes") if found.accepted else ("verdict.no", "no")
    lost = "" if not found.refused else " " + say("verdict.lost", lost=found.lost)
    parts = [
        f"<h1>{title}</h1>",
        f'<p class="verdict {kind}"><strong>{say(verdict)}</strong> '
        + say("verdict.line", passed=found.passed, total=found.asked, share=f"{found.share:.0%}",
              wanted=f"{found.thresholds.share:.0%}") + f"{lost}</p>",
        f"<h2>{say('report.checked')}</h2><table><tr><th>{say('report.question')}</th>"
        f"<th>{say('report.passes')}</th><th>{say('report.failed')}</th></tr>" + "".join(
            f"<tr><td>{say(f'check.{name}')}</td>"
            f"<td>{say(f'limit.{name}', **bounds(name, found.thresholds))}</td>"
            f"<td>{_counted(found.results, name, say)}</td></tr>" for name in CHECKS) + "</table>",
        f"<h2>{say('report.results')}</h2><div class=\"cards\">" + "".join(
            _card(result, skeleton, say)
            for result in sorted(found.results, key=lambda r: -len(r.failed))) + "</div>"]
    if found.refused:
        parts.append(f"<h2>{say('report.unpainted')}</h2><ul>" + "".join(
            f'<li class="bad">{html.escape(why)}</li>' for why in found.refused.values()) + "</ul>")
    parts.append(f"<h2>{say('report.engineer')}</h2><p><code>{html.escape(command)}</code></p>"
                 + _facts(found))
    return (f'<!doctype html>\n<html lang="{language}"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>" + "\n".join(parts)
            + "</body></html>\n")


class _Say:
    """Texts of a language, escaped, as are the values in them."""

    def __init__(self, language: Language):
        self._language: Language = language

    def __call__(self, key: str, **values: object) -> str:
        return html.escape(word(self._language, key, **values))


def _counted(results: Sequence[Result], name: str, say: _Say) -> str:
    count = counted(results, name)
    if not count["judged"]:
        return say("count.none")
    return say("count.some", **count) + (
        " " + say("count.missing", **count) if count["missing"] else "")


def _card(result: Result, skeleton: Skeleton, say: _Say) -> str:
    pictures = (("photo", result.photo), ("pose", drawn_pose(result, skeleton)),
                ("result", result.picture))
    shown_ = "".join(f'<figure><img alt="{say(f"report.{name}")}" src="{_data(picture)}">'
                     f'{say(f"report.{name}")}</figure>' for name, picture in pictures)
    lines = "".join(
        f'<li class="{state(result, name)}">{say(f"check.{name}")}: '
        f"{_found(name, result, say)}</li>" for name in CHECKS)
    more = "; ".join(_measured(name, value) for name, value in result.values.items()
                     if name not in CHECKS and math.isfinite(value))
    return (f'<div class="card{"" if result.passed else " bad"}"><h3>'
            f"{say('report.pair', source=result.source, pose=result.pose)}</h3>"
            f'<div class="row">{shown_}</div><ul>{lines}</ul>'
            + (f"<small>{say('report.also', more=more)}</small>" if more else "") + "</div>")


def drawn_pose(result: Result, skeleton: Skeleton) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The wanted pose on black, twice as large as the picture."""
    return draw_skeleton(np.zeros_like(result.photo), result.target_pose, skeleton, upscale=2)


def _found(name: str, result: Result, say: _Say) -> str:
    value = shown(name, result.values[name])
    return say(f"found.{name}", value=value) if value else say("found.none")


def _measured(name: str, value: float) -> str:
    known = facts(name)
    return f"{known.title} {value:.{known.digits}f}"


def _data(picture: np.ndarray) -> str:
    image = Image.fromarray(picture)
    image = image.resize((max(1, round(image.width * _HEIGHT / image.height)), _HEIGHT),
                         Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _facts(found: Acceptance) -> str:
    return "<table>" + "".join(
        f"<tr><th>{html.escape(str(key))}</th><td>{html.escape(str(value))}</td></tr>"
        for key, value in found.facts.items()) + "</table>"
