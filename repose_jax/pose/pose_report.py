"""Says in lines for people what was read from a pose file."""

from __future__ import annotations

import numpy as np

from repose_jax.pose.named_poses import NamedPose, NamedPoses

_MANY = 20  # people named one by one


def described(table: NamedPoses) -> list[str]:
    """Format, unit and people of a file, each with its size, its joints, and what was dropped."""
    people, pictures = len(table.names), len(set(table.pictures))
    lines = [f"format {table.format}, in {table.unit}, skeleton {table.skeleton.name}; people: "
             f"{people}, pictures: {pictures}"]
    for i, name in enumerate(table.names[:_MANY]):
        size = table.sizes[i]
        frame = f"picture of {size[0]}x{size[1]}" if size else "size of the picture not told"
        known = int((table.poses[i, :, 2] > 0).sum())
        said = [f"{known} of {len(table.skeleton)} joints", frame, *table.notes.get(i, ())]
        if i in table.faults:
            said = [f"cannot be used: {table.faults[i]}"]
        lines.append(f"  {i}: {name}: {'; '.join(said)}")
    if len(table.names) > _MANY:
        lines.append(f"  and {len(table.names) - _MANY} more")
    return lines


def joint_lines(pose: NamedPose) -> list[str]:
    """A line for each joint of a pose: x, y and confidence, or that it is missing."""
    wide = max(map(len, pose.skeleton.joints))
    return [f"  {joint:<{wide}}  " + (f"{x:8.2f} {y:8.2f}  {seen:.2f}" if seen > 0 else "missing")
            for joint, (x, y, seen) in zip(pose.skeleton.joints, np.asarray(pose.pose).tolist(),
                                           strict=True)]
