"""DeepFashion in every layout of its users."""

import pickle
import re
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from deepfashion_folders import (
    CLOTHES, NESTED, PAIRS, flat, frame_poses, renders, save, squeezed, with_borders, write_csv,
    write_database, write_text)
from repose_jax.cli import main
from repose_jax.common.errors import UserError
from repose_jax.data.check import check_dataset
from repose_jax.data.deepfashion.annotations import read_annotations
from repose_jax.data.deepfashion.layout import load_deepfashion
from repose_jax.data.deepfashion.names import clothes_of, person_of, picture_key
from repose_jax.data.pairs.stream import batches
from repose_jax.data.registry import open_dataset
from repose_jax.pose.skeleton import OPENPOSE18


def assert_equal(source, split, files, size, tolerance, order=None):
    """`source` holds the pictures of `files`, the poses, the pairs and the people of a split."""
    order = list(range(len(NESTED[split]))) if order is None else order
    assert source.size == size and source.skeleton is OPENPOSE18 and len(source) == len(order)
    poses = frame_poses(split, False)[order]
    poses[..., :2] = (poses[..., :2] + 0.5) * (size[1] / 176, size[0] / 256) - 0.5
    poses[..., :2] *= poses[..., 2:]
    np.testing.assert_array_equal(source.poses[..., 2], poses[..., 2])
    np.testing.assert_allclose(source.poses, poses, atol=tolerance)
    for i, number in enumerate(order):
        np.testing.assert_array_equal(source.image(i), squeezed(files[number], size))
        assert picture_key(source.names[i]) == flat(NESTED[split][number])[:-4]
    assert source.persons == tuple(
        "fashion" + "".join(NESTED[split][number].split("/")[:2]) + NESTED[split][number].split(
            "/")[2].replace("_", "") for number in order)
    pairs = {(order[a], order[b]) for a, b in np.asarray(source.pairs)}
    assert pairs == set(PAIRS[split]) and len(source.pairs) == len(PAIRS[split])


def test_names():
    nested = "img/WOMEN/Blouses_Shirts/id_00000693/02_3_back.jpg"
    key = "fashionWOMENBlouses_Shirtsid0000069302_3back"
    for name in (nested, nested.replace(".jpg", ".png"), nested[4:], f"{key}.jpg",
                 f"train_highres/{key}.jpg", key.replace("fashion", "fasion")):
        assert picture_key(name) == key
    assert person_of(nested) == "fashionWOMENBlouses_Shirtsid00000693"
    assert clothes_of(nested) == "fashionWOMENBlouses_Shirtsid0000069302"
    with pytest.raises(UserError, match="0001_a.png: is not the name of a DeepFashion"):
        person_of("0001_a.png")


@pytest.mark.parametrize("prefix, pictures, nested", [
    ("fasion-resize", "{split}_highres", False), ("fashion-resize", "{split}", False),
    ("fasion", "{split}_256", False), ("fashion", "somewhere/{split}", False),
    ("fasion-resize", "img_highres/img_highres", True)])
def test_csv_layout(tmp_path, prefix, pictures, nested):
    root = write_csv(tmp_path / "fashion", prefix, pictures, nested)
    for split, names in NESTED.items():
        files = [root / pictures.format(split=split) / (name if nested else flat(name))
                 for name in names]
        assert_equal(open_dataset(root, split), split, files, (256, 176), 0.51)
        source = open_dataset(root, split, size=(64, 64), cache=False)
        assert_equal(source, split, files, (64, 64), 0.2)
    assert any("3 pictures where 4,038 test pictures were published" in note
               for note in source.notes)
    assert any("2 pairs where 8,570" in note for note in source.notes)


def cfld(root):
    """generate_fashion_datasets.py copies from MEN/ and WOMEN/, which stay there."""
    write_csv(write_csv(root, pictures=".", nested=True))
    return [[root / f"{split}_highres" / flat(name) for name in names]
            for split, names in NESTED.items()]


def cfld_without_pictures(root):
    """The archive's img_highres/ left in place: the script makes folders and copies nothing."""
    write_csv(root, pictures="img_highres", nested=True)
    for split in NESTED:
        (root / f"{split}_highres").mkdir()
    return [[root / "img_highres" / name for name in names] for names in NESTED.values()]


def gfla(root):
    write_csv(write_csv(root, "fasion", "img_highres", nested=True), "fasion", "{split}")
    return [[root / split / flat(name) for name in names] for split, names in NESTED.items()]


def patn(root):
    """Low resolution without its borders, in Pillow's own quality; poses as PATN's detector's."""
    write_csv(root, pictures="{split}", separator=": ")
    for split, names in NESTED.items():
        for name, render in zip(names, renders(split), strict=True):
            whole = Image.fromarray(with_borders(render.image))
            save(root / split / flat(name), np.asarray(whole.crop((40, 0, 216, 256))))
    return [[root / split / flat(name) for name in names] for split, names in NESTED.items()]


@pytest.mark.parametrize("prepare", [cfld, cfld_without_pictures, gfla, patn])
def test_folders_as_the_preparation_scripts_leave_them(tmp_path, prepare):
    root = tmp_path / "fashion"
    for split, files in zip(NESTED, prepare(root), strict=True):
        assert_equal(open_dataset(root, split), split, files, (256, 176), 0.51)
    assert not check_dataset(root).hurts


def test_what_numpy_2_makes_of_patns_annotation_is_refused(tmp_path, capsys):
    """Its resize_fashion.py writes str(list(array)), which names the type of each number."""
    root = write_csv(tmp_path / "fashion")
    path = root / "fasion-resize-annotation-train.csv"
    path.write_text(re.sub(r"(?<=[\[ ])(-?\d+)", r"np.int64(\1)", path.read_text()))
    assert "[np.int64(" in path.read_text()
    assert main(["data", "show", str(root), "--output", str(tmp_path / "sheet.png")]) == 2
    error = capsys.readouterr().err
    assert "line 2 (fashionWOMENDressesid0000009301_1front.jpg)" in error
    assert error.count("\n") == 1 and not (tmp_path / "sheet.png").exists()


@pytest.mark.parametrize("together", [False, True])
def test_text_layout(tmp_path, together):
    root = write_text(tmp_path / "deepfashion", together)
    for split, names in NESTED.items():
        source = load_deepfashion(root, split, size=(128, 88))
        order = [NESTED[split].index(name.removeprefix("img/")) for name in source.names]
        assert_equal(source, split, [root / "img" / name for name in names], (128, 88), 1e-3,
                     order)


def test_database(tmp_path):
    root = write_text(tmp_path / "deepfashion")
    from_files = load_deepfashion(root, size=(64, 44))
    for size in ((64, 44), (32, 32)):
        write_database(root, size)
    source = load_deepfashion(root, size=(64, 44))
    assert "database 64-44" in source.notes[0] and "database" not in from_files.notes[0]
    assert "database" not in load_deepfashion(root, size=(48, 44)).notes[0]
    for i in range(len(from_files)):
        from_files.image(i)
    shutil.rmtree(root / "img")
    test = load_deepfashion(root, "test", size=(64, 44))
    assert test.image(0).shape == (64, 44, 3), "train and test share one open database"
    assert source.names == from_files.names
    np.testing.assert_array_equal(source.poses, from_files.poses)
    copy = pickle.loads(pickle.dumps(source))
    for i in range(len(source)):
        np.testing.assert_array_equal(source.image(i), from_files.image(i))
        np.testing.assert_array_equal(copy.image(i), from_files.image(i))
    again = load_deepfashion(root, size=(40, 40))
    assert "64-44, resized again to 40x40" in again.notes[0]
    assert again.image(0).shape == (40, 40, 3)


def test_workers_read_a_database(tmp_path):
    root = write_text(tmp_path / "deepfashion")
    write_database(root, (32, 22))
    source = load_deepfashion(root, size=(32, 22), cache=False)
    source.image(0)
    alone, helped = (batches(source, batch_size=2, seed=1, workers=n) for n in (0, 2))
    for _ in range(3):
        a, b = next(alone), next(helped)
        assert all(np.array_equal(a[key], b[key]) for key in a)
    alone.close(), helped.close()


def test_without_the_package_of_databases(tmp_path, monkeypatch):
    root = write_text(tmp_path / "deepfashion")
    write_database(root, (64, 44))
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(UserError, match="64-44: is an LMDB .*pip install lmdb"):
        load_deepfashion(root, size=(64, 44))


def test_both_layouts_and_no_list_of_pairs(tmp_path):
    root = write_csv(write_text(tmp_path / "fashion"))
    source = load_deepfashion(root)
    assert "train_pairs.txt is there too and is not read" in source.notes
    assert source.names[0].startswith("fashionWOMEN") and "train_highres" in source.notes[0]
    (root / "fasion-resize-pairs-train.csv").unlink()
    source = load_deepfashion(root)
    assert any("no list of pairs" in note for note in source.notes)
    pairs = {tuple(pair) for pair in np.asarray(source.pairs).tolist()}
    clothes = CLOTHES["train"]
    assert pairs == {(a, b) for a in range(7) for b in range(7)
                     if a != b and clothes[a] == clothes[b]}
    assert len(set(source.persons)) == 2


def test_white_borders_are_cut(tmp_path):
    root = write_csv(tmp_path / "fashion", pictures="img", nested=True)
    for name in NESTED["train"]:
        with Image.open(root / "img" / name) as picture:
            padded = with_borders(np.asarray(picture))
        save(root / "img" / name, padded, quality=95)
    source = load_deepfashion(root)
    assert any("borders of 40" in note for note in source.notes)
    with Image.open(root / "img" / NESTED["train"][2]) as picture:
        np.testing.assert_array_equal(source.image(2), np.asarray(picture)[:, 40:216])
    assert not any("borders" in note for note in load_deepfashion(root, "test").notes)


def replace(path, old, new):
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def lose_annotation(root):
    path = root / "fasion-resize-annotation-train.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def other_frame(root):
    """Annotations as pose-gan made them: 256x256 with borders of 40."""
    path = root / "fasion-resize-annotation-train.csv"
    rows = [line.split(":") for line in path.read_text().splitlines()]
    path.write_text("\n".join(":".join([name, y, str(
        [int(v) + 90 * (v.strip() != "-1") for v in x.strip("[]").split(",")]
        if x.startswith("[") else x)]) for name, y, x in rows))


DAMAGES = [
    (write_csv, lambda r: (r / "train_highres" / flat(NESTED["train"][1])).unlink(),
     "fashion: lacks 1 of 7 annotated pictures, the first fashionWOMENDressesid0000009301_2side"),
    (write_csv, lose_annotation,
     "pairs-train.csv: names 1 pictures without annotation .*154.*03_4full"),
    (write_csv, lambda r: replace(r / "fasion-resize-annotation-train.csv", "_2side.jpg:[",
                                  "_2side.jpg:"),
     "annotation-train.csv: line 3 .* holds something"),
    (write_csv, lambda r: replace(r / "fasion-resize-annotation-train.csv", "_2side", "_1front"),
     "without annotation"),
    (write_csv, lambda r: replace(r / "fasion-resize-annotation-train.csv", "02_3back.jpg:",
                                  "02_1front.jpg:") or (r / "fasion-resize-pairs-train.csv"
                                                        ).unlink(), "02_1front twice"),
    (write_csv, other_frame, "joints beyond a frame 256 high and 176 wide.*fasion-resize"),
    (write_csv, lambda r: shutil.copy(r / "fasion-resize-pairs-train.csv",
                                      r / "fashion-resize-pairs-train.csv"), "several files"),
    (write_csv, lambda r: replace(r / "fasion-resize-pairs-train.csv", "7additional.jpg,",
                                  "7additional.jpg,x,"), "line 4 has 3 fields"),
    (write_csv, lambda r: (r / "fasion-resize-annotation-train.csv").unlink(),
     "has no DeepFashion annotation for train"),
    (write_text, lambda r: shutil.rmtree(r / "pose"), "pose: is not there"),
    (write_text, lambda r: (r / "pose" / NESTED["train"][0]).with_suffix(".txt").unlink(),
     "train_pairs.txt: names 1 pictures without annotation in pose, the first img/WOMEN"),
    (write_text, lambda r: replace((r / "pose" / NESTED["train"][0]).with_suffix(".txt"), " ",
                                   " x"), "01_1_front.txt: has text in line 1"),
    (write_text, lambda r: [np.savetxt(f, np.maximum(np.loadtxt(f) - (60, 0), -2))
                            for f in (r / "pose").rglob("*.txt")],
     "pose: has .*columns 40 to 216"),
    (write_text, lambda r: (r / "img" / NESTED["train"][0]).unlink(), "lacks 1 of 7"),
    (write_text, lambda r: np.savetxt((r / "pose" / NESTED["train"][6]).with_suffix(".txt"),
                                      np.full((18, 2), -1.0)), None),
]


@pytest.mark.parametrize("layout, damage", [case[:2] for case in DAMAGES])
def test_check_counts_what_training_would_hold(tmp_path, layout, damage):
    root = layout(tmp_path / "fashion")
    damage(root)
    report = check_dataset(root)
    promised = [c.found for c in report.counts
                if c.what in ("train poses", "train people", "train pairs")]
    try:
        source = load_deepfashion(root, skip_broken=True)
    except UserError:
        assert report.hurts and promised in ([], [0, 0, 0])
    else:
        assert promised == [len(source), len(set(source.persons)), len(source.pairs)]


@pytest.mark.parametrize("layout, damage, says", [case for case in DAMAGES if case[2]])
def test_damage(tmp_path, layout, damage, says):
    root = layout(tmp_path / "fashion")
    damage(root)
    with pytest.raises(UserError, match=says) as caught:
        load_deepfashion(root)
    assert "\n" not in str(caught.value)


def test_a_truncated_picture_is_named(tmp_path):
    root = write_csv(tmp_path / "fashion")
    path = root / "train_highres" / flat(NESTED["train"][0])
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(UserError, match=f"{path.name}: cannot be read as a picture"):
        load_deepfashion(root).image(0)


def test_a_database_that_lacks_a_picture(tmp_path):
    root = write_text(tmp_path / "deepfashion")
    write_database(root, (64, 44), [f"img/{name}" for name in NESTED["train"][1:]])
    with pytest.raises(UserError, match="64-44: lacks 1 of 7 .*01_1_front.png"):
        load_deepfashion(root, size=(64, 44))


def test_pictures_of_few_joints_are_left_out(tmp_path):
    root = write_text(tmp_path / "deepfashion")
    file = (root / "pose" / NESTED["train"][6]).with_suffix(".txt")
    np.savetxt(file, np.full((18, 2), -1.0))
    source = load_deepfashion(root)
    assert len(source) == 6 and len(source.pairs) == 4
    assert any("1 pairs of pictures that were left out" in note for note in source.notes)
    assert len(read_annotations(root, "train").names) == 7


def findings(root, **options):
    return "\n".join(map(str, check_dataset(root, **options).findings))


def test_check_of_a_good_folder(tmp_path, capsys):
    root = write_text(tmp_path / "deepfashion")
    write_database(root, (64, 44))
    assert not findings(root)
    assert main(["data", "check", str(root), "--sample", "2"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert "NTED," in lines[0]
    for line in (["train", "pictures", "7", "48,674"], ["train", "pairs", "5", "101,966"],
                 ["test", "pictures", "3", "4,038"], ["test", "pairs", "2", "8,570"],
                 ["train", "people", "2"]):
        assert line in lines
    shutil.rmtree(root / "img")
    report = check_dataset(root)
    assert not report.findings and report.counts[0].found == 7


def test_check_tells_harmless_from_harmful(tmp_path, capsys):
    root = write_csv(tmp_path / "fashion")
    assert not findings(root) and not check_dataset(root).hurts
    write_csv(root, pictures="{split}_256")
    assert "train_highres and train_256" in findings(root)
    assert main(["data", "check", str(root)]) == 0
    assert "(harmless)" in capsys.readouterr().out
    (root / "train_256").rename(root / "elsewhere")
    path = root / "train_highres" / flat(NESTED["train"][3])
    path.write_bytes(path.read_bytes()[:-300])
    assert main(["data", "check", str(root)]) == 1
    assert f"{path.name}: cannot be read" in findings(root)
    assert "cannot be read" not in findings(root, sample=1), "only the first is decoded"
    (root / "train_highres" / flat(NESTED["train"][0])).unlink()
    shutil.rmtree(root / "elsewhere")
    rows = root / "fasion-resize-annotation-test.csv"
    text = rows.read_text().splitlines()
    name, y, x = text[1].split(":")
    outside = f"{name}:[300,{y.split(',', 1)[1]}:[20,{x.split(',', 1)[1]}"
    rows.write_text("\n".join([text[0], outside, *text[2:-1], text[-2]]) + "\n")
    with (root / "fasion-resize-pairs-test.csv").open("a") as file:
        first = flat(NESTED["test"][0])
        file.write(f"{first},{first}\n{first},{flat(NESTED['train'][0])}\n")
    found = findings(root)
    for says in ("annotated pictures that are missing: 1 (fashionWOMENDressesid0000009301_1front",
                 "poses outside of their picture: 1 (fashionWOMENBlouses_Shirtsid0000069302_1fro",
                 "names that come twice: 1", "picture with itself: 1",
                 "different clothes or people",
                 "pictures without annotation in fasion-resize-annotation-test.csv: 2"):
        assert says in found, found


def test_check_of_a_damaged_database(tmp_path):
    root = write_text(tmp_path / "deepfashion")
    write_database(root, (64, 44), [f"img/{name}" for name in NESTED["train"][1:]])
    (root / "64-44").rename(root / "64-48")
    shutil.rmtree(root / "img")
    found = findings(root)
    assert "lacks: 1 (img/WOMEN/Dresses/id_00000093/01_1_front.png)" in found
    assert "pictures that are not 64x48: 6" in found
    whole = (root / "64-48" / "data.mdb").read_bytes()
    for name, content, says in (("short", whole[:-5000], "64-48: is cut short"),
                                ("broken", b"nothing" * 5000, "cannot be opened as an LMDB")):
        other = write_text(tmp_path / name)
        (other / "64-48").mkdir()
        (other / "64-48" / "data.mdb").write_bytes(content)
        assert says in findings(other)
