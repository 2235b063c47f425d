"""A person's own colours: where they are read, where they go, and what a painter makes of them."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from painter_parts import SCENE, SIZE, SOURCE, poses, random_params, with_shares
from repose_jax.common.errors import UserError
from repose_jax.common.signal import to_image
from repose_jax.models.pose_transfer import RePoseModel
from repose_jax.models.sample_config import SampleConfig
from repose_jax.models.sampling import coloured, generate
from repose_jax.networks.palette import palette
from repose_jax.networks.painter import PainterConfig
from repose_jax.pose.skeleton import MARKET14

read = jax.jit(palette, static_argnums=(3, 4))
SIDES = (32, 16)


def pose_of(**joints) -> np.ndarray:
    pose = np.zeros((1, 14, 3), np.float32)
    for joint, place in joints.items():
        pose[0, MARKET14.index(joint)] = *place, 1
    return pose


def ramp() -> jnp.ndarray:
    """A picture whose colours tell where one is: across in the first, down in the second."""
    y, x = np.mgrid[:SIDES[0], :SIDES[1]].astype(np.float32)
    return jnp.asarray(np.stack([x, y, 0 * x], -1))[None]


class TestPalette:
    def test_each_cell_gets_the_colours_of_the_part_of_the_body_that_is_near(self):
        """Joints and middles of limbs; beyond the edge it is the last cell's colours."""
        source = pose_of(right_knee=(5, 20), right_ankle=(7, 26), left_knee=(40, 12))
        target = pose_of(right_knee=(4, 2), right_ankle=(4, 14), left_knee=(12, 28))
        colours, reach = read(ramp(), source, target, MARKET14, SIDES)
        np.testing.assert_allclose(reach[0, [2, 8, 14, 28], [4, 4, 4, 12], 0], 1, atol=1e-5)
        np.testing.assert_allclose(reach[0, 8, 7, 0], np.exp(-9 / (2 * (0.045 * 32) ** 2)), rtol=1e-4)
        assert float(reach[0, 31, 0, 0]) < 1e-3
        # At the knee its limb is as near as the joint itself.
        np.testing.assert_allclose(colours[0, 2, 4, :2], (5.5, 21.5), atol=0.4)
        np.testing.assert_allclose(colours[0, 8, 4, :2], (6, 23), atol=0.4)  # the middle of the shin
        np.testing.assert_allclose(colours[0, 28, 12, :2], (15, 12), atol=0.4)
        np.testing.assert_allclose(colours[0, 31, 15, :2], (15, 12), atol=0.4)  # and nothing is nearer

    def test_near_is_a_gaussian_about_the_target_s_joint(self):
        """Of two joints with 4.5 % of the height as deviation, the shares of a cell are known."""
        source = pose_of(right_wrist=(2, 4), left_wrist=(12, 28))
        target = pose_of(right_wrist=(2, 10), left_wrist=(6, 10))
        colours, _ = read(ramp(), source, target, MARKET14, SIDES)
        odds = np.exp(-(1 - 9) / (2 * (0.045 * 32) ** 2))
        expected = (np.array((2, 4)) * odds + np.array((12, 28))) / (1 + odds)
        np.testing.assert_allclose(colours[0, 10, 3, :2], expected, atol=0.1)

    def test_what_the_source_does_not_tell_has_no_say(self):
        target = pose_of(neck=(4, 4), right_wrist=(12, 28))
        colours, _ = read(ramp(), pose_of(neck=(6, 9)), target, MARKET14, (16, 8))
        np.testing.assert_allclose(
            colours[0, ..., :2].reshape(-1, 2), np.tile((6, 9), (128, 1)), atol=0.3)
        assert not read(ramp(), pose_of(), target, MARKET14, (16, 8))[1].any()
        assert not read(ramp(), target, pose_of(), MARKET14, (16, 8))[1].any()


class TestInAPainter:
    model = RePoseModel(SCENE)

    def painted(self, share, *logits, source_pose=None):
        """The picture at a share of the palette, its own shares fixed."""
        model = coloured(self.model, SampleConfig(steps=0, palette=share))
        given = with_shares(random_params(self.model), *logits)
        return jax.jit(model.paint)(
            given, SOURCE, poses(2) if source_pose is None else source_pose, poses(3))[0].picture

    def test_what_is_painted_anew_is_mixed_with_the_photo_s_colours(self):
        own, half, all_of_it = (self.painted(share, -40.0, -40.0) for share in (0.0, 0.5, 1.0))
        np.testing.assert_allclose(half, (own + all_of_it) / 2, atol=1e-5)
        cells = SIZE[0] // 2, SIZE[1] // 2
        colours, reach = (jax.image.resize(x, (2, *SIZE, x.shape[-1]), "bilinear") for x in read(
            SOURCE, poses(2), poses(3), MARKET14, cells))
        np.testing.assert_allclose(all_of_it, own + reach * (colours - own), atol=1e-5)
        assert float(jnp.abs(all_of_it - own).max()) > 0.1

    def test_what_is_kept_stays(self):
        for logits in ((40.0, 0.0), (0.0, 40.0)):
            np.testing.assert_allclose(
                *(self.painted(share, *logits) for share in (0.0, 1.0)), atol=1e-5)

    def test_without_a_pose_the_painter_s_own_colours_stay(self):
        np.testing.assert_array_equal(*(
            self.painted(share, -40.0, -40.0, source_pose=0 * poses(2)) for share in (0.0, 1.0)))

    def test_it_is_a_setting_of_the_sampler(self):
        given, keys = random_params(self.model), jax.random.split(jax.random.key(0), 2)

        def made(share):
            return np.asarray(generate(
                self.model, given, to_image(SOURCE), poses(2), poses(3), keys,
                SampleConfig(steps=0, source_weight=1.0, palette=share))[0], int)

        painted = coloured(self.model, SampleConfig(steps=0, palette=0.7)).paint(
            given, SOURCE, poses(2), poses(3))[0].picture
        assert np.abs(made(0.7) - np.asarray(to_image(painted), int)).max() <= 1
        assert np.abs(made(0.7) - made(0.0)).max() > 3
        unpainted = dataclasses.replace(
            SCENE, network=dataclasses.replace(SCENE.network, painter=PainterConfig()))
        with pytest.raises(UserError, match="palette: is 0.5, but the model paints no picture"):
            SampleConfig(steps=2, palette=0.5).check(unpainted)
        with pytest.raises(UserError, match="palette"):
            SampleConfig(steps=0, palette=1.5)

