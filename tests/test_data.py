"""Datasets of people: layouts, what is built and what is refused."""

import json
import pickle
import shutil
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from repose_jax.common.errors import UserError
from repose_jax.data import build as build_module
from repose_jax.data.build import build, build_market1501
from repose_jax.data.check import check_dataset, check_folder
from repose_jax.data.image.files import image_size, read_image
from repose_jax.data.market1501.layout import load_market1501
from repose_jax.data.pairs.stream import batches, examples
from repose_jax.data.people.source import rendered_people
from repose_jax.data.people.world import World
from repose_jax.data.records.array_record import load_array_record
from repose_jax.data.records.locate import find_built
from repose_jax.data.registry import open_dataset
from repose_jax.pose.skeleton import MARKET14, OPENPOSE18

NAMES = ("0001_a.png", "0001_b.png", "0001_c.png", "0002_a.png", "0002_b.png", "-1_a.png")


def picture(number, height=16, width=8):
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)


def row(name, number):
    pose = np.random.default_rng(100 + number).integers(0, 8, (2, 14)).tolist()
    return f"{name}:{json.dumps(pose[0])}:{json.dumps(pose[1])}\n"


def annotate(root, split, names):
    path = root / f"market-annotation-{split}.csv"
    path.write_text("name:keypoints_y:keypoints_x\n"
                    + "".join(row(name, i) for i, name in enumerate(names)))
    return path


@pytest.fixture
def market(tmp_path):
    """A folder of 6 train pictures (one a distractor) and 3 test pictures with a pair list."""
    for split, names in (("train", NAMES), ("test", ("0007_a.png", "0007_b.png", "0007_c.png"))):
        folder = tmp_path / "market" / f"bounding_box_{split}"
        folder.mkdir(parents=True)
        for i, name in enumerate(names):
            Image.fromarray(picture(i)).save(folder / name)
        annotate(tmp_path / "market", split, names)
    (tmp_path / "market" / "market-pairs-test.csv").write_text(
        "from,to\n0007_c.png,0007_a.png\n0007_a.png,0007_b.png\n")
    return tmp_path / "market"


def test_market_layout(market):
    source = load_market1501(market, "train")
    assert source.names == NAMES[:5] and source.size == (16, 8) and source.skeleton is MARKET14
    assert len(source.pairs) == 3 * 2 + 2 * 1 and source.notes == ("1 distractors left out",)
    np.testing.assert_array_equal(source.image(3), picture(3))
    y, x = np.random.default_rng(103).integers(0, 8, (2, 14))
    np.testing.assert_array_equal(source.pose(3)[:, :2], np.stack([x, y], -1))
    assert source[3]["person"] == "0002" and source[3]["name"] == "0002_a.png"
    test = load_market1501(market, "test")
    assert test.pairs.tolist() == [[2, 0], [0, 1]]


def test_market_as_patn_has_it(tmp_path):
    """market/train and test, 18 joints, pairs listed as pandas writes them, distractors among."""
    names = ("0002_c1s1_000451_03.jpg", "0002_c2s1_000301_01.jpg", "0000_c1s1_000151_01.jpg",
             "-1_c1s1_000401_03.jpg")
    poses = np.random.default_rng(4).integers(0, 8, (4, 2, 18))
    poses[0, :, 14:] = -1
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        for i, name in enumerate(names):
            Image.fromarray(picture(i, 128, 64)).save(tmp_path / split / name)
        (tmp_path / f"market-annotation-{split}.csv").write_text(
            "name:keypoints_y:keypoints_x\n" + "".join(
                f"{name}:{y}:{x}\n" for name, (y, x) in zip(names, poses.tolist(), strict=True)))
        (tmp_path / f"market-pairs-{split}.csv").write_text(
            f"from,to\n{names[0]},{names[1]}\n{names[1]},{names[0]}\n")
        source = open_dataset(tmp_path, split)
        assert source.skeleton is OPENPOSE18 and source.size == (128, 64)
        assert source.names == names[:2] and source.pairs.tolist() == [[0, 1], [1, 0]]
        np.testing.assert_array_equal(source.poses[1, :, :2], poses[1, ::-1].T)
        assert (source.poses[0, 14:] == 0).all() and source.notes == ("2 distractors left out",)
    report = check_dataset(tmp_path)
    assert report.layout == "Market-1501" and report.counts[3].published == 263_632


def test_layout_leaves_out_poses_of_few_joints(market):
    path = market / "market-annotation-train.csv"
    few = json.dumps([1, 2, 3] + [-1] * 11)
    path.write_text(path.read_text().replace(row(NAMES[1], 1), f"{NAMES[1]}:{few}:{few}\n"))
    source = load_market1501(market)
    assert NAMES[1] not in source.names and len(source) == 4
    assert any("fewer than 4" in note for note in source.notes)


def test_data_are_known_by_what_can_be_learnt_from_them(market, tmp_path):
    """Not by where they lie: names, poses and pictures each have a digest."""
    def identity(change=lambda folder: None):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        shutil.copytree(market, folder)
        change(folder)
        return open_dataset(folder).identity

    def paint(folder):
        path = sorted((folder / "bounding_box_train").iterdir())[3]
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)

    def move(folder):
        path = folder / "market-annotation-train.csv"
        lines = path.read_text().splitlines()
        name, ys, xs = lines[1].split(":")
        ys = json.loads(ys)
        ys[1] += 1
        path.write_text("\n".join([lines[0], f"{name}:{ys}:{xs}", *lines[2:]]) + "\n")

    plain = identity()
    assert identity() == plain and set(plain) == {"names", "poses", "pictures"}
    for change, what in ((paint, "pictures"), (move, "poses")):
        other = identity(change)
        assert {name for name in plain if other[name] != plain[name]} == {what}
    whole = open_dataset(market)
    assert whole.only(np.arange(len(whole) - 3)).identity["pictures"] != plain["pictures"]
    twice = whole.with_pairs(np.array([[0, 1]], np.int32))
    assert twice.identity["names"] != plain["names"] == whole.identity["names"]
    assert open_dataset(market, size=(64, 32)).identity["pictures"] != plain["pictures"]


def test_rendered_people_are_known_without_rendering_them(monkeypatch):
    monkeypatch.setattr("repose_jax.data.people.source.render_person", None)
    plain, same, other = (rendered_people(seed=seed, identities=9).identity for seed in (0, 0, 1))
    assert plain == same != other
    assert plain != rendered_people(identities=9, skeleton="coco17").identity
    assert plain != rendered_people(identities=9, world=World(scene="person")).identity
    assert plain == rendered_people(identities=9, world=World(scene="view")).identity


def test_examples_are_the_pairs(market):
    source = load_market1501(market, "test")
    batch = examples(source, [1, 0])
    assert batch["source"].dtype == np.uint8 and batch["source_pose"].dtype == np.float32
    np.testing.assert_array_equal(batch["source"], [picture(0), picture(2)])
    np.testing.assert_array_equal(batch["target"], [picture(1), picture(0)])
    np.testing.assert_array_equal(batch["target_pose"], source.poses[[1, 0]])


def test_built_dataset_equals_the_folder(market, tmp_path):
    path = build_market1501(market, tmp_path / "built")
    assert (path / "dataset_info.json").is_file()
    for split in ("train", "test"):
        folder, built = load_market1501(market, split), load_array_record(path, split)
        order = [built.names.index(name) for name in folder.names]
        assert built.size == folder.size and len(built) == len(folder)
        assert [built.persons[i] for i in order] == list(folder.persons)
        np.testing.assert_array_equal(built.poses[order], folder.poses)
        for i, j in enumerate(order):
            np.testing.assert_array_equal(built.image(j), folder.image(i))
        assert len(built.pairs) == len(folder.pairs)
    listed = [[built.names[i] for i in pair] for pair in built.pairs]
    assert listed == [["0007_c.png", "0007_a.png"], ["0007_a.png", "0007_b.png"]]
    assert open_dataset(tmp_path / "built", "test").names == built.names
    stream = batches(built, batch_size=2, seed=0)
    assert next(stream)["source"].shape == (2, 16, 8, 3)
    stream.close()
    before = path.stat().st_mtime_ns
    assert build_market1501(market, tmp_path / "built") == path
    assert path.stat().st_mtime_ns == before
    assert check_folder(path) == []
    assert "tensorflow" not in sys.modules
    with pytest.raises(UserError, match="no split val"):
        load_array_record(path, "val")
    with pytest.raises(UserError, match="coco17"):
        load_array_record(path, "test", skeleton="coco17")


def test_rendered_people_are_lazy_alike_and_apart():
    source = rendered_people(7, 3, 2, (32, 16), "market14")
    again = rendered_people(7, 3, 2, (32, 16), "market14", cache=False)
    assert len(source) == 6 and len(source.pairs) == 6 and source.persons[:3] == (
        "p0000000", "p0000000", "p0000001")
    np.testing.assert_array_equal(source.image(4), again.image(4))
    np.testing.assert_array_equal(source.pose(4), again.poses[4])
    assert source.pose(4).shape == (14, 3)
    batch = examples(source, [0, 3])
    np.testing.assert_array_equal(batch["target"][1], source.image(source.pairs[3][1]))
    np.testing.assert_array_equal(batch["target_pose"][1], source.pose(source.pairs[3][1]))
    test = open_dataset("people", "test", seed=7, identities=3, views=2, size=(32, 16))
    assert not set(test.persons) & set(source.persons) and test.skeleton.name == "openpose18"
    assert not np.array_equal(test.image(0), source.image(0))
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy.image(5), source.image(5))
    for wrong in ({"views": 1}, {"identities": 0}, {"skeleton": "spider"}, {"split": "val"}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            rendered_people(**wrong)
    with pytest.raises(UserError, match="scene: is other; give one of view, person"):
        World(scene="other")


def test_built_people_equal_those_in_memory(tmp_path):
    config = {"identities": 2, "test_identities": 1, "views": 2, "size": (32, 16), "seed": 3}
    path = build("people", tmp_path, **config)
    assert open_dataset(tmp_path).skeleton.name == "openpose18"
    for split, count in (("train", 2), ("test", 1)):
        for skeleton in ("openpose18", "market14"):
            built = open_dataset(tmp_path, split, skeleton=skeleton)
            drawn = rendered_people(3, count, 2, (32, 16), skeleton, split=split)
            assert sorted(built.names) == list(drawn.names)
            assert built.skeleton == drawn.skeleton and not built.notes
            for i, name in enumerate(built.names):
                j = drawn.names.index(name)
                np.testing.assert_array_equal(built.image(i), drawn.image(j))
                np.testing.assert_array_equal(built.pose(i), drawn.pose(j))
    assert path.name == "2.0.0" and "tensorflow" not in sys.modules


def test_builds_that_cannot_be():
    for name, options, says in (
            ("people", {"views": 1}, "views"), ("people", {"size": (2, 2)}, "2x2"),
            ("people", {"source": "x"}, "not needed"), ("market1501", {}, "needs the folder"),
            ("market1501", {"source": "/none"}, "not a folder"), ("faces", {}, "faces")):
        with pytest.raises(UserError, match=says):
            build(name, "unused", **options)


def test_a_build_that_fails_leaves_no_dataset(market, tmp_path):
    (market / "bounding_box_test" / "0007_b.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match="0007_b.png"):
        build_market1501(market, tmp_path / "built")
    assert find_built(tmp_path / "built") is None
    # What a killed build leaves, the next one clears away.
    Image.fromarray(picture(1)).save(market / "bounding_box_test" / "0007_b.png")
    stale = tmp_path / "built" / "market1501" / "market14" / "incomplete.ABC123_2.0.0"
    stale.mkdir(parents=True)
    (stale / "dataset_info.json").write_text("{")
    build_market1501(market, tmp_path / "built")
    assert [p.name for p in stale.parent.iterdir()] == ["2.0.0"]
    assert len(load_array_record(tmp_path / "built")) == 5


def test_a_build_into_a_file_is_refused(market, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        build_market1501(market, tmp_path / "file")


def test_the_default_configuration_is_one_that_the_builder_knows(monkeypatch, tmp_path):
    monkeypatch.setattr(build_module, "prepare", lambda builder, **_: builder)
    builder = build("people", tmp_path, workers=2)
    assert builder.workers == 2 and builder.builder_config.identities == 2000
    with pytest.raises(UserError, match="no built dataset"):
        load_array_record(tmp_path / "built")


def test_open_dataset_recognises_a_plain_folder(market):
    folder = market / "bounding_box_train"
    (market / "market-annotation-train.csv").rename(folder / "poses.csv")
    source = open_dataset(folder)
    assert len(source) == 5
    with pytest.raises(UserError, match="no test split"):
        open_dataset(folder, "test")


def test_open_dataset_resizes_and_converts(market):
    Image.fromarray(picture(0, 16, 16)).save(market / "bounding_box_train" / NAMES[0])
    with pytest.raises(UserError, match="16x8.*16x16"):
        list(map(open_dataset(market).image, range(5)))
    source = open_dataset(market, size=(32, 16), skeleton="openpose18")
    assert source.skeleton.name == "openpose18" and source.poses.shape == (5, 18, 3)
    assert all(source.image(i).shape == (32, 16, 3) for i in range(5))
    plain = open_dataset(market)
    np.testing.assert_allclose(source.pose(1)[2, :2], plain.pose(1)[2, :2] * 2 + 0.5)
    np.testing.assert_allclose(source.pose(0)[2, :2], plain.pose(0)[2, :2] + [0, 8])
    assert any("lack nose" in note for note in source.notes)
    assert any("1 pictures of 16x16" in note for note in source.notes)


@pytest.mark.parametrize("read", [image_size, read_image])
def test_pictures_that_cannot_be_are_refused_alike(tmp_path, read):
    """By the header alone as by the whole."""
    def chunk(kind, content):
        return (struct.pack(">I", len(content)) + kind + content
                + struct.pack(">I", zlib.crc32(kind + content)))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0))
    for name, content, says in (
            ("huge.png", b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b""),
             "is too large to be a photo"),
            ("short.png", (b"\x89PNG\r\n\x1a\n" + header)[:20], "cannot be read as a picture"),
            ("text.png", b"no picture", "is not a picture")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=f"{name}: {says}"):
            read(tmp_path / name)
    with pytest.raises(UserError, match="none.png: does not exist"):
        read(tmp_path / "none.png")


def test_unusable_folders(market, tmp_path):
    (tmp_path / "empty").mkdir()
    for data, says in ((tmp_path / "none", "neither a folder"), (tmp_path / "empty", "no dataset")):
        with pytest.raises(UserError, match=says) as caught:
            open_dataset(data)
        assert str(data) in str(caught.value)
    for options, says in (({"split": "val"}, "val"), ({"skeleton": "spider"}, "spider")):
        with pytest.raises(UserError, match=says):
            open_dataset(market, **options)
    (market / "market-pairs-test.csv").write_text("from,to\n0007_a.png,0007_z.png\n")
    with pytest.raises(UserError, match="line 2.*0007_z"):
        open_dataset(market, "test")
    annotate(market, "train", (*NAMES, "0003_z.png"))
    with pytest.raises(UserError, match="1 rows without picture.*0003_z"):
        open_dataset(market)
    annotate(market, "train", (*NAMES, NAMES[0]))
    with pytest.raises(UserError, match="0001_a.png twice"):
        open_dataset(market)
    annotate(market, "train", (NAMES[0], NAMES[3]))
    with pytest.raises(UserError, match="no pair"):
        open_dataset(market)
    (market / "market-annotation-train.csv").unlink()
    with pytest.raises(UserError, match="no annotation"):
        open_dataset(market)


def test_check_finds_what_is_wrong(market):
    assert [f.what for f in check_folder(market)] == [
        "distractors, who are nobody: 1 (-1_a.png)"]
    assert not check_dataset(market).hurts
    folder = market / "bounding_box_train"
    (folder / "0001_a.png").write_bytes(b"")
    (folder / "0001_b.png").write_bytes((folder / "0001_b.png").read_bytes()[:60])
    (folder / "0001_c.png").unlink()
    Image.fromarray(picture(0, 16, 16)).save(folder / "0009_new.png")
    with (market / "market-annotation-train.csv").open("a") as file:
        file.write(row("0002_a.png", 1))
        file.write(f"0002_c.png:{[15] * 14}:{[8] * 14}\n")
    Image.fromarray(picture(0)).save(folder / "0002_c.png")
    (market / "market-pairs-test.csv").write_text("0007_a.png,0007_a.png\n")
    found = "\n".join(map(str, check_folder(market)))
    for says in ("0001_a.png: is empty", "0001_b.png: cannot be read", "without picture: 1 (0001_c",
                 "without row: 1 (0009_new", "twice: 1 (0002_a", "1 of 16x16", "itself: 1 (0007_a",
                 "outside of their picture: 1 (0002_c"):
        assert says in found, found
    assert check_dataset(market).hurts
    (market / "market-annotation-train.csv").write_text("a:b")
    assert "fewer than three" in str(check_folder(market)[0])
