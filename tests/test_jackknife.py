"""The jackknife over people, against what is known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest

from repose_jax.evaluation.metrics.kid import polynomial_mmd
from repose_jax.evaluation.statistics.jackknife import jackknife


def test_of_a_mean_it_is_the_standard_error():
    values = np.random.default_rng(0).normal(size=40)
    found = jackknife(lambda some: values[some].mean(), np.arange(40))
    half = 1.959964 * values.std(ddof=1) / math.sqrt(40)
    assert found == pytest.approx((values.mean(), values.mean() - half, values.mean() + half))


def test_people_are_left_out_not_pictures():
    """Ten pictures of each of ten people, all alike: as uncertain as ten pictures."""
    values = np.random.default_rng(1).normal(size=10)
    ten = jackknife(lambda some: values[some].mean(), np.arange(10))
    hundred = jackknife(lambda some: values.repeat(10)[some].mean(), np.arange(10).repeat(10))
    assert hundred == pytest.approx(ten)
    assert all(math.isnan(end) for end in jackknife(lambda some: 1.0, ["one"] * 3)[1:])


def test_the_intervals_of_a_kernel_distance_cover_it():
    """Sets of one distribution, whose distance is 0: about 95 of 100 intervals hold it."""
    covered = 0
    for trial in range(100):
        real, fake = np.random.default_rng(trial).normal(size=(2, 40, 4))
        _, low, high = jackknife(
            lambda some: polynomial_mmd(real[some], fake[some]), np.arange(40))  # noqa: B023
        covered += low <= 0 <= high
    assert covered >= 85
