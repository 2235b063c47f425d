"""All random changes to a training pair, in their order."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from repose_jax.data.augment.affine import draw_affine, moved_image, moved_pose
from repose_jax.data.augment.background import draw_background, with_background
from repose_jax.data.augment.body_mask import body_mask
from repose_jax.data.augment.color import draw_color_map, recolored
from repose_jax.data.augment.config import NAMES, AugmentConfig
from repose_jax.data.augment.degrade import blurred, compressed, noisy
from repose_jax.data.augment.occluder import draw_box, occluded, without_hidden
from repose_jax.pose.skeleton import Skeleton

_BEST_QUALITY = 95

Other = Callable[[np.random.Generator], UInt8[np.ndarray, "height width 3"]]


class Posed(NamedTuple):
    """A picture, its pose in pixels, and the mask of the person where one is given."""

    image: UInt8[np.ndarray, "height width 3"]
    pose: Float[np.ndarray, "joints 3"]
    mask: Bool[np.ndarray, "height width"] | None = None


def augmented(
    source: Posed, target: Posed, skeleton: Skeleton, config: AugmentConfig, seed: int,
    other: Other,
) -> tuple[Posed, Posed]:
    """A pair after the random changes of a configuration; the arguments are left as they are.

    Each kind of change has random numbers of its own, so that another probability of one does not
    change the others.

    Args:
      source, target: the pair. A person without a mask is found by the pose.
      skeleton: of the poses.
      config: what may happen.
      seed: decides it, 0 or more.
      other: gives a random picture of the same size, of somebody else.

    Returns:
      Source and target, without masks.
    """
    pair = [source, target]
    for name in config.active:
        rng = np.random.default_rng((seed, NAMES.index(name)))
        pair = _CHANGES[name](pair, getattr(config, name), config, rng, skeleton, other)
    return tuple(Posed(p.image, p.pose) for p in pair)


def _background(pair, probability, config, rng, skeleton, other):
    if rng.random() >= probability:
        return pair
    size = pair[0].image.shape[:2]
    ground = draw_background(size, config.background_kind, lambda: other(rng), rng)

    def change(posed: Posed) -> Posed:
        mask = body_mask(posed.pose, skeleton, size) if posed.mask is None else posed.mask
        return posed._replace(image=with_background(
            posed.image, mask, ground, strength=config.background_strength,
            feather=config.background_feather * size[0]))

    return [change(posed) if i == 0 or config.background_on == "both" else posed
            for i, posed in enumerate(pair)]


def _affine(pair, probability, config, rng, skeleton, other):
    def change(posed: Posed) -> Posed:
        size = posed.image.shape[:2]
        affine = draw_affine(size, config.affine_scale, config.affine_rotate,
                             config.affine_shift, rng)
        return Posed(moved_image(posed.image, affine), moved_pose(posed.pose, affine, size))

    return [change(posed) if rng.random() < probability else posed for posed in pair]


def _color(pair, probability, config, rng, skeleton, other):
    if rng.random() >= probability:
        return pair
    color_map = draw_color_map(config.color_strength, rng)
    return [posed._replace(image=recolored(posed.image, color_map)) for posed in pair]


def _occlude(pair, probability, config, rng, skeleton, other):
    if rng.random() >= probability:
        return pair
    source, target = pair
    for _ in range(rng.integers(1, config.occlude_count + 1)):
        box = draw_box(source.image.shape[:2], config.occlude_area, rng)
        image = occluded(source.image, box, config.occlude_kind, lambda: other(rng), rng)
        pose = without_hidden(source.pose, box) if config.occlude_joints else source.pose
        source = source._replace(image=image, pose=pose)
    return [source, target]


def _blur(pair, probability, config, rng, skeleton, other):
    sigma = config.blur_sigma * rng.random() * pair[0].image.shape[0]
    return _source_only(pair, rng.random() < probability, lambda image: blurred(image, sigma))


def _noise(pair, probability, config, rng, skeleton, other):
    sigma = config.noise_sigma * rng.random()
    return _source_only(pair, rng.random() < probability, lambda image: noisy(image, sigma, rng))


def _jpeg(pair, probability, config, rng, skeleton, other):
    quality = int(rng.integers(config.jpeg_quality, _BEST_QUALITY + 1))
    return _source_only(pair, rng.random() < probability, lambda image: compressed(image, quality))


def _joints(pair, probability, config, rng, skeleton, other):
    source, target = pair
    if rng.random() >= probability:
        return pair
    pose = source.pose.copy()
    misplaced = rng.normal(0, config.joints_sigma * source.image.shape[0], pose[:, :2].shape)
    pose[:, :2] += misplaced * (pose[:, 2:] > 0)
    return [source._replace(pose=pose), target]


def _source_only(pair, happens, change):
    source, target = pair
    return [source._replace(image=change(source.image)) if happens else source, target]


_CHANGES = {"background": _background, "affine": _affine, "color": _color, "occlude": _occlude,
            "blur": _blur, "noise": _noise, "jpeg": _jpeg, "joints": _joints}
