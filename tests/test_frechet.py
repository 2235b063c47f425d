"""Distances between sets of features: closed forms, other packages, order, shards and precision."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from repose_jax.common.errors import UserError
from repose_jax.evaluation.metrics.frechet import frechet_distance
from repose_jax.evaluation.metrics.kid import kernel_distance, polynomial_mmd
from repose_jax.evaluation.metrics.precision_recall import manifolds
from repose_jax.evaluation.statistics.gaussian import (
    Gaussian, load_gaussian, moments, moments_of, save_gaussian)
from repose_jax.experiments.bench.torch_twins import import_torchvision


def _mixed(seed: int, count: int, size: int, shift: float = 0.0) -> np.ndarray:
    """Correlated features, no two directions of one variance."""
    rng = np.random.default_rng(seed)
    mix = rng.standard_normal((size, size)) * np.linspace(0.1, 2, size)
    return rng.standard_normal((count, size)) @ mix + shift


@pytest.fixture(scope="module")
def two():
    """Sets of 24 features, of another mean and covariance."""
    return _mixed(0, 300, 24), _mixed(1, 260, 24, shift=0.5)


@pytest.fixture(scope="module")
def torch():
    """PyTorch, and torchvision imported, which the other packages need."""
    found = pytest.importorskip("torch")
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("no torchvision")
    import_torchvision()
    return found


def test_frechet_distance_has_its_closed_forms():
    rng = np.random.default_rng(2)
    mean = rng.standard_normal((2, 30))
    deviation = rng.random((2, 30)) + 0.1
    turn = np.linalg.qr(rng.standard_normal((30, 30)))[0]
    first, second = (Gaussian(m, turn * s**2 @ turn.T) for m, s in zip(mean, deviation))
    expected = np.square(mean[0] - mean[1]).sum() + np.square(deviation[0] - deviation[1]).sum()
    np.testing.assert_allclose(frechet_distance(first, second), expected, rtol=1e-12)
    np.testing.assert_allclose(frechet_distance(second, first), expected, rtol=1e-12)
    assert frechet_distance(first, first) < 1e-12
    # Along a line: variances 4 and 1 of one direction, and all else without any.
    line = np.zeros((30, 30))
    line[3, 3] = 4
    np.testing.assert_allclose(
        frechet_distance(Gaussian(mean[0], line), Gaussian(mean[0], line / 4)), 1, rtol=1e-12)
    nothing = Gaussian(mean[0], np.zeros((30, 30)))
    np.testing.assert_allclose(frechet_distance(nothing, Gaussian(mean[0], line)), 4, rtol=1e-12)


def test_large_sets_of_gaussians_reach_the_closed_form():
    rng = np.random.default_rng(3)
    a = rng.standard_normal((60000, 4)) * [1, 2, 3, 4]
    b = rng.standard_normal((60000, 4)) * [2, 2, 1, 4] + [1, 0, 0, 2]
    found = frechet_distance(moments(a).gaussian(), moments(b).gaussian())
    np.testing.assert_allclose(found, 5 + 1 + 4, rtol=0.02)


def test_frechet_distance_is_that_of_the_other_packages(two, torch):
    found = frechet_distance(*(moments(x).gaussian() for x in two))
    for x in two:
        np.testing.assert_allclose(moments(x).gaussian().covariance, np.cov(x.T), rtol=1e-10)
    statistics = [part for x in two for part in (x.mean(0), np.cov(x.T))]
    fid_score = pytest.importorskip("pytorch_fid.fid_score")
    np.testing.assert_allclose(found, fid_score.calculate_frechet_distance(*statistics), rtol=1e-6)
    fid = pytest.importorskip("torchmetrics.image.fid")
    theirs = fid._compute_fid(*map(torch.from_numpy, statistics))
    np.testing.assert_allclose(found, theirs.item(), rtol=1e-6)
    metric_fid = pytest.importorskip("torch_fidelity.metric_fid")
    theirs = metric_fid.fid_statistics_to_metric(*(
        metric_fid.fid_features_to_statistics(torch.from_numpy(x)) for x in two), verbose=False)
    np.testing.assert_allclose(found, theirs["frechet_inception_distance"], rtol=1e-6)


def test_fewer_features_than_numbers_in_each(recwarn):
    """The covariances are singular; the trace is that of the small matrix of inner products."""
    rng = np.random.default_rng(4)
    a, b = rng.standard_normal((20, 100)), 1 + rng.standard_normal((30, 100))
    centred = [(x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (a, b)]
    overlap = np.linalg.svd(centred[0] @ centred[1].T, compute_uv=False).sum()
    expected = (np.square(a.mean(0) - b.mean(0)).sum() + sum(np.square(x).sum() for x in centred)
                - 2 * overlap)
    found = frechet_distance(moments(a).gaussian(), moments(b).gaussian())
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert frechet_distance(moments(a).gaussian(), moments(a).gaussian()) < 1e-10
    assert not recwarn.list


def test_batches_order_and_shards_change_nothing(two):
    a, b = two
    whole = moments(a)
    rng = np.random.default_rng(5)
    shuffled = a[rng.permutation(len(a))]
    ways = [moments_of(np.array_split(shuffled, parts)) for parts in (1, 7, len(a))]
    shards = [moments_of(np.array_split(part, 3)) for part in (a[:10], a[10:190], a[190:])]
    ways.append(shards[2].merge(shards[0]).merge(shards[1]))
    for way in ways:
        assert way.count == whole.count
        np.testing.assert_allclose(way.mean, whole.mean, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(way.scatter, whole.scatter, rtol=1e-12, atol=1e-10)
        assert frechet_distance(way.gaussian(), whole.gaussian()) < 1e-11
    other = moments(b).gaussian()
    np.testing.assert_allclose(frechet_distance(ways[1].gaussian(), other),
                               frechet_distance(whole.gaussian(), other), rtol=1e-12)


def test_a_large_mean_costs_no_digits():
    """50 000 whole numbers around 10^6, whose covariance is exact in integers."""
    rng = np.random.default_rng(6)
    whole = rng.integers(-3, 4, (50000, 5))
    features = (whole + 1_000_000).astype(np.float32)
    count, total = len(whole), whole.sum(0)
    exact = (count * (whole.T @ whole) - np.outer(total, total)) / (count * (count - 1))
    found = moments_of(np.array_split(features, 157)).gaussian()
    np.testing.assert_allclose(found.covariance, exact, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(found.mean - 1_000_000, total / count, atol=1e-9)


def test_statistics_as_files(tmp_path, two):
    gaussian = moments(two[0]).gaussian("inception-tf-2048-bilinear-symmetric")
    save_gaussian(tmp_path / "ours.npz", gaussian)
    found = load_gaussian(tmp_path / "ours.npz")
    assert (found.count, found.network) == (300, gaussian.network)
    np.testing.assert_array_equal(found.covariance, gaussian.covariance)
    np.savez(tmp_path / "theirs.npz", mu=gaussian.mean, sigma=gaussian.covariance)
    theirs = load_gaussian(tmp_path / "theirs.npz")
    assert (theirs.count, theirs.network) == (None, "")
    assert frechet_distance(found, theirs) < 1e-10
    (tmp_path / "cut.npz").write_bytes((tmp_path / "ours.npz").read_bytes()[:900])
    np.savez(tmp_path / "other.npz", mu=np.ones(3), sigma=np.ones((3, 2)))
    for name, what in (("cut.npz", "damaged"), ("other.npz", "lacks mu"), ("none.npz", "no such")):
        with pytest.raises(UserError, match=what):
            load_gaussian(tmp_path / name)
    with pytest.raises(UserError, match="one network"):
        frechet_distance(found, moments(two[1]).gaussian("inception-imagenet-2048"))


def test_moments_refuse_what_they_cannot_take(two):
    with pytest.raises(ValueError, match="no covariance"):
        moments(two[0][:1]).gaussian()
    with pytest.raises(ValueError, match="no features"):
        moments_of([])
    with pytest.raises(ValueError, match="finite"):
        moments(np.full((3, 2), np.nan))
    with pytest.raises(ValueError, match="merge"):
        moments(two[0]).merge(moments(two[0][:, :3]))


def test_mmd_is_that_of_the_sums_and_of_the_other_packages(two, torch):
    x, y = two[0][:40], two[1][:40]
    size = x.shape[1]

    def mean(p, q, skip):
        values = [(p[i] @ q[j] / size + 1) ** 3 for i in range(len(p)) for j in range(len(q))
                  if not (skip and i == j)]
        return np.mean(values)

    expected = mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)
    np.testing.assert_allclose(polynomial_mmd(x, y), expected, rtol=1e-10)
    kid = pytest.importorskip("torchmetrics.image.kid")
    theirs = kid.poly_mmd(torch.from_numpy(x), torch.from_numpy(y))
    np.testing.assert_allclose(polynomial_mmd(x, y), theirs.item(), rtol=1e-6)
    # Subsets of everything are all alike, whatever draws them.
    metric_kid = pytest.importorskip("torch_fidelity.metric_kid")
    theirs = metric_kid.kid_features_to_metric(
        torch.from_numpy(x), torch.from_numpy(y), kid_subsets=3, kid_subset_size=40, verbose=False)
    ours = kernel_distance(x, y, subsets=3, subset_size=40)
    np.testing.assert_allclose(ours.mean, theirs["kernel_inception_distance_mean"], rtol=1e-6)


def test_kernel_distance_is_unbiased_and_seeded(two):
    rng = np.random.default_rng(7)
    a, b = rng.standard_normal((2, 4000, 8))
    values = [polynomial_mmd(a[i:i + 20], b[i:i + 20]) for i in range(0, 4000, 20)]
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 3 * error and min(values) < 0
    first = kernel_distance(*two, subsets=20, subset_size=100)
    assert first == kernel_distance(*two, subsets=20, subset_size=100)
    assert first != kernel_distance(*two, subsets=20, subset_size=100, seed=1)
    assert first.mean > first.std > 0
    with pytest.raises(UserError, match="300 and 260 pictures"):
        kernel_distance(*two)


def test_manifolds_of_known_sets(two):
    same = manifolds(two[0], two[0])
    assert same.precision == same.recall == same.coverage == 1
    twice = np.repeat(two[0][:50], 4, 0) + 1e4  # balls of no size, far from the origin
    assert manifolds(twice, twice)[:2] == (1, 1)
    far = manifolds(two[0], two[0] + 1e3)
    assert far == (0, 0, 0, 0)
    # One tight cluster of the real ones' two: all of it is real, half of the real ones are missed.
    rng = np.random.default_rng(8)
    clusters = rng.random((200, 3)) + 100 * (np.arange(200) < 100)[:, None]
    half = manifolds(clusters, clusters[:100] + 1e-6)
    assert half.precision == 1 and half.recall == half.coverage == 0.5


def test_manifolds_are_those_of_the_other_package_and_of_loops(two, torch, monkeypatch):
    real, fake = two[0][:120] / 3, two[1][:90] / 3
    k, apart = 5, np.linalg.norm(real[:, None] - fake, axis=-1)
    inside = apart <= np.sort(np.linalg.norm(real[:, None] - real, axis=-1), 1)[:, k, None]
    found = manifolds(real, fake, k)
    np.testing.assert_allclose(found.density, inside.sum() / (k * 90), rtol=1e-12)
    np.testing.assert_allclose(found.coverage, inside.any(1).mean(), rtol=1e-12)
    assert 0 < found.precision < 1
    monkeypatch.setattr("repose_jax.evaluation.metrics.precision_recall._VALUES_AT_ONCE", 1000)
    assert manifolds(real, fake, k) == found
    prc = pytest.importorskip("torch_fidelity.metric_prc")
    theirs = prc.calculate_precision_recall_full(
        torch.from_numpy(fake), torch.from_numpy(real), neighborhood=k)
    np.testing.assert_allclose(found[:2], theirs, rtol=1e-6)
    with pytest.raises(UserError, match="neighbours"):
        manifolds(real, fake, 90)
