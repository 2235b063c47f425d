"""The real model on one device and on eight: the same step, the same picture."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import functools
import jax, numpy as np
jax.config.update("jax_disable_most_optimizations", True)
from repose_jax.data.people.source import rendered_people
from repose_jax.data.pipeline import examples
from repose_jax.experiments.presets.tiny import CONFIG
from repose_jax.model import RePoseModel
from repose_jax.training.parallel import data_parallel
from repose_jax.training.state import OptimizerConfig, create_state, make_optimizer
from repose_jax.training.step import make_train_step

assert len(jax.devices()) == 8
model = RePoseModel(CONFIG.model)
params = jax.tree.map(np.asarray, jax.jit(model.init)(jax.random.key(0)))
# The last convolutions start at zero; moved away, every parameter has a gradient.
noise = np.random.default_rng(0)
params = jax.tree.map(lambda x: x + 0.05 * noise.normal(size=x.shape).astype(x.dtype), params)
people = rendered_people(identities=4, views=4, size=(32, 16))
batch = examples(people, np.arange(0, 48, 6))
# SGD: Adam would hide a gradient that is scaled by the number of devices.
optimizer = make_optimizer(OptimizerConfig(kind="sgd", learning_rate=0.1, clip_norm=0), 8)
loss = functools.partial(model.loss, objective=CONFIG.objective)
states = []
for mode, devices in (("pmap", 1), ("pmap", 8)):
    parallel = data_parallel(functools.partial(make_train_step, loss, optimizer, ema_decay=0.9),
                             mode, devices=jax.devices()[:devices])
    state = parallel.put(create_state(params, optimizer))
    state, metrics = parallel.step(state, batch, jax.random.key(1))
    states.append(jax.tree.leaves(parallel.get(state.params)))
moved = max(np.abs(a - b).max() for a, b in zip(states[0], jax.tree.leaves(params)))
apart = [max(np.abs(a - b).max() for a, b in zip(states[0], other)) for other in states[1:]]
print("moved", moved, "apart", *apart)
assert moved > 1e-2 and max(apart) < 1e-5 * moved * 10
"""


@pytest.mark.slow
def test_eight_devices_train_as_one():
    flags = "--xla_force_host_platform_device_count=8 --xla_cpu_multi_thread_eigen=false"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=600,
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"})
    assert done.returncode == 0, done.stderr[-2000:]
