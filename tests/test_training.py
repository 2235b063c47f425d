"""The step, the schedule and the devices, against what can be worked out by hand."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from repose_jax.common.errors import UserError
from repose_jax.training.parallel import data_parallel, fsdp_spec
from repose_jax.training.state import OptimizerConfig, create_state, learning_rate, make_optimizer
from repose_jax.training.step import make_train_step, sample_keys

SGD = OptimizerConfig(kind="sgd", learning_rate=0.1, clip_norm=0.0)
TRUE_WEIGHTS = np.arange(1, 5, dtype=np.float32)


class Batches:
    """A regression problem; batch n depends on n alone."""

    def __init__(self, size: int = 8, poison: int | None = None):
        self.size, self.poison, self.position = size, poison, 0

    def __iter__(self):
        return self

    def __next__(self):
        random = np.random.default_rng(self.position)
        x = random.normal(size=(self.size, 4)).astype(np.float32)
        y = x @ TRUE_WEIGHTS
        if self.position == self.poison:
            y[0] = np.nan
        self.position += 1
        return {"x": x, "y": y}

    def get_state(self):
        return {"position": self.position}

    def set_state(self, state):
        self.position = state["position"]


def squared_error(params, batch, keys):
    noise = jax.vmap(jax.random.normal)(keys)
    error = batch["x"] @ params["w"] + params["b"] - batch["y"] + 0.1 * noise
    return jnp.mean(error ** 2), {"bias": params["b"]}


def quiet_error(params, batch, keys):
    error = batch["x"] @ params["w"] + params["b"] - batch["y"]
    return jnp.mean(error ** 2), {}


def initial_params():
    return {"w": jnp.zeros(4), "b": jnp.float32(0.0)}


def assert_same(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


# --- the step


def test_a_step_is_the_sgd_update_worked_out_by_hand():
    batch = next(Batches())
    optimizer = make_optimizer(SGD, 8)
    step = make_train_step(quiet_error, optimizer, ema_decay=0.9)
    state, metrics = step(create_state(initial_params(), optimizer), batch, jax.random.key(0))
    slope_w = -2.0 * np.mean(batch["y"][:, None] * batch["x"], axis=0)
    slope_b = -2.0 * np.mean(batch["y"])
    np.testing.assert_allclose(state.params["w"], -0.1 * slope_w, rtol=1e-5)
    np.testing.assert_allclose(state.params["b"], -0.1 * slope_b, rtol=1e-5)
    np.testing.assert_allclose(metrics["loss"], np.mean(batch["y"] ** 2), rtol=1e-5)
    np.testing.assert_allclose(
        metrics["grad_norm"], np.sqrt(np.sum(slope_w ** 2) + slope_b ** 2), rtol=1e-5)
    assert int(state.step) == 1 and float(metrics["finite"]) == 1.0


@pytest.mark.parametrize("parts", [2, 4, 8])
def test_an_accumulated_gradient_is_that_of_the_whole_batch(parts):
    """SGD, with noise: sample i draws the same whatever part it is in."""
    optimizer, batch = make_optimizer(SGD, 8), next(Batches())
    (whole, wanted), (split, found) = (
        jax.jit(make_train_step(squared_error, optimizer, ema_decay=0.9, accumulate=accumulate))(
            create_state(initial_params(), optimizer), batch, jax.random.key(3))
        for accumulate in (1, parts))
    assert abs(float(whole.params["b"])) > 1e-2
    for one, other in zip(jax.tree.leaves((whole, wanted)), jax.tree.leaves((split, found)),
                          strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("clip_norm", [0.25, 1e6])
def test_a_large_gradient_is_scaled_down_to_the_norm_and_a_small_one_left(clip_norm):
    config = dataclasses.replace(SGD, learning_rate=1.0, clip_norm=clip_norm)
    optimizer = make_optimizer(config, 8)
    step = make_train_step(quiet_error, optimizer, ema_decay=0.9)
    state, metrics = step(create_state(initial_params(), optimizer), next(Batches()),
                          jax.random.key(0))
    assert metrics["grad_norm"] > 1.0  # as measured before the clip
    moved = np.sqrt(sum(np.sum(leaf ** 2) for leaf in jax.tree.leaves(state.params)))
    np.testing.assert_allclose(moved, min(clip_norm, metrics["grad_norm"]), rtol=1e-5)


def test_the_average_follows_its_closed_form():
    optimizer = make_optimizer(SGD, 8)
    step = jax.jit(make_train_step(quiet_error, optimizer, ema_decay=0.5))
    state = create_state(initial_params(), optimizer)
    batches, expected = Batches(), np.zeros(4)
    for count in range(12):
        state, _ = step(state, next(batches), jax.random.key(0))
        decay = min(0.5, (1 + count) / (10 + count))
        expected = decay * expected + (1 - decay) * np.asarray(state.params["w"], np.float64)
    np.testing.assert_allclose(state.ema["w"], expected, rtol=1e-5)


def test_the_average_is_float32_whatever_the_parameters_are():
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), initial_params())
    optimizer = make_optimizer(SGD, 8)
    state = create_state(params, optimizer)
    state, _ = make_train_step(quiet_error, optimizer, ema_decay=0.9, ema_warmup=False)(
        state, next(Batches()), jax.random.key(0))
    assert state.ema["w"].dtype == jnp.float32 and state.params["w"].dtype == jnp.bfloat16
    np.testing.assert_allclose(
        state.ema["w"], 0.1 * state.params["w"].astype(jnp.float32), rtol=1e-5)


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_a_step_that_is_not_finite_changes_nothing(kind):
    optimizer = make_optimizer(OptimizerConfig(kind=kind, weight_decay=0.1), 8)
    step = make_train_step(quiet_error, optimizer, ema_decay=0.9)
    before, _ = step(create_state(initial_params(), optimizer), next(Batches()),
                     jax.random.key(0))
    after, metrics = step(before, next(Batches(poison=0)), jax.random.key(0))
    assert float(metrics["finite"]) == 0.0
    assert_same(before, after)


def test_a_gradient_that_is_not_finite_counts_though_the_loss_is():
    def loss_fn(params, batch, keys):
        return jnp.sqrt(jnp.sum(params["w"] ** 2)), {}  # slope at 0 is 0 / 0

    optimizer = make_optimizer(SGD, 8)
    state = create_state(initial_params(), optimizer)
    after, metrics = make_train_step(loss_fn, optimizer, ema_decay=0.9)(
        state, next(Batches()), jax.random.key(0))
    assert float(metrics["loss"]) == 0.0 and float(metrics["finite"]) == 0.0
    assert_same(state, after)


def test_each_sample_and_each_step_draws_from_its_own_key():
    def loss_fn(params, batch, keys):
        return jnp.sum(params["w"]), {"draw": jax.vmap(jax.random.normal)(keys)}

    optimizer = make_optimizer(SGD, 8)
    step = make_train_step(loss_fn, optimizer, ema_decay=0.9)
    state, first = step(create_state(initial_params(), optimizer), next(Batches()),
                        jax.random.key(5))
    _, second = step(state, next(Batches()), jax.random.key(5))
    draws = np.concatenate([first["draw"], second["draw"]])
    assert len(np.unique(draws)) == 16
    # A sample's key does not depend on how many samples come with it.
    half = sample_keys(jax.random.fold_in(jax.random.key(5), 0), next(Batches(size=4)))
    np.testing.assert_array_equal(jax.vmap(jax.random.normal)(half), first["draw"][:4])


def test_a_new_state_shares_no_array_with_the_parameters():
    params = initial_params()
    state = create_state(params, make_optimizer(SGD, 8))
    jax.block_until_ready(
        jax.jit(lambda tree: jax.tree.map(lambda leaf: leaf + 1, tree), donate_argnums=0)(state))
    assert state.params["w"].is_deleted()
    assert_same(params, initial_params())


# --- the schedule


@pytest.mark.parametrize("decay, half", [("constant", 1.0), ("cosine", 0.5), ("linear", 0.5)])
def test_the_schedule_is_counted_in_images(decay, half):
    config = OptimizerConfig(
        learning_rate=2.0, warmup_images=100, total_images=500, decay=decay)
    for batch_size in (10, 20):
        rate = functools.partial(learning_rate, config, batch_size)
        assert rate(0) == pytest.approx(2.0 * batch_size / 100)  # the first step moves
        assert rate(50 // batch_size * 1) == pytest.approx(
            2.0 * (50 // batch_size + 1) * batch_size / 100)
        assert rate(100 // batch_size) == pytest.approx(2.0)
        assert rate(300 // batch_size) == pytest.approx(2.0 * half)
        assert rate(500 // batch_size - 1) > 0.0  # and so does the last
        assert rate(900 // batch_size) == pytest.approx(2.0 if decay == "constant" else 0.0)
        for step in (0, 3, 17):
            traced = jax.jit(rate)(jnp.int32(step))
            np.testing.assert_allclose(traced, rate(step), rtol=1e-5)


def test_the_optimizer_uses_the_schedule_and_decays_kernels_only():
    config = OptimizerConfig(kind="sgd", learning_rate=0.5, warmup_images=16, weight_decay=0.1,
                             clip_norm=0.0)
    optimizer = make_optimizer(config, 8)
    params = {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}
    still = jax.tree.map(jnp.zeros_like, params)
    updates, state = optimizer.update(still, optimizer.init(params), params)
    np.testing.assert_allclose(updates["kernel"], -0.25 * 0.1, rtol=1e-6)  # half warm
    np.testing.assert_array_equal(updates["bias"], 0.0)
    updates, _ = optimizer.update(still, state, params)
    np.testing.assert_allclose(updates["kernel"], -0.5 * 0.1, rtol=1e-6)


def test_adam_is_optax_adam():
    config = OptimizerConfig(learning_rate=0.1, betas=(0.8, 0.95), eps=1e-3, clip_norm=0.0)
    ours, theirs = make_optimizer(config, 8), optax.adam(0.1, 0.8, 0.95, 1e-3)
    params = initial_params()
    states = ours.init(params), theirs.init(params)
    for scale in (1.0, -3.0, 0.2):
        grads = {"w": scale * jnp.arange(4.0), "b": jnp.float32(scale)}
        one, first = ours.update(grads, states[0], params)
        two, second = theirs.update(grads, states[1], params)
        states = first, second
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), one, two)


@pytest.mark.parametrize("wrong", [{"kind": "lion"}, {"decay": "step"}])
def test_an_unknown_choice_is_refused(wrong):
    with pytest.raises(UserError, match="train.optimizer.*give one of"):
        OptimizerConfig(**wrong)


def test_a_decay_without_an_end_is_refused():
    with pytest.raises(ValueError, match="number of images"):
        make_optimizer(OptimizerConfig(decay="cosine"), 8)


# --- the devices


def test_fsdp_splits_the_largest_axis_that_divides_and_leaves_small_arrays():
    assert tuple(fsdp_spec((64, 128), 4, 8, 1024)) == (None, "data")
    assert tuple(fsdp_spec((64, 129), 4, 8, 1024)) == ("data", None)
    assert tuple(fsdp_spec((63, 129), 4, 8, 1024)) == ()
    assert tuple(fsdp_spec((64, 128), 4, 8, 64 * 128 * 4 + 1)) == ()
    assert tuple(fsdp_spec((), 4, 8, 0)) == ()


@pytest.mark.parametrize("mode", ["pmap", "jit", "fsdp"])
def test_frozen_parameters_are_an_argument_that_does_not_move(mode):
    """The step of a loss that multiplies by them is that of their numbers; no number is compiled in."""
    def scaled(params, batch, keys, frozen):
        loss, facts = quiet_error(params, batch, keys)
        return frozen["gain"] * loss, facts

    optimizer = make_optimizer(SGD, 8)
    devices = data_parallel(functools.partial(make_train_step, scaled, optimizer, ema_decay=0.9),
                            mode)
    losses = [float(devices.step(
        devices.init(lambda: create_state(initial_params(), optimizer)), next(Batches()),
        jax.random.key(0), devices.put({"gain": jnp.float32(gain)}))[1]["loss"])
        for gain in (1.0, 3.0)]
    assert losses[1] == pytest.approx(3 * losses[0]) and losses[0] > 0


def test_the_given_arrays_survive_a_step_that_donates_its_state():
    params = initial_params()
    optimizer = make_optimizer(SGD, 8)
    factory = functools.partial(make_train_step, quiet_error, optimizer, ema_decay=0.9)
    for mode in ("pmap", "jit", "fsdp"):
        devices = data_parallel(factory, mode)
        given = create_state(params, optimizer)
        for state in (devices.put(given),
                      devices.init(lambda tree: create_state(tree, optimizer), params)):
            moved, _ = devices.step(state, next(Batches()), jax.random.key(0))
            assert state.params["w"].is_deleted()  # donated indeed
            assert np.any(devices.get(moved).params["w"] != 0.0)
        assert_same(given.params, initial_params())
    assert_same(params, initial_params())


def in_another_process(script: str, *arguments: str, flags: str = ""):
    """Runs a script that may import this file, compiled as in this process: bits depend on it."""
    settings = {
        "JAX_PLATFORMS": "cpu", "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip(),
        "JAX_DISABLE_MOST_OPTIMIZATIONS": str(
            int(jax.config.values["jax_disable_most_optimizations"]))}
    if jax.config.jax_compilation_cache_dir:
        settings["JAX_COMPILATION_CACHE_DIR"] = jax.config.jax_compilation_cache_dir
    return subprocess.run(
        [sys.executable, "-c", script, str(pathlib.Path(__file__).parent), *arguments],
        env={**os.environ, **settings}, capture_output=True, text=True, check=False)


_EIGHT = """
import dataclasses, functools, sys
sys.path.insert(0, sys.argv[1])
import jax, numpy as np
import test_training as t
from repose_jax.common.errors import UserError
assert jax.local_device_count() == 8
optimizer = t.make_optimizer(dataclasses.replace(t.SGD, learning_rate=0.01), 16)


def after(mode, count, accumulate=1, **options):
    batches = t.Batches(16)
    factory = functools.partial(t.make_train_step, wide_loss, optimizer, ema_decay=0.9,
                                accumulate=accumulate)
    devices = t.data_parallel(factory, mode, devices=jax.local_devices()[:count], **options)
    state = devices.init(lambda tree: t.create_state(tree, optimizer), wide)
    if options:
        split = state.params["w"].addressable_shards[0].data.shape
        assert split == (8, 8), split
    for _ in range(3):
        state, metrics = devices.step(state, next(batches), jax.random.key(7))
    if options:
        assert state.params["w"].addressable_shards[0].data.shape == (8, 8)
    return devices.get(state), devices.get(metrics)


def wide_loss(params, batch, keys):
    noise = jax.vmap(jax.random.normal)(keys)
    hidden = jax.numpy.tanh(batch["x"] @ params["v"] @ params["w"]).sum(axis=1)
    return jax.numpy.mean((hidden - batch["y"] + noise) ** 2), {"noise": noise.mean()}


random = np.random.default_rng(0)
wide = {"v": random.normal(size=(4, 8)).astype("f4") / 9,
        "w": random.normal(size=(8, 64)).astype("f4") / 9}
fsdp = {"fsdp_min_bytes": 512}
one = after("pmap", 1)
for mode, parts, options in (("pmap", 1, {}), ("jit", 1, {}), ("fsdp", 1, fsdp), ("pmap", 2, {}),
                             ("jit", 2, {})):
    many = after(mode, 8, parts, **options)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-6), one, many)
moved = max(np.abs(a - b).max() for a, b in
            zip(jax.tree.leaves(one[0].params), jax.tree.leaves(wide)))
assert moved > 1e-3, moved
for mode in ("pmap", "jit"):
    devices = t.data_parallel(functools.partial(
        t.make_train_step, t.quiet_error, optimizer, ema_decay=0.9), mode)
    try:
        devices.step(t.create_state(t.initial_params(), optimizer), next(t.Batches(12)), None)
    except UserError as error:
        assert "12" in str(error) and "8 devices" in str(error), error
    else:
        raise AssertionError("12 was split over 8")
print("equal")
"""


def test_eight_devices_equal_one():
    # SGD: Adam would hide a gradient of the wrong scale.
    done = in_another_process(_EIGHT, flags="--xla_force_host_platform_device_count=8")
    assert done.returncode == 0, done.stderr
    assert "equal" in done.stdout
