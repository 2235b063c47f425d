"""How a head is held, and the flow of one that turns by itself."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from painter_parts import CONFIG
from repose_jax.common.errors import UserError
from repose_jax.data.config import DataConfig
from repose_jax.data.pairs.stream import examples
from repose_jax.models.model_config import check_model
from repose_jax.pose.head import head_map, rigid_head
from repose_jax.pose.head_frame import has_head_frame, head_frame
from repose_jax.pose.skeleton import MARKET14, OPENPOSE18, SKELETONS
from repose_jax.pose.turned_flow import turned_flow

SIZE = (128, 64)
FACE = {"nose": (0.0, -0.2, 1.33), "right_eye": (0.42, 0.22, 1.12), "left_eye": (-0.42, 0.22, 1.12),
        "right_ear": (0.96, 0.0, 0.0), "left_ear": (-0.96, 0.0, 0.0)}
STATURE, RADIUS, EARS = 200.0, 10.0, np.array([100.0, 30.0])
frame = jax.jit(head_frame, static_argnums=3)
flow = jax.jit(turned_flow, static_argnums=(4, 5, 6), static_argnames=("own_head",))


def rotation(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def person(yaw=0.0, hidden=(), roll=0.0):
    """A trunk that faces the camera and above it a head, turned by `yaw`, without perspective, what is
    on its other side not seen; all of it turned by `roll` in the picture, about the middle between the
    ears."""
    pose = np.zeros((18, 3), np.float32)
    for side, x in (("right", -1), ("left", 1)):
        pose[OPENPOSE18.index(f"{side}_shoulder")] = 100 + 20 * x, 54.3, 1
        pose[OPENPOSE18.index(f"{side}_hip")] = 100 + 12 * x, 108.3, 1
    for name, (right, up, forward) in FACE.items():
        across = -right * np.cos(yaw) + forward * np.sin(yaw)
        towards = right * np.sin(yaw) + forward * np.cos(yaw)
        pose[OPENPOSE18.index(name)] = (
            100 + RADIUS * across, 30 - RADIUS * up, name not in hidden and towards > -0.2)
    pose[:, :2] = EARS + (pose[:, :2] - EARS) @ rotation(roll).T
    return jnp.asarray(pose)


def apart(a, b):
    return abs((float(a) - b + np.pi) % (2 * np.pi) - np.pi)


class TestFrame:
    @pytest.mark.parametrize("yaw", np.radians([-150, -90, -60, -20, 0, 20, 60, 90, 150]).tolist())
    def test_a_head_turns_by_itself(self, yaw):
        """The trunk says 0, its joints something else: most of it is believed."""
        found = frame(person(yaw), jnp.float32(0.0), jnp.float32(STATURE), OPENPOSE18)
        assert apart(found.turn, yaw) < 0.03 + 0.25 * abs(yaw)
        np.testing.assert_allclose(found.centre, EARS, atol=0.3 * RADIUS)
        np.testing.assert_allclose(found.across, [1, 0], atol=0.05)
        assert 0.7 * RADIUS < found.radius < 1.1 * RADIUS and found.known == 1

    def test_one_ear_and_the_nose_tell_a_profile(self):
        hidden = ("left_ear", "left_eye")
        found = frame(person(np.pi / 2, hidden), jnp.float32(0.6), jnp.float32(STATURE), OPENPOSE18)
        assert apart(found.turn, np.pi / 2) < 0.35 < apart(0.6, np.pi / 2)
        np.testing.assert_allclose(found.centre, EARS, atol=0.3 * RADIUS)

    @pytest.mark.parametrize("turn", [0.0, 1.0, 3.0])
    def test_without_a_joint_it_is_as_the_trunk(self, turn):
        """Nor does what an invisible joint's coordinates say matter."""
        nothing = frame(person(2.0, tuple(FACE)), jnp.float32(turn), jnp.float32(STATURE), OPENPOSE18)
        assert apart(nothing.turn, turn) < 1e-3
        np.testing.assert_allclose(nothing.centre, EARS, atol=1e-3)  # .45 trunks above the shoulders
        assert float(nothing.radius) == pytest.approx(RADIUS, rel=1e-3)

    def test_what_leans_leans_as_a_whole(self):
        upright, leaning = (frame(person(0.7, roll=roll), jnp.float32(0.3), jnp.float32(STATURE),
                                  OPENPOSE18) for roll in (0.0, 0.4))
        assert float(leaning.turn) == pytest.approx(float(upright.turn), abs=1e-3)
        np.testing.assert_allclose(leaning.across, rotation(0.4) @ upright.across, atol=1e-3)

    def test_who_tells_nothing_is_not_known_and_slopes_are_finite(self):
        nobody = jnp.zeros((18, 3))
        assert frame(nobody, jnp.float32(0), jnp.float32(STATURE), OPENPOSE18).known == 0
        assert frame(person().at[2:12, 2].set(0.0), jnp.float32(0), jnp.float32(STATURE),
                     OPENPOSE18).known == 1

        def total(pose, turn):
            found = head_frame(pose, turn, jnp.float32(STATURE), OPENPOSE18)
            return sum(jnp.sum(x) for x in found[:4])

        for pose in (nobody, person(), person(0.4, tuple(FACE))):
            slopes = jax.jit(jax.grad(total, (0, 1)))(pose, jnp.float32(0.5))
            assert all(bool(jnp.isfinite(slope).all()) for slope in slopes)

    def test_which_skeletons_tell(self):
        assert [name for name in SKELETONS if has_head_frame(SKELETONS[name])] == [
            "openpose18", "coco17"]


@pytest.mark.parametrize(("one", "other", "share"), [
    (0, 0, 1), (0, 15, 1), (0, -60, 0), (35, 45, 1), (-50, 50, 0),
    (90, 80, 1), (90, -90, 0), (90, 20, 0),  # profiles, of which one ear is seen
    (180, 180, 1), (180, 0, 0), (150, -150, 0)])
def test_a_head_is_moved_as_a_whole_where_both_show_the_same_side(one, other, share):
    size = (200, 180)
    for source, target in ((one, other), (other, one)):
        poses = [person(np.radians(yaw)) for yaw in (source, target)]
        found = rigid_head(*poses, OPENPOSE18, size).share
        disc = np.asarray(head_map(poses[1], OPENPOSE18, size)) == 1
        assert disc.sum() > 500
        np.testing.assert_allclose(np.asarray(found)[disc], share, atol=1e-3)
        # Beyond the disc and its hair nothing is moved.
        around = np.asarray(head_map(poses[1], OPENPOSE18, size, above=1.5)) == 0
        assert not np.asarray(found)[around].any()


def test_a_head_of_one_joint_is_not_moved():
    faces = ("nose", "right_eye", "right_ear", "left_ear")
    assert rigid_head(person(), person(hidden=faces), OPENPOSE18, (200, 180)).share.max() == 0


@pytest.fixture(scope="module")
def people():
    """Pairs of rendered people, their true flow within the head, and which way they face."""
    people = DataConfig(identities=16, views=3, scene="person").open(
        "train", skeleton="openpose18", size=SIZE)
    rows = np.arange(0, len(people.pairs), 2)
    batch = examples(people, rows, flow=True)
    turns = [jnp.array([people.turn(i) for i in column.tolist()])
             for column in np.asarray(people.pairs[rows]).T]
    poses = jnp.asarray(batch["source_pose"]), jnp.asarray(batch["target_pose"])
    head = np.asarray(head_map(poses[1], OPENPOSE18, SIZE))[..., 0] > 0.5
    return poses, turns, batch["flow"], batch["seen"], head


def test_a_head_of_its_own_is_nearer_to_the_truth_and_the_rest_as_near(people):
    poses, turns, true, seen, head = people
    error = [np.linalg.norm(np.asarray(flow(*poses, *turns, OPENPOSE18, SIZE, SIZE, own_head=own))
                            * np.array(SIZE[::-1]) - true, axis=-1) for own in (False, True)]
    before, after = (x[seen & head].mean() for x in error)
    assert after < 0.7 * before
    before, after = (x[seen & ~head].mean() for x in error)
    assert after < 1.02 * before


def test_the_same_pose_stays(people):
    pose = people[0][0]
    turn = people[1][0]
    still = flow(pose, pose, turn, turn, OPENPOSE18, SIZE, SIZE, own_head=True)
    np.testing.assert_allclose(np.asarray(still) * np.array(SIZE[::-1]), 0, atol=2e-2)


@pytest.mark.parametrize("skeleton, initial", [(MARKET14, "turned"), (OPENPOSE18, "skeleton")])
def test_a_model_that_cannot_is_refused(skeleton, initial):
    network = CONFIG.network
    rpa = dataclasses.replace(network.rpa, initial=initial, own_head=True)
    config = dataclasses.replace(CONFIG, network=dataclasses.replace(
        network, skeleton=skeleton.name, rpa=rpa))
    with pytest.raises(UserError, match="own-head: is True"):
        check_model(config)
