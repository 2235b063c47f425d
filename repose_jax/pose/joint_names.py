"""The names that files give to joints, in the spellings of several programs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from repose_jax.pose.detectors import LAYOUTS
from repose_jax.pose.raw_poses import Fault
from repose_jax.pose.skeleton import Skeleton

_KNOWN = dict.fromkeys(joint for layout in LAYOUTS.values() for joint in layout.joints)
_SAME = {"top_head": "head_top", "headtop": "head_top", "top_of_head": "head_top",
         "pelvis": "mid_hip", "hip_center": "mid_hip", "hips": "mid_hip", "midhip": "mid_hip",
         "left_bigtoe": "left_big_toe", "right_bigtoe": "right_big_toe",
         "left_smalltoe": "left_small_toe", "right_smalltoe": "right_small_toe"}
_SIDES = {"l": "left", "r": "right", "left": "left", "right": "right"}
#: A skeleton of every joint that has a name, for files whose joints are those of no one layout.
EVERY = Skeleton(name="named", joints=tuple(_KNOWN), limbs=())


def joint_named(name: object) -> str:
    """Our name of a joint; Fault where it has none.

    `LShoulder`, `l_shoulder`, `shoulder-left` and `Left Shoulder` are all left_shoulder.
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=^[LR])(?=[A-Z][a-z])", "_", str(name).strip())
    words = [word for word in re.split(r"[\s_.\-]+", spaced.lower()) if word]
    if len(words) == 1 and words[0] not in _KNOWN:
        if found := re.fullmatch(r"(left|right|l|r)(\w+)", words[0]):
            words = list(found.groups())
        elif found := re.fullmatch(r"(\w+?)(left|right)", words[0]):
            words = list(found.groups())
    sides = [word for word in words if word in _SIDES]
    if len(sides) == 1:
        words.remove(sides[0])
        words.insert(0, _SIDES[sides[0]])
    joined = "_".join(words)
    joined = _SAME.get(joined, joined)
    if joined not in _KNOWN:
        raise Fault(f"names the joint {str(name)[:40]!r}, which no skeleton here has")
    return joined


def layout_named(names: Sequence[object]) -> tuple[Skeleton, list[int]]:
    """The skeleton that has all of some joints, and the place of each in it.

    Raises:
      Fault: a joint is not known or comes twice.
    """
    joints = [joint_named(name) for name in names]
    if len(set(joints)) < len(joints):
        twice = next(joint for joint, times in Counter(joints).items() if times > 1)
        raise Fault(f"names the joint {twice} twice")
    fits = [layout for layout in LAYOUTS.values() if set(joints) <= set(layout.joints)]
    skeleton = min(fits, key=len) if fits else EVERY
    return skeleton, [skeleton.index(joint) for joint in joints]
