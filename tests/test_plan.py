"""What a preset would need of devices that are not there."""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from repose_jax.cli import main
from repose_jax.cli.train import preset_of
from repose_jax.common.errors import UserError
from repose_jax.tasks.plan import Plan, collectives, estimate
from repose_jax.tasks.task import Task
from repose_jax.training.chips import CHIPS
from repose_jax.training.config import LoopConfig
from devices import on_devices

PROGRAM = """
  %a = (f32[128]{0}, bf16[2,3]{1,0}) all-reduce(%x, %y), replica_groups={}
  %b = f32[8,4]{1,0} all-gather(%z), dimensions={0}
  %c = ((f32[4]), (f32[16]{0})) all-gather-start(%w), dimensions={0}
  %d = (f32[16]{0}) all-gather-done(%c)
  %e = pred[7] add(%b, %b)
  %f = (f32[6]{0}, f32[6]{0}, u32[]{:S(2)}, u32[]{:S(2)}) collective-permute-start(%v)
"""


def test_collectives_are_counted_by_kind_and_bytes():
    found = collectives(PROGRAM)
    # What starts gives back what it was given, too, which is not sent.
    assert found == {"all-reduce": (1, 128 * 4 + 6 * 2), "all-gather": (2, 32 * 4 + 16 * 4),
                     "collective-permute": (1, 6 * 4)}


def test_time_is_operations_over_the_share_of_the_peak():
    plan = Plan(4, 1, {"state": 3, "temporary": 4}, 197e12, {})
    assert plan.step_s(CHIPS["v5e"], 0.5) == pytest.approx(2.0) and plan.peak == 7


class Layer(Task):
    """One matrix, whose step can be counted by hand."""

    kind = "layer"

    def __init__(self, **loop):
        self.loop = LoopConfig(total_images=100, batch_size=64, **loop)

    def init(self, key):
        return {"w": jnp.zeros((512, 256))}

    def data(self, folder):
        raise NotImplementedError

    def batch_shapes(self):
        return {"x": jax.ShapeDtypeStruct((64, 512), jnp.float32)}

    def loss(self, params, frozen, batch, keys):
        return jnp.mean(jnp.sin(batch["x"] @ params["w"])), {}


def test_an_estimate_counts_what_can_be_counted():
    whole, parts = estimate(Layer(), 1), estimate(Layer(), 4)
    weights = 512 * 256
    assert whole.parameters == weights and parts.devices == 4
    # Parameters, average and two moments of Adam in float32, two counters and the step.
    assert whole.memory["state"] == pytest.approx(16 * weights, abs=16)
    assert whole.memory["frozen and batch"] == 4 * 64 * 512
    # The product with the batch, and that of the batch with the gradient; Adam's are some thirty each.
    products = 2 * 2 * 64 * weights
    assert products < whole.flops < products + 60 * weights
    assert whole.flops - parts.flops == pytest.approx(0.75 * products, rel=0.05)
    # Beside the batch the cosine is kept, 64 rows of 256.
    assert whole.memory["kept for the backward pass"] == pytest.approx(4 * 64 * 256, rel=0.05)
    assert parts.memory["kept for the backward pass"] == pytest.approx(4 * 16 * 256, rel=0.05)
    assert whole.collectives == {"all-reduce": (1, 4 * weights)}
    accumulated = estimate(Layer(accumulate=4), 1)
    assert accumulated.memory["kept for the backward pass"] == pytest.approx(4 * 16 * 256, rel=0.05)
    assert estimate(Layer(parallel="fsdp"), 4).collectives == {}
    with pytest.raises(UserError, match="cannot be split evenly over 3 devices"):
        estimate(Layer(), 3)


@pytest.mark.parametrize("preset", ["people", "painter-people"])
def test_what_is_planned_needs_neither_data_nor_the_model_to_start_from(preset):
    """The loss can be traced on the shapes alone, the frozen parts among them."""
    task = preset_of([preset], "plan")[0].task()
    count = task.loop.batch_size
    loss, _ = jax.eval_shape(
        task.loss, jax.eval_shape(task.init, jax.random.key(0)), task.frozen_shapes(),
        task.batch_shapes(), jax.eval_shape(lambda: jax.random.split(jax.random.key(0), count)))
    assert loss.shape == ()


@pytest.mark.parametrize("topology", ["v5e", "h100:x", "moon:4x4", "h100:0", "v5e:4", "v5p:0x4"])
def test_an_unknown_topology_is_one_line(topology, capsys):
    assert main(["plan", "tiny", "--topology", topology]) == 2
    assert "topology" in capsys.readouterr().err


PLANS = """
import json, sys
import jax
sys.path.insert(0, sys.argv[1])
from repose_jax.cli.train import preset_of
from repose_jax.tasks.plan import plan
from test_plan import Large

jax.config.update("jax_disable_most_optimizations", True)
tiny = preset_of(["tiny"], "plan")[0].task()
tasks = {mode: Large(parallel=mode) for mode in ("pmap", "jit", "fsdp")} | {"tiny": tiny}
found = {name: plan(task, jax.devices()) for name, task in tasks.items()}
print(json.dumps({name: (plan.parameters, plan.memory["state"], plan.collectives)
                  for name, plan in found.items()}))
"""


class Large(Layer):
    """A matrix of 8 MiB, which fsdp splits, and a vector that it does not."""

    def init(self, key):
        return {"w": jnp.zeros((4096, 512)), "b": jnp.zeros(512)}

    def batch_shapes(self):
        return {"x": jax.ShapeDtypeStruct((64, 4096), jnp.float32)}

    def loss(self, params, frozen, batch, keys):
        return jnp.mean(jnp.sin(batch["x"] @ params["w"] + params["b"])), {}


@pytest.fixture(scope="module")
def planned():
    """Parameters, bytes of the state and collectives of the step on eight devices."""
    tests = str(pathlib.Path(__file__).parent)
    return json.loads(on_devices(8, PLANS, tests, timeout=1800).splitlines()[-1])


@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_where_the_state_is_whole_one_reduction_of_all_gradients_is_all_that_is_sent(planned, mode):
    parameters, state, sent = planned[mode]
    assert sent == {"all-reduce": [1, 4 * (parameters + 1)]}  # and of the loss
    assert state == pytest.approx(16 * parameters, abs=16)


def test_so_it_is_for_the_diffusion_model(planned):
    """Biases of layers whose outputs are added have one gradient, which the compiler sends once."""
    parameters, state, sent = planned["tiny"]
    assert set(sent) == {"all-reduce"} and sent["all-reduce"][0] == 1
    assert 0.99 * 4 * parameters < sent["all-reduce"][1] <= 4 * (parameters + 1)
    assert state == pytest.approx(16 * parameters, abs=16)


def test_fsdp_gathers_each_split_array_once_and_holds_an_eighth_of_it(planned):
    parameters, state, sent = planned["fsdp"]
    split, rest = 4 * 4096 * 512, 4 * 512
    assert sent["all-gather"] == [1, split] and set(sent) == {"all-gather", "all-reduce"}
    # The gradients, the loss and four numbers of their and the parameters' norms.
    assert sent["all-reduce"][1] == split + rest + 4 * 4
    assert state == pytest.approx(4 * (split / 8 + rest), abs=16)


@pytest.mark.slow
def test_under_pmap_the_gradients_are_reduced_once_and_nothing_else_is_sent():
    if importlib.util.find_spec("libtpu") is None:
        pytest.skip("needs libtpu")
    done = subprocess.run(
        [sys.executable, "-m", "repose_jax.cli", "plan", "tiny", "--topology", "v5e:2x2"],
        capture_output=True, text=True, timeout=600, env=os.environ | {"XLA_FLAGS": ""})
    assert done.returncode == 0, done.stderr
    parameters = int(re.search(r"([\d,]+) parameters", done.stdout)[1].replace(",", ""))
    [(count, size)] = re.findall(r"(\d+) all-reduce of ([\d.]+) MiB", done.stdout)
    assert count == "1" and abs(float(size) - 4 * parameters / 2**20) < 0.1
    assert "all-gather" not in done.stdout
