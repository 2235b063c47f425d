"""`repose evaluate --protocol human-art` on a miniature of Human-Art, against pycocotools."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from repose_jax.cli import main
from repose_jax.common.events import silent
from repose_jax.data.human_art.annotations import load_human_art
from repose_jax.data.people.renderer import render_person
from repose_jax.evaluation.evaluators import human_art
from repose_jax.evaluation.evaluators.human_art import HumanArtEvaluation, placed
from repose_jax.evaluation.metrics.features import feature_network
from repose_jax.evaluation.metrics.frechet import frechet_distance
from repose_jax.evaluation.protocols.human_art import HUMAN_ART
from repose_jax.evaluation.statistics.gaussian import moments

SIZE = (64, 40)
# Scenario, stem, people. A stem that two scenarios share is told apart by the folder.
PICTURES = (("cartoon", 7, 2), ("dance", 7, 1), ("dance", 8, 1), ("relief", 9, 0),
            ("relief", 10, 3), ("dance", 11, 1))
AREA = 1500.0  # medium to COCO


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "HumanArt"
    (root / "annotations").mkdir(parents=True)
    images, rows = [], []
    for number, (scenario, stem, people) in enumerate(PICTURES):
        renders = [render_person(3, number, view, SIZE) for view in range(max(1, people))]
        picture = np.concatenate([render.image for render in renders], 1)
        file = f"images/{scenario}/{stem:012d}.jpg"
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(root / file)
        images.append({"file_name": file, "height": SIZE[0], "width": picture.shape[1],
                       "id": 1000 + number, "description": "", "category": scenario})
        for person in range(people):
            pose = np.round(renders[person].annotated("coco17"))
            pose[:, 0] += SIZE[1] * person * (pose[:, 2] > 0)
            pose[:, 2] *= 2
            rows.append({"keypoints": pose.astype(int).ravel().tolist(), "iscrowd": 0,
                         "image_id": 1000 + number, "area": AREA, "category_id": 1,
                         "num_keypoints": int((pose[:, 2] > 0).sum()), "id": len(rows) + 1,
                         "bbox": [float(SIZE[1] * person), 0.0, SIZE[1], SIZE[0]]})
    content = {"info": {}, "images": images, "annotations": rows,
               "categories": [{"id": 1, "name": "person"}]}
    (root / "annotations" / "validation_humanart.json").write_text(json.dumps(content))
    return root


@pytest.fixture
def made(root, tmp_path):
    """The real pictures as if they were generated: some by stem, the others with their folder."""
    folder = tmp_path / "made"
    for scenario, stem, _ in PICTURES:
        place = folder / scenario if stem == 7 else folder
        place.mkdir(parents=True, exist_ok=True)
        source = root / "images" / scenario / f"{stem:012d}.jpg"
        Image.open(source).save(place / f"{stem:012d}.png")
    return folder


def truth(root):
    return json.loads((root / "annotations" / "validation_humanart.json").read_text())


def found_people(root, noise=0.0, seed=0):
    """The annotated people as a detector gives them; with noise also moved, missed and doubled."""
    rng = np.random.default_rng(seed)
    rows = []
    for row in truth(root)["annotations"]:
        for _ in range(rng.integers(0, 3) if noise else 1):
            pose = np.array(row["keypoints"], np.float64).reshape(17, 3)
            pose[:, :2] += noise * rng.standard_normal((17, 2))
            pose[:, 2] = 0.9
            rows.append({"image_id": row["image_id"], "category_id": 1,
                         "keypoints": pose.ravel().tolist(), "score": rng.random()})
    return rows


def evaluate(root, made, rows, tmp_path, *more):
    file = tmp_path / "results.json"
    file.write_text(rows if isinstance(rows, str) else json.dumps(rows))
    code = main(["evaluate", "--protocol", "human-art", "--images", str(made), "--data", str(root),
                 "--detections", str(file), "--output", str(tmp_path / "report.json"), *more])
    return code, (json.loads((tmp_path / "report.json").read_text())
                  if (tmp_path / "report.json").exists() else None)


def values(report):
    return {name: score["value"] for name, score in report["reports"][0]["scores"].items()}


def test_perfect_poses(root, made, tmp_path, capsys):
    code, report = evaluate(root, made, found_people(root), tmp_path)
    assert code == 0
    scores = report["reports"][0]["scores"]
    assert list(scores) == ["ap", "ap_medium", "ar", "cap", "cap_as_scripted", "pce"]
    for name in ("ap", "ap_medium", "ar", "cap"):
        assert scores[name] == {"value": pytest.approx(1), "low": pytest.approx(1),
                                "high": pytest.approx(1)}
    assert scores["pce"] == {"value": 0, "low": 0, "high": 0}
    assert 0 < scores["cap_as_scripted"]["value"] < 1  # what it compares is not the pose
    conditions = report["reports"][0]["conditions"]
    assert (conditions["pictures"], conditions["people"]) == (6, 8)
    assert conditions["detections"]["pictures_without"] == 1
    left_out = " ".join(conditions["left_out"])
    for name in ("frechet: absent", "kid: absent", "clipsim: absent"):
        assert name in left_out
    assert report["protocol"]["frechet_tap"] == "64"
    assert report["scenarios"]["dance"] == {"pictures": 3, "ap": pytest.approx(1),
                                            "cap": pytest.approx(1), "pce": 0}
    text = capsys.readouterr().out
    assert "6 pictures of 8 people" in text and "interval over pictures" in text
    table = (tmp_path / "report.md").read_text()
    assert "| cartoon | 1 | 1.000 | 1.000 | 0.000 |" in table and table.strip() in text
    assert "| relief | 2 |" in table
    assert r"AP $\uparrow$" in (tmp_path / "report.tex").read_text()
    page = (tmp_path / "report.html").read_text()
    assert "CAP" in page and not re.search(r'(src|href)="(?!data:)', page)


def test_nobody_found(root, made, tmp_path):
    code, report = evaluate(root, made, [], tmp_path)
    assert code == 0
    scores = values(report)
    assert scores.pop("pce") == pytest.approx(8 / 6)
    assert set(scores.values()) == {0}


@pytest.mark.parametrize("seed", range(2))
def test_ap_is_that_of_pycocotools(root, made, tmp_path, seed):
    coco, evaluation = (pytest.importorskip(f"pycocotools.{name}") for name in ("coco", "cocoeval"))
    rows = found_people(root, noise=2.5, seed=seed)
    _, report = evaluate(root, made, rows, tmp_path)
    annotated = coco.COCO(str(root / "annotations" / "validation_humanart.json"))
    run = evaluation.COCOeval(annotated, annotated.loadRes(rows), "keypoints")
    run.evaluate()
    run.accumulate()
    run.summarize()
    scores = values(report)
    assert 0.05 < scores["ap"] < 0.95
    np.testing.assert_allclose([scores[name] for name in ("ap", "ap_medium", "ar")],
                               run.stats[[0, 3, 5]], atol=1e-9)
    interval = report["reports"][0]["scores"]["ap"]
    assert interval["low"] <= interval["value"] <= interval["high"]


def test_pictures_of_another_size_are_scaled_or_cut(root, made, tmp_path):
    """Twice the size is the same; a square shows the centre, and who is not in it is not missed."""
    rows = found_people(root)
    for row in rows:
        pose = np.array(row["keypoints"]).reshape(17, 3)
        pose[:, :2] *= 2
        row["keypoints"] = pose.tolist()  # nested, as some detectors write it
    for path in made.rglob("*.png"):
        picture = Image.open(path)
        picture.resize((2 * picture.width, 2 * picture.height)).save(path)
    assert values(evaluate(root, made, rows, tmp_path)[1])["ap"] == pytest.approx(1)

    three = load_human_art(root, "test")[4]
    assert three.size == (64, 120)
    people = placed(three, (128, 128))  # scaled by 2, of 240 columns 56 are cut on each side
    np.testing.assert_allclose(people.areas, 4 * AREA)
    np.testing.assert_allclose(people.boxes[1], [24, 0, 80, 128])
    known = three.people[..., 2] > 0
    x = 2 * three.people[..., 0] - 56
    np.testing.assert_array_equal(people.visible, known & (x >= 0) & (x < 128))
    np.testing.assert_allclose(people.poses[..., 0][known], x[known])
    assert people.visible[1].sum() > 5 and people.visible.any(1).tolist()[1]
    assert known[0].sum() > people.visible[0].sum()


def test_sets_are_compared_where_there_are_weights(root, made, tmp_path, monkeypatch):
    seen = []

    def apply(weights, pictures):
        seen.append(pictures.shape)
        return pictures.astype(jnp.float32).mean((1, 2)) @ weights / 255

    rules = {name: feature_network(f"toy-{name}", apply, np.eye(3, dtype=np.float32), "")
             for name in ("frechet", "kid")}
    monkeypatch.setattr("repose_jax.evaluation.evaluators.human_art.human_art_networks",
                        lambda protocol, folder: (rules, ()))
    dark = made / f"{9:012d}.png"
    Image.fromarray(np.asarray(Image.open(dark)) // 2).save(dark)
    (tmp_path / "results.json").write_text(json.dumps(found_people(root)))
    found = HumanArtEvaluation.of(made, root, tmp_path / "results.json", weights=tmp_path)
    assert {shape[1:] for shape in seen} == {(HUMAN_ART.side, HUMAN_ART.side, 3)}
    assert found.report.scores["frechet_toy-frechet"].value > 1e-4
    assert not any(name.startswith("kid") for name in found.report.scores)
    assert "6 pictures do not fill subsets of 1000" in found.report.conditions["left_out"][0]

    # The real side: shorter side to 299, the centre of it.
    def centre(path):
        picture = Image.open(path).convert("RGB")
        short = min(picture.size)
        picture = picture.resize([299 * side // short for side in picture.size],
                                 Image.Resampling.BILINEAR)
        left, top = ((side - 299) // 2 for side in picture.size)
        return np.asarray(picture)[top:top + 299, left:left + 299].mean((0, 1)) / 255

    def whole(path):
        return np.asarray(Image.open(path).convert("RGB")).mean((0, 1)) / 255

    files = [(root / "images" / scenario / f"{stem:012d}.jpg",
              made / (scenario if stem == 7 else ".") / f"{stem:012d}.png")
             for scenario, stem, _ in PICTURES]
    expected = frechet_distance(
        moments(np.array([centre(real) for real, _ in files])).gaussian(),
        moments(np.array([whole(fake) for _, fake in files])).gaussian())
    assert found.report.scores["frechet_toy-frechet"].value == pytest.approx(expected, rel=0.05)


def test_sets_large_enough_have_a_kernel_distance(root, made):
    network = feature_network("toy", lambda weights, pictures: pictures.astype(jnp.float32).mean(
        (1, 2)) @ weights / 255, np.eye(3, dtype=np.float32), "")
    generated = sorted(made.rglob("*.png"))
    assert len(generated) >= 4
    rules = dataclasses.replace(HUMAN_ART, kernel_subsets=2, kernel_subset_size=len(generated))
    scores, left_out = human_art._distances(
        rules, {"kid": network}, generated, generated, 0, silent)
    # Subsets of the whole: one set against itself, cropped on the one side and whole on the other.
    assert not left_out and abs(scores["kid_toy"].value) < 0.1
    black = made.parent / "black.png"
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(black)
    further, _ = human_art._distances(
        rules, {"kid": network}, generated, [black] * len(generated), 0, silent)
    assert further["kid_toy"].value > scores["kid_toy"].value + 0.1


def test_pictures_that_do_not_belong_are_named(root, made, tmp_path, capsys):
    def fails(word):
        assert evaluate(root, made, [], tmp_path) == (2, None)
        error = capsys.readouterr().err
        assert word in error and error.count("\n") == 1, error

    shutil.copy(made / f"{8:012d}.png", made / "stranger.png")
    fails("holds 1 pictures of no annotation, the first stranger.png")
    (made / "stranger.png").unlink()
    shutil.copy(made / f"{8:012d}.png", made / f"{8:012d}.jpg")
    fails("has the name of")
    (made / f"{8:012d}.jpg").unlink()
    # A stem that two pictures share does not say which is meant.
    shutil.move(made / "dance" / f"{7:012d}.png", made / f"{7:012d}.png")
    fails(f"lacks 1 of 6 pictures, the first dance/{7:012d}.png")
    shutil.move(made / f"{7:012d}.png", made / "dance" / f"{7:012d}.png")
    (made / f"{9:012d}.png").write_bytes(b"no picture")
    fails("is not a picture")


@pytest.mark.parametrize("rows, says", [
    ("{", "is not valid JSON"), ({"a": 1}, "is not a list"),
    ([{"image_id": 1000, "category_id": 1, "score": 1}], "entry 0 lacks"),
    ([{"image_id": 5, "category_id": 1, "score": 1, "keypoints": [0] * 51}],
     "1 people of pictures that the annotations lack, the first of image_id 5"),
    ([{"image_id": 1000, "category_id": 2, "score": 1, "keypoints": [0] * 51}], "category 2"),
    ([{"image_id": 1000, "category_id": 1, "score": 1, "keypoints": [0] * 54}], "no 17 joints"),
    ([{"image_id": 1000, "category_id": 1, "score": None, "keypoints": [0] * 51}], "no 17 joints"),
    ('[{"image_id": 1000, "category_id": 1, "score": NaN, "keypoints": [' + "0," * 50 + "0]}]",
     "all finite")])
def test_detections_that_cannot_be_used_are_named(root, made, tmp_path, capsys, rows, says):
    assert evaluate(root, made, rows, tmp_path) == (2, None)
    error = capsys.readouterr().err
    assert f"{tmp_path / 'results.json'}: " in error and says in error and error.count("\n") == 1


def test_options_that_do_not_go_together(root, made, tmp_path, capsys):
    assert evaluate(root, made, [], tmp_path, "--judge", "judge-market1501") == (2, None)
    assert "--judge: has no meaning" in capsys.readouterr().err
    start = ["evaluate", "--images", str(made), "--data", str(root), "--output",
             str(tmp_path / "o.json")]
    assert main([*start, "--protocol", "human-art"]) == 2
    assert "needs --detections" in capsys.readouterr().err
    assert main([*start, "--detections", "x.json"]) == 2
    assert "is only for --protocol human-art" in capsys.readouterr().err
    assert evaluate(root, made, [], tmp_path, "--data", str(tmp_path)) == (2, None)
    assert "has no Human-Art annotation for test" in capsys.readouterr().err
