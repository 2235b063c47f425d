"""Human-Art's annotations and HumanSD's packing."""

import json
import pickle
import shutil
import zipfile

import numpy as np
import pytest
from human_art_folders import PICTURES, drawn, file_name, write_human_art, write_humansd

from repose_jax.cli import main
from repose_jax.data.check import check_dataset
from repose_jax.data.human_art.annotations import load_human_art, read_human_art
from repose_jax.data.human_art.packed import load_humansd, read_packed_poses
from repose_jax.data.registry import open_dataset
from repose_jax.errors import UserError


def assert_pictures(pictures, split, root):
    numbers = [i for i, (_, _, of) in enumerate(PICTURES) if of == split]
    assert len(pictures) == len(numbers)
    for picture, number in zip(pictures, numbers, strict=True):
        image, poses = drawn(number)
        assert picture.path == root / file_name(number) and picture.size == image.shape[:2]
        assert picture.scenario == PICTURES[number][0].split("/")[1]
        assert picture.description == f"picture {number}"
        assert picture.people.shape == (PICTURES[number][1], 17, 3)
        np.testing.assert_array_equal(picture.people, poses)


@pytest.mark.parametrize("prefix, only_21", [("HumanArt/", False), ("", True)])
def test_human_art(tmp_path, prefix, only_21):
    root = write_human_art(tmp_path / "HumanArt", prefix, only_21)
    assert_pictures(load_human_art(root), "training", root)
    assert_pictures(load_human_art(root, "test"), "validation", root)
    first = load_human_art(root)[0]
    np.testing.assert_array_equal(first.boxes, [[1, 2, 30, 40], [1, 2, 30, 41]])
    np.testing.assert_array_equal(first.areas, [100.5, 101.5])
    with pytest.raises(UserError, match="no Human-Art annotation for train.*humanart.json"):
        load_human_art(root, scenario="cartoon")
    with pytest.raises(UserError, match="is Human-Art, which has no two pictures"):
        open_dataset(root)


@pytest.mark.parametrize("names, prefix", [(("training", "validation"), "mapping_file_"),
                                           (("train", "validation"), "mapping_")])
def test_humansd(tmp_path, names, prefix):
    root = write_humansd(tmp_path / "HumanArt", names, prefix)
    pictures = load_humansd(root)
    assert_pictures(pictures, "training", root)
    assert_pictures(load_humansd(root, "test"), "validation", root)
    known = pictures[0].people[1][pictures[0].people[1][:, 2] > 0, :2]
    np.testing.assert_array_equal(pictures[0].boxes[1], [*known.min(0), *np.ptp(known, axis=0)])
    np.testing.assert_array_equal(pictures[0].areas, [500, 500])
    assert pictures[2].boxes.shape == (0, 4) and pictures[2].areas.shape == (0,)


def edit(root, change):
    path = root / "annotations" / "training_humanart.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("change, says", [
    (lambda c: c.pop("images"), "has no list of images"),
    (lambda c: c["annotations"][0].update(image_id=7), "a person of image 7"),
    (lambda c: c["annotations"][0].update(keypoints=[1, 2, 3]), 
     "no 17 or 21 joints .*annotation 0"),
    (lambda c: c["annotations"][0].pop("bbox"), "person without bbox and area in image 1000"),
    (lambda c: c["images"][1].pop("height"), "has image 1001 without height"),
    (lambda c: c["images"][1].update(file_name="x.jpg"), "names 1 of 3 pictures that are missing"),
])
def test_damaged_annotations(tmp_path, change, says):
    root = write_human_art(tmp_path / "HumanArt")
    edit(root, change)
    with pytest.raises(UserError, match=f"training_humanart.json: .*{says}") as caught:
        load_human_art(root)
    assert "\n" not in str(caught.value)


def test_pose_files_run_no_code(tmp_path):
    """A pose file is a pickle; one that calls a function is refused, not run."""
    class Evil:
        def __reduce__(self):
            return open, (str(tmp_path / "owned"), "w")

    content = np.empty(1, object)
    content[0] = Evil()
    np.savez(tmp_path / "evil.npz", content)
    with pytest.raises(UserError, match=r"evil.npz: cannot be read as a pose file.*open"):
        read_packed_poses(tmp_path / "evil.npz")
    assert not (tmp_path / "owned").exists()
    with zipfile.ZipFile(tmp_path / "text.npz", "w") as archive:
        archive.writestr("arr_0.npy", pickle.dumps([1]))
    for name, says in (("text.npz", "cannot be read"), ("none.npz", "does not exist")):
        with pytest.raises(UserError, match=says):
            read_packed_poses(tmp_path / name)


def test_check(tmp_path, capsys):
    root = write_human_art(tmp_path / "HumanArt")
    assert main(["data", "check", str(root)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    for line in (["train", "pictures", "3"], ["train", "people", "3"], ["test", "scenarios", "1"],
                 ["pictures", "of", "both", "splits", "4", "50,000"]):
        assert line in lines
    path = root / file_name(0)
    path.write_bytes(path.read_bytes()[:-200])
    (root / file_name(1)).unlink()
    edit(root, lambda c: c["annotations"][0]["keypoints"].__setitem__(slice(3), [900, 5, 2]))
    found = "\n".join(map(str, check_dataset(root).findings))
    for says in ("000000000000.jpg: cannot be read", "missing: 1 (", "outside of their picture: 1"):
        assert says in found, found
    assert main(["data", "check", str(root)]) == 1
    packed = write_humansd(tmp_path / "packed")
    report = check_dataset(packed)
    assert not report.findings and "HumanSD" in report.layout
    shutil.rmtree(packed / "pose")
    assert "npz: does not exist" in str(check_dataset(packed).findings[0])
    assert len(read_human_art(root / "annotations" / "training_humanart.json")) == 3
