"""How near retargeting comes to the truth: the person's own body in the other's pose.

    python -m repose_jax.experiments.bench.retarget [--pairs 500] [--output FOLDER]

People of the renderer, whose bodies and poses are known apart. Of each pair, the source is one
person in a view, the donor another person in another view; the truth is the source's body with
the donor's joint angles, seen from the donor's side, at the source's scale (pixels per metre),
standing where the source stands. The error is the mean distance between the joints of the
retargeted pose and those of the truth, in heights of the picture, over the joints that the
donor's annotated pose knows; intervals are bootstraps over the sources' people. "placed" is the
error after both poses' centres were laid on each other: what is left is size and proportions.
"median" and "seen" are baselines that know nothing of foreshortening: the median ratio of the
lengths that both poses show, and bones of the ratios of the longest lengths that they show.
Writes a JSON to standard output, and with --output also tables and a picture of some pairs.

The constants of `pose/proportions.py` were chosen on seed 5.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image

from repose_jax.data.people.renderer import render
from repose_jax.data.people.standing import pixels_per_metre
from repose_jax.data.people.view import Identity, View, sample_identity, sample_view
from repose_jax.data.people.source import FIRST_TEST_IDENTITY
from repose_jax.evaluation.metrics.pose_accuracy import pose_error
from repose_jax.evaluation.statistics.bootstrap import Bootstrap
from repose_jax.pose.draw import draw_skeleton
from repose_jax.pose.proportions import MEASURES, seen_lengths
from repose_jax.pose.retarget import on_body, retarget
from repose_jax.pose.skeleton import SKELETONS, Skeleton

SIZE = (128, 64)
VIEWS = 4  # of each person, so that people and not pictures are resampled
WAYS = ("none", "median", "seen", "scale", "bones")
CASES = ("adults", "child in an adult's pose", "adult in a child's pose")


class Pairs(NamedTuple):
    """Poses in pixels; `persons` are the sources' people."""

    source: Float[np.ndarray, "n joints 3"]
    donor: Float[np.ndarray, "n joints 3"]
    truth: Float[np.ndarray, "n joints 2"]
    persons: np.ndarray


def child(identity: Identity, rng: np.random.Generator) -> Identity:
    """The person as a child of about 3 to 9 years: shorter, with a larger head and shorter legs.

    `body.head_scale` already lets the head shrink less than the stature. Legs are up to 8 % shorter
    and the trunk up to 8 % longer for it, about as sitting height changes with age.
    """
    height = rng.uniform(0.95, 1.35)
    grown = (height - 0.95) / 0.75
    return dataclasses.replace(identity, body=dataclasses.replace(
        identity.body, height=height, bust=0.0, legs=identity.body.legs * (0.92 + 0.08 * grown),
        trunk=identity.body.trunk * (1.08 - 0.08 * grown),
        shoulders=identity.body.shoulders * 0.95))


def truth(person: Identity, view: View, donor_view: View, skeleton: str) -> (
        Float[np.ndarray, "joints 2"]):
    """The source's body in the donor's pose, at the scale and on the spot of the source."""
    posed = render(person, donor_view, SIZE).true_joints[skeleton]
    now = render(person, view, SIZE).true_joints[skeleton]
    scale = pixels_per_metre(person, view, SIZE) / pixels_per_metre(person, donor_view, SIZE)
    names = SKELETONS[skeleton].joints
    hips, feet = ([names.index(f"{side}_{joint}") for side in ("right", "left")]
                  for joint in ("hip", "ankle"))
    posed = posed * scale
    across = now[hips, 0].mean() - posed[hips, 0].mean()
    return posed + [across, now[feet, 1].max() - posed[feet, 1].max()]


def make_pairs(count: int, case: str, skeleton: str, seed: int) -> Pairs:
    """Pairs of test people."""
    rows = []
    rng = np.random.default_rng([seed, CASES.index(case)])
    for number in range(count):
        first = FIRST_TEST_IDENTITY + 2 * (number // VIEWS)
        person, donor = (sample_identity(seed, first + i) for i in range(2))
        view, donor_view = (sample_view(seed, first + i, number % VIEWS) for i in range(2))
        if case == CASES[1]:
            person = child(person, rng)
        if case == CASES[2]:
            donor = child(donor, rng)
        rows.append((render(person, view, SIZE).annotated(skeleton),
                     render(donor, donor_view, SIZE).annotated(skeleton),
                     truth(person, view, donor_view, skeleton), first))
    return Pairs(*(np.stack(column) for column in zip(*rows, strict=True)))


def by(way: str, source: Float[np.ndarray, "n joints 3"], target: Float[np.ndarray, "n joints 3"],
       skeleton: Skeleton) -> Float[np.ndarray, "n joints 3"]:
    """The target poses retargeted in one of the `WAYS`."""
    if way not in ("median", "seen"):
        return retarget(source, target, skeleton, way).pose
    ours, theirs = (np.zeros((len(source), len(MEASURES))) for _ in range(2))
    for pose, longest in ((source, ours), (target, theirs)):
        for segment, length in seen_lengths(pose, skeleton):
            if (segment.measure, segment.end) != ("head", "nose") or "head_top" not in (
                    skeleton.joints):
                column = MEASURES.index(segment.measure)
                longest[:, column] = np.maximum(longest[:, column], length)
    both = (ours > 0) & (theirs > 0)
    ratios = np.where(both, ours, np.nan) / np.where(both, theirs, np.nan)
    size = np.array([np.median(row[~np.isnan(row)]) if (~np.isnan(row)).any() else 1.0
                     for row in ratios])
    ratios = np.where(both & (way == "seen"), ratios, size[:, None])
    return on_body(source, target, skeleton, size, ratios)


def errors(pairs: Pairs, pose: Float[np.ndarray, "n joints 3"]) -> tuple[np.ndarray, np.ndarray]:
    """Mean joint distances to the truth, [n], in heights: as they are, and with centres aligned."""
    wanted = np.concatenate([pairs.truth, pairs.donor[..., 2:]], axis=-1)

    def centred(x):
        known = pairs.donor[..., 2:] > 0
        centre = (x[..., :2] * known).sum(-2, keepdims=True) / known.sum(-2, keepdims=True)
        return np.concatenate([x[..., :2] - centre, x[..., 2:]], axis=-1)

    return (pose_error(pose, wanted, SIZE[0]),
            pose_error(centred(pose), centred(wanted), SIZE[0]))


def measure(pairs: Pairs, skeleton: Skeleton, noise: float, seed: int) -> dict:
    """Errors of every mode, and their change against "none", with intervals."""
    rng = np.random.default_rng([seed, 7])

    def read(pose):
        shake = rng.normal(0, noise * SIZE[0], pose[..., :2].shape) if noise else 0
        return np.concatenate([(pose[..., :2] + shake) * pose[..., 2:], pose[..., 2:]], axis=-1)

    source, donor = read(pairs.source), read(pairs.donor)
    found = {way: errors(pairs, by(way, source, donor, skeleton)) for way in WAYS}
    # A donor of whom nothing shows has no error.
    seen = np.isfinite(found["none"][0])
    bootstrap = Bootstrap(pairs.persons[seen])
    result = {"pairs": int(seen.sum()), "people": bootstrap.people}
    for way, (whole, placed) in found.items():
        whole, placed = whole[seen], placed[seen]
        result[way] = {
            "error": bootstrap.mean(whole), "placed": bootstrap.mean(placed),
            "change": bootstrap.relative(whole, found["none"][0][seen]),
            "placed_change": bootstrap.relative(placed, found["none"][1][seen])}
    result["bones_against_scale"] = bootstrap.relative(found["bones"][0][seen],
                                                       found["scale"][0][seen])
    result["bones_against_scale_placed"] = bootstrap.relative(found["bones"][1][seen],
                                                              found["scale"][1][seen])
    return result


def table(result: dict) -> str:
    """Markdown of the errors of one case, in heights."""
    def cell(interval, percent=False):
        value, low, high = (100 * x for x in interval) if percent else interval
        return (f"{value:+.0f} % [{low:+.0f}, {high:+.0f}]" if percent else
                f"{value:.4f} [{low:.4f}, {high:.4f}]")

    lines = ["| | error (heights) | change | size and proportions alone | change |",
             "|---|---|---|---|---|"]
    for way in WAYS:
        row = result[way]
        lines.append(f"| {way} | {cell(row['error'])} | {cell(row['change'], True)} | "
                     f"{cell(row['placed'])} | {cell(row['placed_change'], True)} |")
    return "\n".join(lines) + "\n"


def picture(pairs: Pairs, skeleton: Skeleton, rows: list[int]) -> Image.Image:
    """A row a pair: source, donor (which is also "none"), "scale", "bones", truth."""
    black, lines = np.zeros((*SIZE, 3), np.uint8), []
    for i in rows:
        known = pairs.donor[i, :, 2:]
        poses = [pairs.source[i], pairs.donor[i],
                 *(retarget(pairs.source[i], pairs.donor[i], skeleton, mode).pose
                   for mode in ("scale", "bones")),
                 np.concatenate([pairs.truth[i] * known, known], -1)]
        lines.append(np.concatenate([np.pad(draw_skeleton(black, pose, skeleton, upscale=3), (
            (2, 2), (2, 2), (0, 0)), constant_values=90) for pose in poses], axis=1))
    return Image.fromarray(np.concatenate(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--skeleton", choices=list(SKELETONS), default="openpose18")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=pathlib.Path, help="folder for tables and pictures")
    options = parser.parse_args()
    skeleton, result = SKELETONS[options.skeleton], {}
    for case in CASES:
        pairs = make_pairs(options.pairs, case, skeleton.name, options.seed)
        # An estimator's joints are off by about this much (docs/scores.md).
        result[case] = {f"joints off by {noise}": measure(pairs, skeleton, noise, options.seed)
                        for noise in (0.0, 0.02)}
        if options.output:
            options.output.mkdir(parents=True, exist_ok=True)
            (options.output / f"retarget-{CASES.index(case)}.md").write_text("\n".join(
                f"{case}, {noise}\n\n{table(row)}" for noise, row in result[case].items()))
            rows = list(range(0, min(6 * VIEWS, options.pairs), VIEWS))
            picture(pairs, skeleton, rows).save(
                options.output / f"retarget-{CASES.index(case)}.png")
    print(json.dumps({"seed": options.seed, "skeleton": skeleton.name, **result}, indent=1))


if __name__ == "__main__":
    main()
