"""Inception-v3 with random weights and statistics, against the networks that it stands in for."""

from __future__ import annotations

import functools
import hashlib
import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from devices import on_devices
from repose_jax.common.errors import UserError
from repose_jax.evaluation.metrics.features import (
    FeatureNetwork, WeightsAbsent, feature_batches, feature_network, features_of, inception)
from repose_jax.evaluation.statistics.gaussian import moments_of
from repose_jax.experiments.bench.features import pytorch_fid, randomise
from repose_jax.experiments.bench.torch_twins import import_torchvision
from repose_jax.networks.inception import Inception, params_from_torch, prepare, resize_bilinear

TAPS = ("64", "192", "768", "2048")


@pytest.fixture(scope="module")
def torch():
    """PyTorch with torchvision, on one thread."""
    found = pytest.importorskip("torch")
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("no torchvision")
    import_torchvision()
    found.set_num_threads(1)
    return found


@pytest.fixture(scope="module")
def pictures():
    """Two of 40 x 24, uint8: coarse blocks of colour and noise."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (2, 10, 6, 3)).repeat(4, 1).repeat(4, 2)
    return np.clip(coarse + rng.integers(-30, 30, coarse.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def tf(torch):
    """pytorch-fid's network, its state dict, and ours as a compiled function of prepared input."""
    pytest.importorskip("pytorch_fid")
    network, state = pytorch_fid(blocks=(0, 1, 2, 3))
    params = params_from_torch(state, "tf")
    return network, state, _compiled("tf", params)


def _compiled(variant, params):
    run = jax.jit(lambda params, x: Inception(variant).apply({"params": params}, x))
    return functools.partial(run, params)


def _close(found, expected):
    expected = np.asarray(expected)
    assert found.shape == expected.shape and expected.std() > 1e-3
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("size", [(40, 24), (299, 299), (350, 310)])
def test_resizing_is_pytorchs_and_tensorflows(torch, size):
    metric = pytest.importorskip("torch_fidelity.interpolate_compat_tensorflow")
    x = np.random.default_rng(1).random((2, *size, 3), np.float32)
    theirs = torch.from_numpy(x).permute(0, 3, 1, 2)
    half = torch.nn.functional.interpolate(theirs, (299, 299), mode="bilinear", align_corners=False)
    corner = metric.interpolate_bilinear_2d_like_tensorflow1x(
        theirs, size=(299, 299), align_corners=False)
    for half_pixel, expected in ((True, half), (False, corner)):
        found = resize_bilinear(jnp.asarray(x), 299, half_pixel=half_pixel)
        # Theirs find the places in float32, whose error is 2e-5 of a pixel at the far end.
        np.testing.assert_allclose(found, expected.permute(0, 2, 3, 1), atol=5e-5)


def test_scaling():
    x = np.arange(0, 256, 5, dtype=np.uint8).repeat(3).reshape(1, 1, -1, 3)
    unit = x.astype(np.float64) / 255
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    for scaling, expected in (
            ("symmetric", 2 * unit - 1), ("tf", (x.astype(float) - 128) / 128),
            ("transform", unit * std / 0.5 + (mean - 0.5) / 0.5)):
        for given in (x, unit.astype(np.float32)):
            found = prepare(jnp.asarray(given), "none", scaling)
            np.testing.assert_allclose(found, expected, atol=1e-6)
    # Meant for normalised pictures, the last makes the first of them.
    normalised = ((unit - mean) / std).astype(np.float32)
    np.testing.assert_allclose(prepare(jnp.asarray(normalised), "none", "transform"),
                               2 * unit - 1, atol=1e-6)
    with pytest.raises((ValueError, TypeError)):  # TypeError where annotations are checked
        prepare(jnp.asarray(x), "none", "other")


def test_activations_are_pytorch_fids(torch, tf, pictures):
    network, _, ours = tf
    with torch.inference_mode():
        theirs = network(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255)
    found = ours(prepare(jnp.asarray(pictures)))
    for tap, expected in zip(TAPS, theirs):
        _close(found[tap], expected.mean((2, 3)))


def test_activations_and_logits_are_torch_fidelitys(torch, tf, pictures, tmp_path):
    fidelity = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    _, state, ours = tf
    path = tmp_path / "weights.pth"
    torch.save({name: torch.from_numpy(value) for name, value in state.items()}, path)
    network = fidelity.FeatureExtractorInceptionV3(
        "inception", [*TAPS, "logits"], feature_extractor_weights_path=str(path))
    with torch.inference_mode():
        theirs = network(torch.from_numpy(pictures).permute(0, 3, 1, 2))
    found = ours(prepare(jnp.asarray(pictures), "tf1", "tf"))
    for tap, expected in zip((*TAPS, "logits"), theirs):
        _close(found[tap], expected)


def test_activations_and_logits_are_torchvisions(torch, pictures):
    """As the scripts of GFLA, PIDM, CFLD and MCLD: pictures in [0, 1] through `transform_input`."""
    network = randomise(import_torchvision().models.inception_v3(
        transform_input=True, init_weights=False), seed=1)
    kept = {}
    for name in ("Mixed_6e", "avgpool"):
        getattr(network, name).register_forward_hook(
            lambda _module, _given, out, name=name: kept.update({name: out.mean((2, 3))}))
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255
    with torch.inference_mode():
        logits = network(torch.nn.functional.interpolate(x, (299, 299), mode="bilinear"))
    params = params_from_torch(
        {name: value.numpy() for name, value in network.state_dict().items()}, "imagenet")
    found = _compiled("imagenet", params)(prepare(jnp.asarray(pictures), "bilinear", "transform"))
    for tap, expected in (("768", kept["Mixed_6e"]), ("2048", kept["avgpool"]), ("logits", logits)):
        _close(found[tap], expected)


def test_a_file_of_weights_to_features(torch, tf, pictures, tmp_path):
    """From a folder; an early tap, which compiles in no time."""
    network, state, _ = tf
    state = {name: torch.from_numpy(value) for name, value in state.items()}
    torch.save(state, tmp_path / "plain.pth")
    content = (tmp_path / "plain.pth").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    (tmp_path / f"net-{digest[:8]}.pth").write_bytes(content)
    with pytest.raises(UserError, match="no hash in its name"):
        inception(tmp_path / "plain.pth")
    found = inception(tmp_path / f"net-{digest[:8]}.pth", tap="64")
    assert found.name == "inception-tf-64-bilinear-symmetric" and found.sha256 == digest
    with torch.inference_mode():
        theirs = network(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255)[0].mean((2, 3))
    _close(features_of(found, pictures, batch_size=2), theirs)
    published = tmp_path / "pt_inception-2015-12-05-6726825d.pth"
    published.write_bytes(content)
    with pytest.raises(UserError, match="6726825d is asked for"):
        inception(tmp_path)
    with pytest.raises(UserError, match="lacks the tensor|has the shape"):
        inception(published, "imagenet", sha256_prefix=None)
    with pytest.raises(WeightsAbsent, match="is not there") as absent:
        inception(tmp_path, "imagenet")
    assert absent.value.file == "inception_v3_google-0cc3c7bd.pth" in str(absent.value)
    with pytest.raises(WeightsAbsent, match="other.pth"):
        inception(tmp_path / "other.pth")
    with pytest.raises(UserError, match="cubic: is not known"):
        inception(published, resize="cubic")


def test_weights_that_do_not_fit_are_named(tf):
    _, state, _ = tf
    short = {name: value for name, value in state.items() if name != "Mixed_7c.branch1x1.bn.weight"}
    with pytest.raises(UserError, match=r"w.pth: lacks the tensor Mixed_7c.branch1x1.bn.weight"):
        params_from_torch(short, "tf", "w.pth")
    with pytest.raises(UserError, match="fc.weight has the shape"):
        params_from_torch(state | {"fc.weight": state["fc.weight"][:1000]}, "tf")
    with pytest.raises(UserError, match="has the tensor head.weight that the network lacks"):
        params_from_torch(state | {"head.weight": state["fc.weight"]}, "tf")


@pytest.fixture
def toy():
    """A network of one product that counts its compilations."""
    shapes = []

    def apply(params, pictures):
        shapes.append(pictures.shape)
        return jnp.einsum("bhwc,cd->bd", pictures / 255, params)

    weights = np.random.default_rng(2).random((3, 5)).astype(np.float32)
    return feature_network("toy", apply, weights, ""), weights, shapes


def test_batches_are_filled_up_and_leave_no_picture_out(toy):
    network, weights, shapes = toy
    pictures = np.random.default_rng(3).integers(0, 256, (11, 6, 4, 3), np.uint8)
    expected = np.einsum("bhwc,cd->bd", pictures / 255, weights)
    for size in (4, 11, 32):
        found = features_of(network, iter(pictures), batch_size=size)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert [len(part) for part in feature_batches(network, pictures, 4)] == [4, 4, 3]
    assert shapes == [(4, 6, 4, 3), (11, 6, 4, 3), (32, 6, 4, 3)]
    assert moments_of(feature_batches(network, pictures, 4)).count == 11


_TWO = """
import numpy as np, jax
from repose_jax.evaluation.metrics.features import feature_batches, feature_network
assert jax.local_device_count() == 2
seen = []
def apply(params, pictures):
    jax.debug.inspect_array_sharding(pictures, callback=lambda s: seen.append(s.num_devices))
    return pictures.astype(float).mean((1, 2)) @ params
network = feature_network("toy", apply, np.eye(3, 2), "")
pictures = np.random.default_rng(0).integers(0, 256, (5, 6, 4, 3), np.uint8)
parts = list(feature_batches(network, pictures, 3))
assert [len(part) for part in parts] == [4, 1] and seen == [2], (parts, seen)
np.testing.assert_allclose(np.concatenate(parts), pictures.mean((1, 2))[:, :2], rtol=1e-5)
whole = network.extract(pictures)
np.testing.assert_allclose(whole, pictures.mean((1, 2))[:, :2], rtol=1e-5)
"""


def test_batches_are_split_over_the_devices():
    on_devices(2, _TWO)


def test_pictures_that_cannot_be_taken(toy):
    network = toy[0]
    with pytest.raises(ValueError, match="no picture"):
        features_of(network, [])
    with pytest.raises(ValueError, match="uint8"):
        features_of(network, np.zeros((2, 4, 4, 3), np.float32))
    with pytest.raises(ValueError):
        features_of(network, [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)])
    assert isinstance(network, FeatureNetwork)
