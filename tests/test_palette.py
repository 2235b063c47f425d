"""A person's own colours: where they are read, and what a painter makes of them."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from painter_parts import SCENE, SIZE, SOURCE, normal, poses, random_params, with_shares
from repose_jax.models.pose_transfer import RePoseModel
from repose_jax.models.sample_config import SampleConfig
from repose_jax.models.weights import save_model
from repose_jax.networks.palette import Palette, Palettes, palette
from repose_jax.pose.skeleton import MARKET14
from repose_jax.tasks.pose_transfer import initial

TAKES = dataclasses.replace(SCENE, network=dataclasses.replace(
    SCENE.network, painter=dataclasses.replace(SCENE.network.painter, palette=True)))
PLACES = len(MARKET14.joints) + len(MARKET14.limbs)
apply, read = jax.jit(Palettes(2).apply), jax.jit(palette, static_argnums=(4, 5))


@pytest.fixture(scope="module")
def parts():
    """Random parameters of an attention, features of two targets, and palettes of two sources."""
    seen = Palette(colours=jnp.tanh(normal(1, 2, 5, 3)), features=normal(2, 2, 5, 6),
                   known=jnp.ones((2, 5)), near=normal(4, 2, 4, 3, 5))
    h = normal(3, 2, 4, 3, 8)
    shapes = jax.eval_shape(Palettes(2).init, jax.random.key(0), h, seen)
    leaves, tree = jax.tree.flatten(shapes)
    return jax.tree.unflatten(tree, [normal(10 + i, *x.shape) for i, x in enumerate(leaves)]), h, seen


def test_it_is_read_at_joints_and_in_the_middle_of_limbs():
    """A picture whose colours tell where one is: across in the first, down in the second."""
    y, x = np.mgrid[:32, :16].astype(np.float32)
    picture = jnp.asarray(np.stack([x, y, 0 * x], -1))[None]
    pose = np.zeros((1, 14, 3), np.float32)
    where = {"right_knee": (5, 20), "right_ankle": (7, 26), "left_knee": (40, 12)}
    for joint, place in where.items():
        pose[0, MARKET14.index(joint)] = *place, 1
    seen = read(picture, picture, jnp.asarray(pose), jnp.asarray(pose), MARKET14, (16, 8))
    shin = len(MARKET14.joints) + MARKET14.limbs.index(("right_knee", "right_ankle"))
    known = [MARKET14.index(joint) for joint in where] + [shin]
    np.testing.assert_array_equal(np.flatnonzero(seen.known[0]), sorted(known))
    for place, expected in zip(known, [(5, 20), (7, 26), (14.5, 12), (6, 23)], strict=True):
        # Beyond the edge it is the last cell's.
        np.testing.assert_allclose(seen.colours[0, place, :2], expected, atol=0.4)
    np.testing.assert_allclose(seen.features[0, known[2], :2], (15, 12), atol=1e-4)


def test_near_is_what_lies_there_in_the_target():
    """Log of a Gaussian of 4.5 % of the height about joint or limb; constant where no pose tells."""
    picture, pose = jnp.zeros((1, 40, 20, 3)), np.zeros((1, 14, 3), np.float32)
    pose[0, MARKET14.index("neck")] = 9, 3, 1
    for joint, place in {"right_knee": (4, 20), "right_ankle": (4, 30)}.items():
        pose[0, MARKET14.index(joint)] = *place, 1
    near = read(picture, picture, 0 * jnp.asarray(pose), jnp.asarray(pose), MARKET14, (40, 20)).near[0]
    of = 2 * (0.045 * 40) ** 2
    np.testing.assert_allclose(near[3, 12, MARKET14.index("neck")], -9 / of, rtol=1e-4)
    shin = len(MARKET14.joints) + MARKET14.limbs.index(("right_knee", "right_ankle"))
    np.testing.assert_allclose(near[25, [4, 6, 1], shin], [0, -4 / of, -9 / of], atol=1e-5)
    np.testing.assert_allclose(near[33, 4, shin], -9 / of, rtol=1e-4)
    np.testing.assert_allclose(near[..., MARKET14.index("left_knee")], -4.5)


class TestAttention:
    def test_colours_are_mixtures_of_what_is_known(self, parts):
        params, h, seen = parts
        _, colours, _ = apply(params, h, seen)
        low, high = seen.colours.min(axis=1), seen.colours.max(axis=1)
        assert bool(jnp.all(colours >= low[:, None, None] - 1e-5))
        assert bool(jnp.all(colours <= high[:, None, None] + 1e-5))
        assert float(colours.std(axis=(1, 2)).max()) > 0.05  # and not the same everywhere
        only = dataclasses.replace(seen, known=jnp.zeros((2, 5)).at[:, 3].set(1.0))
        _, colours, _ = apply(params, h, only)
        np.testing.assert_allclose(colours, jnp.broadcast_to(
            seen.colours[:, 3][:, None, None], colours.shape), atol=1e-5)

    def test_what_is_not_known_has_no_say(self, parts):
        params, h, seen = parts
        known = jnp.ones((2, 5)).at[:, 1].set(0.0)
        other = Palette(colours=seen.colours.at[:, 1].add(1.0), known=known,
                        features=seen.features.at[:, 1].add(1.0), near=seen.near)
        for ours, theirs in zip(apply(params, h, dataclasses.replace(seen, known=known)),
                                apply(params, h, other), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)
        nobody = dataclasses.replace(seen, known=jnp.zeros((2, 5)))
        np.testing.assert_array_equal(apply(params, h, nobody)[1], 0)

    def test_fresh_it_attends_to_what_is_near(self, parts):
        _, h, seen = parts
        params = jax.jit(Palettes(2).init)(jax.random.key(0), h, seen)
        added, colours, share = apply(params, h, seen)
        np.testing.assert_array_equal(added, 0)
        np.testing.assert_allclose(share, -1.5)
        np.testing.assert_allclose(colours, jnp.einsum(
            "bhwp,bpc->bhwc", jax.nn.softmax(seen.near), seen.colours), atol=1e-5)


class TestInAPainter:
    model = RePoseModel(TAKES)

    def painted(self, params):
        return jax.jit(self.model.paint)(params, SOURCE, poses(2), poses(3))[0]

    def test_what_is_painted_anew_can_be_the_person_s_colours_alone(self):
        given = with_shares(random_params(self.model), -40.0, -40.0)
        share = given["painter"]["palette"]["share"]
        taking = {**given, "painter": {**given["painter"], "palette": {
            **given["painter"]["palette"],
            "share": {"kernel": 0 * share["kernel"], "bias": 0 * share["bias"] + 40.0}}}}
        picture = self.painted(taking).picture
        seen = read(SOURCE, SOURCE, poses(2), poses(3), MARKET14, (SIZE[0] // 2, SIZE[1] // 2))
        assert seen.colours.shape == (2, PLACES, 3)
        assert bool(jnp.all(picture <= seen.colours.max(axis=1)[:, None, None] + 1e-5))
        assert bool(jnp.all(picture >= seen.colours.min(axis=1)[:, None, None] - 1e-5))
        assert float(jnp.abs(picture - self.painted(given).picture).max()) > 0.1
        np.testing.assert_allclose(self.painted(taking).palette, 1, atol=1e-6)
        half = {**taking, "painter": {**taking["painter"], "palette": {
            **taking["painter"]["palette"], "share": jax.tree.map(jnp.zeros_like, share)}}}
        half = self.painted(with_shares(half, 0.0, 0.0))  # the three are equal, and half of the last
        np.testing.assert_allclose(half.palette, 1 / 6, atol=1e-6)

    def test_a_painter_can_begin_to_take_them(self, tmp_path):
        """Its first picture is the one it painted before, within the share that colours begin with."""
        before = RePoseModel(SCENE)
        given = random_params(before)
        save_model(tmp_path / "old.safetensors", SCENE, given, {}, SampleConfig(steps=0), np.float32)
        begun = initial(tmp_path / "old.safetensors", TAKES,
                        jax.eval_shape(self.model.init, jax.random.key(0)))
        old, new = jax.jit(before.paint)(given, SOURCE, poses(2), poses(3))[0], self.painted(begun)
        np.testing.assert_allclose(new.mask, old.mask, atol=1e-6)
        apart = float(jnp.abs(new.picture - old.picture).max())
        assert 0 < apart < 0.19 * (1 + float(jnp.abs(old.picture).max()))
