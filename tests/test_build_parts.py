"""Builds that are stopped or meet another: what was done is kept, and nothing is mixed up."""

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from array_record.python import array_record_module
from PIL import Image

from built_sets import SMALL, assert_same, digests
from deepfashion_folders import NESTED, flat, write_csv
from repose_jax.cli import main
from repose_jax.common.errors import UserError
from repose_jax.common.lock import alone
from repose_jax.data.build import build_deepfashion
from repose_jax.data.check import check_dataset
from repose_jax.data.deepfashion.layout import load_deepfashion
from repose_jax.data.image.files import read_image
from repose_jax.data.registry import open_dataset


class Full(array_record_module.ArrayRecordWriter):
    """A disk with room for `room` records."""

    room = 0

    def write(self, record):
        if not Full.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere")
        Full.room -= 1
        return super().write(record)


def fill_disk(root, output, room, **options):
    """Builds onto a disk that is full after `room` records."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(array_record_module, "ArrayRecordWriter", Full)
        Full.room = room
        with pytest.raises(UserError, match="No space left.*build again; what was done is kept"):
            build_deepfashion(root, output, size=SMALL, **options)


def test_a_full_disk_loses_no_part(tmp_path, small_parts):
    root = write_csv(tmp_path / "fashion")
    whole = build_deepfashion(root, tmp_path / "whole", size=SMALL)
    assert sorted(p.name[-14:] for p in whole.glob("*train*")) == [
        f"0000{i}-of-00004" for i in range(4)]
    small_parts.clear()
    fill_disk(root, tmp_path / "built", 5)
    assert small_parts == [0, 1, 2, 3, 4, 5]
    assert not list((tmp_path / "built").rglob("*.tmp"))
    fill_disk(root, tmp_path / "built", 0)
    small_parts.clear()
    path = build_deepfashion(root, tmp_path / "built", size=SMALL)
    assert small_parts == [4, 5, 6, 0, 1, 2]
    assert digests(path) == digests(whole) and not check_dataset(path).findings
    assert_same(open_dataset(path), open_dataset(root, size=SMALL))
    assert [p.name for p in path.parent.iterdir()] == ["1.0.0"]


def test_a_killed_build_goes_on(tmp_path, small_parts):
    root = write_csv(tmp_path / "fashion")
    command = ("import os, signal, sys\n"
               "from repose_jax.data.records import shards\n"
               "from repose_jax.cli import main\n"
               "prepare = shards._prepare\n"
               "shards.SIZE, shards._prepare = 2, lambda records, i: (os.kill(os.getpid(), "
               "signal.SIGKILL) if i == 3 else prepare(records, i))\n"
               "main(sys.argv[1:])")
    args = ["data", "build", "deepfashion", "--source", str(root), "--output",
            str(tmp_path / "built"), "--size", *map(str, SMALL)]
    done = subprocess.run([sys.executable, "-c", command, *args], check=False,
                          capture_output=True)
    assert done.returncode == -signal.SIGKILL
    with pytest.raises(UserError, match="no dataset"):
        open_dataset(tmp_path / "built")
    assert main(args) == 0
    assert small_parts == [2, 3, 4, 5, 6, 0, 1, 2]
    assert digests(tmp_path / "built" / "deepfashion" / "64x44" / "1.0.0") == digests(
        build_deepfashion(root, tmp_path / "whole", size=SMALL))


def test_what_has_changed_is_prepared_anew(tmp_path, small_parts):
    """A part holds only for the very pictures, poses and settings that it was made of."""
    root = write_csv(tmp_path / "fashion")
    fill_disk(root, tmp_path / "built", 6)
    path = root / "train_highres" / flat(NESTED["train"][0])
    Image.fromarray(read_image(path)[::-1]).save(path, quality=95)
    rows = root / "fasion-resize-annotation-train.csv"
    name = flat(NESTED["train"][3])
    lines = rows.read_text().splitlines()
    rows.write_text("\n".join(f"{name}:{[9] * 18}:{[8] * 18}" if line.startswith(name) else line
                              for line in lines) + "\n")
    # Cut short, as it may be where the plug was pulled.
    part = next((tmp_path / "built").rglob("train-00002.array_record"))
    part.write_bytes(part.read_bytes()[:100])
    small_parts.clear()
    path = build_deepfashion(root, tmp_path / "built", size=SMALL)
    assert small_parts[:7] == [0, 1, 2, 3, 4, 5, 6]
    assert_same(open_dataset(path), open_dataset(root, size=SMALL))


def test_one_build_at_a_time(tmp_path):
    """The second is refused and takes nothing away from the first, whose end sets the folder free."""
    root = write_csv(tmp_path / "fashion")
    unfinished = tmp_path / "built" / "deepfashion" / "64x44" / "unfinished.1.0.0"
    stale = unfinished.with_name("incomplete.ABC123_1.0.0")
    command = ("import sys\nfrom repose_jax.common.lock import alone\n"
               "with alone(sys.argv[1]):\n    print('in', flush=True)\n    sys.stdin.read()")
    with subprocess.Popen([sys.executable, "-c", command, str(unfinished)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"in\n"
        stale.mkdir()
        with pytest.raises(UserError, match="unfinished.1.0.0: is in use by another process"):
            build_deepfashion(root, tmp_path / "built", size=SMALL)
        assert stale.is_dir() and [p.name for p in unfinished.iterdir()] == ["lock"]
        other.kill()  # a lock that is left over holds nobody up
    path = build_deepfashion(root, tmp_path / "built", size=SMALL)
    assert [p.name for p in path.parent.iterdir()] == ["1.0.0"]


def test_a_lock_leaves_no_folder_and_takes_none_of_others(tmp_path, monkeypatch):
    folder = tmp_path / "a" / "b"
    with pytest.raises(ZeroDivisionError), alone(folder):
        assert (folder / "lock").is_file()
        with pytest.raises(UserError, match="in use"), alone(folder):
            pass
        raise ZeroDivisionError
    assert not folder.exists()
    first, second = alone(folder), alone(folder)
    first.__enter__()
    shutil.rmtree(folder)
    second.__enter__()  # whose lock is another file by now
    first.__exit__(None, None, None)
    assert [p.name for p in folder.iterdir()] == ["lock"]
    second.__exit__(None, None, None)
    flock, locked = fcntl.flock, []

    def delete_first(file, operation):
        """Whoever was in the folder leaves it between the opening and the locking of the file."""
        if not locked:
            shutil.rmtree(folder)
        locked.append(file)
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", delete_first)
    with alone(folder):
        assert (folder / "lock").is_file() and len(locked) == 2
        (folder / "kept").write_text("")
    assert [p.name for p in folder.iterdir()] == ["kept"]


def test_a_part_follows_from_all_that_its_pictures_depend_on(tmp_path, small_parts, monkeypatch):
    """Borders that are cut off, and versions of the packages, change pictures with the same files."""
    root = write_csv(tmp_path / "fashion")
    fill_disk(root, tmp_path / "built", 6)
    small_parts.clear()
    fill_disk(root, tmp_path / "built", 0)
    assert small_parts == [6]
    monkeypatch.setattr("repose_jax.data.deepfashion.layout.white_border", lambda *_, **__: 4)
    small_parts.clear()
    fill_disk(root, tmp_path / "built", 6)
    assert small_parts == [0, 1, 2, 3, 4, 5, 6]
    monkeypatch.setattr("repose_jax.data.records.builder.versions",
                        lambda names: dict.fromkeys(names, "9"))
    small_parts.clear()
    path = build_deepfashion(root, tmp_path / "built", size=SMALL)
    assert small_parts[:7] == [0, 1, 2, 3, 4, 5, 6]
    np.testing.assert_array_equal(open_dataset(path).image(0), load_deepfashion(
        root, size=SMALL).image(0))


def test_what_is_refused_may_be_skipped_afterwards(tmp_path, small_parts):
    """The parts that were done stay; those that lack a picture count only where it may lack."""
    root = write_csv(tmp_path / "fashion")
    path = root / "train_highres" / flat(NESTED["train"][5])
    good = path.read_bytes()
    path.write_bytes(good[:len(good) // 2])
    with pytest.raises(UserError, match=path.name):
        build_deepfashion(root, tmp_path / "built", size=SMALL)
    small_parts.clear()
    fill_disk(root, tmp_path / "built", 1, skip_broken=True)
    assert small_parts == [4, 5, 6]
    with pytest.raises(UserError, match=path.name):
        build_deepfashion(root, tmp_path / "built", size=SMALL)
    path.write_bytes(good)
    small_parts.clear()
    built = build_deepfashion(root, tmp_path / "built", size=SMALL)
    assert small_parts == [4, 5, 6, 0, 1, 2]
    assert_same(open_dataset(built), open_dataset(root, size=SMALL))
