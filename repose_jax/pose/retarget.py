"""Retargeting: another person's pose on the body of the source, as large and where the source is.

A target pose comes with the body, the distance and the place of whoever posed for it. With the
statures S and lengths L_m of the `proportions` of source (s) and target (t), mode "scale" keeps the
target's shape and changes its size,

    q_j = o + (S_s / S_t) (p_j - o_t)                                                      (1)

mode "bones" goes along the body's tree from its root, the middle of the hips, and gives every bone,
which runs from joint i to j and belongs to measure m, the source's length:

    q_j = q_i + (L_s,m / L_t,m) (p_j - p_i)                                                (2)

so directions stay as they are, and so does the foreshortening |p_j - p_i| / L_t,m. A bone whose
start is missing hangs on the next known point towards the root; with none, (1) places it. The face
is one rigid piece. Both modes place the body alike: o_t and o are the middles of the hips of target
and source (or those of the shoulders, or of all joints, the first that both poses know), and where
both poses show a foot, the lower ankle comes to stand at the height of the source's.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Float

from repose_jax.pose.proportions import MEASURES, body_points, proportions
from repose_jax.pose.skeleton import Skeleton

Mode = Literal["bones", "scale", "none"]
MODES: tuple[str, ...] = get_args(Mode)

_SIDES = ("right", "left")
# Joint -> the point it hangs on and the measure that it moves with, nearer the root first.
_TREE: dict[str, tuple[str | None, str | None]] = {
    "pelvis": (None, None), "mid_hip": ("pelvis", "hips"), "chest": ("pelvis", "trunk"),
    "neck": ("chest", "trunk"),
    **{f"{side}_{joint}": (parent if parent in ("chest", "pelvis") else f"{side}_{parent}", measure)
       for joint, parent, measure in (
           ("shoulder", "chest", "shoulders"), ("elbow", "shoulder", "upper arms"),
           ("wrist", "elbow", "forearms"), ("hip", "pelvis", "hips"), ("knee", "hip", "thighs"),
           ("ankle", "knee", "shins"),
           *((foot, "ankle", "shins") for foot in ("heel", "big_toe", "small_toe")),
           *((hand, "wrist", "forearms") for hand in ("pinky", "index", "thumb")))
       for side in _SIDES}}
_HEAD = ("neck", "head")  # every other joint belongs to the head


class Retargeted(NamedTuple):
    """Retargeted poses and what was done to them.

    Attributes:
      pose: as the target pose, joints missing in the target being missing.
      size: factor on the whole body, S_s / S_t; 1 in mode "none".
      ratios: factor on each of `MEASURES`, the body's size included.
      known: whether both poses show a bone to measure the body by; where not, the pose was only
        moved to the source's place, and all factors are 1.
    """

    pose: Float[np.ndarray, "*batch joints 3"]
    size: Float[np.ndarray, "*batch"]
    ratios: Float[np.ndarray, "*batch measures"]
    known: Bool[np.ndarray, "*batch"]


def retarget(
    source: Float[np.ndarray, "*batch joints 3"],
    target: Float[np.ndarray, "*batch joints 3"],
    skeleton: Skeleton,
    mode: Mode = "bones",
) -> Retargeted:
    """Puts target poses on the bodies of the sources; see the head of this file.

    Args:
      source: poses of the people to be shown, x and y in pixels of their pictures; joints of
        visibility 0 are missing and have no influence.
      target: the poses they shall take, x and y in any unit.
      skeleton: of both.
      mode: "bones" for (2), "scale" for (1), "none" to leave the poses as they are.

    Returns:
      The poses in pixels of the sources' pictures; they may lie outside of them, see
      `inside_frame`. Pose i depends on source i and target i only.

    Raises:
      ValueError: for another mode.
    """
    if mode not in MODES:
        raise ValueError(f"retargeting {mode!r}, not one of {', '.join(MODES)}")
    source, target = np.asarray(source, np.float32), np.asarray(target, np.float32)
    batch = target.shape[:-2]
    if mode == "none":
        return Retargeted(target, np.ones(batch), np.ones((*batch, len(MEASURES))),
                          np.ones(batch, bool))
    ours, theirs = proportions(source, skeleton), proportions(target, skeleton)
    known = ours.known & theirs.known
    size = np.where(known, ours.stature / theirs.stature, 1.0)
    ratios = np.where(known[..., None], ours.lengths / theirs.lengths, 1.0)
    if mode == "scale":
        ratios = np.broadcast_to(size[..., None], ratios.shape)
    return Retargeted(on_body(source, target, skeleton, size, ratios), size, ratios, known)


def on_body(
    source: Float[np.ndarray, "*batch joints 3"],
    target: Float[np.ndarray, "*batch joints 3"],
    skeleton: Skeleton,
    size: Float[np.ndarray, "*batch"],
    ratios: Float[np.ndarray, "*batch measures"],
) -> Float[np.ndarray, "*batch joints 3"]:
    """Equation (2) with given ratios of the lengths, in place of the source; see `retarget`.

    Args:
      source, target, skeleton: as of `retarget`.
      size: factor on what hangs on no bone.
      ratios: L_s,m / L_t,m for each of `MEASURES`; all equal to `size`, they make it equation (1).
    """
    there, here = body_points(target, skeleton), body_points(source, skeleton)
    start, end = _origins(there, here, target, source)
    moved = {name: end + size[..., None] * (point[..., :2] - start)
             for name, point in there.items()}
    _grow(moved, there, skeleton, ratios)
    xy = np.stack([moved[name] for name in skeleton.joints], axis=-2)
    # Growing from the hips moves the shoulders, which are the origin where a pose lacks its hips.
    chest, pelvis = (np.minimum(there[name], here[name])[..., 2] > 0 for name in (
        "chest", "pelvis"))
    xy += np.where((chest & ~pelvis)[..., None], end - moved["chest"], 0)[..., None, :]
    xy += _to_ground(xy, target, source, skeleton)[..., None, :]
    visible = target[..., 2:]
    return np.concatenate([np.where(visible > 0, xy, 0), visible], axis=-1).astype(np.float32)


def _grow(moved: dict[str, np.ndarray], there: dict[str, np.ndarray], skeleton: Skeleton,
          ratios: np.ndarray) -> None:
    """Equation (2) from the root outwards, changing `moved`."""
    joints = [name for name in _TREE if name in moved]
    for name in [*joints, *(name for name in skeleton.joints if name not in _TREE)]:
        parent, measure = _TREE.get(name, _HEAD)
        hangs = np.zeros(there[name].shape[:-1], bool)
        ratio, bones = 0.0, 0
        while parent is not None:
            # Over a gap the bones' mean ratio counts.
            ratio = ratio + ratios[..., MEASURES.index(measure)]
            bones += 1
            if parent in there:
                takes = ~hangs & (there[parent][..., 2] > 0)
                offset = there[name][..., :2] - there[parent][..., :2]
                moved[name] = np.where(takes[..., None], moved[parent] + (
                    ratio / bones)[..., None] * offset, moved[name])
                hangs |= takes
            parent, measure = _TREE[parent]


def _origins(
    there: dict[str, np.ndarray], here: dict[str, np.ndarray],
    target: Float[np.ndarray, "*batch joints 3"], source: Float[np.ndarray, "*batch joints 3"],
) -> tuple[Float[np.ndarray, "*batch 2"], Float[np.ndarray, "*batch 2"]]:
    """Where the body is in target and source: pelvis, chest or centre, the first both know."""
    both = (np.minimum(target[..., 2], source[..., 2]) > 0)[..., None]
    count = np.maximum(both.sum(-2), 1)
    start, end = ((pose[..., :2] * both).sum(-2) / count for pose in (target, source))
    for name in ("chest", "pelvis"):
        known = (np.minimum(there[name], here[name])[..., 2:] > 0)
        start = np.where(known, there[name][..., :2], start)
        end = np.where(known, here[name][..., :2], end)
    return start, end


def _to_ground(
    xy: Float[np.ndarray, "*batch joints 2"], target: Float[np.ndarray, "*batch joints 3"],
    source: Float[np.ndarray, "*batch joints 3"], skeleton: Skeleton,
) -> Float[np.ndarray, "*batch 2"]:
    """The shift that puts the lower foot at the height of the source's; 0 without feet."""
    feet = [skeleton.index(f"{side}_ankle") for side in _SIDES]

    def ground(y, visible):
        seen = visible[..., feet] > 0
        return np.where(seen, y[..., feet], -np.inf).max(-1), seen.any(-1)

    (ours, known), (theirs, shown) = ground(source[..., 1], source[..., 2]), ground(
        xy[..., 1], target[..., 2])
    both = known & shown
    down = np.where(both, np.where(both, ours, 0) - np.where(both, theirs, 0), 0)
    return np.stack([np.zeros_like(down), down], axis=-1)


# What `describe` speaks of: measures that are one part of the body, and joints that show it.
_PARTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "legs": (("thighs", "shins"), ("knee", "ankle")),
    "arms": (("upper arms", "forearms"), ("elbow", "wrist")),
    "trunk": (("trunk",), ("hip",)), "shoulders": (("shoulders",), ("shoulder",)),
    "head": (("head",), ("nose", "eye", "ear", "top"))}


def describe(done: Retargeted, skeleton: Skeleton) -> str:
    """Says in a sentence what was done to one pose, in whole percents."""
    shown = {joint.split("_")[-1] for joint, visible in zip(
        skeleton.joints, done.pose[:, 2], strict=True) if visible > 0}
    changes = []
    for part, (measures, joints) in _PARTS.items():
        ratio = np.mean([done.ratios[MEASURES.index(m)] for m in measures]) / done.size
        percent = round(100 * (float(ratio) - 1))
        if percent and shown & set(joints):
            wide = part == "shoulders"
            word = ("wider" if wide else "longer") if percent > 0 else (
                "narrower" if wide else "shorter")
            word = word if part != "head" else "larger" if percent > 0 else "smaller"
            changes.append(f"{part} {abs(percent)} % {word}")
    text = f"retargeted to the source's body: scaled to {100 * float(done.size):.0f} %"
    return text + (f"; for that size, {', '.join(changes)}" if changes else "")


def inside_frame(
    pose: Float[np.ndarray, "joints 3"],
    source: Float[np.ndarray, "joints 3"],
    skeleton: Skeleton,
    size: tuple[int, int],
    corner: tuple[int, int] = (0, 0),
    *,
    margin: float = 0.02,
) -> tuple[Float[np.ndarray, "joints 3"], str | None]:
    """Moves a retargeted pose into the source's picture, and makes it smaller where it must.

    It may reach as far as the source itself does. Where the source shows no foot the picture holds
    only a part of the person, and so may the result: nothing is made smaller then, and what is too
    long for it keeps its head in the picture.

    Args:
      pose: in pixels of the source's picture, or of a frame that it lies in.
      source: the source pose, in the same.
      skeleton: of both.
      size: (height, width) of the picture.
      corner: its top and left in the frame.
      margin: that joints keep from the picture's edge, of its height.

    Returns:
      The pose and a sentence that says what was done; None where nothing was.
    """
    known = pose[:, 2] > 0
    if not known.any():
        return pose, None
    edge = margin * size[0]
    start = np.array([corner[1], corner[0]])
    low, high = start + edge, start + (size[1], size[0]) - 1 - edge
    own = source[source[:, 2] > 0, :2]
    if len(own):
        low, high = np.minimum(low, own.min(0)), np.maximum(high, own.max(0))
    points = pose[known, :2].astype(np.float64)
    span = np.maximum(points.max(0) - points.min(0), 1e-6)
    whole = any(source[skeleton.index(f"{side}_ankle"), 2] > 0 for side in _SIDES)
    scale = min(1.0, *((high - low) / span)) if whole else 1.0
    centre = (points.max(0) + points.min(0)) / 2
    points = centre + scale * (points - centre)
    fits = scale * span <= (high - low) * (1 + 1e-9)
    shift = np.maximum(low - points.min(0), 0) + np.minimum(high - points.max(0), 0)
    shift = np.where(fits, shift, 0)
    head = known & np.array([not joint.startswith(("left_", "right_")) or joint.split("_")[1] in (
        "eye", "ear") for joint in skeleton.joints])
    if not fits[1] and head.any():
        shift[1] = max(low[1] - pose[head, 1].min(), 0)
    if scale == 1 and (np.abs(shift) < 1e-3).all():
        return pose, None
    moved = pose.copy()
    moved[known, :2] = points + shift
    said = [f"made smaller, to {100 * scale:.0f} %"] if scale < 0.995 else []
    far = float(np.abs(shift).max()) / size[0]
    said += [f"moved by {100 * far:.0f} % of the picture's height"] if far >= 0.005 else []
    return moved, f"{' and '.join(said)}, to stay inside the picture" if said else None
