"""An acceptance check as one HTML page for people who do not code."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from repose_jax.evaluation.metrics.metric import facts
from repose_jax.pose.draw import draw_skeleton
from repose_jax.pose.skeleton import Skeleton
from repose_jax.studies.acceptance import CHECKS, Acceptance, Result, Thresholds

_HEIGHT = 192
_STYLE = """
:root{--ink:#1d2327;--pale:#f4f6f7;--line:#d9dee2;--good:#0a7d4f;--bad:#b3261e}
body{font:16px/1.55 system-ui,sans-serif;color:var(--ink);margin:2rem auto;padding:0 1rem;
max-width:72rem}h1{font-size:1.6rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin-top:2rem}
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
_QUESTIONS = {"pose_error": "Stands in the wanted pose", "identity": "Is the same person",
              "color": "Garment has its colour", "detail": "Garment keeps its detail"}


def _limit(name: str, limits: Thresholds) -> str:
    return {"pose_error": f"joints off by at most {100 * limits.pose_error:g} % of the height",
            "identity": f"likeness at least {limits.identity:g}",
            "color": f"colour difference at most {limits.color:g}",
            "detail": f"between {100 * limits.detail:g} and {100 * limits.detail_most:g} % of the "
                      "photo's detail"}[name]


def _found(name: str, value: float) -> str:
    if not math.isfinite(value):
        return "could not be judged"
    return {"pose_error": f"joints off by {100 * value:.1f} %", "identity": f"likeness {value:.2f}",
            "color": f"difference {value:.0f}", "detail": f"{100 * value:.0f} % of it"}[name]


def page(found: Acceptance, skeleton: Skeleton, title: str, command: str) -> str:
    """The page: the verdict, how often each check failed, and every result, failures first."""
    passed, total = sum(r.passed for r in found.results), found.asked
    verdict = "Accepted" if found.accepted else "Not accepted"
    refused = "" if not found.refused else (
        f" {found.lost} could not be painted and count as failed.")
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f'<p class="verdict {"yes" if found.accepted else "no"}"><strong>{verdict}.</strong> '
        f"{passed} of {total} pass, {found.share:.0%}; "
        f"{found.thresholds.share:.0%} were asked for.{refused}</p>",
        "<h2>What was checked</h2><table><tr><th>question</th><th>passes with</th>"
        "<th>failed</th></tr>" + "".join(
            f"<tr><td>{_QUESTIONS[name]}</td><td>{_limit(name, found.thresholds)}</td><td>"
            f"{_counted(found.results, name)}</td></tr>" for name in CHECKS) + "</table>",
        "<h2>The results, failures first</h2><div class=\"cards\">" + "".join(
            _card(result, found.thresholds, skeleton)
            for result in sorted(found.results, key=lambda r: -len(r.failed))) + "</div>"]
    if found.refused:
        parts.append("<h2>What could not be painted</h2><ul>" + "".join(
            f'<li class="bad">{html.escape(why)}</li>' for why in found.refused.values()) + "</ul>")
    parts.append(f"<h2>For the engineer</h2><p><code>{html.escape(command)}</code></p>"
                 + _facts(found))
    return ('<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
            f'content="width=device-width, initial-scale=1"><title>{html.escape(title)}</title>'
            f"<style>{_STYLE}</style></head>\n<body>" + "\n".join(parts) + "</body></html>\n")


def _counted(results: Sequence[Result], name: str) -> str:
    judged = [r for r in results if math.isfinite(r.values[name])]
    if not judged:
        return "not judged"
    missing = len(results) - len(judged)
    return f"{sum(name in r.failed for r in judged)} of {len(judged)}" + (
        f" ({missing} could not be judged)" if missing else "")


def _card(result: Result, limits: Thresholds, skeleton: Skeleton) -> str:
    pose = draw_skeleton(np.zeros_like(result.photo), result.target_pose, skeleton, upscale=2)
    pictures = (("photo", result.photo), ("wanted pose", pose), ("result", result.picture))
    shown = "".join(f'<figure><img alt="{name}" src="{_data(picture)}">{name}</figure>'
                    for name, picture in pictures)
    lines = "".join(
        f'<li class="{_kind(result, name)}">{_QUESTIONS[name]}: '
        f"{_found(name, result.values[name])}</li>" for name in CHECKS)
    more = "; ".join(_measured(name, value) for name, value in result.values.items()
                     if name not in CHECKS and math.isfinite(value))
    return (f'<div class="card{"" if result.passed else " bad"}"><h3>'
            f"{html.escape(result.source)} in the pose of {html.escape(result.pose)}</h3>"
            f'<div class="row">{shown}</div><ul>{lines}</ul>'
            + (f"<small>Also measured: {more}.</small>" if more else "") + "</div>")


def _measured(name: str, value: float) -> str:
    known = facts(name)
    return f"{html.escape(known.title)} {value:.{known.digits}f}"


def _kind(result: Result, name: str) -> str:
    if not math.isfinite(result.values[name]):
        return "none"
    return "bad" if name in result.failed else "good"


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
