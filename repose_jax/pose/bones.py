"""Bones: the directions of a pose's limbs, which is all that a pose is once its place, its scale
and the person's proportions are taken away.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from repose_jax.pose.maps import limb_ends
from repose_jax.pose.skeleton import Skeleton, flip_pose


@functools.cache
def _carriers(skeleton: Skeleton) -> dict[int, int]:
    """For each joint the bone that carries it, breadth first from the joints that nothing carries.

    So every joint moves with one bone, also where limbs form a ring, as the trunk of coco17 does.
    """
    ends = skeleton.limb_indices.tolist()
    reached = [start for start, _ in ends]
    roots = [j for j in dict.fromkeys(reached) if j not in {end for _, end in ends}]
    carriers: dict[int, int] = {}
    done: set[int] = set()
    for root in roots + reached:  # a ring without an entrance begins where its first limb does
        queue = [] if root in done else [root]
        done.update(queue)
        while queue:
            joint = queue.pop(0)
            for bone, (start, end) in enumerate(ends):
                if start == joint and end not in done:
                    carriers[end] = bone
                    done.add(end)
                    queue.append(end)
    return carriers


@functools.cache
def bone_parents(skeleton: Skeleton) -> tuple[int, ...]:
    """The bone that each bone hangs on: the one that carries the joint it starts at; -1 for none.

    Every limb is a bone. Following the parents always ends.
    """
    carriers = _carriers(skeleton)
    return tuple(carriers.get(start, -1) for start, _ in skeleton.limb_indices.tolist())


# Compiled as wholes, as they are also asked outside of other programs.
@functools.partial(jax.jit, static_argnames="skeleton")
def bone_vectors(
    pose: Float[Array, "*batch joints 3"], skeleton: Skeleton
) -> tuple[
    Float[Array, "*batch bones 2"], Float[Array, "*batch bones"], Float[Array, "*batch bones"]
]:
    """Directions, lengths and visibilities of the bones.

    Args:
      pose: x, y, visibility; the coordinates of a joint of visibility 0 have no influence.
      skeleton: of the pose.

    Returns:
      (unit vectors, lengths in the unit of the pose, visibilities). A bone is as visible as its
      less visible joint; without visibility or length its vector, length and visibility are 0 and
      no gradient flows to its joints.
    """
    start, end, visible = limb_ends(pose, skeleton)
    delta = jnp.where(visible[..., None] > 0, end - start, 0.0)
    length2 = jnp.sum(delta**2, axis=-1)
    solid = length2 > 1e-12
    length = jnp.sqrt(jnp.where(solid, length2, 1.0))
    unit = jnp.where(solid[..., None], delta / length[..., None], 0.0)
    return unit, jnp.where(solid, length, 0.0), jnp.where(solid, visible, 0.0)


@functools.partial(jax.jit, static_argnames="skeleton")
def joint_offsets(
    change: Float[Array, "*batch bones 2"],
    length: Float[Array, "*batch bones"],
    skeleton: Skeleton,
) -> Float[Array, "*batch joints 2"]:
    """Displacements of the joints where the bones' unit vectors change and their lengths do not.

    Joints that no bone carries (the roots) stay where they are, each other joint moves with its
    bone and those above. In a ring of limbs the one that closes it gives way.

    Args:
      change: of the unit vectors.
      length: of the bones.
      skeleton: of the pose.

    Returns:
      In the unit of the lengths.
    """
    still = jnp.zeros((*change.shape[:-2], 2), change.dtype)
    moved: dict[int, Array] = {}
    for joint, bone in _carriers(skeleton).items():  # breadth first, so what carries comes first
        start = int(skeleton.limb_indices[bone, 0])
        moved[joint] = moved.get(start, still) + change[..., bone, :] * length[..., bone, None]
    return jnp.stack([moved.get(joint, still) for joint in range(len(skeleton))], axis=-2)


def with_bones(
    pose: Float[np.ndarray, "*batch joints 3"],
    unit: Float[np.ndarray, "*batch bones 2"],
    skeleton: Skeleton,
) -> Float[np.ndarray, "*batch joints 3"]:
    """A pose whose bones point elsewhere, with their lengths, the roots where they were."""
    old, length, visible = map(np.asarray, bone_vectors(jnp.asarray(pose, jnp.float32), skeleton))
    change = np.where(visible[..., None] > 0, np.asarray(unit, np.float32) - old, np.float32(0))
    moved = np.array(pose, np.float32)
    moved[..., :2] += np.asarray(joint_offsets(change, length, skeleton))
    moved[..., :2] *= moved[..., 2:] > 0
    return moved


def bones_of(poses: Float[np.ndarray, "n joints 3"], skeleton: Skeleton):
    """Unit vectors and visibilities as numpy arrays."""
    unit, _, visible = bone_vectors(jnp.asarray(poses, jnp.float32), skeleton)
    return np.asarray(unit), (np.asarray(visible) > 0).astype(np.float32)


def valid_poses(poses: Float[np.ndarray, "n joints 3"], skeleton: Skeleton) -> np.ndarray:
    """Poses and their mirror images, the references of all labels."""
    return np.concatenate([poses, flip_pose(poses, skeleton, 1.0)])
