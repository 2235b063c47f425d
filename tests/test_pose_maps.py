"""Pose maps, the skeleton flow and the warp, against closed forms."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from repose_jax.networks import warp as warp_module
from repose_jax.pose import flow as flow_module, maps as maps_module
from repose_jax.pose.cells import grid
from repose_jax.pose.maps import map_count
from repose_jax.pose.skeleton import MARKET14, OPENPOSE18, SKELETONS, flip_pose

# One compilation each instead of one for every operation.
pose_maps = jax.jit(maps_module.pose_maps, static_argnums=(1, 2, 3), static_argnames="sigma")
skeleton_flow = jax.jit(flow_module.skeleton_flow, static_argnums=(2, 3, 4))
segment_coordinates = jax.jit(maps_module.segment_coordinates)
warp = jax.jit(warp_module.warp)
resize = jax.jit(warp_module.resize, static_argnums=1)

SIZE = (64, 32)  # a tall picture: a mix-up of the axes cannot pass

# A person as wide as the picture allows, no two limbs parallel, every joint inside.
PERSON = np.array([
    [16, 6], [16, 14], [10, 15], [7, 24], [6, 33], [22, 15], [25, 24], [27, 32],
    [12, 34], [11, 46], [10, 58], [20, 34], [22, 46], [21, 58]], np.float32)
POSE = np.concatenate([PERSON, np.ones((14, 1), np.float32)], axis=1)


def moved(transform) -> np.ndarray:
    """The person under a map of points."""
    return np.concatenate([transform(PERSON), POSE[:, 2:]], axis=1).astype(np.float32)


def on_limbs(pose: np.ndarray, distance: float = 1.0) -> np.ndarray:
    """[h, w] bool: which pixels lie within `distance` pixels of a limb."""
    start, end = np.moveaxis(pose[MARKET14.limb_indices, :2], 1, 0)
    away, _ = segment_coordinates(grid(SIZE, SIZE), jnp.asarray(start), jnp.asarray(end))
    return np.min(away, axis=0) <= distance**2


def flow_pixels(source, target, **kwargs) -> np.ndarray:
    """The skeleton flow in pixels."""
    flow = skeleton_flow(jnp.asarray(source), jnp.asarray(target), MARKET14, SIZE, SIZE, **kwargs)
    return np.asarray(flow) * np.array([SIZE[1], SIZE[0]])


class TestGrid:
    def test_own_resolution_is_pixels(self):
        points = grid((3, 5), (3, 5))
        np.testing.assert_array_equal(points[2, 4], [4, 2])
        np.testing.assert_array_equal(points[0, 0], [0, 0])

    def test_coarse_cell_is_the_mean_of_its_pixels(self):
        fine = np.asarray(grid((8, 12), (8, 12))).reshape(4, 2, 4, 3, 2).mean((1, 3))
        np.testing.assert_allclose(grid((4, 4), (8, 12)), fine, atol=1e-6)


class TestSegmentCoordinates:
    def test_before_beside_and_beyond(self):
        start, end = jnp.array([2.0, 0.0]), jnp.array([6.0, 0.0])
        distance2, fraction = segment_coordinates(grid((4, 10), (4, 10)), start, end)
        assert distance2[3, 0] == pytest.approx(9 + 4)  # before the start: distance to it
        assert distance2[3, 3] == pytest.approx(9)
        assert distance2[0, 9] == pytest.approx(9)
        np.testing.assert_allclose(fraction[1], [0, 0, 0, .25, .5, .75, 1, 1, 1, 1], atol=1e-6)

    def test_no_length_is_a_point(self):
        point = jnp.array([1.0, 2.0])
        distance2, fraction = segment_coordinates(grid((4, 4), (4, 4)), point, point)
        assert distance2[0, 3] == pytest.approx(4 + 4)
        assert not fraction.any()


class TestPoseMaps:
    def test_gaussian_of_the_distance(self):
        maps = pose_maps(jnp.asarray(POSE), MARKET14, SIZE, SIZE, sigma=0.05)
        spread = 0.05 * 64
        x, y = PERSON[4].astype(int)
        assert maps.shape == (*SIZE, map_count(MARKET14))
        assert maps[y, x, 4] == pytest.approx(1)
        assert maps[y + 3, x - 4, 4] == pytest.approx(np.exp(-25 / (2 * spread**2)), rel=1e-5)

    def test_limb_is_one_along_its_segment(self):
        pose = np.zeros((14, 3), np.float32)
        pose[MARKET14.index("neck")] = [4, 20, 1]
        pose[MARKET14.index("head_top")] = [24, 20, 1]
        limb = 14 + [tuple(pair) for pair in MARKET14.limbs].index(("neck", "head_top"))
        map_ = pose_maps(jnp.asarray(pose), MARKET14, SIZE, SIZE, sigma=0.05)[..., limb]
        np.testing.assert_allclose(map_[20, 4:25], 1, atol=1e-6)
        np.testing.assert_allclose(map_[24, 4:25], np.exp(-16 / (2 * 3.2**2)), rtol=1e-5)
        assert map_[20, 28] == pytest.approx(np.exp(-16 / (2 * 3.2**2)), rel=1e-5)

    def test_invisible_is_exactly_zero_and_touches_nothing_else(self):
        pose = POSE.copy()
        pose[3] = 0
        whole = pose_maps(jnp.asarray(POSE), MARKET14, SIZE, SIZE)
        maps = pose_maps(jnp.asarray(pose), MARKET14, SIZE, SIZE)
        gone = [3] + [14 + i for i, limb in enumerate(MARKET14.limb_indices) if 3 in limb]
        assert len(gone) == 3
        assert not maps[..., gone].any()
        kept = np.setdiff1d(np.arange(maps.shape[-1]), gone)
        np.testing.assert_array_equal(maps[..., kept], whole[..., kept])

    def test_visibility_scales_and_a_limb_takes_its_weaker_end(self):
        pose = POSE.copy()
        pose[3, 2] = 0.25
        maps = pose_maps(jnp.asarray(pose), MARKET14, SIZE, SIZE)
        whole = pose_maps(jnp.asarray(POSE), MARKET14, SIZE, SIZE)
        limb = 14 + int(np.argmax((MARKET14.limb_indices == 3).any(1)))
        for channel in (3, limb):
            np.testing.assert_allclose(maps[..., channel], 0.25 * whole[..., channel], rtol=1e-6)

    def test_translation_of_the_pose_translates_the_maps(self):
        maps = pose_maps(jnp.asarray(POSE), MARKET14, SIZE, SIZE)
        shifted = pose_maps(jnp.asarray(moved(lambda p: p + [3, -5])), MARKET14, SIZE, SIZE)
        np.testing.assert_allclose(shifted[:-5, 3:], maps[5:, :-3], atol=1e-5)

    def test_coarse_maps_sample_the_same_function(self):
        """Cells of a 3 times coarser map have the centres of every third pixel."""
        size = (63, 33)
        fine = pose_maps(jnp.asarray(POSE), MARKET14, size, size, sigma=0.05)
        coarse = pose_maps(jnp.asarray(POSE), MARKET14, (21, 11), size, sigma=0.05)
        np.testing.assert_allclose(coarse, fine[1::3, 1::3], atol=1e-5)

    def test_very_coarse_maps_do_not_lose_joints(self):
        maps = pose_maps(jnp.asarray(POSE), MARKET14, (4, 2), SIZE)
        # At worst the joint lies in the corner of four cells, half a cell's diagonal from each.
        assert maps.max((0, 1)).min() > np.exp(-0.5 / (2 * 0.6**2)) - 1e-3

    @pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS)
    def test_batches_and_every_skeleton(self, skeleton):
        poses = np.random.default_rng(0).uniform(0, 32, (2, len(skeleton), 3)).astype(np.float32)
        poses[..., 2] = 1
        maps = pose_maps(jnp.asarray(poses), skeleton, (8, 4), SIZE)
        alone = pose_maps(jnp.asarray(poses[1]), skeleton, (8, 4), SIZE)
        assert maps.shape == (2, 8, 4, map_count(skeleton))
        np.testing.assert_allclose(maps[1], alone, atol=1e-6)


class TestSkeletonFlow:
    def test_same_pose_does_not_move(self):
        np.testing.assert_allclose(flow_pixels(POSE, POSE), 0, atol=1e-3)

    def test_translation(self):
        target = moved(lambda p: p + [4, -3])
        flow = flow_pixels(POSE, target)[on_limbs(target)]
        np.testing.assert_allclose(flow, np.broadcast_to([-4, 3], flow.shape), rtol=0.02)

    def test_fades_far_from_the_body(self):
        target = moved(lambda p: p * 0.2 + [0, 0])
        source = target + np.array([3, 3, 0], np.float32)
        flow = flow_pixels(source, target)
        assert np.abs(flow[60, 30]).max() < 0.3 < 2.9 < flow[on_limbs(target)].min()

    def test_unit_is_a_fraction_of_each_side(self):
        """The same flow at any resolution, and twice the picture has the same fractions."""
        target = moved(lambda p: p + [4, 8])
        flow = skeleton_flow(jnp.asarray(POSE), jnp.asarray(target), MARKET14, SIZE, SIZE)
        x, y = PERSON[8].astype(int) + [4, 8]
        np.testing.assert_allclose(flow[y, x], [-4 / 32, -8 / 64], rtol=0.02)
        twice = (128, 64)
        scale = np.array([2, 2, 1], np.float32)
        shift = np.array([0.5, 0.5, 0], np.float32)  # a pixel's centre is not its corner
        big = skeleton_flow(jnp.asarray(POSE * scale + shift), jnp.asarray(target * scale + shift),
                            MARKET14, SIZE, twice)
        np.testing.assert_allclose(big, flow, atol=2e-4)

    @pytest.mark.parametrize(("angle", "scale"), [(0.4, 1.0), (0.0, 0.6), (-0.3, 0.7)])
    def test_similar_person(self, angle, scale):
        """A person turned and scaled as a whole: every limb agrees with the similarity."""
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        centre = np.array([16, 32])
        target = moved(lambda p: (p - centre) @ turn.T + centre)
        near = on_limbs(target, 2.0)
        points = np.asarray(grid(SIZE, SIZE))[near]
        origin = (points - centre) @ np.linalg.inv(turn).T + centre
        np.testing.assert_allclose(flow_pixels(POSE, target)[near], origin - points, atol=0.15)

    def test_seen_from_behind(self):
        """Joints keep their names and change sides: the picture is mirrored across every limb."""
        target = moved(lambda p: [31, 0] + p * [-1, 1])
        near = on_limbs(target, 2.0)
        x = np.asarray(grid(SIZE, SIZE))[near][:, 0]
        flow = flow_pixels(POSE, target)[near]
        np.testing.assert_allclose(flow[:, 0], 31 - 2 * x, atol=0.15, rtol=0.02)
        np.testing.assert_allclose(flow[:, 1], 0, atol=0.1)

    def test_flipped_with_its_names_is_not_seen_from_behind(self):
        """After `flip_pose` the person faces the camera still: no mirroring across the limbs.

        For a body that is its own mirror image the two poses agree, so nothing moves.
        """
        symmetric = POSE.copy()
        flipped = flip_pose(symmetric, MARKET14, 32)
        symmetric[:, :2] = (symmetric[:, :2] + flipped[:, :2]) / 2
        flow = flow_pixels(symmetric, flip_pose(symmetric, MARKET14, 32))
        np.testing.assert_allclose(flow, 0, atol=1e-3)

    def test_one_limb_bends_alone(self):
        """A raised right forearm carries its own pixels, the legs stay."""
        target = POSE.copy()
        target[4, :2] = [3, 15]
        flow = flow_pixels(POSE, target)
        np.testing.assert_allclose(flow[15, 3], PERSON[4] - [3, 15], atol=0.6)
        np.testing.assert_allclose(flow[58, 21], 0, atol=0.1)

    def test_foreshortened_limb_keeps_its_thickness(self):
        """A shortened forearm is stretched along its axis by the ratio, across by the body's."""
        source, target = POSE.copy(), POSE.copy()
        source[[3, 4], :2] = [[4, 20], [4, 40]]
        target[[3, 4], :2] = [[4, 20], [4, 30]]
        only = np.zeros((14, 1), np.float32)
        only[[3, 4]] = 1
        # The other limbs of the pair keep the body's scale near 1 but lie far away.
        for pose in (source, target):
            pose[:, 0] += np.where(only[:, 0] > 0, 0, 200)
        flow = flow_pixels(source, target)
        lengths = [np.linalg.norm(p[MARKET14.limb_indices[:, 0], :2]
                                  - p[MARKET14.limb_indices[:, 1], :2], axis=1).sum()
                   for p in (source, target)]
        np.testing.assert_allclose(flow[25, 4, 1], 5, atol=0.1)  # half way is half way
        across = 2 * (lengths[0] / lengths[1] - 1)
        np.testing.assert_allclose(flow[25, 6, 0], across, atol=0.1)

    @pytest.mark.parametrize("which", ["source", "target", "both"])
    def test_nothing_known_does_not_move(self, which):
        empty = np.zeros_like(POSE)
        source = POSE if which == "target" else empty
        target = POSE if which == "source" else empty
        assert not flow_pixels(source, target).any()

    def test_unknown_joints_have_no_say(self):
        """Values of invisible joints are never read."""
        target = moved(lambda p: p + [2, 2])
        hidden, odd = target.copy(), target.copy()
        hidden[4] = 0
        odd[4] = [500, -300, 0]
        np.testing.assert_allclose(flow_pixels(POSE, hidden), flow_pixels(POSE, odd), atol=1e-5)

    def test_gradient_is_finite_where_limbs_have_no_length(self):
        target = POSE.copy()
        target[4] = target[3]
        gradient = jax.jit(jax.grad(
            lambda s, t: skeleton_flow(s, t, MARKET14, (8, 4), SIZE).sum(), (0, 1)))
        for source in (POSE, target, np.zeros_like(POSE)):
            gradients = gradient(jnp.asarray(source), jnp.asarray(target))
            assert all(np.isfinite(g).all() for g in gradients)

    def test_batch(self):
        rng = np.random.default_rng(1)
        poses = rng.uniform(0, 32, (2, 2, 18, 3)).astype(np.float32)
        flow = skeleton_flow(*map(jnp.asarray, poses), OPENPOSE18, (8, 4), SIZE)
        alone = skeleton_flow(*map(jnp.asarray, poses[:, 1]), OPENPOSE18, (8, 4), SIZE)
        np.testing.assert_allclose(flow[1], alone, atol=1e-5)

    def test_warped_maps_land_on_the_target(self):
        """The flow takes the source's limb maps to the target's."""
        target = moved(lambda p: (p - [16, 32]) @ np.array([[.9, .2], [-.2, .9]]) + [17, 31])
        flow = skeleton_flow(jnp.asarray(POSE), jnp.asarray(target), MARKET14, SIZE, SIZE)
        maps = [np.asarray(pose_maps(jnp.asarray(p), MARKET14, SIZE, SIZE)) for p in (POSE, target)]
        warped = np.asarray(warp(jnp.asarray(maps[0])[None], flow[None])[0])
        before = np.abs(maps[0] - maps[1])[..., 14:].mean()
        after = np.abs(warped - maps[1])[..., 14:].mean()
        assert after < 0.2 * before


class TestWarp:
    rng = np.random.default_rng(2)
    features = jnp.asarray(rng.normal(size=(2, 7, 5, 3)), jnp.float32)

    def test_zero_flow_is_the_identity(self):
        np.testing.assert_array_equal(warp(self.features, jnp.zeros((2, 7, 5, 2))), self.features)

    def test_integer_shift(self):
        flow = jnp.broadcast_to(jnp.array([2 / 5, -1 / 7]), (2, 7, 5, 2))
        out = warp(self.features, flow)
        np.testing.assert_allclose(out[:, 1:, :3], self.features[:, :-1, 2:], atol=1e-5)
        np.testing.assert_allclose(out[:, 1:, 4], self.features[:, :-1, 4], atol=1e-5)  # the edge

    @pytest.mark.parametrize("size", [(7, 5), (4, 9), (1, 1)])
    def test_map_coordinates(self, size):
        flow = jnp.asarray(self.rng.normal(scale=0.5, size=(2, *size, 2)), jnp.float32)
        points = np.asarray(grid(size, (7, 5))) + np.asarray(flow) * [5, 7]
        out = warp(self.features, flow)
        for b in range(2):
            for c in range(3):
                expected = scipy.ndimage.map_coordinates(
                    self.features[b, :, :, c], [points[b, ..., 1], points[b, ..., 0]],
                    order=1, mode="nearest")
                np.testing.assert_allclose(out[b, ..., c], expected, atol=1e-5)

    @pytest.mark.parametrize("size", [(1, 4), (4, 1), (1, 1)])
    def test_a_single_row_or_column(self, size):
        features = jnp.asarray(self.rng.normal(size=(1, *size, 2)), jnp.float32)
        flow = jnp.asarray(self.rng.normal(size=(1, *size, 2)), jnp.float32)
        out = warp(features, flow)
        assert out.min() >= features.min() and out.max() <= features.max()

    def test_gradients_against_differences(self):
        # Away from the kinks at whole pixels.
        flow = jnp.full((2, 7, 5, 2), 0.07)
        weights = jnp.asarray(self.rng.normal(size=(2, 7, 5, 3)), jnp.float32)
        step = jnp.asarray(self.rng.normal(size=flow.shape), jnp.float32)
        other = jnp.asarray(self.rng.normal(size=self.features.shape), jnp.float32)

        def value(features, flow):
            return (warp(features, flow) * weights).sum()

        by_features, by_flow = jax.jit(jax.grad(value, (0, 1)))(self.features, flow)
        h = 1e-3
        along_flow = (value(self.features, flow + h * step)
                      - value(self.features, flow - h * step)) / (2 * h)
        along_features = value(other, flow)  # linear in the features
        np.testing.assert_allclose((by_flow * step).sum(), along_flow, rtol=2e-2, atol=2e-2)
        np.testing.assert_allclose((by_features * other).sum(), along_features, rtol=1e-4)

    def test_bfloat16_stays_bfloat16_but_finds_its_place_in_float32(self):
        """In bfloat16 a position beyond 256 could not be held to a pixel."""
        width = 600
        ramp = jnp.asarray(np.arange(width) % 2, jnp.bfloat16).reshape(1, 1, width, 1)
        out = warp(ramp, jnp.full((1, 1, width, 2), 2 / width).at[..., 1].set(0))
        assert out.dtype == jnp.bfloat16
        np.testing.assert_allclose(out[0, 0, :-2, 0].astype(np.float32),
                                   np.arange(width - 2) % 2, atol=0.01)


class TestResize:
    def test_a_plane_stays_a_plane(self):
        """Linear fields are resized exactly away from the edges, in the pixel convention."""
        field = grid((8, 12), (8, 12))[None]
        np.testing.assert_allclose(resize(field, (24, 36))[0, 2:-2, 2:-2],
                                   grid((24, 36), (8, 12))[2:-2, 2:-2], atol=1e-4)

    def test_constant_and_identity(self):
        field = jnp.asarray(np.random.default_rng(3).normal(size=(2, 4, 6, 2)), jnp.float32)
        np.testing.assert_allclose(resize(field, (4, 6)), field, atol=1e-6)
        np.testing.assert_allclose(resize(jnp.ones((1, 4, 6, 2)), (7, 5)), 1, atol=1e-6)
