"""Which of MakeHuman's targets make a person, drawn at random."""

from __future__ import annotations

import itertools

import numpy as np

from repose_jax.data.people.body import Body

_RACES = ("african", "asian", "caucasian")
# Targets of a face in pairs: one for what is below the mean, one for what is above. Names that begin
# with "l-" have a twin for the right side.
_FACE = (
    ("head/head-fat-decr", "head/head-fat-incr"),
    ("head/head-scale-horiz-decr", "head/head-scale-horiz-incr"),
    ("head/head-scale-vert-decr", "head/head-scale-vert-incr"),
    ("head/head-round", "head/head-rectangular"),
    ("head/head-oval", "head/head-square"),
    ("head/head-triangular", "head/head-invertedtriangular"),
    ("chin/chin-width-decr", "chin/chin-width-incr"),
    ("chin/chin-height-decr", "chin/chin-height-incr"),
    ("chin/chin-prominent-decr", "chin/chin-prominent-incr"),
    ("nose/nose-scale-horiz-decr", "nose/nose-scale-horiz-incr"),
    ("nose/nose-scale-vert-decr", "nose/nose-scale-vert-incr"),
    ("nose/nose-scale-depth-decr", "nose/nose-scale-depth-incr"),
    ("nose/nose-curve-concave", "nose/nose-curve-convex"),
    ("nose/nose-point-down", "nose/nose-point-up"),
    ("nose/nose-volume-decr", "nose/nose-volume-incr"),
    ("nose/nose-hump-decr", "nose/nose-hump-incr"),
    ("mouth/mouth-scale-horiz-decr", "mouth/mouth-scale-horiz-incr"),
    ("mouth/mouth-upperlip-volume-decr", "mouth/mouth-upperlip-volume-incr"),
    ("mouth/mouth-lowerlip-volume-decr", "mouth/mouth-lowerlip-volume-incr"),
    ("mouth/mouth-angles-down", "mouth/mouth-angles-up"),
    ("mouth/mouth-trans-down", "mouth/mouth-trans-up"),
    ("eyes/l-eye-scale-decr", "eyes/l-eye-scale-incr"),
    ("eyes/l-eye-trans-in", "eyes/l-eye-trans-out"),
    ("eyes/l-eye-height2-decr", "eyes/l-eye-height2-incr"),
    ("eyes/l-eye-corner2-down", "eyes/l-eye-corner2-up"),
    ("eyebrows/eyebrows-trans-down", "eyebrows/eyebrows-trans-up"),
    ("cheek/l-cheek-bones-decr", "cheek/l-cheek-bones-incr"),
    ("cheek/l-cheek-volume-decr", "cheek/l-cheek-volume-incr"),
    ("forehead/forehead-scale-vert-decr", "forehead/forehead-scale-vert-incr"),
    ("ears/l-ear-scale-decr", "ears/l-ear-scale-incr"),
    ("ears/l-ear-wing-decr", "ears/l-ear-wing-incr"),
)


def sample_shape(rng: np.random.Generator, body: Body, femininity: float) -> dict[str, float]:
    """Weights of targets by their names.

    Args:
      rng: draws what the body does not say: descent, age, muscles and the face.
      body: its girth decides the weight; lengths are the posed body's own.
      femininity: in [0, 1]; half of all people lie at one of the ends.
    """
    sexes = {"female": femininity, "male": 1 - femininity}
    descent = dict(zip(_RACES, rng.dirichlet((0.5,) * len(_RACES)).tolist()))
    old = float(np.clip(rng.normal(0.15, 0.25), 0, 0.9))
    ages = {"young": 1 - old, "old": old}
    muscles = _levels(float(np.clip(rng.normal(0.5, 0.18), 0, 1)), "muscle")
    heavy = 0.5 + 2.5 * (body.girth - 1.0) + rng.normal(0, 0.06)
    weights = _levels(float(np.clip(heavy, 0, 1)), "weight")
    found = {}
    for (race, a), (sex, b), (age, c) in itertools.product(
            descent.items(), sexes.items(), ages.items()):
        found[f"macrodetails/{race}-{sex}-{age}"] = a * b * c
    for (sex, a), (age, b), (muscle, c), (weight, d) in itertools.product(
            sexes.items(), ages.items(), muscles.items(), weights.items()):
        found[f"macrodetails/universal-{sex}-{age}-{muscle}-{weight}"] = a * b * c * d
    if body.bust:
        cup = float(np.clip(rng.normal(0, 0.4), -0.7, 0.7))
        found[f"breast/female-young-averagemuscle-averageweight-{'max' if cup > 0 else 'min'}cup-"
              "averagefirmness"] = abs(cup)
    for below, above in _FACE:
        by = float(np.clip(rng.normal(0, 0.3), -0.7, 0.7))
        name = above if by > 0 else below
        found[name] = abs(by)
        folder, last = name.split("/")
        if last.startswith("l-"):
            found[f"{folder}/r-{last[2:]}"] = abs(by)
    return {name: weight for name, weight in found.items() if weight > 0.003}


def _levels(value: float, what: str) -> dict[str, float]:
    """A value in [0, 1] as parts of the least, the mean and the most."""
    return {f"min{what}": max(0.0, 1 - 2 * value), f"average{what}": 1 - abs(2 * value - 1),
            f"max{what}": max(0.0, 2 * value - 1)}
