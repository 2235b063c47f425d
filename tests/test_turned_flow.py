"""The flow of a body that turns, and the network that reads off a pose which way it faces."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from painter_parts import CONFIG, SIZE as SIZES, random_params
from repose_jax.common.errors import UserError
from repose_jax.data.config import DataConfig
from repose_jax.data.pairs.stream import examples
from repose_jax.data.people.standing import trunk_turn
from repose_jax.data.people.view import sample_view
from repose_jax.models.model_config import check_model
from repose_jax.models.painting_loss import PaintingObjective
from repose_jax.models.pose_transfer import RePoseModel
from repose_jax.models.sample_config import SampleConfig
from repose_jax.models.weights import load_facing, save_model
from repose_jax.networks.apply import apply
from repose_jax.networks.facing import Facing, FacingConfig, angle, fresh_facing
from repose_jax.pose.flow import skeleton_flow
from repose_jax.pose.cylinders import cylinders
from repose_jax.pose.head_frame import has_head_frame
from repose_jax.pose.skeleton import SKELETONS
from repose_jax.pose.turned_flow import turned_flow
from repose_jax.tasks.facing import FacingBatches, FacingExperiment
from repose_jax.tasks.painter import PainterExperiment

SIZE = (128, 64)
PIXELS = np.array(SIZE[::-1], np.float32)


def standing(skeleton, turn=0.0, shift=(0.0, 0.0), scale=1.0):
    """An upright person of stature 100, whose joints turn about the middle, without perspective."""
    places = {"shoulder": (-10, 20), "elbow": (-12, 38), "wrist": (-12, 54), "hip": (-6, 47),
              "knee": (-6, 71), "ankle": (-6, 95)}
    pose = np.zeros((len(skeleton.joints), 3), np.float32)
    for side, sign in (("right", 1), ("left", -1)):
        for name, (x, y) in places.items():
            pose[skeleton.index(f"{side}_{name}")] = sign * x * np.cos(turn), y, 1
    for name, y in (("neck", 20), ("head_top", 2)):
        if name in skeleton.joints:
            pose[skeleton.index(name)] = 0, y, 1
    shown = pose[:, 2] > 0
    pose[shown, :2] = scale * pose[shown, :2] + np.array([32, 10]) + shift
    return pose


compiled_flow = jax.jit(turned_flow, static_argnums=(4, 5, 6),
                        static_argnames=("own_head", "symmetric"))
compiled_flat_flow = jax.jit(skeleton_flow, static_argnums=(2, 3, 4))
facing_of = jax.jit(lambda params, poses: apply(Facing(), params, poses))


# Skeletons, and whether a head turns by itself.
WAYS = [(name, own) for name in SKELETONS for own in (False, True)
        if not own or has_head_frame(SKELETONS[name])]


def flow(own, skeleton, source, target, source_turn=0.0, target_turn=0.0, symmetric=False):
    turned = compiled_flow(*(jnp.asarray(x) for x in (source, target)), jnp.float32(source_turn),
                           jnp.float32(target_turn), skeleton, SIZE, SIZE, own_head=own,
                           symmetric=symmetric)
    return np.asarray(turned) * PIXELS


@pytest.mark.parametrize("name, own", WAYS)
class TestTurnedFlow:
    def test_the_same_pose_stays_and_a_moved_one_moves(self, name, own):
        skeleton = SKELETONS[name]
        pose = standing(skeleton)
        np.testing.assert_allclose(flow(own, skeleton, pose, pose), 0, atol=1e-3)
        moved = flow(own, skeleton, standing(skeleton, shift=(5, -3)), pose)
        body = moved[25:100, 24:40]
        np.testing.assert_allclose(body[..., 0], 5, atol=0.15)
        np.testing.assert_allclose(body[..., 1], -3, atol=0.15)

    def test_a_larger_person_is_further_apart(self, name, own):
        skeleton = SKELETONS[name]
        larger = flow(own, skeleton, standing(skeleton, scale=1.2, shift=(0, -8)), standing(skeleton))
        # y: 1.2 (y - 10) + 10 - 8; in the trunk's middle.
        rows = np.arange(35, 55)
        np.testing.assert_allclose(larger[rows, 32, 1], 0.2 * (rows - 10) - 8, atol=0.3)
        np.testing.assert_allclose(larger[rows, 32, 0], 0, atol=0.1)

    def test_the_trunk_is_an_elliptic_cylinder(self, name, own):
        """What a turn by 30 degrees has brought to the picture's middle came from where an ellipse of
        depth .66 had it: its rim's angle runs from the target's to the source's front."""
        skeleton, turn = SKELETONS[name], np.pi / 6
        moved = flow(own, skeleton, standing(skeleton), standing(skeleton, turn), 0.0, turn)
        radius, depth = cylinders(skeleton, own).radii[0] * 100, 0.66
        gone = np.arctan2(depth * np.sin(turn), np.cos(turn))
        expected = radius * np.sin(-gone)
        # The trunk's own height is told by legs and trunk alike here, up to the leg's part of stature.
        rows = np.arange(36, 44)
        np.testing.assert_allclose(moved[rows, 32, 0], expected, atol=0.6)

    def test_seen_from_behind_it_is_its_mirror_image(self, name, own):
        """Turned by half, a point is where it would shine through: on the other side of the axis."""
        skeleton = SKELETONS[name]
        moved = flow(own, skeleton, standing(skeleton), standing(skeleton, np.pi), 0.0, np.pi)
        columns = np.arange(29, 36)
        np.testing.assert_allclose(moved[40, columns, 0], -2 * (columns - 32), atol=0.6)

    def test_a_side_that_has_turned_away_is_the_mirror_image_of_the_other(self, name, own):
        """A trunk turned by 60 degrees to the picture's right, seen from the front: the outer part of
        the person's left was hidden. Mirrored, what is at an angle a from the front is sought at -a."""
        skeleton, turn, depth = SKELETONS[name], np.pi / 3, 0.66
        poses = standing(skeleton, turn), standing(skeleton)
        plain, moved = (flow(own, skeleton, *poses, turn, 0.0, symmetric)[40, :, 0] + np.arange(SIZE[1])
                        for symmetric in (False, True))
        shown, hidden = np.arange(25, 38), np.array([39])  # arms begin beyond
        np.testing.assert_allclose(moved[shown], plain[shown], atol=0.1)
        gone, wide = np.arctan2(depth * np.sin(turn), np.cos(turn)), np.hypot(
            np.cos(turn), depth * np.sin(turn))
        share = (hidden - 32) / (100 * cylinders(skeleton, own).radii[0])
        inside = 1 - 0.15 * np.sin(gone / 2) ** 2
        expected = 32 + inside * 10 * wide * np.sin(gone - np.arcsin(share))
        np.testing.assert_allclose(moved[hidden], expected, atol=0.6)
        assert np.all(np.abs(plain[hidden] - moved[hidden]) > 5)

    def test_of_a_person_seen_from_the_front_no_side_is_hidden(self, name, own):
        skeleton = SKELETONS[name]
        for turn in (0.7, 2.0, np.pi):
            poses = standing(skeleton), standing(skeleton, turn)
            np.testing.assert_allclose(*(
                flow(own, skeleton, *poses, 0.0, turn, symmetric) for symmetric in (False, True)),
                atol=1e-4)

    def test_an_arm_that_is_not_shown_is_the_other_one_mirrored(self, name, own):
        """The left forearm hangs at x = 44, the right one at 20; the trunk beside it has a say, too."""
        skeleton = SKELETONS[name]
        source, target = standing(skeleton), standing(skeleton)
        for joint in ("left_elbow", "left_wrist"):
            source[skeleton.index(joint)] = 0
        rows, columns = np.arange(54, 62), np.arange(44, 48)
        lost, moved = (flow(own, skeleton, source, target, symmetric=symmetric)[rows][:, columns]
                       for symmetric in (False, True))
        np.testing.assert_allclose(columns + moved[..., 0], 64 - columns + 0 * moved[..., 0], atol=3)
        assert np.all(np.diff(columns + moved[..., 0])[:, :2] < 0)  # mirrored
        np.testing.assert_allclose([moved[..., 1], lost[..., 0], lost[..., 1]], 0, atol=0.5)

    def test_without_a_joint_nothing_moves_and_slopes_are_finite(self, name, own):
        skeleton = SKELETONS[name]
        nobody, pose = np.zeros((len(skeleton.joints), 3), np.float32), standing(skeleton)
        np.testing.assert_allclose(flow(own, skeleton, nobody, pose), 0, atol=1e-6)

        def total(source, turn):
            return jnp.sum(turned_flow(source, jnp.asarray(pose), turn, jnp.float32(0.2), skeleton,
                                       (16, 8), SIZE, own_head=own, symmetric=True) ** 2)

        slopes_of = jax.jit(jax.grad(total, (0, 1)))
        for source in (nobody, pose):
            slopes = slopes_of(jnp.asarray(source), jnp.float32(0.5))
            assert all(bool(jnp.isfinite(slope).all()) for slope in slopes)


def test_it_is_nearer_to_the_truth_than_the_flat_one():
    """On rendered people whose turn is known, in whatever poses."""
    people = DataConfig(identities=12, views=3, scene="person").open("train", size=SIZE)
    batch = examples(people, np.arange(0, len(people.pairs), 2), flow=True)
    poses = jnp.asarray(batch["source_pose"]), jnp.asarray(batch["target_pose"])
    pairs = np.asarray(people.pairs[np.arange(0, len(people.pairs), 2)])
    turns = [jnp.array([people.turn(i) for i in column.tolist()]) for column in pairs.T]
    size = people.skeleton, SIZE, SIZE
    found = {"flat": compiled_flat_flow(*poses, *size),
             "turned": compiled_flow(*poses, *turns, *size)}
    error = {name: np.linalg.norm(np.asarray(flow) * PIXELS - batch["flow"], axis=-1)[batch["seen"]]
             for name, flow in found.items()}
    assert error["turned"].mean() < 0.85 * error["flat"].mean()
    assert (error["turned"] < 2).mean() > (error["flat"] < 2).mean() + 0.1


class TestFacing:
    def test_fresh_it_faces_the_camera_wherever_one_stands(self):
        params = jax.jit(fresh_facing(FacingConfig(skeleton="market14")))(jax.random.key(0))
        skeleton = SKELETONS["market14"]
        poses = np.stack([standing(skeleton), standing(skeleton, 1.0), np.zeros((14, 3), np.float32)])
        np.testing.assert_array_equal(angle(facing_of(params, jnp.asarray(poses))), 0)
        params = jax.tree.map(lambda x: x + 0.1, params)
        small = standing(skeleton, 1.0, scale=0.5, shift=(9, 4))
        answers = np.asarray(facing_of(params, jnp.asarray(np.stack([poses[1], small]))))
        np.testing.assert_allclose(answers[0], answers[1], atol=1e-4)
        assert np.abs(answers[0] - [1, 0]).max() > 0.1

    def test_what_it_learns_from_is_true(self):
        """The trunk's turn is that of the view, mirrored with the pose."""
        people = DataConfig(identities=2, views=4).open("train", size=(64, 32))
        for index in range(8):
            view = sample_view(0, index // 4, index % 4)
            assert people.turn(index) == pytest.approx(trunk_turn(view))
            # From the front the person's left is to the picture's right.
            if abs(np.cos(people.turn(index))) > 0.5:
                right, left = (people.poses[index][people.skeleton.index(f"{side}_shoulder")]
                               for side in ("right", "left"))
                if right[2] and left[2]:
                    assert np.sign(left[0] - right[0]) == np.sign(np.cos(people.turn(index)))
        config = FacingExperiment(noise=0.0, hidden=0.0)
        turns = np.array([people.turn(i) for i in range(8)])
        batch = next(FacingBatches(config, people.poses, turns, people.skeleton))
        np.testing.assert_allclose(np.linalg.norm(batch["facing"], axis=1), 1, atol=1e-6)
        given = {tuple(np.round(pose.ravel(), 3)): turn
                 for pose, turn in zip(people.poses, turns, strict=True)}
        keys = [tuple(np.round(pose.ravel(), 3)) for pose in batch["pose"]]
        plain = [(given[key], facing) for key, facing in zip(keys, batch["facing"], strict=True)
                 if key in given]
        assert 60 < len(plain) < 200
        for turn, facing in plain:
            np.testing.assert_allclose(facing, [np.cos(turn), np.sin(turn)], atol=1e-5)
        cosines = np.round(np.sort(np.unique(batch["facing"][:, 0])), 5)
        assert set(cosines) <= set(np.round(np.cos(turns).astype(np.float32), 5))

    def test_others_than_rendered_people_do_not_know(self, tmp_path, monkeypatch):
        people = DataConfig(identities=2, views=2).open("train", size=(64, 32))
        monkeypatch.setattr("repose_jax.data.config.open_dataset",
                            lambda *_, **__: people.only(np.arange(4)))
        with pytest.raises(UserError, match="data.path: does not know where its people face"):
            FacingExperiment().task().data(tmp_path)


class TestInAModel:
    config = dataclasses.replace(CONFIG, network=dataclasses.replace(
        CONFIG.network, rpa=dataclasses.replace(CONFIG.network.rpa, initial="turned")))

    def experiment(self, facing="facing-market14"):
        return PainterExperiment(model=self.config, facing=facing, objective=PaintingObjective())

    def test_it_begins_with_what_the_pose_tells(self):
        """Fresh heads move nothing, so that the finest flow is the one in closed form."""
        whole = self.experiment().task()._whole
        source, target = (jnp.asarray(np.stack([standing(
            SKELETONS["market14"], turn, scale=0.13, shift=(-28, -9))]))
                          for turn in (0.3, -0.5))
        alignment = jax.jit(RePoseModel(self.config).align)(
            whole, jnp.zeros((1, *SIZES, 3)), source, target)
        turns = (angle(facing_of(load_facing("facing-market14").params, pose))
                 for pose in (source, target))
        expected = compiled_flow(source, target, *turns, SKELETONS["market14"], SIZES, SIZES)
        np.testing.assert_allclose(alignment.flow, expected, atol=1e-5)
        assert float(jnp.abs(expected - compiled_flat_flow(
            source, target, SKELETONS["market14"], SIZES, SIZES)).max()) > 0.01

    def test_a_flat_model_may_begin_it(self, tmp_path):
        flat = random_params(RePoseModel(CONFIG))
        save_model(tmp_path / "flat.safetensors", CONFIG, flat, {}, SampleConfig(steps=0), np.float32)
        begun = self.experiment().task(tmp_path / "flat.safetensors")._whole
        facing = begun["alignment"].pop("facing")
        jax.tree.map(np.testing.assert_array_equal, begun, flat)
        jax.tree.map(np.testing.assert_array_equal, facing, load_facing("facing-market14").params)

    @pytest.mark.parametrize("facing, wrong", [
        ("", "facing: is not named"), ("facing-openpose18", "facing-openpose18: is of .*openpose18"),
        ("field-market1501", "kind field")])
    def test_it_must_be_of_the_skeleton(self, facing, wrong):
        with pytest.raises(UserError, match=wrong):
            _ = self.experiment(facing).task()._whole

    @pytest.mark.parametrize("what", ["symmetric", "layers"])
    def test_only_what_turns_has_a_hidden_side_and_layers(self, what):
        rpa = dataclasses.replace(CONFIG.network.rpa, **{what: True})
        with pytest.raises(UserError, match=f"rpa.{what}"):
            check_model(dataclasses.replace(
                CONFIG, network=dataclasses.replace(CONFIG.network, rpa=rpa)))

    def test_a_flow_that_starts_flat_asks_for_none(self):
        with pytest.raises(UserError, match="facing: is of no use"):
            PainterExperiment(model=CONFIG, facing="facing-market14", objective=PaintingObjective())
