"""The step, the schedule, the devices and the loop, against what can be worked out by hand."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pathlib
import signal
import subprocess
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from repose_jax.errors import UserError
from repose_jax.training.log import TrainingLog
from repose_jax.training.loop import LoopConfig, train
from repose_jax.training.parallel import data_parallel, fsdp_spec
from repose_jax.training.state import (
    OptimizerConfig, create_state, learning_rate, make_optimizer)
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


class Conv(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Conv(3, (3, 3))(nn.silu(nn.Conv(8, (3, 3))(x)))


class Pictures(Batches):
    def __next__(self):
        random = np.random.default_rng(self.position)
        self.position += 1
        return {"source": random.integers(0, 256, (self.size, 8, 4, 3), np.uint8)}


def conv_loss(params, batch, keys):
    image = batch["source"].astype(jnp.float32) / 127.5 - 1.0
    noise = jax.vmap(lambda key: jax.random.normal(key, image.shape[1:]))(keys)
    return jnp.mean((Conv().apply({"params": params}, image + noise) - noise) ** 2), {}


def conv_params():
    shapes = jax.eval_shape(Conv().init, jax.random.key(1), jnp.zeros((1, 8, 4, 3)))["params"]
    random = np.random.default_rng(1)
    return jax.tree.map(
        lambda leaf: 0.2 * random.normal(size=leaf.shape).astype(np.float32), shapes)


def config_of(**changes) -> LoopConfig:
    fields = dict(
        total_images=160, batch_size=8, seed=3, log_every_images=16, checkpoint_every_images=40,
        sample_every_images=0, ema_decay=0.9,
        optimizer=OptimizerConfig(learning_rate=0.05, warmup_images=40, weight_decay=0.01))
    return LoopConfig(**{**fields, **changes})


def run(folder, config=None, *, batches=None, params=None, loss_fn=squared_error, **options):
    """A run without a progress bar and what it told."""
    events = []
    batches = batches or Batches()
    state = train(
        config or config_of(), params=initial_params() if params is None else params,
        loss_fn=loss_fn, batches=batches, folder=folder, metadata={"model": {"width": 4}},
        progress=False, on_event=lambda name, facts: events.append((name, facts)), **options)
    return jax.device_get(state), events


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    """The uninterrupted run that others are compared with."""
    return run(tmp_path_factory.mktemp("whole"))[0]


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


@pytest.mark.parametrize("clip_norm", [0.25, 1e6])
def test_a_large_gradient_is_scaled_down_to_the_norm_and_a_small_one_left(clip_norm):
    config = dataclasses.replace(SGD, learning_rate=1.0, clip_norm=clip_norm)
    optimizer = make_optimizer(config, 8)
    step = make_train_step(quiet_error, optimizer, ema_decay=0.9)
    state, metrics = step(create_state(initial_params(), optimizer), next(Batches()),
                          jax.random.key(0))
    assert metrics["grad_norm"] > 1.0  # as measured before the clip
    np.testing.assert_allclose(
        np.sqrt(sum(np.sum(leaf ** 2) for leaf in jax.tree.leaves(state.params))), min(clip_norm, metrics["grad_norm"]), rtol=1e-5)


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
    with pytest.raises(ValueError, match="unknown"):
        make_optimizer(OptimizerConfig(**wrong), 8)


# --- the devices


def test_fsdp_splits_the_largest_axis_that_divides_and_leaves_small_arrays():
    assert tuple(fsdp_spec((64, 128), 4, 8, 1024)) == (None, "data")
    assert tuple(fsdp_spec((64, 129), 4, 8, 1024)) == ("data", None)
    assert tuple(fsdp_spec((63, 129), 4, 8, 1024)) == ()
    assert tuple(fsdp_spec((64, 128), 4, 8, 64 * 128 * 4 + 1)) == ()
    assert tuple(fsdp_spec((), 4, 8, 0)) == ()


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


_EIGHT = """
import dataclasses, functools, sys
sys.path.insert(0, sys.argv[1])
import jax, numpy as np
import test_training as t
assert jax.local_device_count() == 8
optimizer = t.make_optimizer(dataclasses.replace(t.SGD, learning_rate=0.01), 16)


def after(mode, count, loss_fn, params, batches, **options):
    factory = functools.partial(t.make_train_step, loss_fn, optimizer, ema_decay=0.9)
    devices = t.data_parallel(factory, mode, devices=jax.local_devices()[:count], **options)
    state = devices.init(lambda tree: t.create_state(tree, optimizer), params)
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
for loss_fn, params, batches, modes in (
        (wide_loss, wide, t.Batches, (("pmap", {}), ("jit", {}), ("fsdp", fsdp))),
        (t.conv_loss, t.conv_params(), t.Pictures, (("pmap", {}), ("jit", {})))):
    one = after("pmap", 1, loss_fn, params, batches(16))
    for mode, options in modes:
        many = after(mode, 8, loss_fn, params, batches(16), **options)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-6), one, many)
    moved = max(np.abs(a - b).max() for a, b in
                zip(jax.tree.leaves(one[0].params), jax.tree.leaves(params)))
    assert moved > 1e-3, moved
for mode in ("pmap", "jit"):
    devices = t.data_parallel(functools.partial(
        t.make_train_step, t.quiet_error, optimizer, ema_decay=0.9), mode)
    try:
        devices.step(t.create_state(t.initial_params(), optimizer), next(t.Batches(12)), None)
    except t.UserError as error:
        assert "12" in str(error) and "8 devices" in str(error), error
    else:
        raise AssertionError("12 was split over 8")
print("equal")
"""


def test_eight_devices_equal_one():
    # SGD: Adam would hide a gradient of the wrong scale.
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
    done = subprocess.run(
        [sys.executable, "-c", _EIGHT, str(pathlib.Path(__file__).parent)],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "equal" in done.stdout


# --- the loop


def test_a_run_leaves_checkpoints_log_curve_and_samples(tmp_path):
    seen = []

    def sample_fn(params, images):
        seen.append((images, np.array(params["w"])))
        return np.full((6, 4, 3), 7, np.uint8)

    state, events = run(tmp_path, config_of(keep=2, sample_every_images=80), sample_fn=sample_fn)
    assert int(state.step) == 20
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["120", "160"]
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == [
        "00000080.png", "00000160.png"]
    assert [images for images, _ in seen] == [80, 160]
    np.testing.assert_array_equal(seen[-1][1], state.ema["w"])
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert events[-1] == ("end", {"images": 160, "reason": "complete"})
    rows = TrainingLog(tmp_path).rows()
    assert [row["images"] for row in rows] == list(range(16, 161, 16))
    assert [row["step"] for row in rows] == list(range(2, 21, 2))
    for name in ("loss", "grad_norm", "bias", "learning_rate", "images_per_s", "wall_s",
                 "first_step_s", "peak_memory_mb"):
        assert all(np.isfinite(row[name]) for row in rows), name
    # A row's loss is the mean over its two steps.
    singles, _ = run(tmp_path / "each", config_of(log_every_images=8))
    each = [row["loss"] for row in TrainingLog(tmp_path / "each").rows()]
    np.testing.assert_allclose([row["loss"] for row in rows],
                               np.reshape(each, (10, 2)).mean(axis=1), rtol=1e-6)


def test_training_does_not_touch_the_given_parameters_and_can_make_them(tmp_path, whole_run):
    params = initial_params()
    given, _ = run(tmp_path / "given", params=params)
    assert_same(params, initial_params())
    made, _ = run(tmp_path / "made", params=initial_params)
    assert_same(given, made)
    assert_same(given, whole_run)


def test_resuming_equals_never_stopping(tmp_path, whole_run):
    run(tmp_path / "parts", config_of(total_images=80))
    (tmp_path / "parts" / "log.jsonl").open("a").write('{"images": 96, "loss": 5.0}\n{"imag')
    batches = Batches()
    parts, events = run(tmp_path / "parts", batches=batches)
    assert events[0] == ("resume", {"images": 80})
    assert batches.position == 20  # not one batch was seen twice
    assert_same(whole_run, parts)
    images = [row["images"] for row in TrainingLog(tmp_path / "parts").rows()]
    assert images == list(range(16, 161, 16))
    again, events = run(tmp_path / "parts", batches=(idle := Batches()))
    assert_same(whole_run, again)
    assert [name for name, _ in events] == ["resume", "end"] and idle.position == 20


_KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import test_training as t


def on_event(name, facts):
    if name == "log" and facts["images"] >= 96:
        os.kill(os.getpid(), signal.SIGKILL)


t.train(t.config_of(), params=t.conv_params(), loss_fn=t.conv_loss, batches=t.Pictures(),
        folder=sys.argv[2], metadata={"model": {"width": 4}}, progress=False, on_event=on_event)
"""


def test_a_killed_run_that_is_resumed_equals_the_uninterrupted_one(tmp_path):
    whole, _ = run(tmp_path / "whole", params=conv_params(), loss_fn=conv_loss,
                   batches=Pictures())
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, str(pathlib.Path(__file__).parent),
         str(tmp_path / "killed")], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    batches = Pictures()
    resumed, events = run(tmp_path / "killed", params=conv_params(), loss_fn=conv_loss,
                          batches=batches)
    # The kill may have come before the newest checkpoint was complete.
    assert events[0] in (("resume", {"images": 40}), ("resume", {"images": 80}))
    assert batches.position == 20
    assert_same(whole, resumed)
    rows = [json.loads(line) for line in (tmp_path / "killed/log.jsonl").open()]
    assert [row["images"] for row in rows] == list(range(16, 161, 16))
    full = TrainingLog(tmp_path / "whole").rows()
    # Resumed at 40, the row at 48 holds one step instead of two; all the others are equal.
    for one, two in zip(full, rows, strict=True):
        if two["images"] != 48:
            assert one["loss"] == two["loss"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_to_stop_leaves_a_checkpoint_to_go_on_from(tmp_path, whole_run, number):
    class Interrupting(Batches):
        def __next__(self):
            if self.position == 7:
                os.kill(os.getpid(), number)
            return super().__next__()

    before = signal.getsignal(number)
    state, events = run(tmp_path / "parts", batches=Interrupting())
    assert events[-1] == ("end", {"images": 64, "reason": "interrupted"})
    assert signal.getsignal(number) is before
    assert int(state.step) == 8
    parts, events = run(tmp_path / "parts")
    assert events[0] == ("resume", {"images": 64})
    assert_same(whole_run, parts)


def test_the_time_limit_ends_with_a_checkpoint_and_counts_over_resumes(tmp_path):
    limited = config_of(max_minutes=1e-9)
    state, events = run(tmp_path, limited)
    assert events[-1] == ("end", {"images": 0, "reason": "out of time"})
    assert int(state.step) == 0
    _, events = run(tmp_path, limited)
    assert events == [("resume", {"images": 0}), ("end", {"images": 0, "reason": "out of time"})]
    state, _ = run(tmp_path)
    assert int(state.step) == 20


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_good_checkpoint(tmp_path):
    with pytest.raises(UserError, match=r"non-finite loss at image 96; .*checkpoints/80;"):
        run(tmp_path, batches=Batches(poison=11))
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["40", "80"]
    assert TrainingLog(tmp_path).rows()[-1]["images"] == 80
    good, _ = run(tmp_path / "good", config_of(total_images=80))
    kept, events = run(tmp_path, config_of(total_images=80))
    assert events[0] == ("resume", {"images": 80})
    assert_same(good, kept)


def test_a_checkpoint_is_not_written_over_a_step_that_was_not_finite(tmp_path):
    # The metrics are read one step late: the step before a checkpoint must be read first.
    with pytest.raises(UserError, match="non-finite loss at image 80; .*checkpoints/40;"):
        run(tmp_path, batches=Batches(poison=9))
    with pytest.raises(UserError, match="non-finite loss at image 160; .*checkpoints/120;"):
        run(tmp_path / "last", batches=Batches(poison=19))
    with pytest.raises(UserError, match="at image 8; .*none was due yet"):
        run(tmp_path / "first", batches=Batches(poison=0))


def test_data_that_do_not_fit_are_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="batch of 4 where 8"):
        run(tmp_path / "size", batches=Batches(size=4))

    class Short(Batches):
        def __next__(self):
            if self.position == 3:
                raise StopIteration
            return super().__next__()

    with pytest.raises(UserError, match="end after 24 images"):
        run(tmp_path / "short", batches=Short())


def test_a_folder_that_is_a_file_is_one_clear_line(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match="cannot be made"):
        run(tmp_path / "taken")


def test_other_intervals_and_a_longer_run_may_go_on_but_another_rate_may_not(tmp_path):
    run(tmp_path, config_of(total_images=40))
    slower = config_of(optimizer=OptimizerConfig(learning_rate=0.01, warmup_images=40))
    with pytest.raises(UserError, match=r"optimizer.learning_rate was 0.05, now 0.01"):
        run(tmp_path, slower)
    _, events = run(tmp_path, config_of(keep=1, log_every_images=40, parallel="jit"))
    assert events[0] == ("resume", {"images": 40})


def test_the_loss_axis_always_has_numbers(tmp_path):
    for loss in ([0.0412, 0.0418, 0.0409], [3.0, 1e-6, 2e-3], [0.0, -1.0, 2.0]):
        log = TrainingLog(tmp_path)
        log.cut(-1)
        for index, value in enumerate(loss):
            log.append({"images": 1000 * index, "loss": value})
        log.plot()
        assert (tmp_path / "loss.png").stat().st_size > 1000
