"""Multi-scale SSIM against pytorch_msssim and closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from repose_jax.evaluation.metrics.ms_ssim import ms_ssim, ms_ssim_name, scale_weights
from repose_jax.evaluation.metrics.ssim import gaussian_ssim


def _pairs(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Smooth with noise, noise against noise, and a negative (structure below 0)."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width] / 30
    smooth = 0.5 + 0.4 * np.sin(np.stack([5 * x, 7 * y, 3 * x + 4 * y], -1))
    a = np.stack([smooth, rng.random(smooth.shape), smooth])
    b = np.stack([np.clip(smooth + 0.2 * rng.standard_normal(smooth.shape), 0, 1),
                  rng.random(smooth.shape), 1 - smooth])
    return a.astype(np.float32), b.astype(np.float32)


@pytest.mark.parametrize("scales", [5, 3])
def test_ms_ssim_is_that_of_pytorch_msssim(scales):
    torch, reference = pytest.importorskip("torch"), pytest.importorskip("pytorch_msssim")
    a, b = _pairs(192, 176)
    expected = reference.ms_ssim(
        *(torch.from_numpy(x.transpose(0, 3, 1, 2)).double() for x in (a, b)),
        data_range=1, size_average=False, weights=scale_weights(scales).tolist()).numpy()
    found = np.asarray(ms_ssim(a, b, scales=scales))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert 0.2 < found[0] < 1 and found[2] == 0


def test_one_scale_is_ssim_and_identical_pictures_give_one():
    a, b = _pairs(45, 61)
    each = [np.asarray(gaussian_ssim(a[..., c:c + 1], b[..., c:c + 1])) for c in range(3)]
    np.testing.assert_allclose(ms_ssim(a, b, scales=1), np.maximum(each, 0).mean(0), atol=1e-6)
    np.testing.assert_allclose(ms_ssim(a, a, scales=3), 1, atol=1e-5)


def test_constants_have_the_luminance_of_the_coarsest_scale():
    low, high = (np.full((1, 64, 64, 3), v, np.float32) for v in (0.2, 0.7))
    luminance = (2 * 0.2 * 0.7 + 1e-4) / (0.2**2 + 0.7**2 + 1e-4)
    weight = 0.3001 / (0.0448 + 0.2856 + 0.3001)
    np.testing.assert_allclose(ms_ssim(low, high, scales=3), luminance**weight, rtol=1e-4)


def test_name_and_weights_say_how_many_scales():
    assert (ms_ssim_name(), ms_ssim_name(5), ms_ssim_name(3)) == ("ms-ssim", "ms-ssim", "ms-ssim-3")
    for scales in range(1, 6):
        np.testing.assert_allclose(scale_weights(scales).sum(), 1, atol=1e-3)
    with pytest.raises(ValueError, match="1 to 5"):
        scale_weights(6)


def test_pictures_too_small_for_the_scales_are_refused():
    a = np.zeros((1, 128, 64, 3), np.float32)
    with pytest.raises(ValueError, match="at the last of 5 scales.*fewer scales"):
        ms_ssim(a, a)
    with pytest.raises(ValueError, match="at the last of 4 scales"):
        ms_ssim(a, a, scales=4)
    assert ms_ssim(a, a, scales=3).shape == (1,)
