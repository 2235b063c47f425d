"""Human-Art's annotations and HumanSD's packing, from miniatures of both."""

import json
import pickle
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from repose_jax.cli import main
from repose_jax.data.check import check_dataset
from repose_jax.data.human_art.annotations import load_human_art, read_human_art
from repose_jax.data.human_art.packed import load_humansd, read_packed_poses
from repose_jax.data.people.renderer import render_person
from repose_jax.data.registry import open_dataset
from repose_jax.errors import UserError

SIZE = (64, 40)
# Scenario, people in it, split.
PICTURES = (("2D_virtual_human/oil_painting", 2, "training"), ("real_human/dance", 1, "training"),
            ("3D_virtual_human/relief", 0, "training"), ("real_human/dance", 1, "validation"))


def drawn(number):
    """A picture of one or several rendered people side by side, and their poses."""
    people = PICTURES[number][1]
    renders = [render_person(3, number, view, SIZE) for view in range(max(1, people))]
    poses = np.zeros((people, 17, 3), np.float32)
    for i in range(people):
        poses[i] = renders[i].annotated("coco17")
        poses[i, :, 0] += SIZE[1] * i * (poses[i, :, 2] > 0)
    return np.concatenate([render.image for render in renders], 1), np.round(poses)


def file_name(number):
    return f"images/{PICTURES[number][0]}/{number:012d}.jpg"


def save_pictures(root):
    for number in range(len(PICTURES)):
        path = root / file_name(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn(number)[0]).save(path)


def write_human_art(root, prefix="HumanArt/", only_21=False):
    """The folder and the JSON that Human-Art's README describes."""
    save_pictures(root)
    (root / "annotations").mkdir()
    for split in ("training", "validation"):
        images, rows = [], []
        for number, (folder, people, of) in enumerate(PICTURES):
            if of != split:
                continue
            picture, poses = drawn(number)
            images.append({
                "file_name": prefix + file_name(number), "height": picture.shape[0],
                "width": picture.shape[1], "id": 1000 + number, "page_url": "", "image_url": "",
                "picture_name": "", "author": "", "description": f"picture {number}",
                "category": folder.split("/")[1].replace("_", " ")})
            for person in range(people):
                known = poses[person, :, 2] > 0
                # Hidden and visible joints by turns; what is not annotated is 0, 0, 0.
                sight = np.where(known, 1 + np.arange(17) % 2, 0)
                values = np.concatenate([poses[person, :, :2], sight[:, None]], 1).astype(int)
                more = np.full((4, 3), 2)
                rows.append({
                    "keypoints_21": np.concatenate([values, more]).ravel().tolist(),
                    "self_contact": [], "num_keypoints": int(known.sum()), "iscrowd": 0,
                    "image_id": 1000 + number, "area": 100.5 + person, "annotator": 1,
                    "bbox": [1.0, 2.0, 30.0, 40.0 + person], "category_id": 1, "id": len(rows)})
                if not only_21:
                    rows[-1]["keypoints"] = values.ravel().tolist()
        (root / "annotations" / f"{split}_humanart.json").write_text(json.dumps(
            {"info": {}, "images": images, "annotations": rows, "categories": []}))
    return root


def write_humansd(root, names=("training", "validation"), prefix="mapping_file_"):
    """HumanSD's folder: MMPose's results in arr_0 of an npz, and a mapping file."""
    save_pictures(root)
    for split, name in zip(("training", "validation"), names, strict=True):
        mapping = {}
        for number, (_, people, of) in enumerate(PICTURES):
            if of != split:
                continue
            pose = file_name(number).replace("images", "pose", 1).replace(".jpg", ".npz")
            (root / pose).parent.mkdir(parents=True, exist_ok=True)
            results = [{"keypoints": drawn(number)[1][i], "score": np.float32(0.9),
                        "area": np.float32(500)} for i in range(people)]
            np.savez(root / pose, results)
            mapping[f"{number:012d}"] = {"img_path": file_name(number), "pose_path": pose,
                                         "prompt": f"picture {number}"}
        (root / f"{prefix}{name}.json").write_text(json.dumps(mapping))
    return root


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
