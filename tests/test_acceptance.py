"""The acceptance check: limits, values against closed forms, and the command on rendered people."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re

import jax
import numpy as np
import pytest
from pose_files import COCO, SIZE, coco, csv, joints, write
from PIL import Image
from skimage.color import deltaE_cie76, rgb2lab

from repose_jax.cli import main
from repose_jax.common.errors import UserError
from repose_jax.common.picture_manifest import read_manifest
from repose_jax.common.provenance import file_hash
from repose_jax.evaluation.metrics.lab_color import color_difference, lab
from repose_jax.evaluation.metrics.texture import detail_kept, torso_detail
from repose_jax.inference.pipeline import PoseTransfer
from repose_jax.models.weights import save_weights
from repose_jax.networks.pose_estimator import EstimatorConfig, fresh_estimator
from repose_jax.pose.skeleton import MARKET14
from repose_jax.studies.acceptance import Judges, pairs, pictures_in
from repose_jax.studies.acceptance_limits import CHECKS, Thresholds, failures, read_thresholds
from repose_jax.studies.acceptance_page import page
from repose_jax.studies.acceptance_results import Acceptance, Result
from repose_jax.studies.acceptance_words import table

GOOD = {"pose_error": 0.02, "identity": 0.9, "color": 3.0, "detail": 1.0}


def test_lab_is_scikit_images():
    color = np.random.default_rng(0).random((50, 3))
    np.testing.assert_allclose(lab(color), rgb2lab(color), atol=0.01)
    np.testing.assert_allclose(color_difference(color[:25], color[25:]),
                               deltaE_cie76(rgb2lab(color[:25]), rgb2lab(color[25:])), atol=0.01)


def test_detail_of_noise_is_its_deviation_and_blur_has_none():
    pose = np.zeros((3, 14, 3), np.float32)
    pose[:, MARKET14.torso_indices] = [(10, 20, 1), (50, 20, 1), (10, 90, 1), (50, 90, 1)]
    pose[2, MARKET14.torso_indices[0], 2] = 0
    rng = np.random.default_rng(0)
    flat = np.full((128, 64, 3), 0.5)
    noise = np.clip(flat + 0.1 * rng.standard_normal(flat.shape), 0, 1)
    found = torso_detail(np.stack([noise, flat, noise]), pose, MARKET14)
    assert 0.08 < found[0] < 0.105 and found[1] < 0.005 and np.isnan(found[2])
    np.testing.assert_allclose(detail_kept(found[:1], found[:1]), 1)
    assert detail_kept(found[:1], found[1:2])[0] < 0.05


@pytest.mark.parametrize("change,failed", [
    ({}, ()), ({"pose_error": 0.5}, ("pose_error",)), ({"identity": 0.1}, ("identity",)),
    ({"color": 60.0}, ("color",)), ({"detail": 0.1}, ("detail",)), ({"detail": 9.0}, ("detail",)),
    ({"identity": np.nan, "detail": np.nan, "color": np.nan}, ()),
    ({"pose_error": 0.5, "detail": 0.1}, ("pose_error", "detail"))])
def test_failures(change, failed):
    assert failures(GOOD | change, Thresholds()) == failed


def test_thresholds_from_a_file(tmp_path):
    path = tmp_path / "t.toml"
    path.write_text("pose_error = 0.05\nshare = 1\n")
    assert read_thresholds(path) == dataclasses.replace(Thresholds(), pose_error=0.05, share=1)
    for text, message in (("pose = 1", "unknown name pose"), ("color = 'red'", "color: is red"),
                          ("color = ", "is no TOML"), ("share = true", "share: is True"),
                          ("share = -3", "0 to 1"), ("color = nan", "color: is nan"),
                          ("color = -5", "0 or more"),
                          ("detail = 5\ndetail_most = 1", "nothing could pass"),
                          ("color = " + "[" * 5000, "no TOML"), (f"color = {'9' * 400}", "huge"),
                          (f"color = {'9' * 5000}", "no TOML")):
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            read_thresholds(path)
    with pytest.raises(UserError, match="cannot be read"):
        read_thresholds(tmp_path / "none.toml")


def _found(passing: int, failing: int, refused: dict) -> Acceptance:
    picture = np.zeros((32, 16, 3), np.uint8)
    pose = np.ones((14, 3), np.float32)

    def result(i, failed):
        return Result(f"<photo {i}>", "pose", picture, picture, pose, GOOD, failed)

    return Acceptance([result(i, ()) for i in range(passing)]
                      + [result(i, ("color",)) for i in range(failing)],
                      Thresholds(share=0.5), refused, len(refused), {
                          "seed": 0, "model": {"name": "a model"}})


def test_refused_photos_count_as_failed():
    assert _found(2, 2, {}).accepted and not _found(2, 2, {"x.png": "is damaged"}).accepted
    assert _found(1, 1, {}).share == 0.5


def test_every_word_is_in_both_languages_with_the_same_holes():
    for key, text in table().items():
        assert set(text) == {"en", "ja"}, key
        assert len({frozenset(re.findall(r"{(\w+)}", text[lang])) for lang in text}) == 1, key
    text = page(_found(1, 1, {"x.png": "is damaged"}), MARKET14, "repose", "ja")
    assert '<html lang="ja">' in text and "<strong>不合格。</strong> 3 枚中 1 枚が合格（33%）" in text


def test_pairs_are_of_every_pose_and_never_of_a_photo_with_itself():
    assert pairs(2, 3, 2) == [(0, 0), (0, 1), (1, 2), (1, 0)]
    assert pairs(3, 0, 5) == [(0, 1), (0, 2), (1, 2), (1, 0), (2, 0), (2, 1)]
    assert pairs(1, 0, 3) == [] and pairs(1, 2, 9) == [(0, 0), (0, 1)]


def test_page_says_the_verdict_and_escapes_names():
    text = page(_found(3, 1, {"x.png": "x.png: is <damaged>"}), MARKET14, "repose")
    assert "<strong>Accepted.</strong> 3 of 5 pass, 60%" in text
    assert "<photo" not in text and "&lt;photo 0&gt;" in text and "is &lt;damaged&gt;" in text
    assert text.count('class="card bad"') == 1 and text.count('class="card"') == 3
    assert not re.search(r'(src|href)="(?!data:)', text)


@pytest.fixture(scope="module")
def material(market, tmp_path_factory):
    """A judge of the model's size, and three photos."""
    root = tmp_path_factory.mktemp("accept")
    config = EstimatorConfig(image_size=(32, 16), skeleton="market14", channels=(8, 8), groups=4)
    save_weights(root / "judge.safetensors", "estimator", config,
                 jax.jit(fresh_estimator(config))(jax.random.key(0)), {})
    (root / "photos").mkdir()
    rows = (market / "market-annotation-test.csv").read_text().splitlines()
    for row in rows[1:4]:
        name = row.split(":")[0]
        Image.open(market / "bounding_box_test" / name).save(root / "photos" / name)
        (root / "photos" / name).with_suffix(".csv").write_text(f"{rows[0]}\n{row}\n")
    return root


def test_the_command_judges_every_photo(market_model, material, tmp_path, capsys):
    (tmp_path / "t.toml").write_text(
        "pose_error = 9\ncolor = 999\ndetail = 0\ndetail_most = 999\nshare = 1\n")
    command = ["accept", "--images", str(material / "photos"), "--model", str(market_model),
               "--judge", str(material / "judge.safetensors"), "--identity", "",
               "--per-image", "1", "--output", str(tmp_path / "a.html"), "--thresholds",
               str(tmp_path / "t.toml")]
    assert main(command) == 0
    assert "accepted: 3 of 3 pass" in capsys.readouterr().out
    numbers = json.loads((tmp_path / "a.json").read_text())
    assert numbers["accepted"] and len(numbers["results"]) == 3
    assert {r["pose"] for r in numbers["results"]} == {r["source"] for r in numbers["results"]}
    assert all(r["source"] != r["pose"] for r in numbers["results"])
    assert numbers["results"][0]["identity"] is None
    assert set(CHECKS) <= set(numbers["results"][0])

    (tmp_path / "t.toml").write_text("pose_error = 0\n")
    assert main([*command, "--save", str(tmp_path / "made"), "--provenance.consent", "form 7"]) == 1
    assert "not accepted: 0 of 3 pass" in capsys.readouterr().out
    lines = read_manifest(tmp_path / "made" / "manifest.jsonl")
    assert len(lines) == 3 and set(lines) == {p.name for p in (tmp_path / "made").glob("*.png")}
    for name, line in lines.items():
        content = (tmp_path / "made" / name).read_bytes()
        assert line["sha256"] == hashlib.sha256(content).hexdigest() and b"generated by AI" in content
        assert line["source-sha256"] == file_hash(material / "photos" / line["source"])
        assert "pose_error" in line["failed"] and line["consent"] == "form 7"


def test_a_judge_is_found_that_had_no_part_in_the_pictures():
    judge = Judges.load(PoseTransfer.load("market1501"), "", "").poses
    assert judge.name == "judge-market1501"
    # It paints in no steps, so nothing guides it.
    people = PoseTransfer.load("people")
    assert Judges.load(people, "", "").poses.name == "estimator-people"
    people.sample = dataclasses.replace(people.sample, steps=2)
    with pytest.raises(UserError, match="no bundled one suits people"):
        Judges.load(people, "", "")


def test_poses_of_several_files_pictures_and_people(market_model, material, tmp_path, capsys):
    small = {"by": (32 / SIZE[0], 32 / SIZE[0])}

    def row(name, third):
        return coco(joints(COCO, third=third, **small), image_height=32, image_width=16) | {
            "image_id": name}

    (tmp_path / "t.toml").write_text("share = 0\n")
    (tmp_path / "photos").mkdir()
    photo = sorted((material / "photos").glob("*.jpg"))[0]
    for path in (photo, photo.with_suffix(".csv")):
        (tmp_path / "photos" / path.name).write_bytes(path.read_bytes())
    several = write(tmp_path / "p.json", [row("a.jpg", 0.9), row("b.jpg", 0.2), row("b.jpg", 0.25)])
    single = write(tmp_path / "p.csv", csv([("c.jpg", joints(COCO, **small))]))
    command = ["accept", "--images", str(tmp_path / "photos"), "--model", str(market_model),
               "--judge", str(material / "judge.safetensors"), "--identity", "",
               "--output", str(tmp_path / "a.html"), "--thresholds", str(tmp_path / "t.toml"),
               "--poses", str(several), str(single)]
    assert main(command) == 2  # all joints of both people in b.jpg are doubtful
    error = capsys.readouterr().err
    assert "b.jpg" in error and error.count("\n") == 1, error
    assert main([*command, "--min-confidence", "0.1"]) == 0
    results = json.loads((tmp_path / "a.json").read_text())["results"]
    assert [r["source"] for r in results] == [photo.name] * 3
    assert [r["pose"][:5] for r in results] == ["a.jpg", "b.jpg", "c.jpg"]
    # The joints of the file beside the photo have a confidence of 1 at most.
    assert main([*command, "--min-confidence", "1.5"]) == 2
    assert "p.json" in capsys.readouterr().err


def test_mistakes_are_one_line_and_code_2(market_model, material, tmp_path, capsys):
    def fails(word, *args):
        assert main(["accept", "--model", str(market_model), "--identity", "", *args]) == 2
        error = capsys.readouterr().err
        assert word in error and error.count("\n") == 1, error

    photos, page_ = str(material / "photos"), str(tmp_path / "a.html")
    fails("is not a folder", "--images", str(tmp_path / "none"), "--output", page_)
    fails(".html", "--images", photos, "--output", str(tmp_path / "a.txt"))
    fails("per-image", "--images", photos, "--output", page_, "--per-image", "0")
    fails("is for other pictures", "--images", photos, "--output", page_, "--judge",
          "judge-market1501")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no picture"):
        pictures_in(tmp_path / "empty")
    assert not (tmp_path / "a.html").exists()
