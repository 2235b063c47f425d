"""HumanSD's packed poses: a small file that asks for much is one line."""

from __future__ import annotations

import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest

from repose_jax.common.errors import UserError
from repose_jax.data.human_art.packed import read_packed_poses
from repose_jax.experiments.bench.fuzz_readers import READERS, fuzz
from hostile_pickles import packed

POSE = [float(n) for n in range(1, 52)]


def _large(shape: bytes, code: bytes) -> bytes:
    """An array of a shape, with next to nothing to fill it."""
    return (b"\x80\x03cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR"
            b"(K\x01" + shape + b"cnumpy\ndtype\n(X\x02\x00\x00\x00" + code
            + b"K\x00K\x01tR\x89]tb.")


def _nested() -> bytes:
    values = POSE
    for _ in range(9):
        values = [values] * 20
    return pickle.dumps([{"keypoints": values}], 4)


BOMBS = {
    "array of objects": _large(b"(J\x00\x00\x00\x7ft", b"O8"),
    "array of numbers": _large(b"(J\x00\x00\x00\x7ft", b"f8"),
    "array's class": b"\x80\x03cnumpy\nndarray\n(J\x00\x00\x00\x7ft\x85R.",
    "high place": b"\x80\x02Nr\xff\xff\xff\x7f.",
    "too many steps": b"\x80\x02" + b"N0" * 150_000 + b"].",
    "lists in lists": _nested(),
    "code": b"cos\nsystem\n(X\x04\x00\x00\x00truetR.",
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_asks_for_much_is_a_line(tmp_path, name):
    path = packed(tmp_path / "a.npz", BOMBS[name])
    tracemalloc.start()
    try:
        with pytest.raises(UserError):
            read_packed_poses(path)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


def test_a_file_that_unpacks_to_much_is_a_line(tmp_path):
    path = packed(tmp_path / "a.npz", b"N" * 50_000_000, zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match="more than 4000000 bytes"):
        read_packed_poses(path)


@pytest.mark.parametrize("keypoints", [
    POSE, np.array(POSE), np.array(POSE, ">f4"), np.asfortranarray(np.reshape(POSE, (17, 3))),
    [np.float32(n) for n in POSE], list(np.reshape(POSE, (17, 3))), np.array(POSE, object)])
def test_whole_files_are_read(tmp_path, keypoints):
    np.savez(tmp_path / "a.npz", np.array([{"keypoints": keypoints, "area": np.float64(5)}], object))
    poses, areas = read_packed_poses(tmp_path / "a.npz")
    np.testing.assert_array_equal(poses[0, :, :2], np.reshape(POSE, (17, 3))[:, :2])
    assert areas == [5]


def test_damaged_files_are_a_value_or_a_line(tmp_path):
    outcome = fuzz(READERS["packed poses, .npz"], tmp_path, 0, 300, 400)
    assert outcome.inputs == 400 and not outcome.faults, list(outcome.faults)
