"""The loop: what it leaves behind, and that a run that was stopped ends as if it had not been."""

from __future__ import annotations

import dataclasses
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
import pytest

from heard import Heard
from repose_jax.common.errors import UserError
from repose_jax.training.config import LoopConfig
from repose_jax.training.log import TrainingLog
from repose_jax.training.loop import train
from repose_jax.training.state import OptimizerConfig

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
    return dataclasses.replace(LoopConfig(
        total_images=160, batch_size=8, seed=3, log_every_images=16, checkpoint_every_images=40,
        sample_every_images=0, ema_decay=0.9,
        optimizer=OptimizerConfig(learning_rate=0.05, warmup_images=40, weight_decay=0.01)),
        **changes)


def run(folder, config=None, *, batches=None, params=None, loss_fn=squared_error, **options):
    """A run and what it told."""
    heard = Heard()
    batches = batches or Batches()
    trained = train(
        config or config_of(), params=initial_params() if params is None else params,
        loss_fn=loss_fn, batches=batches, folder=folder, metadata={"model": {"width": 4}},
        events=heard, **options)
    assert ("end", trained.images) == (
        heard.records[-1][0], heard.records[-1][1]["images"])
    return jax.device_get(trained.state), heard.records


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    """The uninterrupted run that others are compared with."""
    return run(tmp_path_factory.mktemp("whole"))[0]


def assert_same(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


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


def test_a_decay_is_as_long_as_the_training_unless_it_has_a_length_of_its_own():
    cosine = OptimizerConfig(decay="cosine")
    assert config_of(total_images=80, optimizer=cosine).schedule().total_images == 80
    own = dataclasses.replace(cosine, total_images=50)
    assert config_of(total_images=80, optimizer=own).schedule() == own
    # What is constant may be made longer: its end must not tell two runs apart.
    constant = [config_of(total_images=total).identity() for total in (80, 160)]
    assert constant[0] == constant[1]


def test_the_last_row_is_of_the_last_image(tmp_path):
    run(tmp_path, config_of(total_images=40))
    assert [row["images"] for row in TrainingLog(tmp_path).rows()] == [16, 32, 40]


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
    rows = TrainingLog(tmp_path / "parts").rows()
    assert [row["images"] for row in rows] == list(range(16, 161, 16))
    # Wall time goes on from the checkpoint's, which is not before the last row's.
    assert rows[5]["wall_s"] > rows[4]["wall_s"] + rows[5]["first_step_s"] - 0.01
    again, events = run(tmp_path / "parts", batches=(idle := Batches()))
    assert_same(whole_run, again)
    assert [name for name, _ in events] == ["resume", "end"] and idle.position == 20


def in_another_process(script: str, *arguments: str):
    """Runs a script that may import this file, compiled as in this process: bits depend on it."""
    settings = {
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": str(
            int(jax.config.values["jax_disable_most_optimizations"]))}
    if jax.config.jax_compilation_cache_dir:
        settings["JAX_COMPILATION_CACHE_DIR"] = jax.config.jax_compilation_cache_dir
    return subprocess.run(
        [sys.executable, "-c", script, str(pathlib.Path(__file__).parent), *arguments],
        env={**os.environ, **settings}, capture_output=True, text=True, check=False)


_KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import test_loop as t


def kill(name, facts):
    if name == "log" and facts["images"] >= 96:
        os.kill(os.getpid(), signal.SIGKILL)


t.train(t.config_of(), params=t.conv_params(), loss_fn=t.conv_loss, batches=t.Pictures(),
        folder=sys.argv[2], metadata={"model": {"width": 4}}, events=t.Heard(kill))
"""


def test_a_killed_run_that_is_resumed_equals_the_uninterrupted_one(tmp_path):
    whole, _ = run(tmp_path / "whole", params=conv_params(), loss_fn=conv_loss,
                   batches=Pictures())
    done = in_another_process(_KILLED, str(tmp_path / "killed"))
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
