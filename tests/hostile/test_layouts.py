"""A run goes on whatever way its arrays are laid out over eight devices."""

from __future__ import annotations

import json

import pytest

from devices import on_devices

SCRIPT = """
import functools, json, pathlib, sys
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import PartitionSpec
from repose_jax.common.events import Events
from repose_jax.training import loop
from repose_jax.training.config import LoopConfig
from repose_jax.training.parallel import FSDP_MIN_BYTES
from repose_jax.training.state import OptimizerConfig

kind, folder = sys.argv[1], pathlib.Path(sys.argv[2])
# Each of the runs compiles its step, and there are three steps.
jax.config.update("jax_compilation_cache_dir", str(folder / "compiled"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_disable_most_optimizations", True)
assert len(jax.devices()) == 8
if kind == "toy":
    # One array that fsdp splits, of just the size from which it does, and one that it does not.
    side = 1024
    assert side * side * 4 >= FSDP_MIN_BYTES
    params = {"w": np.random.default_rng(0).normal(size=(side, side)).astype(np.float32) / 32,
              "b": np.zeros(side, np.float32)}

    def loss(params, batch, keys):
        noise = jax.vmap(lambda key: jax.random.normal(key, (side,)))(keys)
        found = jnp.tanh(batch["x"] @ params["w"] + params["b"])
        return jnp.mean((found - batch["x"] - noise) ** 2), {}

    def batch_of(position):
        return {"x": np.random.default_rng(position).normal(size=(8, side)).astype(np.float32)}
    rate, orders = 30.0, 2
else:
    from repose_jax.data.pairs.stream import examples
    from repose_jax.data.people.source import rendered_people
    from repose_jax.experiments.presets.tiny import CONFIG
    from repose_jax.models.pose_transfer import RePoseModel

    model = RePoseModel(CONFIG.model)
    # The last convolutions start at zero; moved away, every parameter has a gradient.
    noise = np.random.default_rng(0)
    params = jax.tree.map(lambda x: np.asarray(x) + 0.05 * noise.normal(size=x.shape).astype(
        x.dtype), jax.jit(model.init)(jax.random.key(0)))
    people = rendered_people(identities=4, views=4, size=(32, 16))
    loss = functools.partial(model.loss, objective=CONFIG.objective)

    def batch_of(position):
        return examples(people, (np.arange(8) * 6 + position) % len(people.pairs))
    # Nothing of a tiny network is large, so that all is made so.
    loop.data_parallel = functools.partial(loop.data_parallel, fsdp_min_bytes=256)
    rate, orders = 0.05, 1  # its steps take long to compile

class Batches:
    position = 0
    def __next__(self):
        self.position += 1
        return batch_of(self.position)
    def get_state(self):
        return {"position": self.position}
    def set_state(self, state):
        self.position = state["position"]

def run(name, mode, steps):
    config = LoopConfig(
        total_images=8 * steps, batch_size=8, seed=1, log_every_images=0, checkpoint_every_images=0,
        sample_every_images=0, parallel=mode, ema_decay=0.9,
        # SGD: Adam would hide gradients that are scaled by the number of devices.
        optimizer=OptimizerConfig(kind="sgd", learning_rate=rate, warmup_images=16))
    heard, told = Events(), []
    heard.record = lambda kind, facts: told.append((kind, facts))
    trained = loop.train(config, params=params, loss_fn=loss, batches=Batches(),
                         folder=folder / name, metadata={}, events=heard)
    specs = [leaf.sharding.spec for leaf in jax.tree.leaves(trained.state.params)
             if mode == "fsdp"]
    assert mode != "fsdp" or any(spec != PartitionSpec() for spec in specs)
    return jax.device_get(trained.state), told

def apart(one, other):
    return float(max(np.abs(np.asarray(a, np.float64) - b).max() for a, b in zip(
        jax.tree.leaves(one), jax.tree.leaves(other), strict=True)))

whole = run("whole", "pmap", 8)[0]
moved = apart(whole.params, params)
found = {"moved": moved}
for order in (("fsdp", "jit", "pmap", "fsdp"), ("pmap", "fsdp", "jit", "jit"))[:orders]:
    name = " -> ".join(order)
    for count, mode in enumerate(order, 1):
        state, told = run(name, mode, 2 * count)
        assert count == 1 or told[0] == ("resume", {"images": 16 * (count - 1)})
    assert int(state.step) == 8
    found[name] = apart(state, whole) / moved
print(json.dumps(found))
"""


@pytest.mark.parametrize("kind", ["toy", pytest.param("tiny", marks=pytest.mark.slow)])
def test_fsdp_jit_pmap_and_back(tmp_path, kind):
    found = json.loads(on_devices(8, SCRIPT, kind, str(tmp_path), timeout=3000).splitlines()[-1])
    print(found)
    assert found.pop("moved") > 1e-3
    assert max(found.values()) < 1e-4
