"""Retargeting, the proportions it goes by, and the command that does it."""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from repose_jax.cli import main
from repose_jax.common.errors import UserError
from repose_jax.data.people.renderer import render
from repose_jax.data.people.standing import pixels_per_metre
from repose_jax.data.people.view import sample_identity, sample_view
from repose_jax.inference.pipeline import PoseTransfer
from repose_jax.pose.detectors import LAYOUTS
from repose_jax.pose.draw import draw_skeleton
from repose_jax.pose.formats import read_pose
from repose_jax.pose.proportions import MEASURES, SEGMENTS, body_points, proportions
from repose_jax.pose.retarget import MODES, describe, inside_frame, retarget
from repose_jax.pose.skeleton import COCO17, MARKET14, OPENPOSE18

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"
EVERY = pytest.mark.parametrize("skeleton", LAYOUTS.values(), ids=list(LAYOUTS))


def figure(skeleton, *, scale=100.0, at=(60.0, 110.0), legs=1.0, arms=1.0, trunk=1.0, bend=0.0):
    """A person of so many pixels of stature from the front, all limbs in the picture's plane.

    `bend` radians lift the right arm and leg; toes, fingers and the like are missing.
    """
    def side(sign, lift):
        def out(start, length, angle):
            return start + length * np.array([sign * math.sin(angle), math.cos(angle)])

        shoulder = np.array([sign * 0.109, -0.288 * trunk])
        elbow = out(shoulder, 0.186 * arms, 0.1 + lift)
        hip = np.array([sign * 0.0505, 0.0])
        knee = out(hip, 0.245 * legs, 0.05 + lift / 3)
        return {"shoulder": shoulder, "elbow": elbow, "wrist": out(elbow, 0.146 * arms, lift),
                "hip": hip, "knee": knee, "ankle": out(knee, 0.246 * legs, 0.02)}

    chest = np.array([0, -0.288 * trunk])
    points = {"nose": chest - [0, 0.108], "neck": chest, "head_top": chest - [0, 0.182],
              "mid_hip": np.zeros(2)}
    for name, sign, lift in (("right", -1, bend), ("left", 1, 0.0)):
        points |= {f"{name}_{joint}": point for joint, point in side(sign, lift).items()}
        points |= {f"{name}_eye": points["nose"] + [sign * 0.015, -0.02],
                   f"{name}_ear": points["nose"] + [sign * 0.04, -0.01]}
    pose = np.zeros((len(skeleton), 3), np.float32)
    for i, joint in enumerate(skeleton.joints):
        if joint in points:
            pose[i] = [*(points[joint] * scale + at), 1]
    return pose


def limb(pose, skeleton, start, end):
    points = body_points(pose, skeleton)
    return points[end][..., :2] - points[start][..., :2]


def segments(skeleton):
    points = body_points(np.zeros((len(skeleton), 3)), skeleton)
    return [s for s in SEGMENTS if s.start in points and s.end in points]


class TestProportions:
    @EVERY
    def test_a_flat_average_body_is_read_as_it_is(self, skeleton):
        found = proportions(figure(skeleton), skeleton)
        assert found.stature == pytest.approx(103, rel=0.03) and found.known
        for measure, length in zip(MEASURES, found.lengths):
            part = next(s.part for s in SEGMENTS if s.measure == measure)
            assert length == pytest.approx(103 * part, rel=0.05), measure

    def test_foreshortened_limbs_do_not_fool_the_size(self):
        pose = figure(OPENPOSE18)
        short = pose.copy()
        for side in ("right", "left"):  # sitting towards the camera, forearms at the camera
            for joint, parent, part in (("knee", "hip", 0.3), ("wrist", "elbow", 0.2)):
                i, j = (OPENPOSE18.index(f"{side}_{n}") for n in (joint, parent))
                short[i, :2] = pose[j, :2] + part * (pose[i, :2] - pose[j, :2])
            i, j = (OPENPOSE18.index(f"{side}_{n}") for n in ("ankle", "knee"))
            short[i, :2] = short[j, :2] + pose[i, :2] - pose[j, :2]
        found = proportions(short, OPENPOSE18)
        assert found.stature == pytest.approx(103, rel=0.04)
        lengths = dict(zip(MEASURES, found.lengths.tolist()))
        assert lengths["thighs"] == pytest.approx(24.5, rel=0.08)
        assert lengths["forearms"] == pytest.approx(14.6, rel=0.08)

    def test_one_side_shows_what_the_other_hides(self):
        pose = figure(OPENPOSE18, arms=1.15)
        i, j = OPENPOSE18.index("left_wrist"), OPENPOSE18.index("left_elbow")
        both = dict(zip(MEASURES, proportions(pose, OPENPOSE18).lengths.tolist()))
        pose[i, :2] = pose[j, :2] + 0.1 * (pose[i, :2] - pose[j, :2])
        one = dict(zip(MEASURES, proportions(pose, OPENPOSE18).lengths.tolist()))
        assert one["forearms"] > 0.95 * both["forearms"]

    def test_knows_no_absolute_scale_and_no_place(self):
        pose = figure(COCO17, bend=0.7)
        moved = (pose * [3, 3, 1] + [50, -20, 0]).astype(np.float32)
        a, b = proportions(pose, COCO17), proportions(moved, COCO17)
        np.testing.assert_allclose(b.lengths, 3 * a.lengths, rtol=1e-4)

    def test_nothing_to_measure(self):
        pose = np.zeros((18, 3), np.float32)
        pose[0] = [3, 4, 1]
        found = proportions(pose, OPENPOSE18)
        assert not found.known and np.isfinite(found.lengths).all()
        assert found.stature == pytest.approx(1)


class TestRetarget:
    @EVERY
    @pytest.mark.parametrize("mode", MODES)
    def test_a_pose_on_itself_stays(self, skeleton, mode):
        pose = figure(skeleton, bend=0.8, legs=1.1)
        np.testing.assert_allclose(retarget(pose, pose, skeleton, mode).pose, pose, atol=1e-3)

    def test_the_same_body_in_another_pose_keeps_its_lengths(self):
        source, target = figure(OPENPOSE18), figure(OPENPOSE18, bend=1.2)
        done = retarget(source, target, OPENPOSE18)
        np.testing.assert_allclose(done.pose, target, atol=0.8)
        assert done.size == pytest.approx(1, abs=0.01)

    @EVERY
    @pytest.mark.parametrize("mode", ["bones", "scale"])
    def test_the_targets_frame_does_not_matter(self, skeleton, mode):
        source, target = figure(skeleton, legs=1.1), figure(skeleton, bend=0.9, arms=0.9)
        moved = (target * [2.5, 2.5, 1] + [300, -70, 0]).astype(np.float32)
        a, b = (retarget(source, t, skeleton, mode).pose for t in (target, moved))
        seen = target[:, 2] > 0
        np.testing.assert_allclose(a[seen], b[seen], atol=2e-2)

    @EVERY
    def test_directions_stay(self, skeleton):
        source = figure(skeleton, scale=70, legs=1.12, arms=0.92)
        target = figure(skeleton, bend=1.0, trunk=1.05)
        pose = retarget(source, target, skeleton).pose
        for segment in segments(skeleton):
            old, new = (limb(p, skeleton, segment.start, segment.end) for p in (target, pose))
            cosine = old @ new / np.linalg.norm(old) / np.linalg.norm(new)
            assert cosine == pytest.approx(1, abs=1e-5), segment

    @EVERY
    def test_lengths_become_the_sources(self, skeleton):
        """Nothing is foreshortened: the estimate may take a part of a difference for chance."""
        source = figure(skeleton, scale=70, legs=1.1, arms=0.92)
        target = figure(skeleton, bend=1.0)
        pose, scaled = (retarget(source, target, skeleton, m).pose for m in ("bones", "scale"))
        for segment in segments(skeleton):
            wanted, got, other = (np.linalg.norm(limb(p, skeleton, segment.start, segment.end))
                                  for p in (source, pose, scaled))
            assert got == pytest.approx(wanted, rel=0.05), segment
            if segment.measure in ("thighs", "shins", "upper arms"):
                assert abs(got - wanted) < abs(other - wanted), segment

    def test_foreshortening_is_kept(self):
        source, target = figure(OPENPOSE18, scale=50), figure(OPENPOSE18)
        i, j = OPENPOSE18.index("left_wrist"), OPENPOSE18.index("left_elbow")
        target[i, :2] = target[j, :2] + 0.4 * (target[i, :2] - target[j, :2])
        pose = retarget(source, target, OPENPOSE18).pose
        left, right = (np.linalg.norm(limb(pose, OPENPOSE18, f"{s}_elbow", f"{s}_wrist"))
                       for s in ("left", "right"))
        assert left / right == pytest.approx(0.4, rel=1e-3)

    @pytest.mark.parametrize("mode", ["bones", "scale"])
    def test_feet_stand_on_the_sources_ground(self, mode):
        source = figure(MARKET14, scale=80, at=(30, 60))
        target = figure(MARKET14, scale=150, at=(90, 20), bend=1.4, legs=0.9)
        pose = retarget(source, target, MARKET14, mode).pose
        feet = [MARKET14.index("right_ankle"), MARKET14.index("left_ankle")]
        assert pose[feet, 1].max() == pytest.approx(source[feet, 1].max(), abs=1e-3)
        assert body_points(pose, MARKET14)["pelvis"][0] == pytest.approx(30, abs=1e-3)

    def test_a_source_cut_off_below_the_chest_keeps_its_shoulders_in_place(self):
        source, target = figure(OPENPOSE18, trunk=1.2), figure(OPENPOSE18, scale=60, at=(9, 9))
        for i, joint in enumerate(OPENPOSE18.joints):
            if joint.endswith(("hip", "knee", "ankle")):
                source[i] = 0
        pose = retarget(source, target, OPENPOSE18).pose
        chest = [body_points(p, OPENPOSE18)["chest"] for p in (source, pose)]
        np.testing.assert_allclose(*chest, atol=1e-3)

    @EVERY
    def test_missing_joints(self, skeleton):
        """Whatever is missing: hidden stays hidden, the rest is finite, places do not matter."""
        rng = np.random.default_rng(0)
        source, target = (np.stack([figure(skeleton, bend=b, scale=s)] * 60)
                          for b, s in ((0.0, 60), (1.0, 100)))
        for pose in (source, target):
            pose[rng.random(pose.shape[:2]) < rng.uniform(0, 1, (60, 1))] = 0
        for mode in MODES:
            done = retarget(source, target, skeleton, mode)
            assert np.isfinite(done.pose).all()
            np.testing.assert_array_equal(done.pose[..., 2], target[..., 2])
            assert not done.pose[target[..., 2] == 0].any()
            noisy = [np.where(p[..., 2:] > 0, p, [1e5, -1e5, 0]).astype(np.float32)
                     for p in (source, target)]
            if mode != "none":
                np.testing.assert_allclose(retarget(*noisy, skeleton, mode).pose, done.pose,
                                           atol=1e-3)

    def test_a_gap_is_bridged(self):
        source, target = figure(OPENPOSE18, scale=50), figure(OPENPOSE18, bend=0.6)
        whole = retarget(source, target, OPENPOSE18).pose
        for gone in ("right_elbow", "right_hip", "neck"):
            holed = target.copy()
            holed[OPENPOSE18.index(gone)] = 0
            pose = retarget(source, holed, OPENPOSE18).pose
            seen = holed[:, 2] > 0
            assert np.abs(pose[seen] - whole[seen]).max() < 3, gone

    def test_a_source_without_legs_takes_the_usual_proportion(self):
        source, target = figure(OPENPOSE18, scale=50), figure(OPENPOSE18)
        for i, joint in enumerate(OPENPOSE18.joints):
            if joint.endswith(("knee", "ankle")):
                source[i] = 0
        pose = retarget(source, target, OPENPOSE18).pose
        assert np.linalg.norm(limb(pose, OPENPOSE18, "left_hip", "left_knee")) == pytest.approx(
            12.25, rel=0.05)

    def test_pairs_do_not_touch_each_other(self):
        source = np.stack([figure(COCO17, legs=1 + i / 10, scale=60 + i) for i in range(4)])
        target = np.stack([figure(COCO17, bend=i / 3) for i in range(4)])
        together = retarget(source, target, COCO17)
        for i in range(4):
            alone = retarget(source[i], target[i], COCO17)
            np.testing.assert_allclose(together.pose[i], alone.pose, atol=1e-4)
            np.testing.assert_allclose(together.ratios[i], alone.ratios, atol=1e-6)

    def test_without_a_bone_the_pose_only_moves(self):
        source = figure(OPENPOSE18)
        target = np.zeros_like(source)
        target[[0, 4]] = [[5, 5, 1], [9, 30, 1]]
        done = retarget(source, target, OPENPOSE18)
        assert not done.known and done.size == 1
        np.testing.assert_allclose(done.pose[4] - done.pose[0], [4, 25, 0], atol=1e-3)

    def test_other_words_are_refused(self):
        # Here the annotations refuse it; without their checks it is a ValueError.
        with pytest.raises(Exception, match="bones"):
            retarget(figure(COCO17), figure(COCO17), COCO17, "bone")

    def test_says_what_it_did(self):
        done = retarget(figure(COCO17, scale=50, legs=1.12), figure(COCO17), COCO17)
        said = describe(done, COCO17)
        assert "scaled to 5" in said and "% longer" in said and "legs" in said

    def test_nearer_to_the_truth_of_rendered_people(self):
        """The source's own body, drawn in the donor's pose and brought to the source's scale."""
        errors = {mode: [] for mode in MODES}
        for i in range(8):
            person, donor = sample_identity(3, 2 * i), sample_identity(3, 2 * i + 1)
            view, other = sample_view(3, 2 * i, 0), sample_view(3, 2 * i + 1, 0)
            size = (128, 64)
            source = render(person, view, size).annotated("openpose18")
            target = render(donor, other, size).annotated("openpose18")
            true = render(person, other, size).true_joints["openpose18"]
            true = true * pixels_per_metre(person, view, size) / pixels_per_metre(
                person, other, size)
            known = target[:, 2] > 0
            for mode in MODES:
                pose = retarget(source, target, OPENPOSE18, mode).pose[known, :2]
                away = (pose - pose.mean(0)) - (true[known] - true[known].mean(0))
                errors[mode].append(np.linalg.norm(away, axis=-1).mean())
        assert np.mean(errors["bones"]) < 0.6 * np.mean(errors["none"])
        assert np.mean(errors["scale"]) < 0.6 * np.mean(errors["none"])


class TestInsideFrame:
    def test_what_fits_stays(self):
        pose = figure(COCO17, at=(60, 100))
        kept, note = inside_frame(pose, pose, COCO17, (200, 120))
        assert note is None and kept is pose

    def test_what_fits_elsewhere_moves(self):
        source = figure(COCO17, at=(60, 100))
        pose = source + np.float32([50, 0, 0]) * (source[:, 2:] > 0)
        kept, note = inside_frame(pose, source, COCO17, (200, 120))
        assert "moved by" in note and kept[:, 0].max() <= 119 - 0.02 * 200 + 1e-3
        np.testing.assert_allclose(kept[:, 1], pose[:, 1], atol=1e-4)

    def test_what_is_too_large_shrinks_unless_the_source_is_cut_off_too(self):
        source = figure(COCO17, at=(60, 100))
        pose = figure(COCO17, at=(60, 110), scale=250)
        kept, note = inside_frame(pose, source, COCO17, (200, 120))
        assert "made smaller" in note and 0 <= kept[:, 1].min() and kept[:, 1].max() < 200
        for side in ("right", "left"):
            source[COCO17.index(f"{side}_ankle")] = 0
        kept, note = inside_frame(pose, source, COCO17, (200, 120))
        assert kept[:, 1].max() > 200 and note is None
        # What stays in the picture is the head.
        higher = pose - np.float32([0, 30, 0]) * (pose[:, 2:] > 0)
        kept, note = inside_frame(higher, source, COCO17, (200, 120))
        assert kept[:5, 1].min() == pytest.approx(0.02 * 200) and "moved" in note
        np.testing.assert_allclose(kept[:, 0], higher[:, 0], atol=1e-4)

    def test_beside_a_picture_in_a_frame_nothing_is(self):
        """The same, moved with the picture's corner."""
        source = figure(COCO17, at=(60, 100))
        pose = source + np.float32([50, 30, 0]) * (source[:, 2:] > 0)
        kept, note = inside_frame(pose, source, COCO17, (180, 100))
        corner = np.float32([7, 40, 0])
        moved, said = inside_frame(*(p + corner * (p[:, 2:] > 0) for p in (pose, source)), COCO17,
                                   (180, 100), (40, 7))
        assert said == note is not None
        np.testing.assert_allclose(moved, kept + corner * (kept[:, 2:] > 0), atol=1e-4)


@pytest.fixture(scope="module")
def people():
    return PoseTransfer.load("people")


@pytest.fixture
def command(people, monkeypatch, tmp_path):
    """The command on the bundled model, without its sampler; returns what it prepared."""
    seen = []

    def paint(self, prepared, seed, config=None):
        seen.extend(prepared)
        return np.zeros((len(prepared), *self.size, 3), np.uint8)

    monkeypatch.setattr(PoseTransfer, "run", paint)
    monkeypatch.setattr(PoseTransfer, "load", lambda name, detector: people)

    def run(pose, *more):
        return main(["transfer", str(EXAMPLES / "person-a.png"), "--pose", str(pose), "--output",
                     str(tmp_path / "out.png"), *more])

    run.prepared = seen
    return run


class TestCommand:
    def test_says_what_it_did_and_shows_the_pose_it_used(self, command, tmp_path, capsys):
        assert command(EXAMPLES / "pose-arms.json", "--grid") == 0
        assert "retargeted to the source's body: scaled to" in capsys.readouterr().out
        assert command(EXAMPLES / "pose-arms.json", "--retarget", "none") == 0
        assert "retargeted to" not in capsys.readouterr().out
        used, plain = (p.target_pose for p in command.prepared)
        assert np.abs(used - plain).max() > 1
        grid = np.asarray(Image.open(tmp_path / "out-grid.png"))
        drawn = draw_skeleton(np.zeros((128, 64, 3), np.uint8), used, OPENPOSE18, upscale=2)
        np.testing.assert_array_equal(grid[:, 128:256], drawn)

    def test_the_frame_of_the_target_does_not_matter(self, people):
        source, target = (read_pose(EXAMPLES / f"{name}.json") for name in (
            "person-a", "pose-arms"))
        far = dataclasses.replace(target, size=None, pose=(
            target.pose * [7, 7, 1] + [4000, 0, 0] * (target.pose[:, 2:] > 0)).astype(np.float32))
        photo = EXAMPLES / "person-a.png"
        a, b = (people.prepare(photo, source, t).target_pose for t in (target, far))
        np.testing.assert_allclose(a, b, atol=0.3)
        with pytest.raises(UserError, match="outside"):
            people.prepare(photo, source, far, retarget="none")
        with pytest.raises(UserError, match="bones, scale, none"):
            people.prepare(photo, source, far, retarget="some")
        wrist = (np.arange(18) == 4).astype(np.float32)[:, None]
        with pytest.raises(UserError, match="no limb.*--retarget none"):
            people.prepare(photo, source, dataclasses.replace(target, pose=target.pose * wrist))

    def test_a_photo_lends_its_pose(self, command, tmp_path, capsys):
        """Read off the photo, or from the file beside it."""
        shutil.copy(EXAMPLES / "person-b.png", tmp_path / "b.png")
        assert command(tmp_path / "b.png") == 0
        assert "b.png: pose estimated by estimator-people" in capsys.readouterr().out
        assert command(EXAMPLES / "person-b.png") == 0
        assert "estimated" not in capsys.readouterr().out
        read, given = (p.target_pose for p in command.prepared)
        both = np.minimum(read[:, 2], given[:, 2]) > 0
        assert np.median(np.linalg.norm((read - given)[both, :2], axis=-1)) < 6

    def test_several_people(self, command, tmp_path, capsys):
        people = [{"pose_keypoints_2d": figure(OPENPOSE18, scale=s, bend=b).ravel().tolist()}
                  for s, b in ((40, 1.2), (90, 0.0))]
        path = tmp_path / "two.json"
        path.write_text(json.dumps({"people": people}))
        assert command(path) == 0 and "took number 1" in capsys.readouterr().out
        assert command(path, "--pose-person", "0") == 0
        assert "took number 0" in capsys.readouterr().out
        a, b = (p.target_pose for p in command.prepared)
        assert np.abs(a - b).max() > 5

    @pytest.mark.parametrize(("pose", "more", "word"), [
        ("two.json", ["--pose-person", "4"], "no person 4"),
        ("grey.png", [], "no person"), ("gone.jpg", [], "gone.jpg"), ("text.jpg", [], "text.jpg"),
        ("grey.png", ["--pose-name", "me"], "--pose-name"),
        ("grey.png", ["--pose-person", "1"], "no person")])
    def test_mistakes_are_one_line(self, command, pose, more, word, tmp_path, capsys):
        pair = [{"pose_keypoints_2d": figure(OPENPOSE18).ravel().tolist()}] * 2
        (tmp_path / "two.json").write_text(json.dumps({"people": pair}))
        (tmp_path / "text.jpg").write_text("no picture")
        Image.fromarray(np.full((128, 64, 3), 127, np.uint8)).save(tmp_path / "grey.png")
        assert command(tmp_path / pose, *more) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1 and word in lines[0], lines
