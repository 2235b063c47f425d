"""What protocols ask for is measured: ranges, MAE, masks and batches of the authors' scripts."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import structural_similarity

from repose_jax.common.errors import UserError
from repose_jax.data.people.renderer import render_person
from repose_jax.data.registry import open_dataset
from repose_jax.evaluation.evaluators.published_weights import reference
from repose_jax.evaluation.evaluators.scorer import Scorer, in_memory
from repose_jax.evaluation.metrics.features import feature_network
from repose_jax.evaluation.metrics.frechet import frechet_distance
from repose_jax.evaluation.metrics.instruments import Instruments
from repose_jax.evaluation.metrics.mae import mae
from repose_jax.evaluation.metrics.metric import scores
from repose_jax.evaluation.metrics.picture_batch import PictureBatch
from repose_jax.evaluation.metrics.ssim import gaussian_ssim, own_range
from repose_jax.evaluation.protocols.pairs import PROTOCOLS, protocol
from repose_jax.evaluation.report.score_table import score
from repose_jax.evaluation.statistics.gaussian import moments, whole_batches
from repose_jax.pose.person_mask import person_mask
from repose_jax.pose.skeleton import MARKET14


def _as_scripted(generated, target, sigma):
    """The call of PIDM's utils/metrics.py and CFLD's models/metrics.py, in 64 bits."""
    a, b = (np.asarray(p, np.float64) * 255 for p in (generated, target))
    return structural_similarity(b, a, gaussian_weights=True, sigma=sigma, channel_axis=-1,
                                 use_sample_covariance=False, data_range=a.max() - a.min())


def _rendered(*identities):
    return np.stack([render_person(0, i, 1, (64, 40)).image for i in identities]) / np.float32(255)


@pytest.mark.parametrize("sigma", [1.2, 1.5])
@pytest.mark.parametrize("kind", ["random", "rendered", "low contrast"])
def test_ssim_by_the_generated_pictures_own_range_is_that_of_the_scripts(kind, sigma):
    rng = np.random.default_rng(0)
    a, b = ((rng.random((3, 48, 40, 3)), rng.random((3, 48, 40, 3))) if kind == "random" else
            (_rendered(1, 2, 3), _rendered(4, 5, 6)))
    if kind == "low contrast":
        a = np.round(120 + 12 * a) / 255
    a, b = a.astype(np.float32), b.astype(np.float32)
    found = gaussian_ssim(a, b, sigma=sigma, data_range=own_range(a))
    np.testing.assert_allclose(
        found, [_as_scripted(p, q, sigma) for p, q in zip(a, b)], atol=1e-4)
    if kind == "low contrast":  # another number than with a range of 1
        assert (np.abs(found - gaussian_ssim(a, b, sigma=sigma)) > 0.01).all()


def test_a_flat_picture_has_no_range_and_scores_nothing():
    rng = np.random.default_rng(1)
    flat, target = np.full((2, 24, 24, 3), 0.5, np.float32), rng.random((2, 24, 24, 3))
    target[1] = 0.5
    found = gaussian_ssim(flat, target.astype(np.float32), data_range=own_range(flat))
    np.testing.assert_array_equal(found, 0)
    assert _as_scripted(flat[0], target[0], 1.5) == pytest.approx(0, abs=1e-6)
    with np.errstate(invalid="ignore", divide="ignore"):  # what it makes of 0 / 0 is no number
        assert not np.isfinite(_as_scripted(flat[1], target[1], 1.5))


def _measured(batch, beside="target", **by):
    """The values of every score, and the sentences on what is not measured."""
    table = score("t", [(batch, len(batch))],
                  scores(Instruments(size=batch.generated.shape[1:3], **by), beside))
    return table.values, table.left_out


def test_scores_say_by_which_range_they_are():
    a, b = np.uint8(255 * _rendered(1, 2)), np.uint8(255 * _rendered(3, 4))
    nobody = np.zeros((2, 14, 3))
    batch = PictureBatch(a, b, b, nobody, nobody, MARKET14)
    found, _ = _measured(batch, windows=(), sigmas=(1.2, 1.5), range_of_prediction=True, mae=True)
    plain, _ = _measured(batch, windows=(), sigmas=(1.2, 1.5))
    assert set(plain) == {"gaussian_ssim_1.2", "gaussian_ssim", "ms_ssim_2", "psnr", "l1",
                          "mask_gaussian_ssim", "inside_l1", "head_l1"}
    assert set(found) == set(plain) | {"gaussian_ssim_1.2_own_range",
                                       "gaussian_ssim_1.5_own_range", "mae"}
    np.testing.assert_allclose(found["gaussian_ssim_1.2_own_range"],
                               [_as_scripted(p / 255, q / 255, 1.2) for p, q in zip(a, b)],
                               atol=1e-4)
    # A sigma of 1.2 makes 9 x 9 taps, fewer than 1.5 does.
    for size, left_out in (((9, 7), ["gaussian_ssim_1.2: a window of 9"]), ((9, 9), [])):
        absent = [f"{one.name}: {one.absent}" for one in scores(Instruments(
            size=size, windows=(), sigmas=(1.2,))) if one.absent]
        assert [text[:32] for text in absent] == left_out


def test_mae_is_that_of_the_scripts():
    a, b = _rendered(1, 2), _rendered(3, 4)
    expected = [np.abs(p - q).sum() / (p + q).sum() for p, q in zip(a, b)]
    np.testing.assert_allclose(mae(a, b), expected, rtol=1e-5)
    assert np.isnan(mae(0 * a, 0 * b)).all()


def test_masked_lpips_sees_the_person_on_grey():
    class Mean:
        name = "lpips-mean"

        def __call__(self, a, b):
            assert a.dtype == b.dtype == np.float32
            return jnp.abs(a - b).mean((1, 2, 3)) + jnp.abs(a[:, 0, 0, 0] - 0.5)

    renders = [render_person(0, i, 1, (64, 40)) for i in (1, 2)]
    b = np.stack([render.image for render in renders])
    pose = np.stack([render.annotated("market14") for render in renders])
    mask = person_mask(pose, MARKET14, (64, 40))
    assert mask.any((1, 2)).all() and not mask[:, 0, 0].any()
    a = np.where(mask[..., None], b, 255 - b)  # wrong only where nobody is
    def measure(a):
        batch = PictureBatch(a, b, b, pose, pose, MARKET14)
        return _measured(batch, lpips=[Mean()], mask_lpips=True)[0]["mask-lpips-mean"]

    np.testing.assert_allclose(measure(a), 0, atol=1e-6)
    assert (measure(255 - a) > 0.001).all()
    pose[1, :, 2] = 0
    found = measure(a)
    assert np.isnan(found).tolist() == [False, True]


def test_batches_that_are_not_full_are_left_out_where_a_protocol_says_so(market, tmp_path):
    assert [whole_batches(n, 64) for n in (63, 64, 127, 8570)] == [63, 64, 64, 8512]
    assert whole_batches(8570, 0) == 8570
    train, test = (open_dataset(market, split) for split in ("train", "test"))
    network = feature_network(
        "toy", lambda weights, p: p.astype(jnp.float32).mean((1, 2)) @ weights, np.eye(3), "")
    real = moments(np.stack([train.image(i) for i in range(10)]).mean((1, 2))).gaussian("toy")
    found = reference(network, train, None, tmp_path, 5)  # of 12 pictures
    assert found.count == 10
    np.testing.assert_allclose(found.covariance, real.covariance, rtol=1e-3)
    assert reference(network, train, None, tmp_path).count == 12  # no mix-up of their files

    rng = np.random.default_rng(2)
    made = rng.integers(0, 256, (24, 32, 16, 3), np.uint8)
    scorer = Scorer(test, np.arange(24), Instruments(
        size=test.size, networks=[network], references={"toy": found}, windows=(7,),
        range_of_prediction=True, mae=True, drop_incomplete=10))
    table = scorer.table("noise", in_memory(made))
    own = moments(made[:20].mean((1, 2))).gaussian("toy")
    assert scorer.report(table).scores["frechet_toy"].value == pytest.approx(
        frechet_distance(own, found), rel=1e-3)
    assert {"gaussian_ssim", "gaussian_ssim_1.5_own_range", "mae"} <= set(table.values)


def test_protocols_are_what_the_scripts_do():
    gfla, pidm = PROTOCOLS["deepfashion-256-gfla"], PROTOCOLS["deepfashion-256"]
    assert gfla.sigmas == (1.5,) and pidm.sigmas == (1.2,)
    assert all(p.range_of_prediction for p in PROTOCOLS.values())
    for name in ("256", "512"):  # MCLD took over CFLD's metrics
        mcld, cfld = PROTOCOLS[f"deepfashion-{name}-mcld"], PROTOCOLS[f"deepfashion-{name}-cfld"]
        assert dataclasses.replace(mcld, name=cfld.name, source=cfld.source,
                                   quirks=cfld.quirks) == cfld
        assert mcld.drop_incomplete == 0 and not mcld.mae
    with pytest.raises(UserError, match="mine: is not a protocol.*market1501.*human-art"):
        protocol("mine")
