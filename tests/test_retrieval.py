"""Retrieval against scikit-learn, hand-made rankings and limits."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from repose_jax.evaluation.metrics.retrieval import (
    one_query_a_camera, pair_junk, rank, same_camera_junk)


@pytest.fixture(scope="module")
def gallery():
    """200 random pictures of 20 people by 4 cameras."""
    rng = np.random.default_rng(0)
    person, camera = rng.integers(0, 20, 200), rng.integers(0, 4, 200)
    centre = rng.standard_normal((20, 8))
    return centre[person] + 1.5 * rng.standard_normal((200, 8)), person, camera


def _nothing(some):
    return np.zeros((len(some), 200), bool)


def test_average_precision_is_scikit_learns(gallery):
    features, person, camera = gallery
    query = one_query_a_camera(person, camera, seed=0)
    junk = same_camera_junk(query, person, camera)
    ranking = rank(features[query], features, person[query], person, junk)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    for i, q in enumerate(query):
        kept = ~((person == person[q]) & (camera == camera[q]))
        right, score = person[kept] == person[q], unit[kept] @ unit[q]
        if not right.any():
            assert not ranking.valid[i] and np.isnan(ranking.precision[i])
            continue
        np.testing.assert_allclose(ranking.precision[i], average_precision_score(right, score),
                                   atol=1e-6)
        assert ranking.first[i] == 1 + np.argmax(right[np.argsort(-score)])


def test_one_query_for_each_person_and_camera(gallery):
    _, person, camera = gallery
    query = one_query_a_camera(person, camera, seed=3)
    pairs = set(zip(person[query], camera[query]))
    assert len(pairs) == len(query) and pairs == set(zip(person, camera))
    assert list(query) != list(one_query_a_camera(person, camera, seed=4))


def test_perfect_features_find_everyone(gallery):
    _, person, _ = gallery
    perfect = np.eye(20)[person]
    ranking = rank(perfect, perfect, person, person, _nothing)
    np.testing.assert_array_equal(ranking.first, 1)
    np.testing.assert_allclose(ranking.precision, 1.0)


def test_noise_finds_no_more_than_chance():
    rng = np.random.default_rng(1)
    person = np.repeat(np.arange(50), 10)
    ranking = rank(rng.standard_normal((500, 16)), rng.standard_normal((500, 16)), person, person,
                   lambda some: np.zeros((len(some), 500), bool))
    assert abs(ranking.found_within(1).mean() - 1 / 50) < 0.03
    assert abs(np.nanmean(ranking.precision) - 1 / 50) < 0.02


def test_the_pairs_own_cameras_do_not_help():
    # Person 0 by cameras 0, 1, 2; person 1 by camera 0. The query is a copy of the source.
    person, camera = np.array([0, 0, 0, 1]), np.array([0, 1, 2, 0])
    features = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.6, 0.4]])
    source, target = np.array([0]), np.array([1])
    ranking = rank(features[:1], features, person[:1], person,
                   pair_junk(source, target, person, camera))
    assert ranking.first[0] == 2  # the stranger comes first: only camera 2 could have been right
    np.testing.assert_allclose(ranking.precision, 0.5)
    alone = rank(features[3:], features, person[3:], person,
                 pair_junk(np.array([3]), np.array([3]), person, camera))
    assert not alone.valid[0] and np.isnan(alone.found_within(1)[0])


def test_results_do_not_depend_on_the_parts(gallery):
    features, person, _ = gallery
    many = np.concatenate([features] * 3)  # more than are ranked at once
    whole = rank(many, features, np.tile(person, 3), person, _nothing)
    part = rank(features[5:6], features, person[5:6], person, _nothing)
    assert whole.first[5] == part.first[0] == whole.first[405]
    np.testing.assert_allclose(whole.precision[405], part.precision[0], atol=1e-6)
