"""Keypoint AP against pycocotools, HumanSD's scores and PCKh against closed forms."""

from __future__ import annotations

import jaxtyping
import numpy as np
import pytest

from repose_jax.evaluation.metrics.average_precision import Matches, People
from repose_jax.evaluation.metrics.keypoint_ap import joint_sigmas, keypoint_ap, oks
from repose_jax.evaluation.metrics.pose_accuracy import head_size, pckh
from repose_jax.evaluation.metrics.pose_cosine import (
    people_count_error, pose_cosine, pose_cosine_ap)
from repose_jax.pose.detections import Detections
from repose_jax.pose.skeleton import COCO17, MARKET14, OPENPOSE18

SIGMAS = joint_sigmas(COCO17)


def _people(rng, count: int, unseen: float = 0.3) -> People:
    """Poses of all sizes, some joints unknown; boxes around them."""
    size = rng.uniform(20, 160, (count, 1, 1))
    poses = np.ones((count, 17, 3))
    poses[..., :2] = rng.uniform(0, 200, (count, 1, 2)) + size * rng.random((count, 17, 2))
    poses[..., 2] = 2 * (rng.random((count, 17)) > unseen)
    low, high = poses[..., :2].min(1), poses[..., :2].max(1)
    return People(poses=poses, areas=size[:, 0, 0] ** 2 * rng.uniform(0.4, 0.9, count),
                  boxes=np.concatenate([low, high - low], 1))


def _found(rng, people: People, missed: float = 0.2, more: int = 2) -> Detections:
    """Each person as seen through noise of some strength, some twice, and some who are not there.

    Scores are few different numbers, so that many are equal.
    """
    kept = [i for i in range(len(people.poses)) for _ in range(rng.integers(1, 3))
            if rng.random() > missed]
    poses = people.poses[kept].copy()
    spread = np.sqrt(people.areas[kept])[:, None, None] * rng.choice(
        [0.02, 0.08, 0.2], (len(kept), 1, 1))
    poses[..., :2] += spread * rng.standard_normal((len(kept), 17, 2))
    poses = np.concatenate([poses, _people(rng, rng.integers(0, more + 1), 0.0).poses])
    return Detections(poses=poses, scores=rng.integers(0, 20, len(poses)) / 20)


def _pycocotools(people, detections) -> np.ndarray:
    coco, evaluation = (pytest.importorskip(f"pycocotools.{name}") for name in ("coco", "cocoeval"))
    truth = coco.COCO()
    truth.dataset = {
        "images": [{"id": i} for i in range(len(people))],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {"image_id": i, "category_id": 1, "iscrowd": 0, "keypoints": pose.reshape(-1).tolist(),
             "num_keypoints": int((pose[:, 2] > 0).sum()), "area": float(area),
             "bbox": box.tolist()}
            for i, p in enumerate(people) for pose, area, box in zip(p.poses, p.areas, p.boxes)]}
    for number, annotation in enumerate(truth.dataset["annotations"]):
        annotation["id"] = number + 1
    truth.createIndex()
    found = truth.loadRes([
        {"image_id": i, "category_id": 1, "keypoints": pose.reshape(-1).tolist(),
         "score": float(score)}
        for i, d in enumerate(detections) for pose, score in zip(d.poses, d.scores)])
    run = evaluation.COCOeval(truth, found, "keypoints")
    run.evaluate()
    run.accumulate()
    run.summarize()
    return run.stats


@pytest.mark.parametrize("seed", range(4))
def test_keypoint_ap_is_that_of_pycocotools(seed):
    rng = np.random.default_rng(seed)
    people = [_people(rng, rng.integers(0, 6), 0.95 if seed == 3 else 0.3) for _ in range(40)]
    detections = [_found(rng, p) for p in people]
    expected = _pycocotools(people, detections)
    np.testing.assert_allclose(keypoint_ap(people, detections, SIGMAS), expected, atol=1e-12)
    assert 0.05 < expected[0] < 0.95
    if seed == 3:
        assert any((~p.visible.any(1)).any() for p in people)


def test_more_than_twenty_detections_are_cut_as_in_pycocotools():
    rng = np.random.default_rng(5)
    people = [_people(rng, 15) for _ in range(4)]
    detections = [_found(rng, p, missed=0.0, more=30) for p in people]
    assert max(len(d.scores) for d in detections) > 20
    np.testing.assert_allclose(keypoint_ap(people, detections, SIGMAS),
                               _pycocotools(people, detections), atol=1e-12)


def test_a_picture_that_counts_twice_is_there_twice():
    rng = np.random.default_rng(9)
    people = [_people(rng, rng.integers(0, 4)) for _ in range(12)]
    # All scores differ: where they are equal, the order of the pictures decides.
    detections = [Detections(poses=d.poses, scores=rng.random(len(d.poses)))
                  for d in (_found(rng, p) for p in people)]
    counts = rng.integers(0, 3, 12)
    matches = Matches(people, detections, lambda poses, p: oks(poses, p, SIGMAS))
    repeated = np.repeat(np.arange(12), counts)
    np.testing.assert_allclose(
        matches.scores(counts), keypoint_ap([people[i] for i in repeated],
                                            [detections[i] for i in repeated], SIGMAS))
    np.testing.assert_allclose(matches.scores(), keypoint_ap(people, detections, SIGMAS))


@pytest.mark.parametrize("score", [
    lambda p, d: keypoint_ap(p, d, SIGMAS), lambda p, d: pose_cosine_ap(p, d, SIGMAS)],
    ids=["oks", "cosine"])
def test_perfect_poses_score_one_and_no_pose_scores_zero(score):
    rng = np.random.default_rng(6)
    people = [_people(rng, 3, 0.0) for _ in range(10)]
    perfect = [Detections(poses=p.poses, scores=np.ones(3)) for p in people]
    nothing = [Detections(poses=np.zeros((0, 17, 3)), scores=np.zeros(0)) for _ in people]
    np.testing.assert_allclose(score(people, perfect), 1)
    np.testing.assert_array_equal(score(people, nothing), 0)
    nobody = [People(poses=np.zeros((0, 17, 3)), areas=np.zeros(0)) for _ in people]
    assert np.isnan(score(nobody, perfect)).all()
    with pytest.raises(ValueError, match="10 pictures of people, 9"):
        score(people, perfect[:9])


def test_oks_of_known_distances():
    poses = np.zeros((1, 17, 3))
    poses[0, :2] = [50, 60, 1]
    people = People(poses=poses, areas=np.array([400.0]))
    found = poses.copy()
    found[0, 0, 0] += 2 * SIGMAS[0] * 20 * np.sqrt(2)  # the nose: exp(-1)
    found[0, 5] = 1e6  # not a joint of the truth
    np.testing.assert_allclose(oks(found, people, SIGMAS), [[(np.exp(-1) + 1) / 2]])


def test_sigmas_go_by_the_joints_names():
    assert SIGMAS.tolist() == [.026, .025, .025, .035, .035, .079, .079, .072, .072, .062, .062,
                               .107, .107, .087, .087, .089, .089]
    with pytest.raises(ValueError, match="no sigma for neck: give"):
        joint_sigmas(OPENPOSE18)
    with pytest.raises(ValueError, match="head_top, neck"):
        joint_sigmas(MARKET14)
    with pytest.raises(ValueError, match="no joints.*neck"):
        joint_sigmas(COCO17, {"neck": 0.079})
    sigmas = joint_sigmas(OPENPOSE18, {"neck": 0.05})
    assert sigmas[OPENPOSE18.index("neck")] == 0.05
    assert sigmas[OPENPOSE18.index("left_ear")] == 0.035


def test_people_and_detections_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match="2 poses, 1 areas"):
        People(poses=np.ones((2, 17, 3)), areas=np.ones(1))
    with pytest.raises(ValueError, match="needs a box"):
        People(poses=np.zeros((2, 17, 3)), areas=np.ones(2))
    # In tests the check of annotated shapes is faster.
    with pytest.raises((ValueError, jaxtyping.TypeCheckError), match="2 poses with 1 scores|n=2"):
        Detections(poses=np.ones((2, 17, 3)), scores=np.ones(1))


def test_pose_cosine_in_known_cases():
    rng = np.random.default_rng(7)
    people = _people(rng, 1, 0.0)
    moved = people.poses * [3.0, 0.5, 1.0] + [40, 7, 0]
    np.testing.assert_allclose(pose_cosine(moved, people, None), 1)
    weighted = pose_cosine(moved, people, SIGMAS).item()
    assert 0.8 < weighted < 1  # weights tell where the picture begins
    np.testing.assert_allclose(pose_cosine(people.poses, people, SIGMAS), 1)

    # x as in the truth: cosine 1. y runs 0, 1/2, 1 instead of 1, 0, 0: cosine 0.
    def pose(x, y):
        full = np.zeros((1, 17, 3))
        full[0, :3] = np.stack([x, y, np.ones(3)], -1)
        return full

    truth = People(poses=pose([10, 20, 40], [9, 5, 5]), areas=np.ones(1))
    # As scripted the y that was found plays no part but for its norm, here 1 as well as sqrt 1.25.
    for y, norm in (([9, 5, 5], 1), ([0, 3, 6], np.sqrt(1.25))):
        x = np.array([0, 1 / 3, 1]) / np.sqrt(10 / 9)
        expected = (1 + x[0] / norm) / np.sqrt(2 + 2 / norm**2)
        np.testing.assert_allclose(pose_cosine(pose([1, 2, 4], y), truth, None, True), expected)
    np.testing.assert_allclose(pose_cosine(pose([1, 2, 4], [0, 3, 6]), truth, None), 0.5)
    assert pose_cosine(pose([1, 2, 4], [3, 3, 3]), truth, None) == 0  # a line


def test_people_count_error_counts_both_ways():
    rng = np.random.default_rng(8)
    people = [_people(rng, n, 0.0) for n in (2, 0, 3)]
    found = [Detections(poses=np.ones((n, 17, 3)), scores=np.ones(n)) for n in (3, 2, 3)]
    assert people_count_error(people, found) == 1
    people[2].poses[0, :, 2] = 0
    assert people_count_error(people, found) == pytest.approx(4 / 3)
    with pytest.raises(ValueError):
        people_count_error([], [])


@pytest.mark.parametrize(("skeleton", "top", "bottom"), [
    (MARKET14, "head_top", ["neck"]), (OPENPOSE18, "nose", ["neck"]),
    (COCO17, "nose", ["left_shoulder", "right_shoulder"])], ids=lambda x: getattr(x, "name", ""))
def test_pckh_counts_joints_within_half_a_head(skeleton, top, bottom):
    wanted = np.zeros((3, len(skeleton), 3))
    wanted[..., 2], wanted[..., 0] = 1, 50
    wanted[:, skeleton.index(top), 1] = 10
    for joint, x in zip(bottom, (20, 80)):
        wanted[:, skeleton.index(joint), :2] = (50 if len(bottom) == 1 else x), 30
    wanted[1, skeleton.index(bottom[0]), 2] = 0
    np.testing.assert_array_equal(head_size(wanted, skeleton), [20, np.nan, 20])
    found = wanted.copy()
    ankle, knee = skeleton.index("left_ankle"), skeleton.index("left_knee")
    found[:, ankle, 0] += 9.9
    found[:, knee, 1] += 10.1
    share = 1 - 1 / len(skeleton)
    np.testing.assert_allclose(pckh(found, wanted, skeleton), [share, np.nan, share])
    np.testing.assert_allclose(pckh(found, wanted, skeleton, 0.55)[0], 1)
    wanted[2, knee, 2] = 0
    np.testing.assert_allclose(pckh(found, wanted, skeleton)[2], 1)
