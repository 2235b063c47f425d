"""Human-Art's annotations and HumanSD's packing."""

import json
import pickle
import shutil
import zipfile

import numpy as np
import pytest

from human_art_folders import PICTURES, drawn, file_name, write_human_art, write_humansd
from repose_jax.cli import main
from repose_jax.common.errors import UserError
from repose_jax.data.check import check_dataset
from repose_jax.data.human_art.annotations import load_human_art, read_human_art
from repose_jax.data.human_art.packed import load_humansd, read_packed_poses
from repose_jax.data.registry import open_dataset


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
    (lambda c: c["images"][1].update(height=None), "image 1001 of height None and width"),
    (lambda c: c["images"][1].update(width=1e300), "image 1001 of height .* and width 1e"),
    (lambda c: c["images"][1].update(id=[1]), r"has an image whose id is \[1\]"),
    (lambda c: c["images"].append(c["images"][0]), "has image 1000 2 times"),
    (lambda c: c["annotations"][0].update(image_id=[1]), r"annotation whose image_id is \[1\]"),
    (lambda c: c["annotations"][0].update(bbox=[0, 0, 1, float("nan")]), "without bbox and area in"),
    (lambda c: c["annotations"][0].update(bbox=[0, 0, 1, 10**400]), "without bbox and area in"),
    (lambda c: c["annotations"][0].update(area=None), "without bbox and area in"),
    (lambda c: c["annotations"][0].update(area=[1, 2]), "without bbox and area in"),
    (lambda c: c["annotations"][0].update(keypoints=[10**400] * 51), "17 or 21 joints"),
    (lambda c: c["images"][1].update(file_name="x.jpg"), "names 1 of 3 pictures that are missing"),
])
def test_damaged_annotations(tmp_path, change, says):
    root = write_human_art(tmp_path / "HumanArt")
    edit(root, change)
    with pytest.raises(UserError, match=f"training_humanart.json: .*{says}") as caught:
        load_human_art(root)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_told_is_left_out_and_named(tmp_path):
    """Of an id that comes twice nobody knows whose the people are; the other images stay."""
    root = write_human_art(tmp_path / "HumanArt")
    edit(root, lambda c: (c["images"][1].update(id=1000), c["images"].append({"id": [7]}),
                          c["annotations"][2].update(image_id=1002),
                          c["images"].append({**c["images"][2], "id": 1003})))
    left_out = {}
    pictures = load_human_art(root, left_out=left_out)
    assert [(p.number, len(p.people)) for p in pictures] == [(1002, 1), (1003, 0)]
    assert left_out == {"images that cannot be used": [
        "has an image whose id is [7]", "has image 1000 2 times"]}


def test_more_than_damage_is_judged_by_kind(tmp_path):
    """Broken people beside whole people, broken images beside whole images."""
    root = write_human_art(tmp_path / "HumanArt")

    def ten_people(broken):
        def change(content):
            content["annotations"] = [
                {**content["annotations"][0], "id": i, "keypoints": [1] if i < broken else [1] * 51}
                for i in range(10)]
        return change

    edit(root, ten_people(4))
    left_out = {}
    assert len(load_human_art(root, left_out=left_out)[0].people) == 6
    assert len(left_out["people that cannot be used"]) == 4
    edit(root, ten_people(6))
    with pytest.raises(UserError, match="has 6 broken people of 10, the first: has no 17 or 21"):
        load_human_art(root, left_out={})
    edit(root, ten_people(0))
    edit(root, lambda c: [image.pop("height") for image in c["images"][:2]])
    with pytest.raises(UserError, match="has 2 broken images of 3, the first: has image 1000 wit"):
        load_human_art(root, left_out={})


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
    np.savez(tmp_path / "area.npz", [{"keypoints": np.ones((17, 3)), "area": [1, 2]}])
    for name, says in (("text.npz", "cannot be read"), ("none.npz", "does not exist"),
                       ("area.npz", "an area that is not a number")):
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
