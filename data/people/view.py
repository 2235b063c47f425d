"""Who is shown and how: a person of a seed, and views of them."""

from __future__ import annotations

import dataclasses

import numpy as np

from repose_jax.common.errors import UserError
from repose_jax.data.people.body import ANGLES, Body
from repose_jax.data.people.cloth import in_print, loosened
from repose_jax.data.people.framing import sample_framing
from repose_jax.data.people.garments import Outfit, sample_outfit
from repose_jax.data.people.poses import sample_angles
from repose_jax.data.people.scene import (
    Background, Camera, Light, Occluder, sample_background, sample_camera, sample_light,
    sample_occluder)
from repose_jax.data.people.shape import sample_shape
from repose_jax.data.people.world import World

_IDENTITY, _VIEW, _SCENE, _FRAMING, _CLOTH, _HEADS, _BODIES = 1, 2, 3, 4, 5, 6, 7
_ASIDE = 60.0  # degrees that a head that turns turns at most


@dataclasses.dataclass(frozen=True)
class Identity:
    """Who it is: what all views of a person share.

    Attributes:
      body, outfit: measures and looks.
      shape: MakeHuman's targets and their weights, see `shape`; None for a body of cones.
    """

    body: Body
    outfit: Outfit
    shape: tuple[tuple[str, float], ...] | None = None


@dataclasses.dataclass(frozen=True)
class View:
    """How a person is shown: what differs between two pictures of them.

    Attributes:
      angles: joint angles, degrees, in the order of `body.ANGLES`.
      camera, light, background, occluder: see `scene`.
      aspect: width of the photo by its height; None is the picture's own, see `framing`.
      creases: seed of the folds of the clothes, see `cloth`; 0 for smooth ones.
      beyond: whether joints of trunk and limbs are known that lie outside of the photo, as those of
        a pose are that was taken over from another picture.
    """

    angles: np.ndarray
    camera: Camera
    light: Light
    background: Background
    occluder: Occluder
    aspect: float | None = None
    creases: int = 0
    beyond: bool = False


def sample_identity(seed: int, identity: int, world: World = World()) -> Identity:
    """Person number `identity` of a world; both are integers of at least 0.

    With cloth that is not smooth some wear prints of more kinds or wide clothes, see `cloth`; lifelike
    heads have faces with shades, see `face`; bodies of MakeHuman have shapes, see `shape`.
    """
    rng = _generator(_IDENTITY, seed=seed, identity=identity)
    femininity = float(np.clip(rng.normal(0.5, 0.45), 0, 1))
    about = lambda mean, deviation, spread=2.2: float(
        mean + deviation * np.clip(rng.standard_normal(), -spread, spread))
    girth = about(1.02, 0.09) - 0.05 * femininity
    body = Body(
        height=about(1.78 - 0.13 * femininity, 0.06), legs=about(1.0, 0.025), arms=about(1.0, 0.02),
        trunk=about(1.0, 0.02), shoulders=about(1.06 - 0.12 * femininity, 0.03),
        hips=about(0.97 + 0.1 * femininity, 0.03), girth=girth,
        belly=max(0.0, about(0.0, 0.02) + 0.3 * max(0.0, girth - 1.1)),
        bust=about(0.052, 0.008) if femininity > 0.55 else 0.0, head=about(1.03, 0.025))
    outfit = sample_outfit(rng, femininity)
    if world.cloth != "smooth":
        rng = _generator(_CLOTH, seed=seed, identity=identity)
        outfit = in_print(outfit, rng)
        outfit = loosened(outfit, rng) if world.cloth == "loose" else outfit
    outfit = dataclasses.replace(outfit, lifelike=world.heads == "lifelike")
    if world.bodies == "cones":
        return Identity(body, outfit)
    rng = _generator(_BODIES, seed=seed, identity=identity)
    # Most people look like a woman or a man: who lies between is drawn towards an end.
    sharper = float(np.clip(0.5 + 1.6 * (femininity - 0.5), 0, 1))
    # The mesh's arms are shorter than the tables of `body` have them.
    body = dataclasses.replace(body, arms=0.92 * body.arms)
    return Identity(body, outfit, tuple(sample_shape(rng, body, sharper).items()))


def sample_view(seed: int, identity: int, view: int, world: World = World()) -> View:
    """View number `view` of a person: pose, camera, light, background and occluder.

    Args:
      seed, identity, view: integers of at least 0.
      world: how people are shown; what it changes is drawn after all else, which stays.
    """
    rng = _generator(_VIEW, seed=seed, identity=identity, view=view)
    drawn = View(sample_angles(rng), sample_camera(rng), sample_light(rng), sample_background(rng),
                 sample_occluder(rng))
    if world.scene == "person":
        place = _generator(_SCENE, seed=seed, identity=identity)
        drawn = dataclasses.replace(
            drawn, light=sample_light(place), background=sample_background(place))
    if world.cloth != "smooth":
        rng = _generator(_CLOTH, seed=seed, identity=identity, view=view)
        drawn = dataclasses.replace(drawn, creases=int(rng.integers(1, 2**31)))
    if world.heads != "following":
        rng = _generator(_HEADS, seed=seed, identity=identity, view=view)
        angles = drawn.angles.copy()
        angles[ANGLES.index("neck_twist")] = rng.uniform(-_ASIDE, _ASIDE)
        drawn = dataclasses.replace(drawn, angles=angles)
    if world.framing == "whole":
        return drawn
    framed = sample_framing(_generator(_FRAMING, seed=seed, identity=identity))
    rng = _generator(_FRAMING, seed=seed, identity=identity, view=view)
    return dataclasses.replace(drawn, camera=framed.apply(drawn.camera, rng),
                               aspect=framed.aspect, beyond=bool(rng.random() < 0.5))


def _generator(purpose: int, **numbers: int) -> np.random.Generator:
    for name, number in numbers.items():
        if number < 0:
            raise UserError(name, f"is {number}", "give an integer of at least 0")
    return np.random.default_rng([purpose, *numbers.values()])
