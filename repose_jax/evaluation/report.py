"""The scores of a set of generated pictures, with intervals and conditions."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import math
import os
from collections.abc import Callable, Sequence

import jax
import numpy as np
from jaxtyping import Float, Shaped

from repose_jax.evaluation.baselines import as_unit
from repose_jax.evaluation.bootstrap import Bootstrap, Interval, Persons
from repose_jax.files import write_whole
from repose_jax.evaluation.l1 import l1
from repose_jax.evaluation.pose_accuracy import leaked, pck, pose_error
from repose_jax.evaluation.psnr import psnr
from repose_jax.evaluation.ssim import gaussian_ssim, uniform_ssim
from repose_jax.evaluation.torso_color import SHRINK, torso_color
from repose_jax.pose.skeleton import Skeleton

_AT_ONCE = 64
_UNIFORM_WINDOWS = (7, 11, 51)
_GAUSSIAN_WINDOW = 11
_PACKAGES = ("repose_jax", "jax", "numpy", "pillow")
_DIGITS = {"psnr": 2}


def _jsonable(value):
    if isinstance(value, Interval):
        return _jsonable(value._asdict())
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no NaN
    return value


def write_json(path: str | os.PathLike[str], content: dict) -> None:
    """Writes numbers and intervals as JSON, whole or not at all; what is not finite as null."""
    text = json.dumps(_jsonable(content), indent=2, ensure_ascii=False) + "\n"
    write_whole(path, lambda file: file.write(text.encode()))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """Scores of one way to make the pictures.

    Attributes:
      name: of the model or baseline.
      scores: by name, in the order in which they are shown.
      conditions: pictures, people, seed, versions, definitions.
    """

    name: str
    scores: dict[str, Interval]
    conditions: dict

    def to_dict(self) -> dict:
        """Name, scores and conditions, ready for JSON."""
        return _jsonable(dataclasses.asdict(self) | {"scores": dict(self.scores)})

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes the report as JSON; UserError where that is not possible."""
        write_json(path, self.to_dict())


def markdown(reports: Sequence[Report]) -> str:
    """A Markdown table, a row a report; brackets hold the confidence intervals.

    Raises:
      ValueError: if the reports are not of the same scores and conditions.
    """
    if not reports:
        raise ValueError("no report to show")
    names, conditions = list(reports[0].scores), reports[0].conditions
    if any(list(r.scores) != names for r in reports):
        raise ValueError("reports of different scores do not fit one table")
    if any((r.conditions["pictures"], r.conditions["people"])
           != (conditions["pictures"], conditions["people"]) for r in reports):
        raise ValueError("reports on different pictures do not fit one table")

    def text(name, interval):
        value, low, high = (f"{x:.{_DIGITS.get(name, 4)}f}" for x in interval)
        return f"{value} [{low}, {high}]"

    lines = ["| | " + " | ".join(n.replace("_", " ") for n in names) + " |",
             "|---" * (1 + len(names)) + "|"]
    for report in reports:
        cells = [report.name, *(text(n, report.scores[n]) for n in names)]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", f"{conditions['pictures']} pictures of {conditions['people']} people; in "
              f"brackets the {100 * conditions['level']:g} % bootstrap interval over people."]
    return "\n".join(lines) + "\n"


def _per_picture(metric, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A metric on all pictures, in equal parts so that it compiles once."""
    step = min(_AT_ONCE, len(a))
    values = []
    for start in range(0, len(a), step):
        part = np.arange(start, start + step) % len(a)
        values.append(np.asarray(metric(a[part], b[part]), np.float64))
    return np.concatenate(values)[:len(a)]


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"  # run from a source tree
    return found


def evaluate_pairs(
    generated: Shaped[np.ndarray, "n height width 3"],
    targets: Shaped[np.ndarray, "n height width 3"],
    sources: Shaped[np.ndarray, "n height width 3"],
    source_poses: Float[np.ndarray, "n joints 3"],
    target_poses: Float[np.ndarray, "n joints 3"],
    persons: Persons,
    skeleton: Skeleton,
    *,
    name: str = "model",
    read_poses: Callable[[np.ndarray], np.ndarray] | None = None,
    seed: int = 0,
    resamples: int = 2000,
    level: float = 0.95,
) -> Report:
    """Scores generated pictures against the real ones.

    Args:
      generated, targets, sources: uint8 or [0, 1].
      source_poses, target_poses: in pixels of these pictures.
      persons: whose pair each is, [N].
      skeleton: of the poses.
      name: of what made the pictures.
      read_poses: uint8 pictures to the poses in them; None leaves the scores of poses out.
      seed, resamples, level: of the intervals.

    Returns:
      gaussian_ssim, ssim_7, ssim_11, ssim_51, psnr, l1 (all against the target), and
      torso_correlation and torso_box_correlation between source and generated picture, with
      torso_correlation_real, the same between source and real target, to judge them by; with
      `read_poses` also pose_error, pck_5, pck_10 and leakage.
      What could not be measured is NaN, and `conditions["left_out"]` says why.
    """
    generated, targets, sources = as_unit(generated), as_unit(targets), as_unit(sources)
    persons = np.asarray(persons)
    if not generated.shape == targets.shape == sources.shape or len(persons) != len(generated):
        raise ValueError(f"{generated.shape} generated, {targets.shape} target, {sources.shape} "
                         f"source pictures and {len(persons)} persons do not belong together")
    options = {"resamples": resamples, "level": level, "seed": seed}
    everyone = Bootstrap(persons, **options)
    scores, left_out = {}, []
    nothing = Interval(math.nan, math.nan, math.nan)
    side = min(generated.shape[1:3])

    def windowed(label, window, metric):
        if window > side:
            scores[label] = nothing
            left_out.append(f"{label}: a window of {window} does not fit a side of {side}")
        else:
            scores[label] = everyone.mean(_per_picture(metric, generated, targets))

    windowed("gaussian_ssim", _GAUSSIAN_WINDOW, gaussian_ssim)
    for window in _UNIFORM_WINDOWS:
        windowed(f"ssim_{window}", window, lambda a, b, w=window: uniform_ssim(a, b, size=w))

    decibels = _per_picture(psnr, generated, targets)
    finite = np.isfinite(decibels)
    if not finite.all():
        left_out.append(f"psnr: {int((~finite).sum())} pictures identical to their target")
    scores["psnr"] = (Bootstrap(persons[finite], **options).mean(decibels[finite])
                      if finite.any() else nothing)
    scores["l1"] = everyone.mean(_per_picture(l1, generated, targets))

    for label, region, images in (
            ("torso_correlation", "quadrilateral", generated),
            ("torso_correlation_real", "quadrilateral", targets),
            ("torso_box_correlation", "box", generated),
            ("torso_box_correlation_real", "box", targets)):
        a, a_valid = torso_color(sources, source_poses, skeleton, region=region)
        b, b_valid = torso_color(images, target_poses, skeleton, region=region)
        valid = a_valid & b_valid
        if valid.sum() < 3:
            scores[label] = nothing
        else:
            scores[label] = Bootstrap(persons[valid], **options).correlation(a[valid], b[valid])
        if not valid.all():
            left_out.append(f"{label}: {int((~valid).sum())} pairs without a visible torso")

    if read_poses is not None:
        height = generated.shape[1]
        found = read_poses((generated * 255 + 0.5).astype(np.uint8))
        for label, values in (
                ("pose_error", pose_error(found, target_poses, height)),
                ("pck_5", pck(found, target_poses, height, 0.05)),
                ("pck_10", pck(found, target_poses, height, 0.10)),
                ("leakage", leaked(found, target_poses, source_poses, height))):
            known = np.isfinite(values)
            scores[label] = (Bootstrap(persons[known], **options).mean(values[known])
                             if known.any() else nothing)
            if not known.all():
                left_out.append(f"{label}: {int((~known).sum())} pairs without a joint to compare")

    return Report(name=name, scores=scores, conditions={
        "pictures": everyone.pictures, "people": everyone.people, **options,
        "size": list(generated.shape[1:3]), "skeleton": skeleton.name,
        "torso_shrink": SHRINK, "range": "[0, 1]", "left_out": left_out,
        "backend": jax.default_backend(), "versions": _versions()})
