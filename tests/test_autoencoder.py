"""The first stage: closed forms, diffusers' AutoencoderKL, and files of either naming."""

from __future__ import annotations

import functools
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from repose_jax.cli import main
from repose_jax.common.errors import UserError
from repose_jax.models.autoencoder_weights import _ORIGINAL, _diffusers_places, read_autoencoder
from repose_jax.models.weights import kind_of, load_autoencoder
from repose_jax.networks.apply import apply
from repose_jax.networks.autoencoder import (
    Autoencoder, AutoencoderConfig, Posterior, fresh_autoencoder, standardised)

TINY = AutoencoderConfig(channels=(8, 12, 16), blocks=1, latent=3, groups=4)
SIZE = (24, 16)


def random_params(config, seed=0, size=0.2):
    """Of the right shapes; fresh ones have zeros that hide mistakes."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(fresh_autoencoder(config), jax.random.key(0))
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape) * size, jnp.float32),
                          shapes)
    return {**params, "shift": jnp.zeros(config.latent), "scale": jnp.ones(config.latent)}


@functools.partial(jax.jit, static_argnames=("config", "method"))
def through(config, params, x, method="__call__"):
    """What a method of the autoencoder makes of something, compiled as one."""
    return apply(Autoencoder(config), params, x, method=method)


def random_pictures(count=2, size=SIZE):
    return jnp.asarray(np.random.default_rng(1).uniform(-1, 1, (count, *size, 3)), jnp.float32)


def theirs(config):
    """A state dict in diffusers' names for which `random_params` are the right ones to read."""
    from flax.traverse_util import flatten_dict
    params, state = flatten_dict(random_params(config), sep="/"), {}
    for place in _diffusers_places(config):
        value = np.asarray(params[place.ours])
        if value.ndim == 4:
            value = value.transpose(3, 2, 0, 1)
        state[place.theirs] = np.ascontiguousarray(value.T if value.ndim == 2 else value)
    return state


class TestClosedForms:
    @pytest.mark.parametrize("config", [
        TINY, AutoencoderConfig(channels=(8,), blocks=1, latent=2, patch=4, attention=False),
        AutoencoderConfig(channels=(8, 8), blocks=2, latent=5, patch=2, latent_convs=False)])
    def test_shapes_are_the_factors(self, config):
        params, pictures = random_params(config), random_pictures()
        posterior = through(config, params, pictures, "encode")
        cells = tuple(side // config.factor for side in SIZE)
        assert posterior.mean.shape == posterior.log_variance.shape == (2, *cells, config.latent)
        back = through(config, params, posterior.mean, "decode")
        assert back.shape == pictures.shape

    def test_factors(self):
        assert TINY.factor == 4
        assert AutoencoderConfig(channels=(128, 256, 512, 512)).factor == 8
        assert AutoencoderConfig(channels=(8, 8), patch=4).factor == 8
        assert AutoencoderConfig().factor == 1

    def test_no_whole_cells(self):
        with pytest.raises(ValueError, match="no whole cells of 4 pixels"):
            through(TINY, random_params(TINY), random_pictures(size=(24, 18)), "encode")

    def test_divergence(self):
        """0 from a standard normal; m^2/2 for a shifted one; (s - 1 - log s)/2 for a wider one."""
        zero = jnp.zeros((2, 3, 4, 5))
        np.testing.assert_allclose(Posterior(zero, zero).divergence(), 0)
        np.testing.assert_allclose(Posterior(zero + 3, zero).divergence(), 4.5)
        np.testing.assert_allclose(Posterior(zero, zero + np.log(4)).divergence(),
                                   (4 - 1 - np.log(4)) / 2, rtol=1e-6)

    def test_samples_are_the_gaussians(self):
        mean = jnp.full((1, 64, 64, 1), 2.0)
        draw = Posterior(mean, jnp.full_like(mean, np.log(0.25))).sample(jax.random.split(
            jax.random.key(0), 1))
        assert abs(draw.mean() - 2) < 0.03 and abs(draw.std() - 0.5) < 0.02
        still = Posterior(mean, jnp.full_like(mean, -30.0)).sample(jax.random.split(
            jax.random.key(0), 1))
        np.testing.assert_allclose(still, mean, atol=1e-5)

    def test_a_picture_does_not_depend_on_its_neighbours(self):
        params, pictures = random_params(TINY), random_pictures(3)
        together = through(TINY, params, pictures)
        np.testing.assert_allclose(through(TINY, params, pictures[1:2])[0], together[1], atol=1e-4)

    def test_standardised_latents_come_back(self):
        """Mean 0, deviation 1 in each channel; and decoding undoes it, whatever the numbers."""
        params, pictures = random_params(TINY), random_pictures()
        raw = through(TINY, params, pictures, "encode").mean
        whole = standardised(params, raw.mean((0, 1, 2)), raw.std((0, 1, 2)))
        latents = through(TINY, whole, pictures, "latents")
        np.testing.assert_allclose(latents.mean((0, 1, 2)), 0, atol=1e-4)
        np.testing.assert_allclose(latents.std((0, 1, 2)), 1, atol=1e-3)
        np.testing.assert_allclose(through(TINY, whole, latents, "pictures"),
                                   through(TINY, params, pictures), atol=1e-3)


class TestReference:
    """diffusers' AutoencoderKL of random weights."""

    @pytest.mark.parametrize("options", [
        {}, {"use_quant_conv": False, "use_post_quant_conv": False, "scaling_factor": 1.5,
             "shift_factor": 0.25}, {"mid_block_add_attention": False, "layers_per_block": 2}])
    def test_equal(self, options, tmp_path):
        torch, diffusers = pytest.importorskip("torch"), pytest.importorskip("diffusers")
        torch.manual_seed(0)
        sizes = {"block_out_channels": (8, 16, 16), "latent_channels": 3, "norm_num_groups": 4,
                 "layers_per_block": 1, "down_block_types": ("DownEncoderBlock2D",) * 3,
                 "up_block_types": ("UpDecoderBlock2D",) * 3}
        model = diffusers.AutoencoderKL(**(sizes | options)).eval()
        model.save_pretrained(tmp_path)
        read = read_autoencoder(tmp_path / "diffusion_pytorch_model.safetensors")
        assert read.config.factor == 4 and read.config.groups == 4
        config, pictures = read.config, random_pictures()
        with torch.no_grad():
            given = torch.from_numpy(np.array(pictures).transpose(0, 3, 1, 2))
            posterior = model.encode(given).latent_dist
            latents = (posterior.mean - (model.config.shift_factor or 0)) * (
                model.config.scaling_factor)
            back = model.decode(posterior.mean).sample
            kl = posterior.kl()
        ours = through(config, read.params, pictures, "encode")

        def near(mine, his):
            np.testing.assert_allclose(mine, his.numpy().transpose(0, 2, 3, 1), atol=1e-4)

        near(ours.mean, posterior.mean)
        near(ours.log_variance, posterior.logvar)
        mine = through(config, read.params, pictures, "latents")
        near(mine, latents)
        near(through(config, read.params, mine, "pictures"), back)
        np.testing.assert_allclose(ours.divergence() * ours.mean[0].size, kl, rtol=1e-4)


def written(path, state, **config):
    safetensors.numpy.save_file(state, path)
    if config:
        path.with_name("config.json").write_text(json.dumps(
            {"_class_name": "AutoencoderKL", "norm_num_groups": 4} | config))
    return path


def original(state):
    """In the names of latent diffusion, within a whole checkpoint."""
    found = {"model.diffusion_model.out.weight": np.zeros(1, np.float32)}
    for name, value in state.items():
        name = re.sub(r"up_blocks\.(\d)", lambda n: f"up_blocks.{2 - int(n[1])}", name)
        for pattern, word in _ORIGINAL:
            name = re.sub(pattern, word, name)
        if ".attn_1." in name and value.ndim == 2:
            value = value[:, :, None, None]
        found[f"first_stage_model.{name}"] = value
    return found


@pytest.fixture(scope="module")
def state():
    return theirs(TINY)


class TestReading:
    def test_all_names_are_the_same_network(self, state, tmp_path):
        now = read_autoencoder(written(tmp_path / "a.safetensors", state), scale=0.18215, groups=4)
        jax.tree.map(np.testing.assert_array_equal, {**now.params, "scale": 0, "shift": 0},
                     {**random_params(TINY), "scale": 0, "shift": 0})
        assert now.config == TINY
        np.testing.assert_allclose(now.params["scale"], 0.18215)
        of_old = {name.replace("to_q", "query").replace("to_k", "key").replace("to_v", "value")
                  .replace("to_out.0", "proj_attn"): value for name, value in state.items()}
        assert set(of_old) != set(state)
        names = original(state)
        # As Stable Diffusion's checkpoints have them.
        for name in ("encoder.down.1.block.0.nin_shortcut.weight",
                     "encoder.down.0.downsample.conv.bias",
                     "encoder.mid.attn_1.proj_out.weight", "decoder.mid.block_2.norm1.weight",
                     "decoder.up.2.upsample.conv.weight", "decoder.norm_out.bias",
                     "encoder.mid.attn_1.q.weight", "decoder.mid.attn_1.norm.weight",
                     "decoder.up.0.block.1.conv2.weight", "quant_conv.weight"):
            assert f"first_stage_model.{name}" in names
        for number, other in enumerate((of_old, names)):
            read = read_autoencoder(written(tmp_path / f"{number}.safetensors", other),
                                    scale=0.18215, groups=4)
            jax.tree.map(np.testing.assert_array_equal, read.params, now.params)

    def test_a_checkpoint_of_torch(self, state, tmp_path):
        torch = pytest.importorskip("torch")
        torch.save({"state_dict": {name: torch.from_numpy(np.array(value)) for name, value in
                                   original(state).items()}, "global_step": 3}, tmp_path / "a.ckpt")
        read = read_autoencoder(tmp_path / "a.ckpt", scale=2.0, groups=4)
        np.testing.assert_array_equal(read.params["decoder"]["up_1"]["bias"],
                                      state["decoder.up_blocks.1.upsamplers.0.conv.bias"])

    def test_scale_and_shift_of_each_channel(self, state, tmp_path):
        path = written(tmp_path / "a.safetensors", state, scaling_factor=0.5,
                       latents_mean=[1.0, 2.0, 3.0], latents_std=[2.0, 4.0, 8.0])
        params = read_autoencoder(path).params
        np.testing.assert_allclose(params["shift"], [1, 2, 3])
        np.testing.assert_allclose(params["scale"], [0.25, 0.125, 0.0625])
        np.testing.assert_allclose(read_autoencoder(path, scale=1.0).params["scale"][0], 0.5)

    def test_one_message_tells_all_that_is_wrong(self, state, tmp_path):
        wrong = dict(state)
        del wrong["decoder.conv_out.bias"]
        wrong["extra.weight"] = np.zeros(3, np.float32)
        wrong["encoder.conv_in.weight"] = np.zeros((8, 4, 3, 3), np.float32)
        with pytest.raises(UserError) as error:
            read_autoencoder(written(tmp_path / "a.safetensors", wrong), scale=1.0, groups=4)
        for part in ("lacks decoder.conv_out.bias", "unexpected extra.weight",
                     "misshapen encoder.conv_in.weight (3, 3, 4, 8) for (3, 3, 3, 8)"):
            assert part in str(error.value)

    @pytest.mark.parametrize("config, options, said", [
        ({}, ["--groups", "4"], "does not say what its latents are multiplied by"),
        ({}, ["--scale", "1"], "32 groups do not divide"),
        ({"_class_name": "VQModel"}, [], "is not of an AutoencoderKL"),
        ({"act_fn": "relu"}, [], "activation 'relu'"),
        ({"scaling_factor": 0.0}, [], "the scale 0.0"),
        ({"scaling_factor": 1, "latents_std": [1, 2]}, [], "has latents of the scale"),
    ])
    def test_what_cannot_be_is_a_line(self, state, config, options, said, tmp_path, capsys):
        path = written(tmp_path / "a.safetensors", state, **config)
        assert main(["import", "autoencoder", str(path), "-o", str(tmp_path / "out"), *options]) == 2
        told = capsys.readouterr().err
        assert said in told and len(told.splitlines()) == 1
        assert not (tmp_path / "out").exists()

    def test_another_network_is_a_line(self, tmp_path):
        for tensors in ({"a": np.zeros(1, np.float32)},
                        {"encoder.conv_in.weight": np.zeros((8, 3, 3, 3), np.float32)}):
            with pytest.raises(UserError, match="autoencoder of latent diffusion"):
                read_autoencoder(written(tmp_path / "a.safetensors", tensors), scale=1.0)

    def test_command(self, state, tmp_path):
        path = written(tmp_path / "a.safetensors", state, scaling_factor=0.75, shift_factor=0.5)
        assert main(["import", "autoencoder", str(path), "-o", str(tmp_path / "out")]) == 0
        assert kind_of(tmp_path / "out") == "first-stage"
        loaded = load_autoencoder(tmp_path / "out")
        assert loaded.config == TINY and loaded.facts["imported"] == "autoencoder"
        jax.tree.map(np.testing.assert_array_equal, loaded.params,
                     {**random_params(TINY), "scale": np.full(3, 0.75, np.float32),
                      "shift": np.full(3, 0.5, np.float32)})
