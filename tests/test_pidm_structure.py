"""The baseline of every ablation has the structure of PIDM's released network.

Only shapes are computed. The figures are those of PIDM's code at commit e4f1d88, at 256x256.
"""

from __future__ import annotations

import collections
import functools

import jax
import jax.numpy as jnp

from repose_jax.networks.network import Network, NetworkConfig
from repose_jax.networks.rpa import RPAConfig
from repose_jax.networks.unet import attended_features, decoder_plan, encoder_plan
from repose_jax.pose.skeleton import OPENPOSE18

PIDM = NetworkConfig(learned_variance=True,
                     rpa=RPAConfig(iterations=0, attend=True, inject=False, copy=False))


@functools.cache
def pidm_shapes():
    network = Network(PIDM)
    return jax.eval_shape(lambda: network.init(
        jax.random.key(0), *network.dummy_inputs(), method="everything")["params"])


def count(tree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


class TestStructureOfPIDM:
    def run(self, method, *inputs):
        return jax.eval_shape(
            lambda p: Network(PIDM).apply({"params": p}, *inputs, method=method), pidm_shapes())

    def test_parameters(self):
        """162,374,406 used parameters, and what differs is the stem alone.

        Ours reads 3 colours and a map for each of 18 joints and 17 limbs; PIDM's reads 3 colours
        and 20 maps (a drawn skeleton of 3 channels and 17 limb distances).
        """
        maps = len(OPENPOSE18.joints) + len(OPENPOSE18.limbs)
        assert pidm_shapes()["unet"]["stem"]["kernel"].shape == (3, 3, 3 + maps, 128)
        stem_difference = 3 * 3 * (maps - 20) * 128
        assert count(pidm_shapes()) - stem_difference == 162_374_406
        assert "alignment" not in pidm_shapes()

    def test_encoder_is_the_way_down_without_time(self):
        encoder, unet = (pidm_shapes()[name] for name in ("encoder", "unet"))
        assert set(encoder) == {"stem"} | {f"block_{i}" for i in range(1, 18)}
        assert encoder["stem"]["kernel"].shape == (3, 3, 3, 128)
        for i in range(17):
            timed = dict(unet[f"down_{i}"])
            channels = timed["conv_out"]["bias"].shape[0]
            assert timed.pop("embedding")["kernel"].shape == (512, 2 * channels)
            assert encoder[f"block_{i + 1}"] == timed

    def test_eighteen_features(self):
        features = self.run(lambda m, x: m.encoder(x), jnp.zeros((1, 256, 256, 3)))
        found = [(f.shape[1], f.shape[3]) for f in features]
        assert found == ([(256, 128)] * 3 + [(128, 128)] * 3 + [(64, 128), (64, 256), (64, 256)]
                         + [(32, 256)] * 3 + [(16, 256), (16, 512), (16, 512)] + [(8, 512)] * 3)

    def test_seven_attention_layers(self):
        """Down 32, 16, 8 (last block); middle; up 8, 16, 32 (second of three)."""
        unet = pidm_shapes()["unet"]
        layers = [unet[f"attention_{i}"] for i in range(7)]
        assert "attention_7" not in unet
        assert [a["query"]["kernel"].shape[1] for a in layers] == [
            256, 512, 512, 512, 512, 512, 256]
        plan = encoder_plan(PIDM.unet)
        assert [k for k, b in enumerate(plan) if b.attends] == [11, 14, 17]
        assert [k for k, b in enumerate(decoder_plan(PIDM.unet)) if b.attends] == [1, 4, 7]

    def test_attention_reads_the_features_that_pidm_reads(self):
        """Down block k reads feature k, the middle the last, up block k feature [-k-1]."""
        numbers = list(range(18))
        expected = [11, 14, 17, numbers[-1]] + [numbers[-k - 1] for k in (1, 4, 7)]
        assert list(attended_features(PIDM.unet)) == expected
        _, _, source, pose, target, present = Network(PIDM).dummy_inputs()
        context = self.run("condition", source, pose, target, present)
        assert [key.shape for key, _ in context.keys_values] == [
            (1, side**2, width) for side, width in
            ((32, 256), (16, 512), (8, 512), (8, 512), (8, 512), (16, 512), (32, 256))]
        assert context.injected == ()

    def test_decoder_has_a_block_for_every_feature_and_five_upsamplings(self):
        unet = pidm_shapes()["unet"]
        names = collections.Counter(name.rsplit("_", 1)[0] for name in unet)
        assert names["up"] == 18 and names["down"] == 17 and names["upsample"] == 5
        skips = [block.channels for block in encoder_plan(PIDM.unet)]
        for k, block in enumerate(decoder_plan(PIDM.unet)):
            read = unet[f"up_{k}"]["norm_in"]["scale"].shape[0]
            carried = unet[f"up_{k - 1}"]["conv_out"]["bias"].shape[0] if k else 512
            assert read == carried + skips.pop()
            assert unet[f"up_{k}"]["conv_out"]["bias"].shape == (block.channels,)

    def test_output_is_noise_and_variance(self):
        y, t, source, pose, target, present = Network(PIDM).dummy_inputs()
        out = self.run("everything", y, t, source, pose, target, present)
        assert out.signal.shape == out.variance.shape == (1, 256, 256, 3)
        assert out.copy is None
        assert pidm_shapes()["unet"]["head"]["kernel"].shape == (3, 3, 128, 6)

    def test_runs_at_any_multiple_of_the_stride(self):
        y = jnp.zeros((1, 128, 64, 3))
        pose = jnp.zeros((1, 18, 3))
        out = self.run("everything", y, jnp.zeros(1), y, pose, pose, jnp.ones(1))
        assert out.signal.shape == (1, 128, 64, 3)
        assert PIDM.unet.stride == 32
