"""Parts of one size: every example once, fillers dropped, whatever the number of devices."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from devices import on_devices
from repose_jax.common.batching import in_parts, parts, split


@pytest.mark.parametrize("count,at_once", [(1, 4), (4, 4), (9, 4), (3, 1)])
def test_every_example_counts_once_and_parts_are_of_one_size(count, at_once):
    seen = []
    for some, real in parts(count, at_once):
        assert len(some) == at_once and 0 <= some.min() and some.max() < count
        seen += list(some[:real])
    assert seen == list(range(count))


def test_parts_of_none_are_refused():
    with pytest.raises(ValueError, match="parts of 0"):
        next(parts(3, 0))


def test_a_function_in_parts_is_the_function_of_the_whole():
    pictures = np.random.default_rng(0).normal(size=(11, 3)).astype(np.float32)
    sizes = set()

    def function(x):
        sizes.add(len(x))
        return x.sum(1)

    np.testing.assert_allclose(in_parts(function, pictures.__getitem__, 11, 4), pictures.sum(1),
                               rtol=1e-6)
    assert sizes == {4}


def test_what_is_split_keeps_its_values():
    tree = {"a": np.arange(4.0), "key": jax.random.split(jax.random.key(0), 4)}
    out = split(tree)
    np.testing.assert_array_equal(out["a"], tree["a"])
    assert (jax.random.key_data(out["key"]) == jax.random.key_data(tree["key"])).all()


SCRIPT = """
import jax, numpy as np
from repose_jax.common.batching import parts, split
from repose_jax.evaluation.metrics.instruments import Instruments
from repose_jax.evaluation.metrics.metric import scores
from repose_jax.evaluation.metrics.picture_batch import PictureBatch
from repose_jax.evaluation.metrics.ssim import gaussian_ssim
from repose_jax.pose.skeleton import MARKET14
count = int(__import__("sys").argv[1])
assert jax.local_device_count() == count
rng = np.random.default_rng(0)
a, b = rng.integers(0, 256, (2, 11, 32, 24, 3), np.uint8)
poses = np.concatenate([rng.uniform(2, 22, (11, 14, 2)), np.ones((11, 14, 1))], -1).astype("f4")
measured = [one for one in scores(Instruments(size=(32, 24))) if not one.absent]
found = {}
for some, real in parts(11, 8):
    batch = PictureBatch(a[some], b[some], b[some], poses[some], poses[some], MARKET14)
    for one in measured:
        found.setdefault(one.name, []).append(np.asarray(one.of_batch(batch))[:real])
pictures = split(a[:8] / np.float32(255))
assert len(gaussian_ssim(pictures, pictures).sharding.device_set) == count
print(*(f"{x:.6f}" for name in sorted(found) for x in np.concatenate(found[name]).ravel()))
"""


@pytest.mark.slow
def test_eight_devices_measure_as_one():
    told = []
    for count in (1, 8):
        told.append(np.array(on_devices(count, SCRIPT, str(count)).split(), float))
    assert len(told[0]) == 11 * (9 + 4 * 6)  # nine scores, four pairs of colours
    np.testing.assert_allclose(told[1], told[0], atol=1e-5)
