"""Damaged files of every kind end in a value or in one line; the long form is the fuzzer itself."""

from __future__ import annotations

import json
import time
import zipfile

import numpy as np
import pytest

from repose_jax.common.arrays import read_arrays
from repose_jax.common.errors import UserError
from repose_jax.data.human_art.detections import read_detections
from repose_jax.data.human_art.packed import read_packed_poses
from repose_jax.experiments.bench.fuzz_readers import READERS, Reader, fuzz
from repose_jax.pose.formats import read_pose
from repose_jax.studies.acceptance_limits import read_thresholds

# Whole folders take a tenth of a second each.
FOLDERS = ("checkpoints", "built datasets")


@pytest.mark.parametrize("most", [1, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_a_value_or_a_line(tmp_path, name, most):
    most *= 10 if name in FOLDERS else 60
    outcome = fuzz(READERS[name], tmp_path, 0, 3600, most)
    assert outcome.inputs == most and not outcome.faults, list(outcome.faults)


def test_a_fuzzer_that_is_stopped_says_what_it_counted(tmp_path):
    calls = []

    def read(path):
        calls.append(path)
        if len(calls) == 5:
            raise KeyboardInterrupt

    outcome = fuzz(Reader(".txt", lambda: [b"1 2"], read), tmp_path, 0, 3600, 100)
    assert outcome.stopped and outcome.inputs == outcome.read == 4 and not outcome.faults


def test_a_number_that_no_float_holds_is_a_line(tmp_path):
    row = {"image_id": 7, "category_id": 1, "keypoints": [10**400] * 51, "score": 0.5}
    (tmp_path / "a.json").write_text(json.dumps([row]))
    with pytest.raises(UserError, match="all finite"):
        read_detections(tmp_path / "a.json", [7])


@pytest.mark.parametrize("read, name", [
    (lambda path: read_arrays(path, "hint"), "mu"), (read_packed_poses, "arr_0")])
@pytest.mark.parametrize("kind", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_an_archive_that_is_compressed_otherwise_is_a_line(tmp_path, read, name, kind):
    """The decoder of LZMA has errors of its own, which no reader knew."""
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr(zipfile.ZipInfo(f"{name}.npy"), bytes(100), kind)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[50:54] = b"\xff" * 4
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(UserError, match="compressed in a way that is not NumPy's"):
        read(tmp_path / "a.npz")


def test_an_archive_that_python_2_wrote_is_read_without_a_word(tmp_path, recwarn):
    np.savez(tmp_path / "whole.npz", mu=np.arange(4.0))
    with zipfile.ZipFile(tmp_path / "whole.npz") as archive:
        content = archive.read("mu.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("mu.npy", content.replace(b"(4,), } ", b"(4L,), }"))
    assert read_arrays(tmp_path / "a.npz", "hint")["mu"].tolist() == [0, 1, 2, 3]
    assert not recwarn.list


@pytest.mark.parametrize("name, content, line", [
    ("a.json", json.dumps({"annotations": [{"keypoints": [1, 2, 1] * 200_000}],
                           "keypoints": ["nose"] * 200_000}), "names the joint nose twice"),
    ("a.toml", ".".join("a" * 200_000) + " = 1", "is larger than 16000 bytes"),
    ("a.json", json.dumps({"skeleton": "coco17", "joints": {"x" * 10**6: [1, 2]}}), "has the joint")])
def test_a_long_file_takes_no_time_of_the_square_of_its_length(tmp_path, name, content, line):
    (tmp_path / name).write_text(content)
    began = time.process_time()
    with pytest.raises(UserError, match=line) as raised:
        read_thresholds(tmp_path / name) if name == "a.toml" else read_pose(tmp_path / name)
    assert time.process_time() - began < 5 and len(str(raised.value)) < 1000
