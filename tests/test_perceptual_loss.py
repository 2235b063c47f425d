"""The painter's perceptual loss: its network as the paper has it, its limits."""

from __future__ import annotations

import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from PIL import Image

from repose_jax.cli import main
from repose_jax.common.errors import UserError
from repose_jax.common.torch_file import read_state_dict
from repose_jax.models.perceptual_loss import (
    close_up_term, close_ups, gram, perceptual_terms, windows)
from repose_jax.networks import efficientnet_lite
from repose_jax.networks.efficientnet_lite import (
    PACKAGE, TAP_CHANNELS, features, params_from_torch, published_file, shapes)
from repose_jax.pose.head import Head

BLOCKS = [  # kernel, stride, inner and outer channels: table 1 of Tan & Le 2019
    (3, 1, 32, 16), (3, 2, 96, 24), (3, 1, 144, 24), (5, 2, 144, 40), (5, 1, 240, 40),
    (3, 2, 240, 80), (3, 1, 480, 80), (3, 1, 480, 80), (5, 1, 480, 112), (5, 1, 672, 112),
    (5, 1, 672, 112)]
TAPPED = (0, 2, 4, 10)


def state(seed=0):
    """A state dict of random tensors, under the names of the PyTorch port."""
    rng, made = np.random.default_rng(seed), {}

    def add(convolution, normalisation, *shape):
        made[f"{convolution}.weight"] = rng.normal(0, np.prod(shape[1:]) ** -0.5, shape)
        for part, low, high in [("weight", 0.5, 1.5), ("bias", -0.5, 0.5),
                                ("running_mean", -0.2, 0.2), ("running_var", 0.5, 1.5)]:
            made[f"{normalisation}.{part}"] = rng.uniform(low, high, shape[0])

    add("_conv_stem", "_bn0", 32, 3, 3, 3)
    before = 32
    for number, (kernel, _, inner, outer) in enumerate(BLOCKS):
        name = f"_blocks.{number}"
        if number:
            add(f"{name}._expand_conv", f"{name}._bn0", inner, before, 1, 1)
        add(f"{name}._depthwise_conv", f"{name}._bn1", inner, 1, kernel, kernel)
        add(f"{name}._project_conv", f"{name}._bn2", outer, inner, 1, 1)
        before = outer
    made["_fc.weight"] = np.zeros((2, 3))
    return {name: value.astype(np.float32) for name, value in made.items()}


def plainly(tensors, pictures):
    """The blocks' outputs with XLA's own convolutions and batch normalisation as it is written."""
    def layer(x, convolution, normalisation, stride=1, groups=1):
        kernel = tensors[f"{convolution}.weight"].transpose(2, 3, 1, 0)
        x = lax.conv_general_dilated(x, kernel, (stride, stride), "SAME", feature_group_count=groups,
                                     dimension_numbers=("NHWC", "HWIO", "NHWC"))
        scale, shift, mean, variance = (tensors[f"{normalisation}.{part}"] for part in (
            "weight", "bias", "running_mean", "running_var"))
        return (x - mean) / np.sqrt(variance + 1e-3) * scale + shift

    x, outputs = jnp.clip(layer(pictures, "_conv_stem", "_bn0", 2), 0, 6), []
    for number, (_, stride, inner, outer) in enumerate(BLOCKS):
        name, before = f"_blocks.{number}", x
        if number:
            x = jnp.clip(layer(x, f"{name}._expand_conv", f"{name}._bn0"), 0, 6)
        x = jnp.clip(layer(x, f"{name}._depthwise_conv", f"{name}._bn1", stride, inner), 0, 6)
        x = layer(x, f"{name}._project_conv", f"{name}._bn2")
        x = x + before if stride == 1 and before.shape[-1] == outer else x
        outputs.append(x)
    return outputs


@pytest.fixture(scope="module")
def params():
    return jax.tree.map(jnp.asarray, params_from_torch(state()))


def pictures(seed, batch=2, size=(48, 32)):
    return jax.random.uniform(jax.random.key(seed), (batch, *size, 3), minval=-1)


def test_the_features_are_those_of_the_network(params):
    x = pictures(0)
    with jax.default_matmul_precision("highest"):
        found, outputs = compiled_features(params, x), jax.jit(lambda x: plainly(state(), x))(x)
    assert [f.shape for f in found] == [
        (2, 48 // side, 32 // side, c) for side, c in zip((2, 4, 8, 16), TAP_CHANNELS, strict=True)]
    for tap, block in zip(found, TAPPED, strict=True):
        np.testing.assert_allclose(tap, outputs[block], atol=1e-5 * float(abs(outputs[block]).max()))


def test_shapes_are_known_without_a_file(params):
    assert jax.tree.map(lambda x: (x.shape, x.dtype), shapes()) == jax.tree.map(
        lambda x: (x.shape, x.dtype), params)


@pytest.mark.parametrize("name, value, says", [
    ("_blocks.3._bn1.bias", None, "lacks the tensor _blocks.3._bn1.bias"),
    ("_conv_stem.weight", np.zeros((32, 3, 5, 5)), r"has the shape \[32, 3, 5, 5\]")])
def test_other_tensors_are_refused(name, value, says):
    tensors = state()
    tensors.pop(name)
    if value is not None:
        tensors[name] = value
    with pytest.raises(UserError, match=says):
        params_from_torch(tensors)


compiled_terms = jax.jit(perceptual_terms, static_argnums=(7, 8))
compiled_features = jax.jit(features)


def terms(params, painted, target, *, perceptual=1.0, style=1.0, person=None, key=0):
    weight = jnp.ones((*painted.shape[:3], 1))
    person = weight if person is None else person
    return compiled_terms(params, painted, target, weight, person, 1 - person,
                          jax.random.split(jax.random.key(key), len(painted)), perceptual, style)


def test_equal_pictures_cost_nothing_wherever_they_are_moved(params):
    x = pictures(1)
    for key in range(3):
        assert max(terms(params, x, x, key=key).values()) == 0
    assert min(terms(params, x, pictures(2)).values()) > 0


def test_weights_scale_and_leave_out(params):
    x, y = pictures(1), pictures(2)
    both, some = terms(params, x, y), terms(params, x, y, perceptual=0.0, style=0.25)
    assert set(some) == {"style"}
    assert float(some["style"]) == pytest.approx(float(both["style"]) / 4, rel=1e-5)


def test_a_place_is_judged_by_what_is_seen_of_it(params):
    """A place of which nothing is seen tells nothing."""
    x = pictures(1)
    left = jnp.zeros((*x.shape[:3], 1)).at[:, :, :16].set(1.0)
    weight = jnp.ones_like(left)

    def style(target, seen):
        return float(compiled_terms(
            params, x, target, weight, jnp.zeros_like(left), seen,
            jax.random.split(jax.random.key(0), len(x)), 0.0, 1.0)["style"])

    whole, half = style(pictures(2), weight), style(pictures(2), left)
    assert whole > 0 and half > 0 and abs(whole - half) > 1e-3 * whole
    assert style(pictures(2), jnp.zeros_like(left)) == 0


def test_no_gradient_reaches_the_target(params):
    x, y = pictures(1), pictures(2)
    ours, theirs = jax.jit(jax.grad(lambda x, y: sum(terms(params, x, y).values()), (0, 1)))(x, y)
    assert np.abs(ours).max() > 0 and np.abs(theirs).max() == 0


def test_gram_matrices_are_means_over_the_person():
    x = jax.random.normal(jax.random.key(3), (2, 4, 2, 5))
    where = jnp.zeros((2, 4, 2, 1)).at[:, 1:3].set(1)
    inside = np.asarray(x[:, 1:3]).reshape(2, 4, 5)
    np.testing.assert_allclose(gram(x, where), inside.swapaxes(1, 2) @ inside / 4, rtol=1e-5)
    np.testing.assert_array_equal(gram(x, jnp.zeros_like(where)), 0)


def test_style_tells_the_person_from_the_place(params):
    """Two halves that change places keep the whole's products, and not those of person and place."""
    x = pictures(4, 1, (16, 32))
    x = x.at[:, :, :16].multiply(0.1)
    person = jnp.zeros((1, 16, 32, 1)).at[:, :, :16].set(1)
    swapped = jnp.roll(x, 16, axis=2)
    ours, theirs = (compiled_features(params, picture)[0] for picture in (x, swapped))
    where = person[:, ::2, ::2]
    whole = [gram(f, jnp.ones_like(where)) for f in (ours, theirs)]
    parts = [gram(ours, w) - gram(theirs, w) for w in (where, 1 - where)]
    assert np.abs(whole[0] - whole[1]).max() < 0.2 * min(np.abs(part).max() for part in parts)
    assert float(terms(params, x, swapped, person=person)["style"]) > 3 * float(
        terms(params, x, swapped, person=jnp.ones_like(person))["style"])


def test_style_of_a_place_without_anybody_counts(params):
    x, nobody = pictures(5), jnp.zeros((2, 48, 32, 1))
    assert float(terms(params, x, pictures(6), person=nobody)["style"]) > 0


@pytest.mark.skipif(importlib.util.find_spec(PACKAGE) is None, reason="needs the extra perceptual")
def test_blur_costs_more_than_a_shift():
    """With the published weights, on a person: more than a difference of pixels makes of it."""
    params = jax.tree.map(jnp.asarray, params_from_torch(read_state_dict(published_file())))
    file = pathlib.Path(__file__).parents[1] / "examples" / "person-a.png"
    with Image.open(file) as opened:
        person = np.asarray(opened.convert("RGB").resize((64, 128)), np.float32)[None] / 127.5 - 1
    shifted, blurred = np.roll(person, 1, 2), np.mean(
        [np.roll(person, (i, j), (1, 2)) for i in (-1, 0, 1) for j in (-1, 0, 1)], 0)
    far, near = (float(terms(params, jnp.asarray(x), jnp.asarray(person))["perceptual"])
                 for x in (blurred, shifted))
    assert near > 0
    assert far / near > 1.2 * np.abs(blurred - person).mean() / np.abs(shifted - person).mean()


@pytest.mark.parametrize("options, says", [
    (["--objective.perceptual", "-1"], "objective.perceptual"),
    (["--model.network.image-size", "120", "64", "--objective.style", "1"], "multiples of 16")])
def test_wrong_settings_are_one_line(tmp_path, capsys, options, says):
    assert main(["train", "painter-people", "--output", str(tmp_path / "run"), *options]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1 and not (tmp_path / "run").exists()


def test_the_missing_package_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(efficientnet_lite, "PACKAGE", "no_package_of_this_name")
    assert main(["train", "painter-people", "--output", str(tmp_path / "run"),
                 "--objective.perceptual", "0.2"]) == 2
    error = capsys.readouterr().err
    assert "is not installed" in error and "repose_jax[perceptual]" in error
    assert error.count("\n") == 1 and not (tmp_path / "run").exists()


class TestWindows:
    @pytest.mark.parametrize(("share", "size"), [(1.0, (64, 32)), (0.5, (32, 16)), (0.3, (32, 16))])
    def test_they_are_as_large_as_asked_for_and_lie_everywhere(self, share, size):
        """Every pixel is seen in some window, and each window is a piece of the picture."""
        number = jnp.arange(64.0 * 32).reshape(1, 64, 32, 1).repeat(400, axis=0)
        found = np.asarray(windows(number, jax.random.split(jax.random.key(0), 400), share))
        assert found.shape[1:3] == size
        assert set(np.unique(found)) == set(range(64 * 32))
        for axis, step in ((1, 32), (2, 1)):  # where it is not the edge that is repeated
            assert set(np.unique(np.diff(found, axis=axis))) == {0, step}


def test_a_close_up_sees_the_head_alone(params):
    """What is changed elsewhere costs nothing, and who shows no head counts nothing."""
    x = pictures(1, 2, (64, 64))
    head = Head(jnp.full((2, 2), 20.0), jnp.array([8.0, 0.0]))
    cost = jax.jit(lambda x, y, head: close_up_term(close_ups(params, x, y, head)))
    body, face = x.at[:, 40:].set(0.0), x.at[:, 15:25, 15:25].set(0.0)
    assert cost(x, x, head) == cost(body, x, head) == 0
    assert cost(x.at[1].set(0.0), x, head) == 0
    one = Head(*(part[:1] for part in head))
    assert float(cost(face, x, head)) == pytest.approx(float(cost(face[:1], x[:1], one)), rel=1e-4)
    assert cost(face, x, head) > 0
    assert cost(x, x, Head(head.centre, jnp.zeros(2))) == 0
