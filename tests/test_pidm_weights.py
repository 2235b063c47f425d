"""PIDM's weights find their places; what differs from PIDM is silent; other files are named."""

from __future__ import annotations

import dataclasses
import functools

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repose_jax.cli import main
from repose_jax.common import torch_file
from repose_jax.common.errors import UserError
from repose_jax.data.config import DataConfig
from repose_jax.data.image.files import read_image
from repose_jax.experiments.presets.pidm_rpa import CONFIG
from repose_jax.models.pidm_weights import read_pidm
from repose_jax.models.pose_transfer import RePoseModel
from repose_jax.models.weights import load_model
from repose_jax.networks.unet import UNetConfig
from repose_jax.tasks.fit import fit
from repose_jax.training.config import LoopConfig

CHANNELS, SIZE = (32, 32, 64), (32, 32)


def theirs(rng) -> dict[str, np.ndarray]:
    """A state dict of PIDM's names and shapes, three levels deep, with tensors it never reads."""
    width, state = 4 * CHANNELS[0], {}

    def put(name, *shape):
        state[name] = (rng.normal(size=shape) * 0.1).astype(np.float32)

    def layer(name, *shape):
        put(f"{name}.weight", *shape)
        put(f"{name}.bias", shape[0])

    def block(name, read, out):
        for part, shape in (("in_layers.0", (read,)), ("in_layers.2", (out, read, 3, 3)),
                            ("emb_layers.1", (2 * out, width)), ("cond_emb_layers.1", (out, out)),
                            ("out_layers.0", (out,)), ("out_layers.3", (out, out, 3, 3))):
            layer(f"{name}.{part}", *shape)
        if read != out:
            layer(f"{name}.skip_connection", out, read, 1, 1)

    def attention(name, c):
        layer(f"{name}.norm", c)
        for part, out in (("qkv", 3 * c), ("to_kv", 2 * c), ("to_q", c), ("proj_out1", c),
                          ("proj_out2", c)):
            layer(f"{name}.{part}", out, c, 1)

    for name in ("time_embed.time_embed", "encoder.time_embed"):
        layer(f"{name}.0", width, CHANNELS[0])
        layer(f"{name}.2", width, width)
    layer("input_blocks.0.0", 32, 23, 3, 3)
    layer("encoder.input_blocks.0.0", 32, 3, 3, 3)
    outs = [32, 32, 32, 32, 32, 32, 32, 64, 64]  # stem; 2; down, 2; down, 2
    for k in range(1, 9):
        for half in ("", "encoder."):
            block(f"{half}input_blocks.{k}.0", outs[k - 1], outs[k])
    for name, c in (("input_blocks.5.1", 32), ("input_blocks.8.1", 64), ("middle_block.1", 64)):
        attention(name, c)
    block("middle_block.0", 64, 64)
    block("middle_block.2", 64, 64)
    carried = 64
    for k, out in enumerate((64, 64, 64, 32, 32, 32, 32, 32, 32)):
        block(f"output_blocks.{k}.0", carried + outs[8 - k], out)
        if k in (1, 4):
            attention(f"output_blocks.{k}.1", out)
        if k in (2, 5):
            block(f"output_blocks.{k}.1", out, out)
        carried = out
    layer("out.0", 32)
    layer("out.2", 6, 32, 3, 3)
    return state


class Settings:
    """Stands for the settings that PIDM pickles into its checkpoints."""

    def __init__(self):
        self.steps = [1, 2]


def write(path, content):
    torch = pytest.importorskip("torch")

    def tensors(x):
        if isinstance(x, np.ndarray):
            return torch.from_numpy(x)
        return {k: tensors(v) for k, v in x.items()} if isinstance(x, dict) else x

    torch.save(tensors(content), path)
    return path


@pytest.fixture(scope="module")
def state():
    return theirs(np.random.default_rng(0))


@pytest.fixture(scope="module")
def checkpoint(state, tmp_path_factory):
    return write(tmp_path_factory.mktemp("pidm") / "last.pt", {
        "model": {k: -v for k, v in state.items()}, "ema": state, "conf": Settings(),
        "optimizer": {"state": {}, "param_groups": [{"lr": 1e-4}]}})


def inputs():
    picture = jax.random.normal(jax.random.key(1), (2, *SIZE, 3))
    pose = jnp.concatenate([jax.random.uniform(jax.random.key(2), (2, 18, 2)) * 31,
                            jnp.ones((2, 18, 1))], -1)
    return picture, jnp.array([3, 700]), picture[::-1], pose[::-1], pose, jnp.array([1.0, 0.0])


class TestReading:
    def test_every_tensor_has_one_place(self, state, checkpoint):
        read = read_pidm(checkpoint, image_size=SIZE)
        assert read.config.network.unet == UNetConfig(channels=CHANNELS, attention=(1, 2))
        ours = flax.traverse_util.flatten_dict(read.params, sep="/")
        assert sum(v.size for v in ours.values()) == read.used
        assert read.used + read.unused == sum(v.size for v in state.values())
        np.testing.assert_array_equal(
            ours["unet/attention_2/value/kernel"], state["middle_block.1.to_kv.weight"][64:, :, 0].T)
        np.testing.assert_array_equal(
            ours["unet/upsample_1/conv_in/kernel"][0, 2],
            state["output_blocks.5.1.in_layers.2.weight"][:, :, 0, 2].T)

    def test_average_or_weights(self, checkpoint):
        ema, model = (read_pidm(checkpoint, which, image_size=SIZE) for which in ("ema", "model"))
        jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, -b), ema.params, model.params)

    def test_alignment_is_silent_until_it_is_trained(self, checkpoint):
        plain, aligned = (read_pidm(checkpoint, rpa=k, image_size=SIZE) for k in (0, 2))
        assert "alignment" in aligned.params and "alignment" not in plain.params
        outputs = [jax.jit(functools.partial(RePoseModel(r.config).network.apply,
                                             method="everything"))({"params": r.params}, *inputs())
                   for r in (plain, aligned)]
        np.testing.assert_allclose(outputs[1].signal, outputs[0].signal, atol=1e-5)
        assert np.abs(outputs[0].signal).max() > 0.1

    def test_one_message_tells_all_that_is_wrong(self, state, tmp_path):
        state = dict(state)
        del state["out.2.bias"]
        state["extra.weight"] = np.zeros(3, np.float32)
        state["input_blocks.0.0.weight"] = np.zeros((32, 38, 3, 3), np.float32)
        with pytest.raises(UserError) as error:
            read_pidm(write(tmp_path / "a.pt", {"ema": state}), image_size=SIZE)
        for part in ("lacks out.2.bias", "unexpected extra.weight",
                     "misshapen input_blocks.0.0.weight (3, 3, 38, 32) for (3, 3, 23, 32)"):
            assert part in str(error.value)

    @pytest.mark.parametrize("content, said", [
        ({"net_G_ema": {"a": np.zeros(1, np.float32)}}, "NTED"),
        ({"appearance_encoder.x": np.zeros(1, np.float32)}, "CFLD"),
        ({"weights": 1}, "holds no 'ema' but weights"),
        ({"ema": {"a": np.zeros(1, np.float32)}}, "none of the blocks"),
        ({"ema": {"a": np.full(1, np.nan, np.float32)}}, "no finite"),
    ])
    def test_other_files_are_named(self, content, said, tmp_path, capsys):
        path = write(tmp_path / "b.pt", content)
        assert main(["import", "pidm", str(path), "-o", str(tmp_path / "out")]) == 2
        told = capsys.readouterr().err
        assert said in told and len(told.splitlines()) == 1
        assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def imported(checkpoint, tmp_path_factory):
    """Folder of the model that the command makes, with an alignment."""
    folder = tmp_path_factory.mktemp("imported") / "model"
    assert main(["import", "pidm", str(checkpoint), "-o", str(folder), "--rpa", "1",
                 "--size", *map(str, SIZE)]) == 0
    return folder


@pytest.fixture
def tuning():
    """The preset that fine-tunes, with the widths and the size of the file at hand."""
    network = dataclasses.replace(
        CONFIG.model.network, image_size=SIZE,
        unet=UNetConfig(channels=CHANNELS, attention=(1, 2)),
        rpa=dataclasses.replace(CONFIG.model.network.rpa, iterations=1))
    return dataclasses.replace(
        CONFIG, model=dataclasses.replace(CONFIG.model, network=network),
        data=DataConfig(path="people", identities=2, views=2),
        sample=dataclasses.replace(CONFIG.sample, steps=1),
        train=LoopConfig(total_images=4, batch_size=2))


class TestUse:
    """An imported model goes wherever a model does."""

    def test_transfer(self, imported, tmp_path):
        """What is painted is the picture of the network that was read, where the photo fills it."""
        out = tmp_path / "out.png"
        assert main(["transfer", "examples/person-a.png", "--pose", "examples/pose-arms.json",
                     "--model", str(imported), "--steps", "2", "--output", str(out),
                     "--source-pose", "examples/person-a.json"]) == 0
        assert read_image(out).shape == (SIZE[0], SIZE[0] // 2, 3)
        assert np.asarray(read_image(out), float).std() > 1

    @pytest.mark.slow
    def test_evaluate(self, imported, tmp_path):
        assert main(["evaluate", "--model", str(imported), "--data", "people", "--pairs", "8",
                     "--steps", "1", "--no-baselines", "--output", str(tmp_path / "a.json")]) == 0
        assert (tmp_path / "a.html").exists()

    def test_fine_tuning_begins_with_its_weights(self, imported, tuning):
        """The preset's architecture is what the command writes, the widths apart."""
        loaded = load_model(imported)
        assert tuning.model == loaded.model.config
        jax.tree.map(np.testing.assert_array_equal, tuning.task(imported).given, loaded.params)

    @pytest.mark.slow
    def test_fine_tuning_moves_what_is_injected(self, imported, tuning, tmp_path):
        """Two careful steps: PIDM's weights are where they were, the alignment begins to speak."""
        fit(tuning.task(imported), tmp_path)
        before, after = (flax.traverse_util.flatten_dict(load_model(folder).params, sep="/")
                         for folder in (imported, tmp_path))
        moved = {name: float(jnp.abs(after[name] - before[name]).max()) for name in before}
        assert max(moved.values()) < 0.01
        assert any(moved[name] > 0 for name in moved if name.startswith("unet/injection"))

    def test_a_size_that_its_levels_do_not_divide_is_a_line(self, checkpoint, tmp_path, capsys):
        assert main(["import", "pidm", str(checkpoint), "-o", str(tmp_path / "out"),
                     "--size", "30", "32"]) == 2
        assert "multiples of 4" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


class TestLenientReading:
    def test_unknown_types_are_passed_over_only_where_not_asked_for(self, checkpoint):
        with pytest.raises(UserError, match="refused"):
            torch_file.read_torch(checkpoint)
        with pytest.raises(UserError, match="refused"):
            torch_file.read_torch(checkpoint, only=("conf",))
        assert torch_file.read_torch(checkpoint, only=("none",)) == dict.fromkeys(
            ("model", "ema", "conf", "optimizer"))
