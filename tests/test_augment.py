"""Random changes to training pairs: what they change, what they leave, what they are decided by."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from repose_jax.cli import main
from repose_jax.common.errors import UserError
from repose_jax.common.fields import from_dict, to_dict
from repose_jax.data.augment.affine import draw_affine, moved_image, moved_pose
from repose_jax.data.augment.background import draw_background, with_background
from repose_jax.data.augment.body_mask import body_mask
from repose_jax.data.augment.color import draw_color_map, recolored
from repose_jax.data.augment.config import NAMES, AugmentConfig
from repose_jax.data.augment.degrade import blurred, compressed, noisy
from repose_jax.data.augment.occluder import Box, draw_box, occluded, without_hidden
from repose_jax.data.config import DataConfig
from repose_jax.data.pairs.source import PairSource
from repose_jax.data.pairs.stream import augmented_examples, batches, examples
from repose_jax.data.people.renderer import render_person
from repose_jax.data.people.source import rendered_people
from repose_jax.data.registry import resized
from repose_jax.pose.skeleton import OPENPOSE18, SKELETONS, flip_pose

SIZE = (64, 32)
ALL = AugmentConfig(**dict.fromkeys(NAMES, 0.5), occlude_joints=True, occlude_count=2)


@pytest.fixture(scope="module")
def people():
    """Four rendered people of three views, drawn once."""
    source = rendered_people(0, 4, 3, SIZE)
    for i in range(len(source)):
        source.image(i)
    return source


def rng(number=0):
    return np.random.default_rng(number)


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def changed(people, config, flip=None, seeds=range(24)):
    """Pairs before and after."""
    pairs = np.arange(len(seeds)) % len(people.pairs)
    flip = None if flip is None else np.full(len(pairs), flip)
    return examples(people, pairs, flip), augmented_examples(people, pairs, flip, seeds, config)


def test_off_means_the_batches_of_before(people):
    plain, off = (batches(people, batch_size=5, seed=2, **options) for options in (
        {}, {"augment": AugmentConfig(color_strength=1.0, occlude_area=0.6)}))
    assert all(same(next(plain), next(off)) for _ in range(3))
    plain.close(), off.close()
    assert AugmentConfig().active == ()
    before, after = changed(people, AugmentConfig())
    assert same(before, after)


def test_the_flips_and_the_order_stay_when_something_is_switched_on(people):
    """Joints' visibilities tell pair and flip, and noise leaves poses as they are."""
    plain, noise = (batches(people, batch_size=12, seed=2, augment=augment) for augment in (
        AugmentConfig(), AugmentConfig(noise=1.0)))
    for _ in range(2):
        a, b = next(plain), next(noise)
        np.testing.assert_array_equal(a["source_pose"], b["source_pose"])
        np.testing.assert_array_equal(a["target"], b["target"])
    plain.close(), noise.close()


def test_workers_and_resuming_give_the_same_batches(people):
    alone, helped, again = (batches(people, batch_size=3, seed=1, augment=ALL, workers=n)
                            for n in (0, 2, 0))
    first = [next(alone) for _ in range(5)]
    assert all(same(batch, next(helped)) for batch in first)
    again.set_state(json.loads('{"next_batch": 3}'))
    assert all(same(batch, next(again)) for batch in first[3:])
    other = batches(people, batch_size=3, seed=4, augment=ALL)
    assert not same(first[0], next(other))
    for stream in (alone, helped, again, other):
        stream.close()


def test_each_epoch_changes_a_pair_in_its_own_way(people):
    one = people.with_pairs(np.array([[0, 1]], np.int32))
    stream = batches(one, batch_size=1, seed=0, flip=False, augment=AugmentConfig(noise=1.0))
    assert not np.array_equal(next(stream)["source"], next(stream)["source"])
    stream.close()


@pytest.mark.parametrize("name", NAMES)
def test_what_each_change_touches(people, name):
    before, after = changed(people, AugmentConfig().only(name))
    touched = {key for key in before if not np.array_equal(before[key], after[key])}
    wanted = {"affine": set(before), "color": {"source", "target"},
              "joints": {"source_pose"}}.get(name, {"source"})
    assert touched == wanted
    assert all(after[key].dtype == before[key].dtype for key in before)


def test_the_source_itself_stays(people):
    before = [people.image(i).copy() for i in range(len(people))]
    poses = [people.pose(i).copy() for i in range(len(people))]
    changed(people, dataclasses.replace(ALL, background_on="both"), flip=True)
    for i, (image, pose) in enumerate(zip(before, poses, strict=True)):
        np.testing.assert_array_equal(people.image(i), image)
        np.testing.assert_array_equal(people.pose(i), pose)


def test_misplaced_joints_lie_around_their_places(people):
    config = AugmentConfig(joints=1.0, joints_sigma=0.02)
    before, after = changed(people, config, seeds=range(200))
    shown = before["source_pose"][..., 2] > 0
    gone = (after["source_pose"] - before["source_pose"])[..., :2]
    np.testing.assert_allclose(gone[shown].std(axis=0), 0.02 * SIZE[0], rtol=0.1)
    np.testing.assert_allclose(gone[shown].mean(axis=0), 0, atol=0.1)
    np.testing.assert_array_equal(gone[~shown], 0)
    np.testing.assert_array_equal(after["source_pose"][..., 2], before["source_pose"][..., 2])


def test_estimators_refuse_misplaced_joints():
    argv = ["train", "estimator-people", "--data.augment.joints", "0.5", "--output", "unused"]
    assert main(argv) == 2


def test_probabilities_are_those(people):
    before, after = changed(people, AugmentConfig(noise=0.3, noise_sigma=0.5), seeds=range(300))
    share = (before["source"] != after["source"]).any((1, 2, 3)).mean()
    assert 0.2 < share < 0.4


def test_one_change_does_not_disturb_another(people):
    _, alone = changed(people, AugmentConfig(color=1.0))
    _, both = changed(people, AugmentConfig(color=1.0, jpeg=0.5))
    np.testing.assert_array_equal(alone["target"], both["target"])


def test_flipped_pairs_are_changed_as_mirrored_pictures(people):
    mirrored = AugmentConfig(color=1.0)
    _, plain = changed(people, mirrored)
    _, flipped = changed(people, mirrored, flip=True)
    np.testing.assert_array_equal(flipped["source"], plain["source"][:, :, ::-1])
    np.testing.assert_array_equal(
        flipped["source_pose"], flip_pose(plain["source_pose"], OPENPOSE18, SIZE[1]))


@pytest.mark.parametrize("size", [(128, 64), (60, 90)])
def test_joints_stay_on_what_they_mark(size):
    """A smooth spot is drawn at a joint; its centre of mass must move with the joint."""
    y, x = np.mgrid[:size[0], :size[1]]
    worst, inside = 0.0, 0
    for number in range(60):
        draw = rng(number)
        joint = draw.uniform(0.15, 0.85, 2) * (size[1], size[0])
        spot = 255 * np.exp(-((x - joint[0]) ** 2 + (y - joint[1]) ** 2) / (2 * 2.0 ** 2))
        image = np.repeat(spot.astype(np.uint8)[..., None], 3, axis=2)
        affine = draw_affine(size, 0.5, 45.0, 0.2, draw)
        pose = moved_pose(np.array([[*joint, 1.0]], np.float32), affine, size)
        moved = moved_image(image, affine)
        assert moved.shape == image.shape
        (left, top), known = pose[0, :2], pose[0, 2]
        if known and 10 < left < size[1] - 10 and 10 < top < size[0] - 10:
            weight = moved[..., 0].astype(np.float64)
            centre = np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
            worst, inside = max(worst, np.abs(centre - pose[0, :2]).max()), inside + 1
    assert inside > 20 and worst < 0.2, (inside, worst)


def test_affine_of_no_strength_is_the_identity_and_limits_hold():
    image = rng().integers(0, 256, (*SIZE, 3), np.uint8)
    still = draw_affine(SIZE, 0.0, 0.0, 0.0, rng())
    np.testing.assert_allclose(still, [[1, 0, 0], [0, 1, 0]], atol=1e-12)
    np.testing.assert_array_equal(moved_image(image, still), image)
    middle = (np.array(SIZE[::-1]) - 1) / 2
    for number in range(200):
        affine = draw_affine(SIZE, 0.25, 10.0, 0.1, rng(number))
        scale = np.sqrt(np.linalg.det(affine[:, :2]))
        assert 0.8 - 1e-9 <= scale <= 1.25 + 1e-9
        assert abs(np.rad2deg(np.arctan2(affine[1, 0], affine[0, 0]))) <= 10
        shift = affine[:, :2] @ middle + affine[:, 2] - middle
        assert (abs(shift) <= 0.1 * np.array(SIZE[::-1]) + 1e-9).all()


def test_joints_that_leave_the_frame_become_unknown():
    pose = np.array([[1, 5, 1], [20, 40, 1], [9, 9, 0]], np.float32)
    left = np.array([[1.0, 0, -4], [0, 1, 0]])
    np.testing.assert_array_equal(moved_pose(pose, left, SIZE), [[0, 0, 0], [16, 40, 1], [0, 0, 0]])


def test_bared_edges_show_the_edge():
    image = np.full((*SIZE, 3), 90, np.uint8)
    affine = draw_affine(SIZE, 0.5, 45.0, 0.5, rng(3))
    np.testing.assert_array_equal(moved_image(image, affine), image)


def test_colours_change_alike_in_source_and_target(people):
    """Both are one picture here, so they must stay one, and poses as they are."""
    twins = people.with_pairs(np.array([[0, 0], [5, 5]], np.int32))
    before, after = examples(twins, [0, 1]), augmented_examples(
        twins, [0, 1], None, [3, 4], AugmentConfig(color=1.0, color_strength=0.5))
    np.testing.assert_array_equal(after["source"], after["target"])
    assert not np.array_equal(after["source"], before["source"])


def test_color_limits():
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    np.testing.assert_array_equal(recolored(ramp, draw_color_map(0.0, rng())), ramp)
    for number in range(50):
        matrix = draw_color_map(0.2, rng(number))
        # Greys stay grey and move by no more than brightness and contrast of 20 % move them.
        grey = recolored(ramp, matrix)
        assert (np.ptp(grey.astype(int), axis=2) <= 1).all()
        assert abs(int(grey[0, 128, 0]) - 128) <= 0.2 * 128 + 1
        assert 0.8 * 0.8 - 1e-6 <= matrix[:, :3].sum(1).mean() <= 1.2 * 1.2 + 1e-6


def test_boxes_keep_their_limits_and_hide_joints():
    for number in range(300):
        box = draw_box((128, 64), 0.3, rng(number))
        h, w = box.bottom - box.top, box.right - box.left
        assert 0 <= box.top < box.bottom <= 128 and 0 <= box.left < box.right <= 64
        assert h * w <= 0.3 * 128 * 64
    image = np.zeros((8, 8, 3), np.uint8)
    box = Box(top=2, left=1, bottom=5, right=4)
    pose = np.array([[1, 2, 1], [3.4, 4.4, 1], [3.6, 3, 1], [2, 1.4, 1]], np.float32)
    np.testing.assert_array_equal(without_hidden(pose, box)[:, 2], [0, 0, 1, 1])
    white = np.full_like(image, 255)
    pasted = occluded(image, box, "picture", lambda: white, rng())
    assert (pasted[2:5, 1:4] == 255).all() and pasted.sum() == 9 * 3 * 255 and not image.any()
    plain = occluded(image, box, "rectangle", lambda: white, rng())
    assert len(np.unique(plain[2:5, 1:4].reshape(-1, 3), axis=0)) == 1


def test_occluders_hide_joints_of_the_source_only(people):
    before, after = changed(people, dataclasses.replace(
        AugmentConfig().only("occlude"), occlude_joints=True, occlude_area=0.5))
    known = [batch["source_pose"][..., 2] > 0 for batch in (before, after)]
    assert (known[1] <= known[0]).all() and known[1].sum() < known[0].sum()
    np.testing.assert_array_equal(before["target_pose"], after["target_pose"])


def test_degradation():
    image = rng().integers(0, 256, (*SIZE, 3), np.uint8)
    flat = np.full((*SIZE, 3), 128, np.uint8)
    assert abs(noisy(flat, 0.1, rng()).std() - 25.5) < 1.5
    np.testing.assert_array_equal(noisy(image, 0.0, rng()), image)
    np.testing.assert_array_equal(blurred(image, 0.0), image)
    assert blurred(image, 2.0).std() < 0.4 * image.std()
    errors = [np.abs(compressed(image, q).astype(int) - image).mean() for q in (90, 50, 10)]
    assert errors == sorted(errors) and errors[0] < errors[2]


@pytest.mark.parametrize(("skeleton", "size"), [
    *((name, (128, 64)) for name in SKELETONS), ("openpose18", (350, 175))])
def test_the_mask_covers_the_person(skeleton, size):
    """Nearly all of rendered people, and not all of the picture."""
    covered, area = [], []
    for identity in range(12):
        render = render_person(0, identity, 0, size)
        mask = body_mask(render.annotated(skeleton), SKELETONS[skeleton], size)
        assert mask.shape == size
        covered.append(mask[render.mask].mean())
        area.append(mask.sum() / render.mask.sum())
    assert np.mean(covered) > 0.88 and np.mean(area) < 1.9, (covered, area)


def test_a_person_who_cannot_be_cut_out_is_left_alone(people):
    nobody = np.zeros((18, 3), np.float32)
    assert not body_mask(nobody, OPENPOSE18, SIZE).any()
    image = people.image(0)
    ground = draw_background(SIZE, "gradient", lambda: image, rng())
    assert with_background(image, np.zeros(SIZE, bool), ground) is image
    mask = np.zeros(SIZE, bool)
    mask[20:40, 8:20] = True
    np.testing.assert_array_equal(
        with_background(image, mask, ground), np.where(mask[..., None], image, ground))
    half = with_background(image, mask, ground, strength=0.5, feather=1.0)
    far = np.abs(half.astype(float) - (image.astype(float) + ground) / 2)[:10].max()
    assert far <= 0.5


@pytest.mark.parametrize("kind", ["picture", "noise", "gradient"])
def test_both_pictures_may_get_one_background(people, kind):
    config = dataclasses.replace(AugmentConfig().only("background"), background_on="both",
                                 background_kind=kind)
    _, after = changed(people, config)
    corner = {key: after[key][:, 0, 0].astype(int) for key in ("source", "target")}
    assert (np.abs(corner["source"] - corner["target"]).max(1) <= 2).mean() > 0.7


def test_given_masks_are_used_mirrored_and_resized(people):
    masks = np.zeros((len(people), *SIZE), bool)
    masks[:, :, :10] = True
    masked = PairSource(
        skeleton=people.skeleton, size=SIZE, names=people.names, persons=people.persons,
        poses=people.poses, read=people.image, read_mask=masks.__getitem__)
    config = dataclasses.replace(AugmentConfig().only("background"), background_feather=0.0)
    for flip, kept in ((False, np.s_[:, :, :10]), (True, np.s_[:, :, -10:])):
        before, after = changed(masked, config, flip=flip)
        np.testing.assert_array_equal(before["source"][kept], after["source"][kept])
        assert (before["source"] != after["source"]).mean() > 0.5
    double = resized(masked, (128, 64)).mask(0)
    assert double.dtype == bool and double[:, :19].all() and not double[:, 21:].any()
    assert resized(people, (128, 64)).mask(0) is None


def test_settings_that_are_refused(capsys, tmp_path):
    for wrong, says in (({"color": 1.5}, "augment.color: is 1.5"), ({"jpeg": -0.1}, "jpeg"),
                        ({"occlude_area": 0.9}, "occlude-area"), ({"jpeg_quality": 0}, "1 to 95"),
                        ({"blur": float("nan")}, "augment.blur"),
                        ({"background_kind": "snow"}, "picture"),
                        ({"affine_rotate": 90.0}, "0 to 45")):
        with pytest.raises(UserError, match=says):
            AugmentConfig(**wrong)
    assert main(["show-config", "tiny", "--data.augment.color", "3"]) == 2
    assert "give 0 to 1" in capsys.readouterr().err
    for preset in ("field-people", "reid-market1501"):
        assert main(["train", preset, "--data.augment.color", "0.5", "--output",
                     str(tmp_path / "run")]) == 2
        assert "has no effect" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_configuration_is_kept_and_decides_the_run(capsys, tmp_path):
    data = DataConfig(augment=ALL)
    assert from_dict(DataConfig, json.loads(json.dumps(to_dict(data)))) == data
    assert DataConfig().identity() == {"flip": True, "identities": 2000, "views": 6, "seed": 0}
    assert data.identity()["augment"] == dataclasses.asdict(ALL)
    assert DataConfig(augment=AugmentConfig(jpeg=0.1, blur_sigma=0.1)).identity()["augment"] == {
        "jpeg": 0.1, "jpeg_quality": 20}
    args = ["train", "tiny", "--output", str(tmp_path), "--train.total-images", "8",
            "--data.identities", "4", "--data.augment.jpeg"]
    assert main([*args, "1.0"]) == 0
    for other in ("0.5", "0.0"):
        assert main([*args, other]) == 2
        assert "belongs to another configuration: data.augment" in capsys.readouterr().err


def test_data_show(capsys, tmp_path, market):
    for data, options, cells in (
            (str(market), ["--augment", "--augment.color", "0.5"], (10, 2)),
            (str(market), ["--augment"], (9, 2)), ("people", ["--size", "32", "16"], (2, 1))):
        path = tmp_path / "sheet.png"
        assert main(["data", "show", data, "--output", str(path), "--count", "2", *options]) == 0
        assert f"wrote {path}" in capsys.readouterr().out
        with Image.open(path) as sheet:
            assert sheet.width % cells[0] == 0 and sheet.height % cells[1] == 0
            assert sheet.height // cells[1] > 256 and sheet.width // cells[0] >= 256
    assert main(["data", "show", "people", "--output", str(path), "--count", "0"]) == 2
    assert "give 1 or more" in capsys.readouterr().err
    assert main(["data", "show", str(tmp_path), "--output", str(path)]) == 2
