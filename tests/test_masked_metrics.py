"""Scores of the person alone, and the person's mask, against references and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.draw import disk
from skimage.metrics import structural_similarity
from skimage.morphology import closing

from repose_jax.evaluation.metrics import masked
from repose_jax.evaluation.metrics.l1 import l1
from repose_jax.evaluation.metrics.psnr import psnr
from repose_jax.evaluation.metrics.ssim import gaussian_ssim, uniform_ssim
from repose_jax.pose.person_mask import mask_limbs, person_mask
from repose_jax.pose.skeleton import COCO17, MARKET14, OPENPOSE18


@pytest.fixture(scope="module")
def pictures():
    """Two pairs, 48 x 40, and a mask of soft edges."""
    rng = np.random.default_rng(0)
    a = rng.random((2, 48, 40, 3)).astype(np.float32)
    b = np.clip(a + 0.2 * rng.standard_normal(a.shape), 0, 1).astype(np.float32)
    y, x = np.mgrid[:48, :40]
    mask = np.clip(2 - np.hypot((y - 24) / 14, (x - 20) / 9), 0, 1).astype(np.float32)
    return a, b, np.stack([mask, mask > 0.5]).astype(np.float32)


def _gaussian(p, q, **options):
    return structural_similarity(p, q, gaussian_weights=True, sigma=1.5, data_range=1,
                                 use_sample_covariance=False, channel_axis=-1, **options)


def _uniform(p, q, **options):
    return structural_similarity(p, q, win_size=7, data_range=1, channel_axis=-1, **options)


@pytest.mark.parametrize(("name", "reference", "margin"),
                         [("gaussian", _gaussian, 5), ("uniform", _uniform, 3)])
def test_masked_ssims_are_scikit_images(pictures, name, reference, margin):
    a, b, mask = pictures
    black, inside = [], []
    for p, q, m in zip(*(x.astype(float) for x in pictures)):
        black.append(reference(p * m[..., None], q * m[..., None]))
        full = reference(p, q, full=True)[1].mean(-1)
        crop = (slice(margin, -margin),) * 2
        inside.append(np.average(full[crop], weights=m[crop]))
    np.testing.assert_allclose(
        getattr(masked, f"mask_{name}_ssim")(a, b, mask), black, atol=1e-5)
    np.testing.assert_allclose(
        getattr(masked, f"inside_{name}_ssim")(a, b, mask), inside, atol=1e-5)
    assert min(np.subtract(black, inside)) > 0.02  # black on black is a perfect match


@pytest.mark.parametrize(("name", "plain"), [
    ("gaussian_ssim", gaussian_ssim), ("uniform_ssim", uniform_ssim), ("l1", l1), ("psnr", psnr)])
def test_a_mask_of_everything_changes_nothing(pictures, name, plain):
    a, b, _ = pictures
    everything, nothing = np.ones(a.shape[:3], np.float32), np.zeros(a.shape[:3], np.float32)
    for way in ("mask", "inside"):
        metric = getattr(masked, f"{way}_{name}")
        np.testing.assert_allclose(metric(a, b, everything), plain(a, b), atol=1e-5)
        with pytest.raises(ValueError, match="do not belong together"):
            metric(a, b, everything[:, 1:])
    assert np.isnan(getattr(masked, f"inside_{name}")(a, b, nothing)).all()


def test_errors_outside_of_the_mask_do_not_count():
    a = np.full((1, 32, 32, 3), 0.5, np.float32)
    mask = np.zeros((1, 32, 32), np.float32)
    mask[:, 8:24, 8:24] = 1  # a quarter
    b = a + np.where(mask[..., None] > 0, 0.1, 0.4).astype(np.float32)
    np.testing.assert_allclose(masked.inside_l1(a, b, mask), 0.1, rtol=1e-5)
    np.testing.assert_allclose(masked.mask_l1(a, b, mask), 0.025, rtol=1e-5)
    np.testing.assert_allclose(masked.inside_psnr(a, b, mask), 20, rtol=1e-5)
    np.testing.assert_allclose(masked.mask_psnr(a, b, mask), 20 + 10 * np.log10(4), rtol=1e-5)


# Limbs of the mask in PG2's script, joints of OPENPOSE18 from 1.
_PG2 = [(2, 3), (2, 6), (3, 4), (4, 5), (6, 7), (7, 8), (2, 9), (9, 10), (10, 11), (2, 12),
        (12, 13), (13, 14), (2, 1), (1, 15), (15, 17), (1, 16), (16, 18), (2, 17), (2, 18),
        (9, 12), (12, 6), (9, 3), (17, 18)]


def test_limbs_of_the_mask_are_those_of_pg2():
    assert ({frozenset(limb) for limb in mask_limbs(OPENPOSE18)}
            == {frozenset((a - 1, b - 1)) for a, b in _PG2})
    for skeleton in (COCO17, MARKET14):
        limbs = mask_limbs(skeleton)
        assert len(limbs) == len({frozenset(limb) for limb in limbs})
        assert (skeleton.index("left_hip"), skeleton.index("left_shoulder")) in limbs or (
            skeleton.index("left_shoulder"), skeleton.index("left_hip")) in limbs


@pytest.mark.parametrize("radius", [4, 8])
def test_mask_is_rows_of_discs_closed(radius):
    rng = np.random.default_rng(1)
    poses = np.concatenate([rng.uniform(-5, [65, 130], (6, 18, 2)),
                            rng.random((6, 18, 1)) > 0.2], -1)
    found = person_mask(poses, OPENPOSE18, (128, 64), radius=radius)
    for pose, mask in zip(poses, found):
        expected = np.zeros((128, 64))
        for p, q in ((pose[a - 1], pose[b - 1]) for a, b in _PG2):
            if p[2] == 0 or q[2] == 0:
                continue
            steps = int(np.hypot(*(p - q)[:2]) / radius)
            places = [p, q] + [p + (q - p) * i / steps for i in range(1, steps)]
            for x, y, _ in places:
                # A disc of skimage is open: a little more radius takes in its rim.
                expected[disk((int(y), int(x)), radius + 1e-6, shape=(128, 64))] = 1
        expected = closing(expected, np.ones((5, 5)))
        np.testing.assert_array_equal(mask, expected > 0)


def test_mask_of_unknown_joints_is_empty():
    pose = np.zeros((2, 14, 3))
    pose[1, MARKET14.index("neck")] = 30, 30, 1  # a joint alone is no limb
    assert not person_mask(pose, MARKET14, (64, 60)).any()
    pose[1, MARKET14.index("head_top")] = 30, 10, 1
    mask = person_mask(pose, MARKET14, (64, 60))
    assert not mask[0].any() and mask[1, 10:31, 28:33].all() and not mask[1, :, :26].any()
    with pytest.raises(ValueError, match="not of skeleton coco17"):
        person_mask(pose, COCO17, (64, 60))
    with pytest.raises(ValueError, match="radius"):
        person_mask(pose, MARKET14, (64, 60), radius=0)
