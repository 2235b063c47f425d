"""PIDM's pose maps: closed forms for one limb, and OpenCV's drawing where OpenCV is installed."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repose_jax.pose.pidm_maps import _LIMBS, _colours, pidm_maps

SIZE = (96, 80)


def draw(pose, size=SIZE):
    return np.asarray(jax.jit(pidm_maps, static_argnums=1)(jnp.asarray(pose, jnp.float32), size))


def random_poses(count):
    rng = np.random.default_rng(0)
    places = rng.uniform(5, np.array([SIZE[1], SIZE[0]]) - 5, (count, 18, 2))
    return np.concatenate([places, rng.random((count, 18, 1)) < 0.8], -1)


def test_nothing_to_draw():
    maps = draw(np.zeros((1, 18, 3)))
    assert maps.shape == (1, *SIZE, 20)
    assert (maps[..., :3] == 0).all() and (maps[..., 3:] == 1).all()


def test_distance_is_city_block_in_steps_of_three_pixels():
    pose = np.zeros((1, 18, 3))
    pose[0, 1], pose[0, 2] = (20, 40, 1), (40, 40, 1)  # neck to right shoulder, limb 0
    limb = np.round(draw(pose)[0, ..., 3] * 255)
    assert limb[40, 30] == 0 and limb[44, 30] == 0
    assert [limb[44 + d, 30] for d in (2, 3, 6, 30)] == [0, 1, 2, 10]
    assert limb[40, 40 + 12] == 4 and limb[44 + 9, 30] == 3
    assert (draw(pose)[0, ..., 4:] == 1).all()


def test_disc_has_the_joints_colour():
    pose = np.zeros((1, 18, 3))
    pose[0, 5] = (30.9, 40.9, 1)
    picture = np.round(draw(pose)[0, ..., :3] * 255)
    np.testing.assert_array_equal(picture[40, 30], _colours()[5])
    np.testing.assert_array_equal(picture[40, 34], _colours()[5])
    assert not picture[40, 35].any() and not picture[45, 30].any()


def test_opencv_draws_the_same():
    """No more than 3 % of the crowded picture differ, no distance by more than a step, 4 % by one."""
    cv2 = pytest.importorskip("cv2")
    poses = random_poses(8)
    for pose, maps in zip(poses, draw(poses), strict=True):
        picture, limbs = np.zeros((*SIZE, 3), np.uint8), []
        colours = [tuple(map(int, c[::-1])) for c in _colours()]
        for (x, y, visible), colour in zip(pose, colours, strict=True):
            if visible:
                cv2.circle(picture, (int(x), int(y)), 4, colour, thickness=-1)
        for (a, b), colour in zip(_LIMBS, colours, strict=False):
            mask = np.zeros(SIZE, np.uint8)
            if pose[a, 2] and pose[b, 2]:
                dx, dy = pose[a, :2] - pose[b, :2]
                middle = (pose[a, :2] + pose[b, :2]) / 2
                corners = cv2.ellipse2Poly(
                    (int(middle[0]), int(middle[1])), (int(math.hypot(dx, dy) / 2), 4),
                    int(math.degrees(math.atan2(dy, dx))), 0, 360, 1)
                over = picture.copy()
                cv2.fillConvexPoly(over, corners, colour)
                picture = cv2.addWeighted(picture, 0.4, over, 0.6, 0)
                cv2.fillConvexPoly(mask, corners, 255)
            away = cv2.distanceTransform(255 - mask, cv2.DIST_L1, 3)
            limbs.append(np.clip(away / 3, 0, 255).astype(np.uint8))
        found = np.round(maps * 255)
        differs = (found[..., :3] != picture[..., ::-1]).any(-1)
        steps = np.abs(found[..., 3:] - np.stack(limbs, -1))
        print(f"{differs.mean():.4f} of the pixels, {(steps > 0).mean():.4f} of the distances, "
              f"by at most {steps.max():.0f} steps")
        assert differs.mean() <= 0.03
        assert steps.max() <= 1 and (steps > 0).mean() <= 0.04
