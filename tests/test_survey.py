"""Folders that users really have: who is who, what is counted, and that nothing hides the rest."""

import pathlib
import tempfile
import unicodedata

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import Image

from pose_files import FRACTIONS, OPENPOSE, csv, joints
from repose_jax.common.errors import UserError
from repose_jax.data.check import check_dataset
from repose_jax.data.image.names import generated_pictures
from repose_jax.data.market1501.layout import load_market1501
from repose_jax.data.market1501.names import DISTRACTORS, person_of
from repose_jax.data.pairs.cameras import camera_of, cameras_of
from repose_jax.data.registry import open_dataset

POINTS = joints(OPENPOSE, by=(0.125, 0.125))  # of pictures of 32x16


def plain(folder, rows, pictures=None, size=(32, 16)):
    """Pictures and an annotation of them side by side."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate([name for name, _ in rows] if pictures is None else pictures):
        Image.fromarray(np.full((*size, 3), i, np.uint8)).save(folder / name)
    (folder / "poses.csv").write_text(csv(rows), encoding="utf-8")
    return folder


def counted(report, split="train"):
    return {c.what.removeprefix(f"{split} "): c.found for c in report.counts
            if c.what.startswith(split)}


def held(source):
    return {"poses": len(source), "people": len(set(source.persons)), "pairs": len(source.pairs)}


class TestNames:
    @pytest.mark.parametrize("name, person, camera", [
        ("0002_c1s1_000451_03.jpg", "0002", 1), ("0002_c12s1_000451.jpg", "0002", 12),
        ("0002_c06_f004.jpg", "0002", 6), ("anna_1.jpg", "anna", 0), ("-1_c3s1_1.jpg", "-1", 3),
        ("person_001_002.jpg", "person_001", 0), ("Subject_7_c2s1.png", "Subject_7", 2),
        ("person_12.jpg", "person", 0), ("0000_000_01_0303morning_0015_0.jpg", "0000", 1),
        ("0001_001_14_0303noon_0020_1.jpg", "0001", 14), ("0001_001_14_0303.jpg", "0001", 0),
        ("0012_031_05_0113afternoon_0020_1_ex.jpg", "0012", 5), ("0001_001_14_cat.jpg", "0001", 0),
        ("c1_c2s3.jpg", "c1", 2), ("alone.jpg", "alone.jpg", 0), ("a_cat.jpg", "a", 0)])
    def test_person_and_camera(self, name, person, camera):
        assert (person_of(name), camera_of(name)) == (person, camera)

    def test_cameras_need_all_names(self):
        assert cameras_of(["1_c10s1", "1_c2"]) == [10, 2] and cameras_of(["1_c1", "1_x"]) is None

    def test_0000_is_somebody_in_a_plain_folder(self, tmp_path):
        names = [f"{p}_00{i}_0{i}_0303.jpg" for p in ("0000", "0001") for i in (1, 2)]
        folder = plain(tmp_path / "a", [(n, POINTS) for n in names])
        assert held(open_dataset(folder)) == {"poses": 4, "people": 2, "pairs": 4}
        assert counted(check_dataset(folder)) == {"pictures": 4, "poses": 4, "people": 2, "pairs": 4}

    @pytest.mark.parametrize("names", [
        [f"IMG_{i:04}.jpg" for i in range(4)], ["person_001.jpg", "person_002.jpg"]])
    def test_one_person_only_is_found(self, tmp_path, names):
        report = check_dataset(plain(tmp_path / "a", [(n, POINTS) for n in names]))
        assert report.hurts and "one person only" in str(report.findings[-1])

    def test_letters_with_accents(self, tmp_path):
        on_disk = [unicodedata.normalize("NFD", f"zoë_{i}.jpg") for i in (1, 2)]
        rows = [(unicodedata.normalize("NFC", name), POINTS) for name in on_disk]
        folder = plain(tmp_path / "a", rows, on_disk)
        source = open_dataset(folder)
        assert len(source.pairs) == 2 and source.image(1).shape == (32, 16, 3)
        assert not [f for f in check_dataset(folder).findings if f.hurts and "one person" not in f.what]


def test_generated_pictures_of_letters_with_accents(tmp_path):
    """A list in one normal form, files in the other."""
    for name in ("zoe\u0308_1_2_zoe\u0308_2.png", "b_1_2_b_2.png"):
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / name)
    found = generated_pictures(tmp_path, [("zo\u00eb_1.jpg", "zo\u00eb_2.jpg"), ("b_1.jpg", "b_2.jpg")])
    assert [path.name[0] for path in found] == ["z", "b"]


def test_fractions_take_each_pictures_size(tmp_path):
    folder = plain(tmp_path / "a", [(f"p_{i}.png", joints(OPENPOSE, by=FRACTIONS)) for i in (1, 2)])
    np.testing.assert_allclose(open_dataset(folder).poses[0], POINTS, atol=1e-4)


def test_zeros_are_missing_and_found(tmp_path):
    points = POINTS.copy()
    points[[0, 1, 2], :2] = 0
    folder = plain(tmp_path / "a", [(f"p_{i}.png", points) for i in (1, 2)])
    source = open_dataset(folder)
    assert not source.poses[:, :3].any() and "0, 0" in source.notes[0]
    assert any("0, 0 taken to be missing: 2" in str(f) for f in check_dataset(folder).findings)


def test_a_finding_ends_no_search(tmp_path):
    """A broken row and a cut picture in one split, a picture too few in the other: all in one run."""
    for split in ("train", "test"):
        names = [f"000{p}_c{c}s1_{split}.jpg" for p in (1, 2, 3) for c in (1, 2)]
        folder = plain(tmp_path / f"bounding_box_{split}", [(n, POINTS) for n in names])
        (folder / "poses.csv").rename(tmp_path / f"market-annotation-{split}.csv")
    annotation = tmp_path / "market-annotation-test.csv"
    lines = annotation.read_text().splitlines()
    lines[2] = lines[2].split(":")[0] + ":[1, 2]:[x]"
    annotation.write_text("\n".join(lines))
    cut = tmp_path / "bounding_box_test" / "0003_c1s1_test.jpg"
    cut.write_bytes(cut.read_bytes()[:-100])
    (tmp_path / "bounding_box_train" / "0001_c1s1_train.jpg").unlink()
    report = check_dataset(tmp_path)
    said = "\n".join(map(str, report.findings))
    assert "broken rows: 1 (line 3 (0001_c2s1_test.jpg)" in said
    assert f"{cut}: cannot be read" in said and "without picture: 1 (0001_c1s1_train.jpg)" in said
    assert counted(report, "test") == {"pictures": 6, "poses": 4, "people": 3, "pairs": 2}
    assert counted(report) == {"pictures": 5, "poses": 5, "people": 3, "pairs": 4}
    annotation.write_text("nothing that is a table")
    report = check_dataset(tmp_path)
    assert "fewer than three" in "\n".join(map(str, report.findings))
    assert f"{cut}: cannot be read" in "\n".join(map(str, report.findings))
    assert counted(report, "test") == {"pictures": 6}


FAULTS = ("fine", "fine", "fine", "no picture", "no row", "broken row", "twice", "few joints", "cut")


@st.composite
def folders(draw):
    """Pictures and what is wrong with each; names of several manners."""
    manner = draw(st.sampled_from(["{p}_{i}.png", "000{p}_c{i}s1_01.png", "person_{p}_{i}.png",
                                   "-{p}_{i}.png", "000{p}_{i}.png", "Zo\u00eb{p}_{i}.png"]))
    return [(manner.format(p=p, i=i), draw(st.sampled_from(FAULTS)))
            for p in range(draw(st.integers(1, 4))) for i in range(1, draw(st.integers(2, 4)))]


def make(folder, rows, market):
    where = folder / "bounding_box_train" if market else folder
    few = POINTS * 0
    few[:2] = POINTS[:2]
    plain(where, [], [name for name, fault in rows if fault != "no picture"])
    lines = csv([(name, few if fault == "few joints" else POINTS)
                 for name, fault in rows if fault != "no row"]).splitlines()
    for name, fault in rows:
        row = next((i for i, line in enumerate(lines) if line.startswith(f"{name}:")), None)
        if fault == "broken row":
            lines[row] = f"{name}:[1]:[2, 3]"
        elif fault == "twice":
            lines.append(lines[row])
        elif fault == "cut":
            (where / name).write_bytes((where / name).read_bytes()[:40])
    (where / "poses.csv").unlink()
    path = folder / "market-annotation-train.csv" if market else where / "poses.csv"
    path.write_text("\n".join(lines), encoding="utf-8")


def check_promises(rows, market):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        make(folder, rows, market)
        report = check_dataset(folder)
        promised = {what: n for what, n in counted(report).items() if what != "pictures"}
        damage = {fault for _, fault in rows} - {"fine", "few joints", "no row"}
        # Of people without a name training reads no picture.
        read = damage & {fault for name, fault in rows
                         if fault != "cut" or name.split("_")[0] not in DISTRACTORS}
        try:
            source = open_dataset(folder)
            opened = held(source)
            for i in range(len(source)):
                source.image(i)
        except UserError:
            if not damage:
                assert not promised.get("pairs"), (promised, report.findings)
        else:
            assert not read and opened == promised, (opened, promised)
        if damage:
            assert report.hurts
        if market and promised.get("pairs"):
            assert held(load_market1501(folder, skip_broken=True)) == promised


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(folders(), st.booleans())
def test_check_promises_what_training_holds(rows, market):
    check_promises(rows, market)


@pytest.mark.slow
@settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
@given(folders(), st.booleans())
def test_check_promises_what_training_holds_at_length(rows, market):
    check_promises(rows, market)


def test_counts_are_of_what_is_kept(tmp_path):
    """A row whose picture is cut counts in no table."""
    rows = [("a_1.png", "fine"), ("a_2.png", "cut"), ("b_1.png", "fine"), ("b_2.png", "fine")]
    make(tmp_path, rows, market=False)
    assert counted(check_dataset(tmp_path)) == {"pictures": 4, "poses": 3, "people": 2, "pairs": 2}
