"""How wide a photo shows a person, and arms before the trunk: closed forms on drawn people."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repose_jax.pose.cells import grid, segment_coordinates
from repose_jax.pose.cylinders import cylinders
from repose_jax.pose.layers import (
    Seen, arms_of, beside_arms, limb_outline, nearest, person_outline, to_outline, uncovered,
    without_hidden_arms)
from repose_jax.pose.skeleton import SKELETONS
from repose_jax.pose.turned_flow import body_of, turned_flow
from test_turned_flow import PIXELS, SIZE, standing

SKELETON = SKELETONS["openpose18"]
ENDS = tuple(SKELETON.joints[end] for end in cylinders(SKELETON).limbs[:, 1])
ARMS = arms_of(ENDS)
EVERYWHERE = np.ones((*SIZE, 1), np.float32)
CLOTH, SKIN = (-0.8, -0.2, 0.6), (0.7, 0.4, 0.2)

flow_of = jax.jit(turned_flow, static_argnums=(4, 5, 6),
                  static_argnames=("own_head", "symmetric"))


def flow(source, target, source_turn, target_turn, seen, **more):
    return np.asarray(flow_of(
        *(jnp.asarray(pose) for pose in (source, target)), jnp.float32(source_turn),
        jnp.float32(target_turn), SKELETON, SIZE, SIZE, seen=seen, **more)) * PIXELS


def plain(person=EVERYWHERE):
    return Seen(jnp.full((*SIZE, 3), jnp.array(CLOTH)), jnp.asarray(person))


def with_skin(hidden):
    """Cloth everywhere but where `hidden` [height, width] shows skin."""
    picture = np.where(hidden[..., None], np.float32(SKIN), np.float32(CLOTH))
    return Seen(jnp.asarray(picture), jnp.asarray(EVERYWHERE))


class TestOutline:
    START, END = np.array([[30.0, 20.0]]), np.array([[30.0, 60.0]])

    def asked(self, person, radius=10.0):
        return person_outline(jnp.asarray(person), jnp.asarray(self.START), jnp.asarray(self.END),
                              jnp.array([radius]))

    def test_it_ends_where_the_person_does(self):
        """6 pixels to the left of the bone, 3 to the right, of 10 that are asked."""
        person = np.zeros((*SIZE, 1), np.float32)
        person[:, 24:34] = 1
        found = self.asked(person)
        np.testing.assert_allclose(found.share[0, :, 0], 0.6, atol=0.09)
        np.testing.assert_allclose(found.share[0, :, 1], 0.35, atol=0.09)
        np.testing.assert_allclose(found.length, 40, rtol=1e-4)

    def test_what_lies_behind_a_gap_is_not_reached(self):
        person = np.ones((*SIZE, 1), np.float32)
        person[:, 33:35] = 0
        np.testing.assert_allclose(self.asked(person).share[0, :, 1], 0.25, atol=0.1)

    def test_beyond_the_picture_a_person_goes_on(self):
        np.testing.assert_allclose(self.asked(EVERYWHERE, 60.0).share, 1)

    def test_between_the_places_it_is_linear(self):
        """A wedge whose right half grows from 2 pixels at the bone's start to 10 at its end."""
        y, x = np.mgrid[:SIZE[0], :SIZE[1]]
        person = (x <= 30 + 2 + 8 * np.clip((y - 20) / 40, 0, 1))[..., None].astype(np.float32)
        along = jnp.linspace(0, 40, 21)[None, None]
        share = to_outline(self.asked(person), along, jnp.ones((1, 1, 21), bool))[0, 0]
        np.testing.assert_allclose(share, np.linspace(0.2, 1, 21), atol=0.1)
        left = to_outline(self.asked(person), along, jnp.zeros((1, 1, 21), bool))
        np.testing.assert_allclose(left, 1)

    def test_a_limb_ends_where_its_colour_does(self):
        hidden = np.zeros(SIZE, bool)
        hidden[:, 25:36] = True
        found = limb_outline(with_skin(hidden).picture, jnp.asarray(self.START), jnp.asarray(self.END),
                             jnp.array([10.0]))
        np.testing.assert_allclose(found.share[0], 0.55, atol=0.1)

    def test_nearest_pixels_are_those_of_the_edge_outside(self):
        values = jnp.arange(12.0).reshape(3, 4, 1)
        found, inside = nearest(values, jnp.array([[1.4, 1.6], [-3.0, 0.0], [9.0, 9.0]]))
        np.testing.assert_array_equal(found[:, 0], [9, 0, 11])
        np.testing.assert_array_equal(inside, [True, False, False])


@pytest.mark.parametrize("own", [False, True])
class TestFlow:
    def test_a_trunk_from_the_side_reaches_as_far_as_the_photo_shows_it(self, own):
        """In profile the trunk of most people is 6.6 % of the stature deep to either side of its axis;
        this one 4 pixels to the left and all of that to the right. What a quarter turn brings to the
        rim comes from the outline's edge, and not from beside it."""
        source, target = standing(SKELETON, np.pi / 2), standing(SKELETON)
        for joint in SKELETON.joints:  # nothing before the trunk
            if joint.endswith(("elbow", "wrist")):
                source[SKELETON.index(joint)] = 0
        narrow = EVERYWHERE.copy()
        narrow[:, :28] = 0
        x = np.arange(SIZE[1]) + flow(source, target, -np.pi / 2, 0.0, plain(narrow), own_head=own)[
            42, :, 0]
        wide = np.arange(SIZE[1]) + flow(source, target, -np.pi / 2, 0.0, plain(), own_head=own)[
            42, :, 0]
        middle = np.arange(30, 35)
        assert wide[middle].min() < 27 and x[middle].min() > 27.4
        np.testing.assert_allclose(x[middle] - 32, (wide[middle] - 32) * 0.61, atol=0.9)

    def test_a_pose_stays_where_it_is(self, own):
        """Of one colour throughout, whose limbs nothing tells apart."""
        pose = standing(SKELETON)
        moved = flow(pose, pose, 0.0, 0.0, plain(), own_head=own)
        np.testing.assert_allclose(moved[32:55, 27:38], 0, atol=0.8)
        assert np.abs(moved).max() < 1.5

    def test_the_trunk_is_looked_up_beside_an_arm(self, own):
        """The right forearm lies across the belly: where the target's trunk is, none of it is found."""
        source, target = standing(SKELETON), standing(SKELETON)
        for joint, place in (("right_elbow", (24, 40)), ("right_wrist", (38, 46))):
            source[SKELETON.index(joint), :2] = place
        distance, _ = segment_coordinates(
            grid(SIZE, SIZE), jnp.array([24.0, 40.0]), jnp.array([38.0, 46.0]))
        hidden = np.asarray(distance) < 2.5**2
        y, x = np.mgrid[:SIZE[0], :SIZE[1]]
        belly = hidden & (x > 27) & (x < 36)

        def found(seen):
            moved = flow(source, target, 0.0, 0.0, seen, own_head=own)
            at = np.rint(np.stack([x, y], axis=-1) + moved).astype(int)[belly]
            return hidden[at[:, 1], at[:, 0]].mean()

        assert found(None) > 0.8
        assert found(with_skin(hidden)) < 0.15

    def test_slopes_are_finite(self, own):
        pose = standing(SKELETON)

        def total(source, turn):
            return jnp.sum(turned_flow(source, jnp.asarray(pose), turn, jnp.float32(0.2), SKELETON,
                                       (16, 8), SIZE, own_head=own, symmetric=True, seen=plain()) ** 2)

        slopes_of = jax.jit(jax.grad(total, (0, 1)))
        for source in (np.zeros_like(pose), pose):
            slopes = slopes_of(jnp.asarray(source), jnp.float32(0.5))
            assert all(bool(jnp.isfinite(slope).all()) for slope in slopes)


class TestArms:
    def body(self, turn, arm=None):
        pose = standing(SKELETON, turn)
        if arm:
            for joint, place in zip(("right_elbow", "right_wrist"), arm, strict=True):
                pose[SKELETON.index(joint), :2] = place
        turn = jnp.float32(turn)
        return body_of(jnp.asarray(pose), turn, SKELETON, SIZE), turn

    def covered(self, turn):
        """Of the cells on the right upper arm and on the left one, from the side."""
        body, turn = self.body(turn)
        squares, _ = segment_coordinates(grid(SIZE, SIZE), body.start, body.end)
        return np.asarray(uncovered(body, turn, squares, ARMS))

    def test_the_near_arm_covers_the_trunk_and_the_far_one_does_not(self):
        """Facing the picture's right the person's right side is near; without their right arm nothing
        is covered."""
        pose = standing(SKELETON, np.pi / 2)
        for missing, shown in (("right", True), ("left", False)):
            one = pose.copy()
            for joint in SKELETON.joints:
                if joint.startswith(missing) and joint.endswith(("elbow", "wrist")):
                    one[SKELETON.index(joint)] = 0
            turn = jnp.float32(np.pi / 2)
            body = body_of(jnp.asarray(one), turn, SKELETON, SIZE)
            squares, _ = segment_coordinates(grid(SIZE, SIZE), body.start, body.end)
            found = np.asarray(uncovered(body, turn, squares, ARMS))
            assert (found[40, 32] > 0.99) == shown
            assert (found[40, 32] < 0.05) != shown

    def test_from_behind_no_arm_is_before_the_trunk(self):
        np.testing.assert_allclose(self.covered(np.pi), 1, atol=1e-6)
        assert self.covered(0.0).min() < 0.01

    def test_of_a_profile_the_far_arm_is_hidden_where_the_trunk_is_before_it(self):
        """Whatever the pose says of it; held out in front of the trunk it shows."""
        left = [f"left_{joint}" for joint in ("elbow", "wrist")]
        for held_out, known in ((False, [0, 0]), (True, [1, 1])):
            pose = standing(SKELETON, np.pi / 2)
            if held_out:
                for joint, x in zip(["left_shoulder", *left], (40, 55, 60), strict=True):
                    pose[SKELETON.index(joint), 0] = x
            turn = jnp.float32(np.pi / 2)
            body = body_of(jnp.asarray(pose), turn, SKELETON, SIZE)
            found = without_hidden_arms(body, turn, ARMS)
            numbers = np.array([1 + ENDS.index(joint) for joint in left])
            np.testing.assert_array_equal(found.known[numbers], known)
            rest = np.delete(np.arange(len(ENDS) + 1), numbers)
            np.testing.assert_array_equal(found.known[rest], body.known[rest])
        body, turn = self.body(0.0)
        np.testing.assert_array_equal(
            without_hidden_arms(body, turn, ARMS).known, body.known)

    def test_of_a_trunk_that_is_not_known_nothing_is_hidden(self):
        body, turn = self.body(np.pi / 2)
        body = body._replace(known=body.known.at[0].set(0))
        np.testing.assert_array_equal(
            without_hidden_arms(body, turn, ARMS).known, body.known)

    def test_places_that_no_arm_hides_stay(self):
        """The right forearm lies along the trunk's axis; its colour is skin."""
        (body, turn), hidden = self.body(0.0, ((32, 38), (32, 48))), np.zeros(SIZE, bool)
        hidden[33:58, 30:35] = True
        rows, columns = np.mgrid[4.0:12:1, -9:10:1]
        along, across = jnp.asarray(20.0 - rows), jnp.asarray(columns)
        moved, rows = beside_arms(with_skin(hidden), body, turn, jnp.float32(10.0), across, along,
                                  ARMS)
        np.testing.assert_allclose(rows, along, atol=1e-4)
        moved = np.asarray(moved)
        free = np.abs(columns) > 4.2
        np.testing.assert_allclose(moved[free & (np.abs(columns) < 6)],
                                   columns[free & (np.abs(columns) < 6)], atol=0.3)
        under = np.abs(columns) < 2.5
        assert np.all(np.abs(moved[under]) > 2.6)
        assert np.all(np.abs(moved[under]) < 5.1)

    def test_what_is_left_beyond_an_arm_is_its_edge_and_not_the_trunk(self):
        """The arm lies 3 to 7 pixels to the right of the trunk's axis, of which 10 are looked at; there
        is no other."""
        (body, turn), hidden = self.body(0.0, ((37, 38), (37, 48))), np.zeros(SIZE, bool)
        hidden[33:58, 35:40] = True
        body = body._replace(known=body.known.at[ARMS.number[ARMS.side < 0]].set(0))
        columns = jnp.arange(4.0, 10.0)[None] * jnp.ones((3, 1))
        along = jnp.full(columns.shape, 12.0)
        moved, rows = beside_arms(with_skin(hidden), body, turn, jnp.float32(10.0), columns, along,
                                  ARMS)
        np.testing.assert_allclose(rows, along, atol=1e-4)
        assert np.all((np.asarray(moved) > 1.0) & (np.asarray(moved) < 2.5))

    def test_an_arm_of_the_trunk_s_colour_hides_nothing(self):
        body, turn = self.body(0.0, ((32, 38), (32, 48)))
        across = jnp.arange(-9.0, 10.0)[None] * jnp.ones((3, 1))
        along = jnp.full(across.shape, 12.0)
        moved = beside_arms(plain(), body, turn, jnp.float32(10.0), across, along, ARMS)
        np.testing.assert_allclose(moved, [across, along], atol=1e-5)

    def test_where_a_row_is_all_arm_the_nearest_other_is_looked_at(self):
        """The arm crosses the trunk at y = 45 to 49, from edge to edge; the hips are at 57."""
        (body, turn), hidden = self.body(0.0, ((12, 47), (42, 47))), np.zeros(SIZE, bool)
        hidden[45:50] = True
        columns = jnp.arange(-6.0, 7.0)[None] * jnp.ones((2, 1))
        along = jnp.array([[57.0 - 46], [57.0 - 48]]) * jnp.ones(columns.shape)
        moved, rows = beside_arms(with_skin(hidden), body, turn, jnp.float32(10.0), columns, along,
                                  ARMS)
        np.testing.assert_allclose(moved, columns, atol=0.3)
        y = 57 - np.asarray(rows)
        assert not hidden[np.rint(y).astype(int)].any() and np.all(np.abs(y - 47) < 5.5)


def test_the_cylinders_of_both_sides_mirror_each_other():
    for skeleton in SKELETONS.values():
        parts = cylinders(skeleton)
        np.testing.assert_array_equal(parts.twins[parts.twins], np.arange(len(parts.twins)))
        np.testing.assert_array_equal(parts.radii[parts.twins], parts.radii)
