"""`repose evaluate` on folders of pictures that any program made, and its reports."""

from __future__ import annotations

import csv
import json
import re
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from repose_jax.cli import main
from repose_jax.data.image.names import flattened, generated_name
from repose_jax.data.pairs.list import read_pair_list
from repose_jax.data.registry import open_dataset
from repose_jax.evaluation.metrics.picture_batch import at_size
from repose_jax.evaluation.protocols.pairs import PROTOCOLS
from repose_jax.evaluation.report.breakdown import breakdown, pose_change, shown_by_both
from repose_jax.evaluation.report.page import page
from repose_jax.evaluation.report.report import Report
from repose_jax.evaluation.report.score_table import ScoreTable
from repose_jax.evaluation.report.table import (
    deciding, latex, markdown, per_picture_csv)
from repose_jax.evaluation.statistics.bootstrap import Interval
from repose_jax.models.weights import save_weights
from repose_jax.networks.reid import ReidConfig, fresh_reid
from repose_jax.pose.formats import NamedPose, write_pose


def test_the_few_scores_that_decide_are_shown_first():
    some = Interval(0.5, 0.4, 0.6)
    conditions = {"pictures": 4, "people": 2, "level": 0.95}

    def report(*names):
        return [Report(name="model", scores=dict.fromkeys(names, some), conditions=conditions)]

    reports = report("psnr", "pose_error", "kid_reid", "inside_l1", "ssim_7")
    assert deciding(reports) == ["pose_error", "kid_reid", "inside_l1"]
    text = markdown(reports, deciding(reports))
    assert "pose error" in text and "PSNR" not in text and "PSNR" in markdown(reports)
    assert deciding(report("psnr", "l1")) == ["psnr", "l1"]  # better these than nothing


@pytest.fixture(scope="module")
def pairs(market):
    return [(pair.source, pair.target) for pair in read_pair_list(market / "market-pairs-test.csv")]


@pytest.fixture
def folder(market, pairs, tmp_path):
    """The real targets under the names of generated pictures: as good as can be."""
    made = tmp_path / "perfect"
    made.mkdir()
    for number, (source, target) in enumerate(pairs):
        picture = Image.open(market / "bounding_box_test" / target)
        end = ("_vis.png", ".png")[number % 2]  # JPEG would change it
        picture.save(made / f"{generated_name(source, target)}{end}")
    return made


@pytest.fixture(scope="module")
def reid(tmp_path_factory):
    config = ReidConfig(image_size=(32, 16), people=4, channels=(8, 8), blocks=1, parts=2,
                        embedding=8, groups=4)
    path = tmp_path_factory.mktemp("reid") / "r.safetensors"
    save_weights(path, "reid", config, jax.jit(fresh_reid(config))(jax.random.key(0)), {})
    return path


def evaluate(folder, market, output, *more):
    return main(["evaluate", "--images", str(folder), "--data", str(market), "--pairs",
                 str(market / "market-pairs-test.csv"), "--output", str(output), *more])


def test_the_real_targets_score_as_well_as_can_be(folder, market, reid, tmp_path, capsys):
    output = tmp_path / "report.json"
    assert evaluate(folder, market, output, "--identity", str(reid), "--sheet",
                    str(tmp_path / "sheet.png")) == 0
    report = json.loads(output.read_text())
    perfect, copy = report["reports"][0], report["reports"][1]
    assert perfect["name"] == "perfect" and copy["name"] == "copy of the source"
    assert perfect["conditions"]["pictures"] == 24 and perfect["conditions"]["people"] == 4
    scores = {name: score["value"] for name, score in perfect["scores"].items()}
    assert scores["l1"] == 0 and scores["gaussian_ssim"] == pytest.approx(1, abs=1e-6)
    assert scores["mask_gaussian_ssim"] == pytest.approx(1, abs=1e-6)
    assert scores["psnr"] is None and scores["ssim_51"] is None
    blurred = report["reports"][3]["scores"]["frechet_reid"]["value"]
    # Each test picture is a target twice: both sets have one mean and nearly one spread.
    assert scores["frechet_reid"] < 0.2 * blurred
    assert copy["scores"]["frechet_reid"]["value"] is None  # photos of the gallery itself
    real = next(r for r in report["reports"] if r["name"] == "real target")
    assert real["scores"]["found_first"] == perfect["scores"]["found_first"]
    left_out = " ".join(perfect["conditions"]["left_out"])
    assert "24 pictures identical" in left_out and "lpips-alex: absent" in left_out
    assert copy["scores"]["l1"]["value"] > 0.02
    text = capsys.readouterr().out
    assert "24 pictures of 4 people" in text

    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/jpeg;base64") >= 3
    assert not re.search(r'(src|href)="(?!data:)', page)  # nothing is fetched
    assert "perfect" in (tmp_path / "report.tex").read_text()
    rows = list(csv.DictReader((tmp_path / "report-pictures.csv").open()))
    assert len(rows) == 24 * len(report["reports"]) and rows[0]["made_by"] == "perfect"
    assert float(rows[0]["l1"]) == 0 and rows[0]["psnr"] == ""
    assert (tmp_path / "sheet.png").exists()


def test_two_folders_are_compared_picture_by_picture(folder, market, tmp_path):
    other = tmp_path / "darker"
    other.mkdir()
    for path in folder.iterdir():
        dark = np.asarray(Image.open(path)).astype(int) - 20
        Image.fromarray(dark.clip(0, 255).astype(np.uint8)).save(other / path.name)
    assert main(["evaluate", "--images", str(folder), str(other), "--data", str(market), "--pairs",
                 str(market / "market-pairs-test.csv"), "--no-baselines", "--output",
                 str(tmp_path / "o.json")]) == 0
    report = json.loads((tmp_path / "o.json").read_text())
    assert [r["name"] for r in report["reports"]] == ["perfect", "darker"]
    difference = report["differences"]["darker"]["l1"]
    # Where a channel is below 20 it darkens less.
    assert 15 / 255 < difference["low"] <= difference["value"] <= 20 / 255
    assert "psnr" not in report["differences"]["darker"]  # the first is infinitely good
    assert "Difference to perfect" in (tmp_path / "o.html").read_text()


def test_poses_beside_the_pictures_judge(folder, market, pairs, tmp_path, capsys):
    source = open_dataset(market, "test")
    index = {name: i for i, name in enumerate(source.names)}
    for path in sorted(folder.iterdir()):
        target = path.stem.removesuffix("_vis").split("_2_")[1] + ".jpg"
        pose = source.poses[index[target]].copy()
        if target == source.names[0]:
            continue  # nobody is found in it
        pose[:, 0] += 1.6  # 5 % of the height, to the right
        write_pose(path.with_suffix(".json"), NamedPose(
            pose=pose, name=path.stem, skeleton=source.skeleton, size=source.size))
    output = tmp_path / "o.json"
    assert evaluate(folder, market, output, "--judge", "beside", "--no-baselines") == 0
    scores = json.loads(output.read_text())["reports"][0]["scores"]
    assert scores["pose_error"]["value"] == pytest.approx(0.05, abs=1e-3)
    assert scores["pck_10"]["value"] == pytest.approx(22 / 24)  # those without a pose are missed
    assert evaluate(folder, market, output, "--judge", "beside") == 2
    assert "--no-baselines" in capsys.readouterr().err
    # Our own format has left out what it doubts: whatever it holds counts, unless a limit is given.
    least = ("--judge", "beside", "--no-baselines", "--min-confidence", "1.01")
    assert evaluate(folder, market, output, *least) == 0
    scores = json.loads(output.read_text())["reports"][0]["scores"]
    assert scores["pck_10"]["value"] == 0
    assert evaluate(folder, market, output, "--min-confidence", "0.5") == 2
    assert "--judge beside" in capsys.readouterr().err


@pytest.mark.slow
def test_a_models_pictures_are_saved_as_they_are_read(market, market_model, tmp_path):
    common = ["--data", str(market), "--pairs", "24", "--no-baselines"]
    assert main(["evaluate", "--model", str(market_model), "--steps", "2", "--save",
                 str(tmp_path / "made"), "--output", str(tmp_path / "a.json"), *common]) == 0
    assert main(["evaluate", "--images", str(tmp_path / "made"), "--output",
                 str(tmp_path / "b.json"), *common]) == 0
    first, again = (json.loads((tmp_path / name).read_text())["reports"][0]["scores"]
                    for name in ("a.json", "b.json"))
    assert first == again
    assert "generated by AI" in Image.open(next((tmp_path / "made").glob("*.png"))).text["Comment"]


def test_scores_do_not_depend_on_the_order_of_the_pairs(folder, market, pairs, tmp_path):
    for path in folder.iterdir():  # something worth scoring
        noisy = np.asarray(Image.open(path)) // 2 + 40
        Image.fromarray(noisy.astype(np.uint8)).save(path)
    mixed = tmp_path / "mixed.csv"
    order = np.random.default_rng(0).permutation(len(pairs))
    mixed.write_text("\n".join(["from,to", *(",".join(pairs[i]) for i in order)]) + "\n")
    found = []
    for name in (market / "market-pairs-test.csv", mixed):
        output = tmp_path / f"{len(found)}.json"
        assert main(["evaluate", "--images", str(folder), "--data", str(market), "--pairs",
                     str(name), "--output", str(output), "--no-baselines"]) == 0
        found.append(json.loads(output.read_text())["reports"][0]["scores"])
    for name, score in found[0].items():
        if score["value"] is not None:
            assert found[1][name]["value"] == pytest.approx(score["value"], rel=1e-5), name


def test_wrong_folders_are_one_line_and_code_2(folder, market, tmp_path, capsys):
    def fails(word, *args):
        assert evaluate(*args) == 2
        error = capsys.readouterr().err
        assert word in error and error.count("\n") == 1, error
        assert not (tmp_path / "o.json").exists()

    output = tmp_path / "o.json"
    victim = sorted(folder.iterdir())[0]
    aside = tmp_path / victim.name
    shutil.move(victim, aside)
    fails(f"lacks 1 of 24 pictures, the first {victim.stem.removesuffix('_vis')}.png",
          folder, market, output)
    shutil.copy(aside, victim)
    shutil.copy(aside, folder / "stranger.png")
    fails("holds 1 pictures of no pair, the first stranger.png", folder, market, output)
    (folder / "stranger.png").unlink()
    plain = victim.stem.removesuffix("_vis")
    twin = folder / (f"{plain}.png" if victim.stem != plain else f"{plain}_vis.png")
    shutil.copy(aside, twin)
    fails("has the name of", folder, market, output)
    twin.unlink()
    victim.write_bytes(victim.read_bytes()[:50])
    fails(victim.name, folder, market, output)
    fails("is not a folder", tmp_path / "nowhere", market, output)
    fails("JSON", folder, market, tmp_path / "o.txt")
    assert main(["evaluate", "--data", str(market), "--output", str(output)]) == 2
    assert "--model NAME or --images FOLDER" in capsys.readouterr().err
    fails("is not a protocol", folder, market, output, "--protocol", "mine")
    fails("not in the layout of deepfashion", folder, market, output, "--protocol",
          "deepfashion-256-cfld")


def test_a_pair_that_the_data_lacks(folder, market, tmp_path, capsys):
    (tmp_path / "p.csv").write_text("from,to\nnobody.jpg,nobody2.jpg\n")
    assert main(["evaluate", "--images", str(folder), "--data", str(market), "--pairs",
                 str(tmp_path / "p.csv"), "--output", str(tmp_path / "o.json")]) == 2
    assert "line 2 names nobody.jpg" in capsys.readouterr().err


@pytest.mark.parametrize("name,stem", [
    ("img/WOMEN/Blouses_Shirts/id_00000693/02_3_back.jpg",
     "fashionWOMENBlouses_Shirtsid0000069302_3back"),
    ("WOMEN/Tees_Tanks/id_00000001/01_1_front.png", "fashionWOMENTees_Tanksid0000000101_1front"),
    ("fashionWOMENBlouses_Shirtsid0000069302_3back.jpg",
     "fashionWOMENBlouses_Shirtsid0000069302_3back"),
    ("0001_c1s1_001051_03.jpg", "0001_c1s1_001051_03"), ("a.b_c", "a.b_c")])
def test_flattened_names(name, stem):
    assert flattened(name) == stem


def test_lists_of_both_lineages(tmp_path):
    (tmp_path / "pairs.csv").write_text("from,to\na.jpg,b.jpg\n\nc.jpg,d.jpg\n")
    (tmp_path / "pairs.txt").write_text("b.jpg,a.jpg,e.jpg\n")
    assert [p[1:] for p in read_pair_list(tmp_path / "pairs.csv")] == [
        ("a.jpg", "b.jpg"), ("c.jpg", "d.jpg")]
    assert [p[1:] for p in read_pair_list(tmp_path / "pairs.txt")] == [
        ("a.jpg", "b.jpg"), ("e.jpg", "b.jpg")]


def test_bilinear_resizing_is_that_of_pixel_centres():
    ramp = np.tile(np.arange(0, 200, 10, dtype=np.uint8)[None, :, None], (8, 1, 3))[None]
    small = at_size(ramp, (8, 10))
    # Halfway between two pixels without antialiasing: their mean.
    np.testing.assert_array_equal(small[0, 0, :, 0], np.arange(5, 200, 20))
    assert at_size(ramp, None) is ramp


def test_every_protocol_can_be_chosen():
    for name, rules in PROTOCOLS.items():
        assert rules.name == name and rules.pairs > 0 and rules.references > 0
        assert max(rules.windows) <= min(rules.size) and rules.source


class TestBreakdown:
    def test_pose_change_does_not_see_a_shift(self):
        pose = np.random.default_rng(0).random((3, 14, 3)) * 50
        pose[..., 2] = 1
        moved = pose + np.array([5, -3, 0])
        np.testing.assert_allclose(pose_change(pose, moved, 100), 0, atol=1e-12)
        moved[0, :7, 0] += 10  # half of the joints: each is 5 away from where the mean moved
        np.testing.assert_allclose(pose_change(pose, moved, 100)[0], 0.05)
        moved[1, :, 2] = 0
        assert np.isnan(pose_change(pose, moved, 100)[1])
        pose[2, :7, 2] = 0
        np.testing.assert_allclose(shown_by_both(pose, moved)[2], 0.5)

    def test_thirds(self):
        source = np.ones((9, 2, 3))
        target = source.copy()
        target[:, 0, 0] += np.arange(9)
        table = ScoreTable("x", {"l1": np.arange(9.0)})
        groups = [g for g in breakdown(table, np.arange(9), source, target, 100, ["l1"])
                  if g.by == "pose change"]
        assert [g.name for g in groups] == ["least", "middle", "most"]
        assert [g.scores["l1"].value for g in groups] == [1.0, 4.0, 7.0]


class TestTables:
    def report(self, name, value):
        return Report(name=name, scores={"l1": Interval(value, 0.0, 1.0),
                                         "torso_correlation_real": Interval(0.5, 0.4, 0.6)},
                      conditions={"pictures": 3, "people": 2, "level": 0.95})

    def test_latex_marks_the_best(self):
        text = latex([self.report("a_b & c", 0.25), self.report("d", 0.125)])
        assert r"\textbf{0.1250}" in text and r"\textbf{0.2500}" not in text
        assert r"a\_b \& c" in text and r"\downarrow" in text
        assert r"\textbf{0.5" not in text  # the same for all: nothing to be best at

    def test_csv_has_a_row_for_each_picture(self):
        table = ScoreTable("m,n", {"l1": np.array([0.5, np.nan])})
        rows = list(csv.reader(per_picture_csv([table], [("a", "b"), ("c", "d")],
                                               ["p", "q"]).decode().splitlines()))
        assert rows == [["made_by", "source", "target", "person", "l1"],
                        ["m,n", "a", "b", "p", "0.5"], ["m,n", "c", "d", "q", ""]]

    def test_the_ceiling_is_not_the_best(self):
        ceiling = self.report("real", 0.0)
        ceiling.conditions["ceiling"] = True
        reports = [self.report("a", 0.25), self.report("b", 0.5), ceiling]
        text = latex(reports)
        assert r"\textbf{0.2500}" in text and r"\textbf{0.0000}" not in text
        assert page("t", "c", reports).count('class="best"') == 1
