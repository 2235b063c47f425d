"""The real model on one device and on eight: the same step, the same picture."""

import numpy as np
import pytest

from devices import on_devices

SCRIPT = """
import dataclasses, functools
import jax, numpy as np
jax.config.update("jax_disable_most_optimizations", True)
from repose_jax.data.people.source import rendered_people
from repose_jax.data.pairs.stream import examples
from repose_jax.experiments.presets.tiny import CONFIG
from repose_jax.models.pose_transfer import RePoseModel
from repose_jax.training.parallel import data_parallel
from repose_jax.training.state import OptimizerConfig, create_state, make_optimizer
from repose_jax.training.step import make_train_step

assert len(jax.devices()) == 8
network = CONFIG.model.network
network = dataclasses.replace(network, unet=dataclasses.replace(network.unet, dropout=0.2))
model = RePoseModel(dataclasses.replace(CONFIG.model, network=network))
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


SAMPLE = """
import sys
import jax, numpy as np
jax.config.update("jax_disable_most_optimizations", True)
from repose_jax.data.people.source import rendered_people
from repose_jax.evaluation.evaluators.sampled import sampled
from repose_jax.experiments.presets.tiny import CONFIG
from repose_jax.models.pose_transfer import RePoseModel
from repose_jax.models.weights import LoadedModel

assert jax.local_device_count() == int(sys.argv[1])
model = RePoseModel(CONFIG.model)
rng = np.random.default_rng(0)
# The heads start at zero, and all pictures would be grey.
params = jax.tree.map(lambda x: rng.normal(0, 0.1, x.shape).astype(x.dtype),
                      jax.eval_shape(model.init, jax.random.key(0)))
loaded = LoadedModel("tiny", model, params, {}, CONFIG.sample, "")
people = rendered_people(identities=4, views=4, size=(32, 16))
pictures, _ = sampled(loaded, people, np.arange(11), CONFIG.sample, None, batch_size=4)
assert pictures.shape == (11, 32, 16, 3) and pictures.std() > 1
np.save(sys.argv[2], pictures)
"""


@pytest.mark.slow
def test_eight_devices_train_as_one():
    on_devices(8, SCRIPT)


@pytest.mark.slow
def test_eight_devices_paint_what_one_paints(tmp_path):
    for count in (1, 8):
        on_devices(count, SAMPLE, str(count), str(tmp_path / f"{count}.npy"))
    one, eight = (np.load(tmp_path / f"{count}.npy").astype(int) for count in (1, 8))
    # Rounding may differ in the last place of a step, and so by a grey level or two in the end.
    assert np.abs(one - eight).max() <= 2 and np.abs(one - eight).mean() < 0.01
