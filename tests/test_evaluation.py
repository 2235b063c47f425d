"""Metrics against references and closed forms; intervals against known distributions."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest
from PIL import Image
from skimage.metrics import structural_similarity

from repose_jax.common.errors import UserError
from repose_jax.common.signal import as_unit
from repose_jax.evaluation.metrics.baselines import (
    aligned_baselines, blurred, mean_image, trivial_baselines)
from repose_jax.evaluation.metrics.denoising import denoising_table, timestep_at_noise
from repose_jax.evaluation.metrics.l1 import l1
from repose_jax.evaluation.metrics.instruments import Instruments
from repose_jax.evaluation.metrics.metric import scores
from repose_jax.evaluation.metrics.picture_batch import PictureBatch
from repose_jax.evaluation.metrics.psnr import psnr
from repose_jax.evaluation.metrics.ssim import gaussian_ssim, uniform_ssim
from repose_jax.evaluation.metrics.torso_color import torso_color, torso_correlation, torso_mask
from repose_jax.evaluation.report.contact_sheet import SheetRow, contact_sheet
from repose_jax.evaluation.report.report import summarize
from repose_jax.evaluation.report.score_table import ScoreTable, score
from repose_jax.evaluation.report.table import markdown
from repose_jax.evaluation.statistics.bootstrap import Bootstrap
from repose_jax.evaluation.statistics.derangement import can_derange, derangement
from repose_jax.pose.draw import draw_skeleton, limb_colors
from repose_jax.pose.skeleton import MARKET14, OPENPOSE18


@pytest.fixture(scope="module")
def pictures():
    """Four pairs, 64 x 56: smooth and noisy, bright with hardly any contrast, one flat."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :56] / 56
    wave = 0.5 + 0.4 * np.sin(np.stack([5 * x, 7 * y, 3 * x + 4 * y], -1))
    a = np.stack([wave, rng.random(wave.shape), 0.95 + 0.001 * wave, np.full_like(wave, 0.3)])
    b = np.clip(a + np.array([0.1, 0.3, 0.001, 0.05])[:, None, None, None]
                * rng.standard_normal(a.shape), 0, 1)
    return a.astype(np.float32), b.astype(np.float32)


def _standing(count: int, skeleton=MARKET14, visible: float = 1.0) -> np.ndarray:
    """A pose whose torso is the rectangle x 20..35, y 15..40."""
    pose = np.zeros((count, len(skeleton), 3), np.float32)
    pose[:, skeleton.torso_indices] = [(20, 15, visible), (35, 15, visible),
                                       (20, 40, visible), (35, 40, visible)]
    return pose


def test_gaussian_ssim_is_scikit_images(pictures):
    a, b = pictures
    expected = [structural_similarity(
        p, q, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1,
        channel_axis=-1) for p, q in zip(a.astype(float), b.astype(float))]
    np.testing.assert_allclose(gaussian_ssim(a, b), expected, atol=1e-5)


@pytest.mark.parametrize("size", [7, 11, 51])
def test_uniform_ssim_is_scikit_images(pictures, size):
    a, b = pictures
    expected = [structural_similarity(p, q, win_size=size, data_range=1, channel_axis=-1)
                for p, q in zip(a.astype(float), b.astype(float))]
    np.testing.assert_allclose(uniform_ssim(a, b, size=size), expected, atol=1e-5)


def test_ssim_of_identical_pictures_is_one_and_of_constants_closed_form(pictures):
    a, _ = pictures
    np.testing.assert_allclose(gaussian_ssim(a, a), 1, atol=1e-6)
    np.testing.assert_allclose(uniform_ssim(a, a), 1, atol=1e-6)
    low, high = np.full((1, 16, 16, 3), 0.2, np.float32), np.full((1, 16, 16, 3), 0.7, np.float32)
    expected = (2 * 0.2 * 0.7 + 1e-4) / (0.2**2 + 0.7**2 + 1e-4)
    np.testing.assert_allclose(gaussian_ssim(low, high), expected, rtol=1e-4)


def test_ssim_refuses_what_does_not_fit(pictures):
    a, b = pictures
    with pytest.raises(ValueError, match="does not fit"):
        uniform_ssim(a, b, size=57)
    with pytest.raises(ValueError, match="odd"):
        uniform_ssim(a, b, size=8)
    with pytest.raises((ValueError, TypeError)):  # TypeError where annotations are checked
        gaussian_ssim(a, b[:2])


def test_psnr_and_l1_of_a_known_error():
    a = np.full((2, 8, 8, 3), 0.5, np.float32)
    b = a + np.array([0.1, -0.01], np.float32)[:, None, None, None]
    np.testing.assert_allclose(psnr(a, b), [20, 40], rtol=1e-4)
    np.testing.assert_allclose(l1(a, b), [0.1, 0.01], rtol=1e-4)
    assert np.isinf(psnr(a, a)).all()


@pytest.mark.parametrize("skeleton", [MARKET14, OPENPOSE18], ids=lambda s: s.name)
@pytest.mark.parametrize("region", ["quadrilateral", "box"])
def test_torso_color_is_that_of_the_painted_rectangle(skeleton, region):
    images = np.zeros((3, 64, 56, 3))
    colors = np.array([[0.2, 0.4, 0.6], [1, 0, 0], [0.1, 0.9, 0.3]])
    images[:, 15:41, 20:36] = colors[:, None, None]
    found, valid = torso_color(images, _standing(3, skeleton), skeleton, region=region)
    np.testing.assert_allclose(found, colors, atol=1e-12)
    assert valid.all()


def test_torso_region_is_the_shrunk_rectangle_whatever_the_joints_order():
    pose = _standing(1)
    full = torso_mask(pose, MARKET14, (64, 56), shrink=1.0)[0]
    assert full.sum() == 26 * 16 and full[15:41, 20:36].all()
    half = torso_mask(pose, MARKET14, (64, 56), shrink=0.5)[0]
    assert half.sum() == 12 * 8  # x 23.75 .. 31.25, y 21.25 .. 33.75
    crossed = pose.copy()
    right, left = MARKET14.index("right_hip"), MARKET14.index("left_hip")
    crossed[:, [right, left]] = pose[:, [left, right]]
    np.testing.assert_array_equal(torso_mask(crossed, MARKET14, (64, 56), shrink=1.0)[0], full)


def test_torso_color_is_not_valid_without_joints_or_area():
    images = np.ones((3, 64, 56, 3))
    pose = _standing(3)
    pose[0, MARKET14.index("left_hip")] = 0
    pose[1, MARKET14.torso_indices, 0] = 20  # seen exactly from the side: a line
    color, valid = torso_color(images, pose, MARKET14)
    assert valid.tolist() == [False, False, True]
    assert (color[:2] == 0).all()


def test_torso_correlation_in_known_cases():
    rng = np.random.default_rng(1)
    a, noise = rng.standard_normal((2, 4000, 3))
    everyone = np.ones(4000, bool)
    np.testing.assert_allclose(torso_correlation(a, 3 * a + 1, everyone).channels, 1)
    np.testing.assert_allclose(torso_correlation(a, -a, everyone).mean, -1)
    half = torso_correlation(a, a + noise, everyone)
    np.testing.assert_allclose(half.channels, np.sqrt(0.5), atol=0.03)
    b = np.where(np.arange(4000)[:, None] < 10, -a, a)
    rest = torso_correlation(a, b, np.arange(4000) >= 10)
    assert rest.count == 3990 and np.isclose(rest.mean, 1)
    assert np.isnan(torso_correlation(a, np.ones_like(a), everyone).mean)
    assert np.isnan(torso_correlation(a, a, np.arange(4000) < 2).mean)


def test_bootstrap_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(2)
    persons = np.repeat(np.arange(40), 5)
    covered, naive_covered = 0, 0
    for trial in range(150):
        x = np.repeat(rng.standard_normal(40), 5) + 0.3 * rng.standard_normal(200)
        mean = Bootstrap(persons, resamples=400, seed=trial).mean(x)
        naive = Bootstrap(np.arange(200), resamples=400, seed=trial).mean(x)
        covered += mean.low <= 0 <= mean.high
        naive_covered += naive.low <= 0 <= naive.high
    assert 0.88 <= covered / 150 <= 0.99
    assert naive_covered / 150 < 0.8  # pictures instead of people: far too narrow


def test_bootstrap_width_of_a_mean_and_of_a_correlation():
    rng = np.random.default_rng(3)
    x, noise = rng.standard_normal((2, 1000))
    y = 0.6 * x + 0.8 * noise
    bootstrap = Bootstrap(np.arange(1000), resamples=4000)
    mean = bootstrap.mean(x)
    assert np.isclose(mean.high - mean.low, 2 * 1.96 * x.std() / np.sqrt(1000), rtol=0.06)
    found = bootstrap.correlation(x, y)
    assert np.isclose(found.value, np.corrcoef(x, y)[0, 1])
    # Fisher: the standard error of a correlation of normal variables is (1 - r^2) / sqrt(n).
    assert np.isclose(found.high - found.low, 2 * 1.96 * (1 - 0.6**2) / np.sqrt(1000), rtol=0.15)
    channels = bootstrap.correlation(np.stack([x, x, x], 1), np.stack([y, x, -x], 1))
    assert np.isclose(channels.value, (found.value + 1 - 1) / 3)


def test_bootstrap_difference_is_paired_and_seeded():
    rng = np.random.default_rng(4)
    x = 10 * rng.standard_normal(300)
    y = x - 0.5
    persons = rng.integers(0, 60, 300)
    difference = Bootstrap(persons).difference(x, y)
    np.testing.assert_allclose(difference, 0.5)
    assert Bootstrap(persons).mean(x) == Bootstrap(persons).mean(x)
    assert Bootstrap(persons).mean(x) != Bootstrap(persons, seed=1).mean(x)
    alone = Bootstrap(["a"] * 5).mean(np.arange(5.0))
    assert alone.value == 2 and np.isnan(alone.low) and np.isnan(alone.high)
    with pytest.raises(ValueError, match="not finite"):
        Bootstrap(persons).mean(np.full(300, np.nan))


def test_derangement_never_keeps_the_person():
    rng = np.random.default_rng(5)
    for seed in range(30):
        persons = rng.integers(0, 4, rng.integers(8, 40))
        if 2 * np.bincount(persons).max() > len(persons):
            continue
        found = derangement(persons, seed)
        assert sorted(found) == list(range(len(persons)))
        assert (persons[found] != persons).all()
    exactly_half = np.array(["x", "x", "x", "a", "b", "c"])
    assert (exactly_half[derangement(exactly_half)] != exactly_half).all()
    assert (derangement(np.arange(50), 0) != derangement(np.arange(50), 1)).any()
    with pytest.raises(UserError, match="more than half"):
        derangement(["a", "a", "b"])
    assert can_derange([1, 1, 2, 3]) and not can_derange([1, 1, 1, 2, 3]) and not can_derange([])


def _batches(sizes=(8, 8), value=None):
    rng = np.random.default_rng(6)
    start = 0
    for size in sizes:
        person = np.arange(start, start + size) // 2
        level = person if value is None else value
        yield {"source": np.tile(person[:, None, None, None], (1, 4, 4, 3)).astype(np.uint8),
               "target": rng.integers(0, 256, (size, 4, 4, 3), np.uint8),
               "source_pose": np.tile(person[:, None, None], (1, 14, 3)).astype(np.float32),
               "target_pose": np.tile(level[:, None, None], (1, 14, 3)).astype(np.float32),
               "person": person}
        start += size


def test_denoising_table_moves_only_the_condition_and_keeps_the_noise():
    calls = []

    def loss(batch, t, keys):
        calls.append((batch, t, keys))
        noise = np.asarray(jax.vmap(lambda k: jax.random.normal(k, ()))(keys))
        source, pose = batch["source"][:, 0, 0, 0], batch["target_pose"][:, 0, 0]
        np.testing.assert_array_equal(source, batch["source_pose"][:, 0, 0])
        return noise + 2.0 * (source != pose)

    abar = np.linspace(0.99, 0.01, 100)
    table = denoising_table(loss, _batches(), [10, 90], abar, seed=3, resamples=200)
    assert "person" not in calls[0][0] and table.losses["right"].shape == (2, 16)
    np.testing.assert_allclose(table.noise, 1 - abar[[10, 90]])
    # The noise cancels exactly: both gains are the 2 that the loss adds to a wrong pairing.
    for row in table.rows():
        np.testing.assert_allclose(row["source_gain"], 2, atol=1e-5)
        np.testing.assert_allclose(row["pose_gain"], 2, atol=1e-5)
    assert len(np.unique(table.losses["right"])) == 32
    again = denoising_table(loss, _batches((16,)), [10, 90], abar, seed=3, resamples=200)
    np.testing.assert_array_equal(again.losses["right"], table.losses["right"])
    assert table.markdown().count("\n") == 4
    json.dumps(table.to_dict())


def test_denoising_table_refuses_nothing_and_levels_outside():
    with pytest.raises(UserError, match="there are none"):
        denoising_table(lambda *_: 0, [], [1], np.ones(4))
    with pytest.raises(ValueError, match="outside"):
        denoising_table(lambda *_: 0, [], [4], np.ones(4))
    assert timestep_at_noise(np.array([0.9, 0.5, 0.2, 0.1]), 0.75) == 2


def test_baselines():
    images = np.zeros((2, 65, 65, 3), np.uint8)
    images[0, 32, 32], images[1] = 255, 100
    np.testing.assert_allclose(mean_image(images)[0, 0], 50 / 255, rtol=1e-6)
    soft = blurred(np.where(np.arange(65)[None, None, :, None] < 32, images[1:] * 0, 200)
                   .astype(np.uint8), sigma=4.0)[0, 32, :, 0] * 255
    # An edge blurred by a Gaussian rises from 16 % to 84 % within two sigma.
    rise = np.interp([0.1587 * 200, 0.8413 * 200], soft, np.arange(65))
    assert 7.0 < rise[1] - rise[0] < 9.0
    np.testing.assert_allclose(blurred(images)[1], 100 / 255, rtol=1e-6)
    found = trivial_baselines(images, mean_image(images))
    assert len(found) == 3
    for picture in found.values():
        assert picture.shape == images.shape and picture.dtype == np.float32
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        as_unit(np.array([-1.0, 1.0]))
    with pytest.raises(ValueError, match="no picture"):
        mean_image([])


def test_the_aligned_source_is_the_source_where_nothing_moves():
    rng = np.random.default_rng(0)
    sources = rng.integers(0, 256, (2, 64, 32, 3)).astype(np.uint8)
    mean = np.full((64, 32, 3), 0.25, np.float32)
    pose = _standing(2)
    pose[:, MARKET14.index("neck")] = (27, 14, 1)
    pose *= np.array([0.5, 1.0, 1.0], np.float32)
    lifted = pose + np.array([0.0, -6.0, 0.0], np.float32)
    still = aligned_baselines(
        {"source": sources, "source_pose": pose, "target_pose": pose}, MARKET14, mean)
    assert list(still) == ["aligned source", "aligned source over the mean"]
    np.testing.assert_allclose(still["aligned source"], sources / 255, atol=1e-4)
    x, y = pose[0, MARKET14.index("neck"), :2].round().astype(int)
    cut = still["aligned source over the mean"]
    np.testing.assert_allclose(cut[0, y, x], sources[0, y, x] / 255, atol=0.1)
    far = cut[:, [-1, -1], [0, -1]]
    assert np.abs(far - 0.25).max() < np.abs(sources[:, [-1, -1], [0, -1]] / 255 - 0.25).max()
    moved = aligned_baselines(
        {"source": sources, "source_pose": pose, "target_pose": lifted}, MARKET14, mean)
    np.testing.assert_allclose(moved["aligned source"][0, y - 6, x], sources[0, y, x] / 255,
                               atol=0.02)


def _evaluate(generated, targets, sources, name="model"):
    count, size = len(targets), targets.shape[1:3]
    pose = _standing(count)
    batches = []
    for start in range(0, count, 32):
        part = np.arange(start, start + 32)
        batches.append((PictureBatch(*(array[part % count] for array in (
            generated, targets, sources, pose, pose)), MARKET14), int((part < count).sum())))
    table = score(name, batches, scores(Instruments(size=size)))
    return summarize(table, np.arange(count) // 2, resamples=100)


def _eight_bit(pictures):
    return (pictures * 255 + 0.5).astype(np.uint8)


def test_report_of_noisy_pictures(tmp_path):
    rng = np.random.default_rng(7)
    colors = rng.random((70, 1, 1, 3)).astype(np.float32)
    targets = np.clip(0.8 * colors + 0.2 * rng.random((70, 52, 56, 3)), 0, 1).astype(np.float32)
    noisy = np.clip(targets + 0.1 * rng.standard_normal(targets.shape), 0, 1)
    noisy, targets = _eight_bit(noisy), _eight_bit(targets)
    report = _evaluate(noisy, targets, targets, name="noisy")
    np.testing.assert_allclose(report.scores["l1"].value,
                               np.abs(noisy / 255 - targets / 255).mean(), rtol=1e-4)
    expected = [structural_similarity(p, q, win_size=51, data_range=255, channel_axis=-1)
                for p, q in zip(noisy, targets)]
    np.testing.assert_allclose(report.scores["ssim_51"].value, np.mean(expected), atol=1e-4)
    assert report.scores["torso_correlation"].value > 0.99
    for name in ("gaussian_ssim", "psnr", "l1"):
        score = report.scores[name]
        assert score.low < score.value < score.high, name
    assert report.conditions["pictures"] == 70 and report.conditions["people"] == 35
    assert report.conditions["left_out"] == []
    report.write(tmp_path / "deep" / "report.json")
    read = json.loads((tmp_path / "deep" / "report.json").read_text())
    assert read["scores"]["psnr"]["value"] == pytest.approx(report.scores["psnr"].value)
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["report.json"]
    table = markdown([report, _evaluate(targets, targets, targets, name="same")])
    assert "| noisy |" in table and "| same |" in table and "70 pictures of 35 people" in table


def test_report_says_what_it_leaves_out():
    images = _eight_bit(np.random.default_rng(8).random((4, 20, 20, 3)))
    report = _evaluate(images, images, images)
    assert np.isnan(report.scores["ssim_51"].value) and np.isnan(report.scores["psnr"].value)
    notes = " ".join(report.conditions["left_out"])
    assert "ssim_51" in notes and "4 pictures identical" in notes and "4 pairs without" in notes
    assert report.to_dict()["scores"]["psnr"]["value"] is None
    with pytest.raises(ValueError, match="3 persons for 2"):
        summarize(ScoreTable("x", {"a": np.zeros(2)}), [1, 2, 3])


def test_report_to_a_place_that_cannot_be_written(tmp_path):
    images = _eight_bit(np.random.default_rng(9).random((4, 20, 20, 3)))
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot be written"):
        _evaluate(images, images, images).write(tmp_path / "file" / "report.json")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("upscale", [1, 3])
def test_draw_skeleton_puts_limbs_where_the_joints_are(upscale):
    image = np.full((64, 56, 3), 40, np.uint8)
    pose = np.zeros((14, 3), np.float32)
    pose[MARKET14.index("right_hip")] = 20, 10, 1
    pose[MARKET14.index("right_knee")] = 20, 50, 1
    pose[MARKET14.index("left_hip")] = 40, 30, 1  # its limbs lack the other end
    drawn = draw_skeleton(image, pose, MARKET14, upscale=upscale)
    assert drawn.shape == (64 * upscale, 56 * upscale, 3) and drawn.dtype == np.uint8
    limb = MARKET14.limbs.index(("right_hip", "right_knee"))
    centre = round((30.5) * upscale - 0.5), round(20.5 * upscale - 0.5)
    np.testing.assert_allclose(drawn[centre], limb_colors(MARKET14)[limb], atol=80)
    assert drawn[round(30.5 * upscale - .5), round(40.5 * upscale - .5)].min() > 150
    assert (image == 40).all()
    changed = np.argwhere((drawn != 40).any(-1)) / upscale
    assert changed[:, 1].min() > 16 and changed[:, 1].max() < 44
    assert len(np.unique(limb_colors(MARKET14), axis=0)) == len(MARKET14.limbs)


def test_draw_skeleton_survives_strange_poses_and_refuses_other_skeletons():
    image = np.zeros((32, 16, 3), np.uint8)
    pose = np.zeros((14, 3), np.float32)
    assert (draw_skeleton(image, pose, MARKET14) == 0).all()
    pose[:] = [1e9, -1e9, 1]
    pose[3] = np.nan
    draw_skeleton(image, pose, MARKET14)
    with pytest.raises(ValueError, match="openpose18"):
        draw_skeleton(image, pose, OPENPOSE18)


def test_contact_sheet_shows_each_picture_in_its_place(tmp_path):
    grey = [np.full((32, 48, 3), value, np.uint8) for value in (50, 150, 250)]
    rows = [SheetRow(grey[0], _standing(1)[0], grey[1], grey[2])] * 5
    contact_sheet(rows, MARKET14, tmp_path / "sheet.png", upscale=2, across=2)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    centre = 16 + 2 * 68 + 32  # the last result stands alone in the third line
    middles = [4 + 100 * column + 48 for column in (0, 2, 3)]
    assert [int(sheet[centre, x, 0]) for x in middles] == [50, 150, 250]
    assert (sheet[centre, 420:] == 255).all()
    assert sheet[16:80, 104:200].max() > 200 and sheet[16:80, 104:200].min() == 0
    with pytest.raises(ValueError, match="no result"):
        contact_sheet([], MARKET14, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
