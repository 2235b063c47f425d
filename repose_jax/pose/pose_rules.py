"""What the numbers of a pose file mean: missing joints, confidences, units and sizes.

The one place where these are decided, for every format (docs/poses.md has the table). A stated fact
beats a guess, joints that are missing have no vote, and what stays ambiguous is refused.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

from repose_jax.pose.named_poses import NamedPoses
from repose_jax.pose.people import MIN_CONFIDENCE, MIN_JOINTS
from repose_jax.pose.raw_poses import RawFile
from repose_jax.pose.skeleton import OPENPOSE18

Size = tuple[int, int]
# Fractions of a picture lie about 0 to 1, of people who reach out of it a little beyond.
_NEAR = (-1.0, 2.0)
_MOST = 0.75  # of the joints must agree on a unit
_TINY = 8.0  # nobody is so small in pixels
# Above 1 by so much a confidence is one all the same, as some detectors write them.
_CONFIDENT = 1.5
_FRAME_OFFSET, _FRAME = np.array([40, 0]), np.array([176, 256])  # of PIDM's text


def settle(raw: RawFile, *, size: Size | None = None,
           size_of: Callable[[str], Size | None] | None = None,
           min_confidence: float | None = None) -> NamedPoses:
    """Decides what a file says.

    Args:
      raw: the file.
      size: (height, width) of the picture at hand, for people whose file tells none.
      size_of: the same by the name of the picture, asked only where fractions need it.
      min_confidence: joints below it are missing; None takes `MIN_CONFIDENCE`, and for our own
        format whatever is above 0.

    Returns:
      The poses in pixels; people who cannot be used have a fault.
    """
    people = raw.people
    skeleton = next((p.skeleton for p in people if p.skeleton is not None), OPENPOSE18)
    faults = {i: p.fault for i, p in enumerate(people) if p.fault}
    values = np.zeros((len(people), len(skeleton), 3))
    for i, person in enumerate(people):
        if person.values is not None and person.skeleton == skeleton:
            values[i] = person.values
        elif person.values is not None and person.skeleton is not None:
            faults[i] = f"has {person.skeleton.name} in {person.name}, {skeleton.name} before it"
    notes: dict[int, list[str]] = {}
    xy, known = values[..., :2], _marked(values, notes)
    seen, confidence = _confidences(values[..., 2], known, faults)
    if min_confidence is None:
        min_confidence = 0.0 if raw.decided else MIN_CONFIDENCE
    doubted = seen & (confidence < min_confidence)
    for i in _rows(np.any(doubted, axis=1)):
        notes.setdefault(i, []).append(
            f"{doubted[i].sum()} joints of a confidence below {min_confidence:g} left out")
    known = seen & ~doubted
    unit = raw.unit or _unit(xy, known, faults)
    if raw.unit == "frame" and _near(xy, known)[known.any(1)].any():
        faults[0] = "has fractions where PIDM's text has pixels of a frame of 256x256"
    sizes, moved = [], np.zeros_like(xy)
    for i, person in enumerate(people):
        own = person.size or size
        if own is None and unit != "pixels" and size_of is not None:
            own = size_of(person.picture)
        sizes.append(person.size if unit == "pixels" else own)
        if unit != "pixels" and own is None and known[i].any():
            faults.setdefault(i, f"has {unit} of its picture's sides and does not tell the picture's "
                              "size (JSON: image_height and image_width)")
        moved[i] = _pixels(xy[i], unit, own or (1, 1)) - raw.offset
    bad = np.array([i in faults for i in range(len(people))], bool).reshape(-1, 1)
    known = known & ~bad
    poses = np.concatenate([moved, confidence[..., None]], -1) * known[..., None]
    return NamedPoses(
        poses=poses.astype(np.float32), names=tuple(p.name for p in people), skeleton=skeleton,
        sizes=tuple(sizes), pictures=tuple(p.picture for p in people), format=raw.format, unit=unit,
        notes={i: tuple(said) for i, said in notes.items()}, faults=faults)


def _rows(chosen: Bool[np.ndarray, "n"]) -> list[int]:
    return np.flatnonzero(chosen).tolist()


def _marked(values: Float[np.ndarray, "n joints 3"],
            notes: dict[int, list[str]]) -> Bool[np.ndarray, "n joints"]:
    """Which joints their coordinates do not mark as missing: by -1, -1, or by 0, 0.

    0, 0 marks joints as missing in all of a file where two joints of one person have it; a single
    one may lie in the corner, and is noted.
    """
    xy, claimed = values[..., :2], values[..., 2] != 0
    missing = (xy == -1).all(-1)
    corner = (xy == 0).all(-1) & claimed & ~missing
    if (corner.sum(1) >= 2).any():
        for i in _rows(corner.any(1)):
            notes.setdefault(i, []).append(
                f"{corner[i].sum()} joints at exactly 0, 0 taken to be missing")
        missing = missing | corner
    else:
        for i in _rows(corner.any(1)):
            notes.setdefault(i, []).append("one joint at exactly 0, 0 is taken to be there")
    return claimed & ~missing


def _confidences(
    third: Float[np.ndarray, "n joints"], known: Bool[np.ndarray, "n joints"], faults: dict[int, str],
) -> tuple[Bool[np.ndarray, "n joints"], Float[np.ndarray, "n joints"]]:
    """Which joints are claimed, and their confidences; third numbers 0, 1 and 2 are flags."""
    if np.isin(third[known], (0, 1, 2)).all():
        return known, known * 1.0
    for i in _rows(np.any((third < 0) | (known & (third > _CONFIDENT)), axis=1)):
        wrong = third[i][(third[i] < 0) | (third[i] > _CONFIDENT)][0]
        faults.setdefault(i, f"has a visibility outside of 0 to 1 ({wrong:g}), which is no flag 0, 1 "
                          "or 2 either")
    return known & (third > 0), third.clip(0, 1)


def _near(xy: Float[np.ndarray, "n joints 2"],
          known: Bool[np.ndarray, "n joints"]) -> Float[np.ndarray, "n"]:
    """Part of each person's known joints that lie about the unit square; 0 where none is known."""
    near = ((xy >= _NEAR[0]) & (xy <= _NEAR[1])).all(-1) & known
    return near.sum(1) / np.maximum(known.sum(1), 1)


def _unit(xy: Float[np.ndarray, "n joints 2"], known: Bool[np.ndarray, "n joints"],
          faults: dict[int, str]) -> str:
    """The unit of a file that states none: what most of its known joints agree on."""
    share, count = _near(xy, known), known.sum(1)
    there = np.where(known[..., None], xy, 0)
    # Whole numbers are pixels, as fractions would be 0 and 1 alone.
    whole = (there == np.round(there)).all((1, 2)) & (there > 1).any((1, 2))
    # A person of a few pixels in the very corner is none, but part of a close view in fractions.
    small = (np.abs(there) <= _TINY).all((1, 2)) & (share > 1 - _MOST)
    fractions = ((share >= _MOST) | small) & ~whole
    pixels = ((share <= 1 - _MOST) & ~small) | whole
    votes = [count[fractions & (count > 0)].sum(), count[pixels].sum()]
    for i in _rows(~fractions & ~pixels & (votes[0] == votes[1])):
        faults.setdefault(i, "has coordinates that could be pixels or fractions of the picture "
                          "(JSON: state \"unit\": \"pixels\" or \"fractions\")")
    unit = "fractions" if votes[0] > votes[1] else "pixels"
    other = pixels if unit == "fractions" else fractions
    for i in _rows(other & (count >= MIN_JOINTS)):
        faults.setdefault(i, f"is not in {unit}, as the most of its file are")
    return unit


def _pixels(xy: Float[np.ndarray, "joints 2"], unit: str,
            size: Size) -> Float[np.ndarray, "joints 2"]:
    height, width = size
    if unit == "frame":
        return (xy - _FRAME_OFFSET) * [width, height] / _FRAME
    part = {"pixels": None, "fractions": 1, "percent": 100}[unit]
    return xy if part is None else xy * [width, height] / part
