"""LPIPS against the package of its authors, with random networks and the published heads."""

from __future__ import annotations

import functools
import importlib.util
import sys
import types

import jax.numpy as jnp
import numpy as np
import pytest

from repose_jax.common.errors import UserError
from repose_jax.evaluation.metrics.lpips import load_lpips, lpips_from_states, published_heads
from repose_jax.experiments.bench.torch_twins import arrays, random_lpips
from repose_jax.networks.lpips_backbones import TAP_CHANNELS, LpipsBackbone, backbone_params

KINDS = ("alex", "vgg", "squeeze")


@functools.cache
def _reference(kind: str):
    for package in ("torch", "torchvision", "lpips"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    return random_lpips(kind)


def _pairs(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise against noise, a smooth picture against itself with a little noise, and a shift."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width] / 40
    smooth = 0.5 + 0.4 * np.sin(np.stack([5 * x, 7 * y, 3 * x + 4 * y], -1))
    a = np.stack([rng.random(smooth.shape), smooth, smooth])
    b = np.stack([rng.random(smooth.shape),
                  np.clip(smooth + 0.02 * rng.standard_normal(smooth.shape), 0, 1),
                  np.roll(smooth, 5, axis=1)])
    return a.astype(np.float32), b.astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(64, 176), (67, 61)])
def test_lpips_is_that_of_its_package(kind, size):
    torch = pytest.importorskip("torch")
    model, backbone, heads = _reference(kind)
    a, b = _pairs(*size)
    with torch.no_grad():
        expected = model(*(torch.from_numpy(x.transpose(0, 3, 1, 2)) for x in (a, b)),
                         normalize=True).numpy().reshape(-1)
    metric = lpips_from_states(kind, backbone, heads)
    assert metric.name == f"lpips-{kind}" and len(metric.sha256) == 64
    found = np.asarray(metric(a, b))
    assert found.shape == (3,) and expected.min() > 1e-4
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-4)
    np.testing.assert_allclose(metric(b, a), found, rtol=1e-5)
    np.testing.assert_array_equal(metric(a, a), 0)


@pytest.mark.parametrize("kind", KINDS)
def test_taps_are_those_of_torchvision(kind):
    torch = pytest.importorskip("torch")
    model, backbone, _ = _reference(kind)
    x = np.random.default_rng(1).standard_normal((1, 70, 65, 3)).astype(np.float32)
    with torch.no_grad():
        expected = model.net(torch.from_numpy(x.transpose(0, 3, 1, 2)))
    found = LpipsBackbone(kind).apply(backbone_params(kind, backbone, "file"), jnp.asarray(x))
    assert tuple(tap.shape[-1] for tap in found) == TAP_CHANNELS[kind]
    for tap, wanted in zip(found, expected, strict=True):
        wanted = wanted.numpy().transpose(0, 2, 3, 1)
        np.testing.assert_allclose(tap, wanted, atol=1e-5 * np.abs(wanted).max())


def test_weights_that_do_not_fit_are_named():
    _, backbone, heads = _reference("alex")
    less = {name: array for name, array in backbone.items() if name != "features.3.weight"}
    with pytest.raises(UserError, match=r"alex\.pth: 1 of 10 .* 'features\.3\.weight'"):
        lpips_from_states("alex", less, heads, "alex.pth")
    with pytest.raises(UserError, match=r"\(64, 3, 3, 3\) and not \(64, 3, 11, 11\)"):
        lpips_from_states("alex", backbone | {"features.0.weight": np.zeros((64, 3, 3, 3))}, heads)
    with pytest.raises(UserError, match=r"h\.pth: .*v0\.1/alex\.pth"):
        lpips_from_states("alex", backbone, {}, heads_file="h.pth")
    with pytest.raises(UserError, match="'lin2.model.1.weight' has negative"):
        lpips_from_states("alex", backbone, heads | {
            "lin2.model.1.weight": -heads["lin2.model.1.weight"]})
    with pytest.raises(ValueError, match="unknown network 'resnet'"):
        lpips_from_states("resnet", backbone, heads)


def test_digest_is_that_of_the_weights_in_use():
    _, backbone, heads = _reference("alex")
    first = lpips_from_states("alex", backbone, heads, "a.pth")
    more = {"classifier.1.weight": np.zeros(3)} | dict(reversed(backbone.items()))
    assert lpips_from_states("alex", more, heads, "b.pth").sha256 == first.sha256
    other = backbone | {"features.0.bias": backbone["features.0.bias"] + 1}
    assert lpips_from_states("alex", other, heads).sha256 != first.sha256


def test_pictures_that_do_not_fit_are_refused():
    _, backbone, heads = _reference("alex")
    metric = lpips_from_states("alex", backbone, heads)
    a = np.zeros((2, 64, 64, 3), np.float32)
    with pytest.raises(ValueError, match="cannot be compared"):
        metric(a, a[:1])
    with pytest.raises(ValueError, match="too small for alex"):
        metric(a[:, :24], a[:, :24])


def test_heads_of_the_installed_package_are_taken(monkeypatch):
    torch = pytest.importorskip("torch")
    model, backbone, heads = _reference("squeeze")
    read = []

    def read_state_dict(path, sha256_prefix="from the name"):
        read.append(path)
        return backbone if path == "squeeze.pth" else arrays(torch.load(path, map_location="cpu"))

    stub = types.ModuleType("repose_jax.common.torch_file")
    stub.read_state_dict = read_state_dict
    monkeypatch.setitem(sys.modules, "repose_jax.common.torch_file", stub)
    metric = load_lpips("squeeze", "squeeze.pth")
    assert read == ["squeeze.pth", published_heads("squeeze")]
    assert metric.sha256 == lpips_from_states("squeeze", backbone, heads).sha256

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install lpips"):
        load_lpips("squeeze", "squeeze.pth")
