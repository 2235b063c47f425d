"""Building from a damaged folder, and onto a disk that is full."""

import errno
import os
import subprocess
import sys

import numpy as np
import pytest
from array_record.python import array_record_module
from PIL import Image

from repose_jax.cli import main
from repose_jax.common.errors import UserError
from repose_jax.data.build import build, build_market1501
from repose_jax.data.check import check_folder
from repose_jax.data.market1501.layout import load_market1501
from repose_jax.data.records import shards
from repose_jax.data.records.array_record import load_array_record, stored_notes
from repose_jax.data.records.locate import find_built
from repose_jax.data.records.manifest import read_manifest

PEOPLE, EACH = 50, 4
SIZE = (32, 16)
TRUNCATED = ("0003_1.jpg", "0010_0.jpg", "0010_2.jpg")
EMPTY, MISSING, DIRECTORY, DANGLING = "0005_0.jpg", "0006_1.jpg", "0007_2.jpg", "0008_3.jpg"
BROKEN_ROWS = ("0011_0.jpg", "0012_1.jpg")  # 1 % of 200
OTHER_SIZE, TWICE, NO_ROW = "0013_0.jpg", "0014_0.jpg", "0015_0.jpg"
LOST = {*TRUNCATED, EMPTY, MISSING, DIRECTORY, DANGLING, *BROKEN_ROWS, OTHER_SIZE, NO_ROW}


def write(folder):
    """A folder in Market-1501's layout, and its names."""
    pictures = folder / "bounding_box_train"
    pictures.mkdir(parents=True)
    rng, names = np.random.default_rng(0), []
    rows = ["name:keypoints_y:keypoints_x"]
    for number in range(PEOPLE * EACH):
        names.append(f"{number // EACH:04d}_{number % EACH}.jpg")
        pixels = rng.integers(0, 256, (*SIZE, 3), np.uint8)
        Image.fromarray(pixels).save(pictures / names[-1], quality=90)
        y, x = (rng.integers(0, side, 14).tolist() for side in SIZE)
        rows.append(f"{names[-1]}:{y}:{x}")
    (folder / "market-annotation-train.csv").write_text("\n".join(rows) + "\n")
    return names


@pytest.fixture
def whole(tmp_path):
    write(tmp_path / "whole")
    return tmp_path / "whole"


@pytest.fixture
def damaged(tmp_path):
    """The same folder with every kind of damage, and what should be left of it."""
    names = write(tmp_path / "damaged")
    pictures = tmp_path / "damaged" / "bounding_box_train"
    for name in TRUNCATED:
        content = (pictures / name).read_bytes()
        (pictures / name).write_bytes(content[:len(content) * 2 // 3])
    (pictures / EMPTY).write_bytes(b"")
    for name in (MISSING, DIRECTORY, DANGLING):
        (pictures / name).unlink()
    # Neither can be read, whoever asks; a file without permission would be open to root.
    (pictures / DIRECTORY).mkdir()
    (pictures / DANGLING).symlink_to("nowhere.jpg")
    Image.new("RGB", (8, 8)).save(pictures / OTHER_SIZE)
    csv = tmp_path / "damaged" / "market-annotation-train.csv"
    lines = []
    for line in csv.read_text().splitlines():
        name = line.split(":")[0]
        if name == NO_ROW:
            continue
        if name in BROKEN_ROWS:
            line = line[:-1] if name == BROKEN_ROWS[0] else f"{name}:[1, 2]:[3, 4]"
        lines += [line, line] if name == TWICE else [line]
    csv.write_text("\n".join(lines) + "\n")
    listed = [f"{a},{b}" for a in names for b in names if a != b and a[:4] == b[:4]]
    (tmp_path / "damaged" / "market-pairs-train.csv").write_text("\n".join(["from,to", *listed]))
    return tmp_path / "damaged", names


def test_a_damaged_folder_is_refused_and_nothing_written(damaged, tmp_path, capsys):
    folder, _ = damaged
    args = ["data", "build", "market1501", "--source", str(folder), "--output",
            str(tmp_path / "built")]
    assert main(args) == 2
    error = capsys.readouterr().err
    assert BROKEN_ROWS[0] in error and error.count("\n") == 1
    assert not list(tmp_path.rglob("*.array_record*"))


def test_skipping_damage_loses_nothing_else(damaged, tmp_path, capsys):
    folder, names = damaged
    args = ["data", "build", "market1501", "--source", str(folder), "--output",
            str(tmp_path / "built"), "--skip-broken"]
    assert main(args) == 0
    said = capsys.readouterr().out
    for what in ("broken rows: 2 (line 46 (0011_0.jpg)", "come twice: 1 (0014_0.jpg)",
                 "rows without picture: 1 (0006_1.jpg)", f"{EMPTY}: is empty",
                 f"{DANGLING}: does not exist", f"{DIRECTORY}: ",
                 "another size than 32x16: 1 (0013_0.jpg)",
                 "without a row that can be read: 3 (0011_0.jpg, 0012_1.jpg, 0015_0.jpg)",
                 *(f"{name}: cannot be read" for name in TRUNCATED)):
        assert what in said, what
    built = load_array_record(tmp_path / "built", "train")
    kept = [name for name in names if name not in LOST and not name.startswith("0000")]
    assert sorted(built.names) == kept and len(kept) == PEOPLE * EACH - len(LOST) - EACH
    whole = write(tmp_path / "whole") and load_market1501(tmp_path / "whole")
    for i, name in enumerate(built.names):
        j = whole.names.index(name)
        np.testing.assert_array_equal(built.image(i), whole.image(j))
        np.testing.assert_array_equal(built.pose(i), whole.pose(j))
    listed = {(built.names[a], built.names[b]) for a, b in built.pairs}
    assert listed == {(a, b) for a in kept for b in kept if a != b and a[:4] == b[:4]}
    assert list(built.notes) == stored_notes(tmp_path / "built")["train"]
    assert check_folder(tmp_path / "built") == []
    path = find_built(tmp_path / "built")
    skipped = read_manifest(path)["splits"]["train"]["skipped"]
    assert skipped["pictures that cannot be read"] == [
        name for name in names if name in (*TRUNCATED, EMPTY, DIRECTORY, DANGLING)]
    assert skipped["rows without picture"] == [MISSING]
    assert skipped["pictures of another size than 32x16"] == [OTHER_SIZE]
    assert skipped["distractors"] == names[:EACH]
    assert str(tmp_path) not in (path / "manifest.json").read_text()


def test_what_is_more_than_damage_is_refused(whole, tmp_path):
    csv = whole / "market-annotation-train.csv"
    lines = csv.read_text().splitlines()
    csv.write_text("\n".join([lines[1], *(line[:-1] for line in lines[2:])]))
    with pytest.raises(UserError, match="199 broken rows of 200"):
        build_market1501(whole, tmp_path / "built", skip_broken=True)
    csv.write_text("\n".join(lines))
    for path in (whole / "bounding_box_train").iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(UserError, match="no picture that can be read"):
        build_market1501(whole, tmp_path / "built", skip_broken=True)
    with pytest.raises(UserError, match="rendered people"):
        build("people", tmp_path / "built", skip_broken=True)


def test_skipping_without_damage_changes_nothing(whole):
    plain, skipped = load_market1501(whole), load_market1501(whole, skip_broken=True)
    assert plain.names == skipped.names and plain.notes == skipped.notes
    np.testing.assert_array_equal(plain.poses, skipped.poses)


def left_over(folder):
    return [p for p in folder.rglob("*") if "record" in p.name or "incomplete" in p.name
            or p.name == "dataset_info.json"]


def test_a_full_disk_and_the_same_command_again(whole, tmp_path, monkeypatch):
    """The writer fails in the middle as the system would have it; the next build is whole."""
    class Full(array_record_module.ArrayRecordWriter):
        written = 0

        def write(self, record):
            Full.written += 1
            if Full.written > 60:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere")
            return super().write(record)

    with monkeypatch.context() as patch:
        patch.setattr(array_record_module, "ArrayRecordWriter", Full)
        with pytest.raises(UserError, match="No space left on device.*build again") as caught:
            build_market1501(whole, tmp_path / "built")
        assert "\n" not in str(caught.value)
    assert Full.written > 60 and not left_over(tmp_path / "built")
    path = build_market1501(whole, tmp_path / "built")
    assert sorted(load_array_record(path).names) == sorted(load_market1501(whole).names)


def test_the_writers_own_error(whole, tmp_path):
    """array_record tells of a failed write as RuntimeError; files may not grow here, for once."""
    command = ("import resource, sys\nfrom repose_jax.cli import main\n"
               "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))\n"
               "sys.exit(main(sys.argv[1:]))")
    args = ["data", "build", "market1501", "--source", str(whole), "--output",
            str(tmp_path / "built")]
    done = subprocess.run([sys.executable, "-c", command, *args], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 2, done.stderr
    # Among the bars of the progress, which TensorFlow Datasets draws last.
    said = [line for line in done.stderr.splitlines() if line.startswith("repose: error:")]
    assert len(said) == 1 and "cannot be written (File too large)" in said[0], done.stderr
    assert "Traceback" not in done.stderr and not left_over(tmp_path / "built")


def test_other_exceptions_keep_their_traceback(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "record_digest", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build_market1501(whole, tmp_path / "built")
