"""Blocks, U-Net and source encoder, against formulas written out anew."""

from __future__ import annotations

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repose_jax.networks import blocks
from repose_jax.networks.blocks import (
    CrossAttention, Dropout, ResBlock, attention_kernel, group_norm, sinusoids)
from repose_jax.networks.source_encoder import SourceEncoder
from repose_jax.networks.unet import (
    UNet, UNetConfig, attended_features, decoder_plan, encoder_plan, level_features,
    rematerialised)

SIZE = (16, 8)
TINY = UNetConfig(channels=(4, 6, 8), blocks=1, attention=(1, 2), groups=2, dropout=0.0)


def normal(seed: int, *shape: int) -> jnp.ndarray:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def shapes_of(module: nn.Module, *inputs, method=None):
    """Shapes of a module's parameters, nothing computed."""
    return jax.eval_shape(
        lambda: module.init(jax.random.key(0), *inputs, method=method)["params"])


def fill(shapes, seed: int = 0, scale: float = 0.3):
    """Random parameters: what starts at zero in a fresh network would hide mistakes."""
    leaves, tree = jax.tree.flatten(shapes)
    rng = np.random.default_rng(seed)
    return jax.tree.unflatten(
        tree, [jnp.asarray(scale * rng.normal(size=leaf.shape), jnp.float32) for leaf in leaves])


def fresh(module: nn.Module, *inputs):
    """A fresh module's parameters."""
    return jax.jit(lambda: module.init(jax.random.key(0), *inputs)["params"])()


def apply(module: nn.Module, params, *inputs, **kwargs):
    return jax.jit(lambda p, x: module.apply({"params": p}, *x, **kwargs))(params, inputs)


def test_flat_maps_are_normalised_with_all_digits():
    """What a black source's maps are: a value with little on top. As in float64, by the formula."""
    x = np.float32(3 + 0.01 * np.random.default_rng(0).normal(size=(1, 32, 32, 16)))
    found = group_norm(16, 4).apply(
        {"params": {"scale": jnp.ones(16), "bias": jnp.zeros(16)}}, jnp.asarray(x))
    groups = x.astype(np.float64).reshape(1, 32 * 32, 4, 4)
    centred = groups - groups.mean((1, 3), keepdims=True)
    wanted = centred / np.sqrt(np.square(centred).mean((1, 3), keepdims=True) + 1e-5)
    np.testing.assert_allclose(found, wanted.reshape(x.shape), atol=1e-3 * np.abs(wanted).max())


class TestSinusoids:
    def test_formula(self):
        out = np.asarray(sinusoids(jnp.array([0, 7]), 8))
        frequency = 1e4 ** (-np.arange(4) / 4)
        np.testing.assert_allclose(out[0], [1] * 4 + [0] * 4)
        np.testing.assert_allclose(
            out[1], np.concatenate([np.cos(7 * frequency), np.sin(7 * frequency)]), atol=1e-6)


class TestGroupNorm:
    x = normal(0, 2, 4, 4, 6) * 3 + 100

    def test_each_group_has_mean_0_and_variance_1(self):
        norm = group_norm(6, 2)
        out = norm.apply({"params": {"scale": jnp.ones(6), "bias": jnp.zeros(6)}}, self.x)
        groups = np.asarray(out).reshape(2, 16, 2, 3)
        np.testing.assert_allclose(groups.mean((1, 3)), 0, atol=1e-4)
        np.testing.assert_allclose(groups.std((1, 3)), 1, atol=1e-3)

    @pytest.mark.parametrize("spread", [3.0, 1e-3])
    def test_it_is_flax_s_and_so_is_its_gradient(self, spread):
        """On maps that are almost flat too."""
        params = {"scale": normal(1, 6), "bias": normal(2, 6)}
        x, weights = normal(0, 2, 4, 4, 6) * spread + 10, normal(3, 2, 4, 4, 6)
        found, wanted = (jax.jit(jax.value_and_grad(
            lambda params, x, norm=norm: (norm.apply({"params": params}, x) * weights).sum(),
            (0, 1)))(params, x) for norm in (group_norm(6, 2), nn.GroupNorm(
                    num_groups=2, epsilon=1e-5, use_fast_variance=False)))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(
            a, b, atol=2e-3 * np.abs(b).max()), found, wanted)

    def test_float32_whatever_comes_in(self):
        params = {"scale": jnp.ones(6), "bias": jnp.zeros(6)}
        rounded = self.x.astype(jnp.bfloat16)
        out = group_norm(6, 2).apply({"params": params}, rounded)
        assert out.dtype == jnp.float32
        exact = group_norm(6, 2).apply({"params": params}, rounded.astype(jnp.float32))
        np.testing.assert_allclose(out, exact, atol=1e-5)

    @pytest.mark.parametrize(("channels", "groups"), [(48, 16), (80, 16), (20, 4), (7, 1)])
    def test_groups_divide_the_channels(self, channels, groups):
        assert group_norm(channels, 32).num_groups == groups


class TestFolding:
    def test_round_trip_and_order(self):
        x = normal(1, 2, 6, 4, 3)
        folded = blocks.space_to_depth(x, 2)
        assert folded.shape == (2, 3, 2, 12)
        np.testing.assert_array_equal(folded[1, 2, 1].reshape(2, 2, 3), x[1, 4:6, 2:4])
        np.testing.assert_array_equal(blocks.depth_to_space(folded, 2), x)

    def test_resample(self):
        x = normal(2, 2, 4, 6, 3)
        down, up = blocks.resample(x, "down"), blocks.resample(x, "up")
        np.testing.assert_allclose(down[0, 1, 2], x[0, 2:4, 4:6].mean((0, 1)), rtol=1e-5)
        np.testing.assert_array_equal(up[:, 1::2, ::2], x)
        np.testing.assert_array_equal(blocks.resample(x, "none"), x)


def conv(x, params):
    """3x3 or 1x1 convolution, zero padding, from the definition: a sum over the kernel's taps."""
    kernel, bias = params["kernel"], params["bias"]
    edge = kernel.shape[0] // 2
    padded = jnp.pad(x, ((0, 0), (edge, edge), (edge, edge), (0, 0)))
    return bias + sum(padded[:, i:i + x.shape[1], j:j + x.shape[2]] @ kernel[i, j]
                      for i in range(kernel.shape[0]) for j in range(kernel.shape[1]))


def norm(x, params, groups):
    """GroupNorm from the definition."""
    parts = x.reshape(*x.shape[:3], groups, -1)
    mean, variance = parts.mean((1, 2, 4), keepdims=True), parts.var((1, 2, 4), keepdims=True)
    parts = (parts - mean) / jnp.sqrt(variance + 1e-5)
    return parts.reshape(x.shape) * params["scale"] + params["bias"]


class TestResBlock:
    x, embedding = normal(3, 2, 4, 6, 4), normal(4, 2, 5)

    def test_formula(self):
        """PIDM blocks.py:82-187: GN SiLU conv, (1 + scale) GN + shift, SiLU conv, 1x1 skip."""
        block = ResBlock(6, groups=2)
        p = fill(shapes_of(block, self.x, self.embedding))

        @jax.jit
        def reference(p):
            h = conv(nn.silu(norm(self.x, p["norm_in"], 2)), p["conv_in"])
            scale, shift = jnp.split(
                nn.silu(self.embedding) @ p["embedding"]["kernel"] + p["embedding"]["bias"], 2, -1)
            h = norm(h, p["norm_out"], 2) * (1 + scale[:, None, None]) + shift[:, None, None]
            return conv(self.x, p["skip"]) + conv(nn.silu(h), p["conv_out"])

        np.testing.assert_allclose(apply(block, p, self.x, self.embedding), reference(p),
                                   rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("resample", ["none", "down", "up"])
    def test_fresh_block_passes_its_input_on(self, resample):
        block = ResBlock(4, resample, groups=2)
        params = fresh(block, self.x, self.embedding)
        np.testing.assert_allclose(apply(block, params, self.x, self.embedding),
                                   blocks.resample(self.x, resample), atol=1e-6)

    def test_fresh_block_of_other_width_is_its_skip(self):
        block = ResBlock(6, groups=2)
        params = fresh(block, self.x)
        assert "embedding" not in params  # the source encoder's blocks know no time
        np.testing.assert_allclose(apply(block, params, self.x), conv(self.x, params["skip"]),
                                   atol=1e-5)

    def test_dropout_only_in_training(self):
        block = ResBlock(4, groups=2, dropout=0.5)
        params = fill(shapes_of(block, self.x))

        def out(*seeds):
            keys = jnp.stack([jax.random.key(seed) for seed in seeds])
            return apply(block, params, self.x, None, keys)

        plain = apply(block, params, self.x)
        first, other = out(*range(len(self.x))), out(0, *range(7, 6 + len(self.x)))
        np.testing.assert_array_equal(first[0], other[0])  # its key alone decides
        assert not np.allclose(first[1], other[1]) and not np.allclose(first, plain)

    def test_dropout_keeps_the_mean_and_drops_its_share_in_every_layer_differently(self):
        class Two(nn.Module):
            @nn.compact
            def __call__(self, x, keys):
                return Dropout(0.25)(x, keys), Dropout(0.25)(x, keys)

        x = jnp.full((2, 64, 64, 2), 3.0)
        one, two = Two().apply({}, x, jax.random.split(jax.random.key(0), 2))
        for out in (one, two):
            np.testing.assert_allclose(np.unique(out), [0.0, 4.0])
            assert np.mean(out == 0, (1, 2, 3)) == pytest.approx(0.25, abs=0.02)
        assert np.mean((one == 0) == (two == 0)) == pytest.approx(1 - 2 * 0.25 * 0.75, abs=0.02)
        np.testing.assert_array_equal(Two().apply({}, x, None)[0], x)

    def test_recomputing_changes_the_work_and_not_the_gradient(self):
        """Blocks: nothing kept, the convolution runs again; kept, it does not."""
        def gradient(**config):
            block = rematerialised(dataclasses.replace(TINY, **config))(4, groups=2)
            params = fill(shapes_of(block, self.x))
            found = jax.grad(lambda p, x: jnp.sum(jnp.sin(apply(block, p, x))), argnums=(0, 1))
            jaxpr = str(jax.make_jaxpr(found)(params, self.x))
            return jaxpr.count("conv_general_dilated["), jax.jit(found)(params, self.x)

        plain, nothing, kept = (gradient(**config) for config in (
            {}, {"remat": True}, {"remat": True, "remat_keep": "convolution"}))
        assert nothing[0] == plain[0] + 1 and kept[0] == plain[0]
        for _, other in (nothing, kept):
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
                         plain[1], other)

    def test_bfloat16_computes_in_it_and_keeps_parameters_in_float32(self):
        block = ResBlock(4, groups=2, dtype=jnp.bfloat16)
        x = self.x.astype(jnp.bfloat16)
        shapes = shapes_of(block, x, self.embedding)
        assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}
        p = fill(shapes)
        out = apply(block, p, x, self.embedding)
        assert out.dtype == jnp.bfloat16
        exact = apply(ResBlock(4, groups=2), p, x.astype(jnp.float32), self.embedding)
        np.testing.assert_allclose(out.astype(jnp.float32), exact, atol=0.15)


class TestCrossAttention:
    x, source = normal(5, 2, 3, 2, 8), normal(6, 2, 4, 4, 5)

    @pytest.mark.parametrize("heads", [1, 2])
    def test_formula(self, heads):
        """W softmax(Q K^T / sqrt C) V + F_in, every sum written out in numpy."""
        layer = CrossAttention(8, heads, groups=2)

        def both(m, x, source):
            return m(x, m.keys_values(source))

        p = fill(shapes_of(layer, self.x, self.source, method=both), scale=0.7)
        out = apply(layer, p, self.x, self.source, method=both)

        def dense(tokens, name):
            return tokens @ np.asarray(p[name]["kernel"]) + np.asarray(p[name]["bias"])

        normed = np.asarray(norm(self.x, p["norm"], 2)).reshape(2, 6, 8)
        query = dense(normed, "query").reshape(2, 6, heads, -1)
        tokens = np.asarray(self.source).reshape(2, 16, 5)
        key, value = (dense(tokens, n).reshape(2, 16, heads, -1) for n in ("key", "value"))
        logits = np.einsum("bqhc,bkhc->bhqk", query, key) / np.sqrt(8 / heads)
        weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        attended = np.einsum("bhqk,bkhc->bqhc", weights, value).reshape(2, 6, 8)
        np.testing.assert_allclose(out, self.x + dense(attended, "out").reshape(2, 3, 2, 8),
                                   rtol=1e-4, atol=1e-4)

    def test_fresh_layer_passes_its_input_on(self):
        layer = CrossAttention(8, groups=2)
        keys_values = (normal(7, 2, 16, 8), normal(8, 2, 16, 8))
        params = fresh(layer, self.x, keys_values)
        np.testing.assert_array_equal(apply(layer, params, self.x, keys_values), self.x)


def test_cudnn_attends_only_where_it_can(monkeypatch):
    wide = [("auto", 64, jnp.bfloat16), ("auto", 512, jnp.bfloat16), ("auto", 64, jnp.float32),
            ("auto", 12, jnp.bfloat16), ("xla", 64, jnp.bfloat16), ("cudnn", 512, jnp.float32)]
    assert [attention_kernel(*case) for case in wide] == ["xla"] * 5 + ["cudnn"]
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert [attention_kernel(*case) for case in wide] == ["cudnn", *["xla"] * 4, "cudnn"]


class TestPlans:
    def test_level_features_are_the_last_of_each_level(self):
        assert level_features(UNetConfig()) == (2, 5, 8, 11, 14, 17)
        assert level_features(TINY) == (1, 3, 5)

    @pytest.mark.parametrize("config", [
        TINY, dataclasses.replace(TINY, blocks=3, attention=()),
        dataclasses.replace(TINY, channels=(4,), attention=(0,))], ids=str)
    def test_decoder_consumes_the_encoder(self, config):
        encoder, decoder = encoder_plan(config), decoder_plan(config)
        assert len(encoder) == len(decoder)
        assert len(attended_features(config)) == (2 * len(config.attention) + 1
                                                  if config.attention else 0)

        # A skip connection arrives at the level it left.
        def levels(plan):
            return [block.level for block in plan]

        assert levels(encoder)[::-1] == levels(decoder)
        for k, attended in zip([k for k, b in enumerate(decoder) if b.attends][::-1],
                               attended_features(config)[::-1], strict=False):
            assert encoder[attended].level == decoder[k].level


def unet_inputs(config: UNetConfig, channels: int = 3):
    """y, t, maps and features by number for a U-Net of SIZE."""
    features = {k: normal(20 + k, 2, *config.level_size(b.level, SIZE), b.channels)
                for k, b in enumerate(encoder_plan(config))}
    maps = normal(11, 2, *config.level_size(0, SIZE), 5)
    return normal(10, 2, *SIZE, channels), jnp.array([3, 40]), maps, features


def whole_unet(m, y, t, maps, features):
    return m(y, t, maps, *m.condition(features))


class TestUNet:
    def test_each_attention_layer_reads_its_feature(self):
        unet = UNet(TINY, 3, inject=True)
        inputs = unet_inputs(TINY)
        params = fill(shapes_of(unet, *inputs, method=whole_unet))
        features = {k: jnp.full_like(f, k + 1.0) for k, f in inputs[3].items()}
        keys_values, injected = jax.device_get(
            apply(unet, params, features, method="condition"))
        params = jax.device_get(params)
        # The plan: stem, 1 | down 2, 3 | down 4, 5; levels 1 and 2 attend.
        for i, k in enumerate([3, 5, 5, 4, 2]):
            layer = params[f"attention_{i}"]
            for out, name in zip(keys_values[i], ("key", "value"), strict=True):
                expected = (k + 1) * layer[name]["kernel"].sum(0) + layer[name]["bias"]
                np.testing.assert_allclose(out[1, -1], expected, rtol=1e-4, atol=1e-5)
        for level, k in enumerate([1, 3, 5]):
            layer = params[f"injection_{level}"]
            np.testing.assert_allclose(injected[level][0, 0, 0],
                                       (k + 1) * layer["kernel"].sum(0) + layer["bias"],
                                       rtol=1e-4, atol=1e-5)

    def test_fresh_network_says_nothing(self):
        unet, inputs = UNet(TINY, 4), unet_inputs(TINY)
        shapes = shapes_of(unet, *inputs, method=whole_unet)
        params = fill(shapes)
        fresh_head = jax.jit(lambda: unet.init(
            jax.random.key(0), *inputs, method=whole_unet)["params"]["head"])()
        assert not any(leaf.any() for leaf in jax.tree.leaves(fresh_head))
        out = apply(unet, {**params, "head": fresh_head}, *inputs, method=whole_unet)
        assert out.shape == (2, *SIZE, 4) and not out.any()

    def test_everything_is_heard(self):
        """Each input moves the output, through every path that is switched on."""
        unet, inputs = UNet(TINY, 3), unet_inputs(TINY)
        params = fill(shapes_of(unet, *inputs, method=whole_unet))

        @jax.jit
        def by_inputs(y, maps, features):
            return jax.grad(
                lambda *x: (unet.apply({"params": params}, x[0], inputs[1], x[1], x[2],
                                       method=whole_unet) ** 2).sum(), (0, 1, 2))(y, maps, features)

        by_y, by_maps, by_features = by_inputs(inputs[0], inputs[2], inputs[3])
        assert by_y.any() and by_maps.any()
        read = {k for k, g in by_features.items() if g.any()}
        assert read == set(attended_features(TINY)) | set(level_features(TINY))

    def test_time_is_heard_and_pictures_are_apart(self):
        unet = UNet(TINY, 3)
        y, t, maps, features = unet_inputs(TINY)
        params = fill(shapes_of(unet, y, t, maps, features, method=whole_unet))
        run = jax.jit(lambda *x: unet.apply({"params": params}, *x, method=whole_unet))
        out = run(y, t, maps, features)
        later = run(y, t.at[0].add(100), maps, features)
        assert not np.allclose(out[0], later[0])
        np.testing.assert_allclose(out[1], later[1], atol=1e-5)
        turned = run(y[::-1], t[::-1], maps[::-1], {k: f[::-1] for k, f in features.items()})
        np.testing.assert_allclose(turned[::-1], out, rtol=1e-4, atol=1e-4)

    @pytest.mark.slow
    def test_injection_of_nothing_is_no_injection(self):
        """So that a checkpoint without conditional channels can be fine-tuned with them."""
        inputs = unet_inputs(TINY)
        plain, injecting = UNet(TINY, 3, inject=False), UNet(TINY, 3, inject=True)
        params = fill(shapes_of(injecting, *inputs, method=whole_unet))
        own = {k: v for k, v in params.items() if not k.startswith("injection")}
        assert jax.tree.structure(own) == jax.tree.structure(
            shapes_of(plain, *inputs, method=whole_unet))
        silent = {k: v if k in own else jax.tree.map(jnp.zeros_like, v) for k, v in params.items()}
        np.testing.assert_array_equal(apply(injecting, silent, *inputs, method=whole_unet),
                                      apply(plain, own, *inputs, method=whole_unet))

    @pytest.mark.parametrize("changes", [
        {"patch": 2, "refine": 4}, {"resample_blocks": False}, {"heads": 2}, {"blocks": 2},
        {"attention": ()}, {"bfloat16": True}, {"remat": True},
        {"patch": 4, "channels": (4, 6), "attention": (0,), "resample_blocks": False}], ids=str)
    def test_shapes_of_variants(self, changes):
        config = dataclasses.replace(TINY, **changes)
        unet, inputs = UNet(config, 4), unet_inputs(config)
        out, _ = jax.eval_shape(
            lambda: unet.init_with_output(jax.random.key(0), *inputs, method=whole_unet))
        assert out.shape == (2, *SIZE, 4) and out.dtype == jnp.float32

    def test_narrow_encoder(self):
        encoder = SourceEncoder(TINY, (2, 4, 4))
        features, _ = jax.eval_shape(
            lambda: encoder.init_with_output(jax.random.key(0), jnp.zeros((1, *SIZE, 3))))
        assert [f.shape[1:] for f in features] == [
            (16, 8, 2), (16, 8, 2), (8, 4, 2), (8, 4, 4), (4, 2, 4), (4, 2, 4)]
