"""What builders write: the same as the folder, in parts that a stopped build keeps, with a manifest."""

import json
import shutil

import numpy as np
import pytest

from built_sets import SMALL, assert_same, build_args, digests
from deepfashion_folders import HIGH, NESTED, flat, write_csv, write_database, write_text
from human_art_folders import file_name, write_human_art, write_humansd
from repose_jax.cli import main
from repose_jax.common.errors import UserError
from repose_jax.data.build import build, build_deepfashion, build_human_art, build_market1501
from repose_jax.data.check import check_dataset
from repose_jax.data.human_art.annotations import load_human_art
from repose_jax.data.human_art.built import load_built_human_art
from repose_jax.data.human_art.packed import load_humansd
from repose_jax.data.image.files import read_image
from repose_jax.data.pairs.source import OrderedPairs, PairSource
from repose_jax.data.records.array_record import RecordImages, load_array_record
from repose_jax.data.records.builder import split_of
from repose_jax.data.records.manifest import read_manifest
from repose_jax.data.registry import open_dataset
from repose_jax.pose.skeleton import OPENPOSE18


def database(root):
    """The text files, and a database instead of the pictures."""
    write_text(root)
    write_database(root, SMALL)
    shutil.rmtree(root / "img")
    return root


def no_list_of_pairs(root):
    """Pairs are those of the same clothes, which the names of the people do not tell."""
    for file in write_csv(root).glob("*-pairs-*.csv"):
        file.unlink()
    return root


def test_deepfashion_of_one_split_is_built_and_scored_without_the_other(tmp_path, capsys):
    """A sample of the test pictures, as they are shared to score results by."""
    root = write_csv(tmp_path / "deepfashion")
    for path in root.glob("*train*.csv"):
        path.unlink()
    path = build_deepfashion(root, tmp_path / "built", size=SMALL)
    assert list(read_manifest(path)["splits"]) == ["test"]
    with pytest.raises(UserError, match="no DeepFashion annotation for train"):
        open_dataset(root, "train")
    (tmp_path / "made").mkdir()
    args = ["evaluate", "--protocol", "deepfashion-256-cfld", "--images", str(tmp_path / "made"),
            "--data", str(root), "--output", str(tmp_path / "r.json")]
    assert main(args) == 2
    assert "the baselines need the training pictures" in capsys.readouterr().err


@pytest.mark.parametrize("layout", [write_csv, write_text, database, no_list_of_pairs])
def test_deepfashion_equals_the_folder(tmp_path, layout):
    root = layout(tmp_path / "fashion")
    path = build_deepfashion(root, tmp_path / "built", size=SMALL)
    for split in NESTED:
        assert_same(open_dataset(tmp_path / "built", split), open_dataset(root, split, size=SMALL))
    assert not check_dataset(path).findings and check_dataset(path).layout == "built dataset"
    for file in path.iterdir():
        assert str(tmp_path).encode() not in file.read_bytes(), file


def test_pictures_are_stored_as_given_or_as_png(tmp_path):
    root = write_csv(tmp_path / "fashion")
    path = build_deepfashion(root, tmp_path / "built", size=HIGH)
    record = RecordImages(path, "train").record(2)
    assert record["image"] == (root / "train_highres" / flat(NESTED["train"][2])).read_bytes()
    path = build_deepfashion(root, tmp_path / "built", size=SMALL)
    assert RecordImages(path, "train").record(2)["image"].startswith(b"\x89PNG")
    assert path.parent.name == "64x44"


def test_market1501_in_another_size(market, tmp_path):
    path = build("market1501", tmp_path, source=market, size=(48, 32))
    assert path.parent.name == "market14-48x32"
    for split in ("train", "test"):
        assert_same(open_dataset(path, split), open_dataset(market, split, size=(48, 32)))


@pytest.mark.parametrize("write, load", [(write_human_art, load_human_art),
                                         (write_humansd, load_humansd)])
def test_human_art_equals_the_folder(tmp_path, write, load):
    root = write(tmp_path / "HumanArt")
    path = build_human_art(root, tmp_path / "built")
    for split in ("train", "test"):
        built = load_built_human_art(tmp_path / "built", split)
        for i, (mine, given) in enumerate(zip(built.pictures, load(root, split), strict=True)):
            for key in ("people", "boxes", "areas"):
                one, other = getattr(mine, key), getattr(given, key)
                assert one.dtype == other.dtype
                np.testing.assert_array_equal(one, other, strict=True)
            for key in ("size", "scenario", "description", "number"):
                assert getattr(mine, key) == getattr(given, key)
            assert root / mine.path == given.path
            np.testing.assert_array_equal(built.read(i), read_image(given.path))
    assert not check_dataset(path).findings
    manifest = read_manifest(path)["splits"]["train"]
    assert (manifest["pictures"], manifest["people"], "pairs" in manifest) == (3, 3, False)
    with pytest.raises(UserError, match="is Human-Art, which has no two pictures"):
        open_dataset(tmp_path / "built")
    with pytest.raises(UserError, match="no split val"):
        load_built_human_art(path, "val")


def test_manifest(tmp_path, market):
    """Counts and settings; the digest follows the contents and nothing else."""
    root = write_csv(tmp_path / "fashion")
    path = build_deepfashion(root, tmp_path / "built", size=SMALL)
    manifest = read_manifest(path)
    assert manifest["dataset"] == "deepfashion" and manifest["config"] == "64x44"
    assert manifest["settings"] == {"size": [64, 44], "skip_broken": False}
    assert manifest["skeletons"] == ["openpose18"]
    assert manifest["versions"].keys() == {"repose_jax", "tensorflow-datasets", "pillow"}
    train = manifest["splits"]["train"]
    assert (train["pictures"], train["people"], train["pairs"]) == (7, 2, 5)
    assert "DeepFashion" in train["layout"] and "train_highres" in train["layout"]
    moved = shutil.copytree(root, tmp_path / "elsewhere")
    helped = build_deepfashion(moved, tmp_path / "helped", size=SMALL, workers=2)
    assert digests(helped) == digests(path)
    pairs = root / "fasion-resize-pairs-train.csv"
    lines = pairs.read_text().splitlines()
    pairs.write_text("\n".join([lines[0], lines[2], lines[1], *lines[3:]]) + "\n")
    other = build_deepfashion(root, tmp_path / "other", size=SMALL)
    assert digests(other)["train"] != digests(path)["train"]
    assert digests(other)["test"] == digests(path)["test"]
    people = build("people", tmp_path / "people", identities=2, test_identities=1, views=3,
                   size=(32, 16))
    train = read_manifest(people)["splits"]["train"]
    assert (train["pictures"], train["people"], train["pairs"]) == (6, 2, 12)
    built = build_market1501(market, tmp_path / "market")
    for name, split in read_manifest(built)["splits"].items():
        source = load_array_record(built, name)
        assert (split["pictures"], split["people"]) == (12, 4)
        assert split["pairs"] == len(source.pairs) == len(OrderedPairs(source.persons))


def damage(root):
    """Breaks a DeepFashion folder of CSV files; the names that cannot be used any more."""
    folder, rows = root / "train_highres", root / "fasion-resize-annotation-train.csv"
    truncated, missing, broken = (flat(NESTED["train"][i]) for i in (3, 5, 6))
    content = (folder / truncated).read_bytes()
    (folder / truncated).write_bytes(content[:len(content) // 2])
    (folder / missing).unlink()
    lines = rows.read_text().splitlines()
    rows.write_text("\n".join([line[:-1] if line.startswith(broken) else line for line in lines]
                              + lines[2:3]) + "\n")
    return truncated, missing, broken


def test_skipping_damage_of_deepfashion(tmp_path, small_parts, capsys):
    whole = open_dataset(write_csv(tmp_path / "whole"), size=SMALL)
    root = write_csv(tmp_path / "fashion")
    lost = truncated, missing, broken = damage(root)
    args = ["data", "build", "deepfashion", "--source", str(root), "--output",
            str(tmp_path / "built"), "--size", *map(str, SMALL)]
    assert main(args) == 2
    assert "line 8" in capsys.readouterr().err
    assert not list((tmp_path / "built").rglob("*.array_record"))
    assert main([*args, "--skip-broken"]) == 0
    said = capsys.readouterr().out
    for what in (f"broken rows: 1 (line 8 ({broken})", f"missing: 1 ({missing})",
                 f"twice: 1 ({flat(NESTED['train'][1])[:-4]})",
                 f"left out: {truncated}: cannot be read as a picture",
                 f"without annotation: 1 ({broken})"):
        assert what in said, what
    path = tmp_path / "built" / "deepfashion" / "64x44" / "1.0.0"
    built = open_dataset(path)
    assert built.names == tuple(name for name in whole.names if name not in lost)
    for i, name in enumerate(built.names):
        np.testing.assert_array_equal(built.image(i), whole.image(whole.names.index(name)))
        np.testing.assert_array_equal(built.pose(i), whole.pose(whole.names.index(name)))
    assert [[built.names[i] for i in pair] for pair in built.pairs] == [
        [a, b] for a, b in np.array(whole.names)[whole.pairs] if a not in lost and b not in lost]
    skipped = read_manifest(path)["splits"]["train"]["skipped"]
    assert skipped["cannot be read as a picture"] == [truncated]
    assert skipped["pictures that are missing"] == [missing]
    assert str(tmp_path) not in (path / "manifest.json").read_text()
    assert not check_dataset(path).findings


def test_skipping_damage_of_human_art(tmp_path):
    root = write_human_art(tmp_path / "HumanArt")
    file = root / "annotations" / "training_humanart.json"
    content = json.loads(file.read_text())
    content["annotations"][0]["keypoints"] = [1, 2, 3]
    file.write_text(json.dumps(content))
    (root / file_name(1)).unlink()
    path = root / file_name(2)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(UserError, match="no 17 or 21 joints"):
        build_human_art(root, tmp_path / "built")
    built = build_human_art(root, tmp_path / "built", skip_broken=True)
    art = load_built_human_art(built)
    assert [str(p.path) for p in art.pictures] == [file_name(0)] and len(art.pictures[0].people) == 1
    np.testing.assert_array_equal(art.pictures[0].boxes, [[1, 2, 30, 41]])
    entry = read_manifest(built)["splits"]["train"]
    assert (entry["pictures"], entry["people"]) == (1, 1)
    assert entry["skipped"] == {
        "people that cannot be used": ["has no 17 or 21 joints x, y, visibility in annotation 0"],
        "pictures that are missing": [file_name(1)], "cannot be read as a picture": [file_name(2)]}
    packed = write_humansd(tmp_path / "packed")
    next((packed / "pose").rglob("000000000000.npz")).write_bytes(b"nothing")
    with pytest.raises(UserError, match="000000000000.npz"):
        build_human_art(packed, tmp_path / "packed-built")
    built = build_human_art(packed, tmp_path / "packed-built", skip_broken=True)
    assert len(load_built_human_art(built).pictures) == 2


def test_what_is_there_is_not_built_again_and_said_so(tmp_path, capsys, monkeypatch):
    root = write_csv(tmp_path / "fashion")
    path = tmp_path / "built" / "deepfashion" / "64x44" / "1.0.0"
    assert main(build_args(root, tmp_path / "built")) == 0
    assert f"wrote {path}" in capsys.readouterr().out
    before = digests(path), path.stat().st_mtime_ns
    monkeypatch.setenv("HOME", str(tmp_path))  # which TensorFlow Datasets puts in the place of ~
    assert main(build_args(root, "~/built")) == 0
    said = capsys.readouterr().out
    assert said.splitlines() == [f"{path} is there already, nothing was built; delete it to build it "
                                 "anew"]
    assert main(build_args(root, tmp_path / "built", "--skip-broken")) == 2
    said = capsys.readouterr()
    assert (f"{path}: is there already and was built with skip_broken False, not True; choose another "
            "output or delete it") in said.err and "wrote" not in said.out
    assert build_deepfashion(root, tmp_path / "built", size=SMALL) == path
    assert (digests(path), path.stat().st_mtime_ns) == before
    assert [p.name for p in path.parent.iterdir()] == ["1.0.0"]
    (path / "manifest.json").unlink()
    assert main(build_args(root, tmp_path / "built", "--skip-broken")) == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2 and "has no manifest" in said[0] and "nothing was built" in said[1]


def test_notes_count_what_was_kept(tmp_path):
    """What is not a published count is told of the folder; the manifest has counts of its own."""
    root = write_csv(tmp_path / "fashion")
    file = root / "train_highres" / flat(NESTED["train"][3])
    file.write_bytes(file.read_bytes()[:-500])
    entry = read_manifest(build_deepfashion(root, tmp_path / "built", size=SMALL,
                                            skip_broken=True))["splits"]["train"]
    assert entry["pictures"] == 6 and not any("published" in n for n in entry["notes"])
    assert any("7 pictures where 48,674" in note for note in open_dataset(root).notes)


def test_notes_lose_the_folder_and_nothing_else():
    source = PairSource(
        skeleton=OPENPOSE18, size=SMALL, names=["a"], persons=["a"], poses=np.zeros((1, 18, 3)),
        read=len, notes=("left out: train/x.jpg: no '/a/train/x' ('train/y')", "s/train/z is there"))
    assert list(split_of(source, "train", "x").notes) == [
        "left out: x.jpg: no '/a/train/x' ('y')", "s/train/z is there"]


def findings(path):
    return "\n".join(map(str, check_dataset(path).findings))


def test_check_names_what_is_broken(tmp_path, small_parts, capsys):
    root = write_csv(tmp_path / "fashion")
    whole = build_deepfashion(root, tmp_path / "built", size=SMALL)
    assert main(["data", "check", str(whole)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    for line in (["train", "pictures", "7"], ["train", "people", "2"], ["test", "pairs", "2"]):
        assert line in lines
    first, second, *_ = (p.name for p in sorted(whole.glob("*train*")))

    def damaged(name, change):
        path = shutil.copytree(whole, tmp_path / name)
        change(path)
        return findings(path)

    def flip(path):
        content = bytearray((path / second).read_bytes())
        place = content.index(b"\x89PNG") + 500
        content[place] ^= 1
        (path / second).write_bytes(content)

    said = damaged("cut", lambda p: (p / second).write_bytes((p / second).read_bytes()[:70_000]))
    assert f"{second}: is broken" in said and first not in said
    assert f"{second}: " in damaged("flipped", flip)
    assert f"{second}" in damaged("missing", lambda p: (p / second).unlink())
    said = damaged("swapped", lambda p: shutil.copy(p / first, p / second))
    assert f"{second}: holds something else than manifest.json tells" in said
    said = damaged("miscounted", lambda p: (p / "manifest.json").write_text(
        (p / "manifest.json").read_text().replace('"pairs": 5', '"pairs": 6')))
    assert "other counts of train: 1 (6 pairs, not 5)" in said
    said = damaged("pairless", lambda p: (p / "metadata.json").write_text(
        (p / "metadata.json").read_text().replace("3back", "4back")))
    assert "tells of other contents of train" in said
    def told(change):
        def write(path):
            content = json.loads((path / "manifest.json").read_text())
            change(content["splits"])
            (path / "manifest.json").write_text(json.dumps(content))
        return write

    assert "tells of no files with a SHA-256 of train" in damaged(
        "fileless", told(lambda splits: splits["train"].pop("files")))
    assert "splits that it does not tell of: 1 (train)" in damaged(
        "untold", told(lambda splits: splits.pop("train")))
    assert "manifest.json: cannot be read" in damaged(
        "garbled", lambda p: (p / "manifest.json").write_text("{"))
    (whole / "manifest.json").unlink()
    assert "has no manifest.json" in findings(whole) and not check_dataset(whole).hurts


@pytest.mark.parametrize("args, says", [
    (["human-art", "--size", "64", "44"], "human-art: does not take size"),
    (["deepfashion", "--views", "2"], "deepfashion: does not take views"),
    (["deepfashion", "--workers", "-1"], "workers: is -1"),
    (["deepfashion", "--size", "0", "44"], "size: is (0, 44)"),
    (["human-art"], "has neither training_humanart.json nor"),
    (["deepfashion"], "has no DeepFashion annotation for train")])
def test_wrong_use_is_one_line(tmp_path, capsys, args, says):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "readme.txt").write_text("nothing of the kind")
    assert main(["data", "build", *args, "--source", str(tmp_path / "other"), "--output",
                 str(tmp_path / "built")]) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if "repose: error" in line]
    assert len(error) == 1 and says in error[0]
    assert not list((tmp_path / "built").rglob("*.array_record"))
