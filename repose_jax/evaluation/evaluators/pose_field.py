"""Scores pose interaction fields on held-out people."""

from __future__ import annotations

import dataclasses

import numpy as np

from repose_jax.data.config import DataConfig
from repose_jax.evaluation.metrics.field import FieldScores, evaluate_field
from repose_jax.models.weights import Pretrained
from repose_jax.networks.pif import FieldConfig, PoseField
from repose_jax.pose.bones import bones_of, valid_poses
from repose_jax.pose.skeleton import SKELETONS

# Test people whose poses are legal or bent too far, where the renderer knows which.
_ILLEGAL_PEOPLE = 500


def score_field(
    weights: Pretrained[FieldConfig], data: DataConfig, *, count: int = 3000, seed: int = 0
) -> FieldScores:
    """Measures a field on held-out people's poses; see `evaluate_field`.

    Args:
      weights: of the field.
      data: whose test poses are judged, and whose training poses are the valid ones.
      count: poses at most, drawn at random.
      seed: of poses, corruptions and intervals.
    """
    skeleton = SKELETONS[weights.config.skeleton]
    train = data.open("train", skeleton=skeleton.name)
    test = dataclasses.replace(data, identities=max(1, count // data.views)).open(
        "test", skeleton=skeleton.name)
    some = np.random.default_rng(seed).permutation(len(test))[:count]
    return evaluate_field(
        PoseField(weights.config), weights.params, test.poses[some],
        np.asarray(test.persons)[some], valid_poses(train.poses, skeleton), skeleton,
        lambda poses: bones_of(poses, skeleton),
        illegal=_illegal_poses(skeleton.name) if data.people else None, seed=seed)


def _illegal_poses(skeleton: str) -> tuple[np.ndarray, np.ndarray]:
    from repose_jax.data.people.illegal import render_illegal
    from repose_jax.data.people.renderer import render_person
    from repose_jax.data.people.source import identity_numbers
    numbers = identity_numbers("test", _ILLEGAL_PEOPLE)
    legal, illegal = (
        np.stack([make(0, identity, 0, (128, 64)).annotated(skeleton) for identity in numbers])
        for make in (render_person, render_illegal))
    return legal, illegal
