"""Whole files of every kind that a stranger may send, and what reads them, for `fuzz_readers`.

What is a folder, a checkpoint or a built dataset, is here a zip archive of its files.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import pathlib
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from PIL import Image

from repose_jax.common.torch_file import read_torch
from repose_jax.data.build import build_people
from repose_jax.data.human_art.annotations import read_human_art
from repose_jax.data.human_art.detections import read_detections
from repose_jax.data.human_art.packed import read_packed_poses
from repose_jax.data.image.files import read_image
from repose_jax.data.pairs.list import read_pair_list
from repose_jax.data.records.array_record import load_array_record
from repose_jax.data.records.check import check_built
from repose_jax.evaluation.statistics.gaussian import load_gaussian
from repose_jax.pose.formats import read_poses
from repose_jax.pose.skeleton import SKELETONS
from repose_jax.studies.acceptance_limits import read_thresholds
from repose_jax.studies.human.key import FORMAT, read_key
from repose_jax.tasks.pose_field import read_guesses
from repose_jax.training.checkpoint import Checkpoints
from repose_jax.training.state import OptimizerConfig, TrainState, create_state, make_optimizer
from repose_jax.training.weight_file import export_safetensors, load_safetensors


@dataclasses.dataclass(frozen=True)
class Reader:
    """Something that reads files from strangers.

    Attributes:
      suffix: of its files; with a slash, the name of the file in the folder that is read; "/", of a
        folder whose files are damaged.
      corpus: writes whole files.
      read: reads one.
    """

    suffix: str
    corpus: Callable[[], list[bytes]]
    read: Callable[[pathlib.Path], Any]


def _json(*values: Any) -> Callable[[], list[bytes]]:
    return lambda: [json.dumps(value).encode() for value in values]


def _text(*texts: str) -> Callable[[], list[bytes]]:
    return lambda: [text.encode() for text in texts]


def _pictures() -> list[bytes]:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 9, 3), np.uint8)
    files = []
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF"):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, kind)
        files.append(file.getvalue())
    for mode in ("L", "LA", "RGBA", "I", "P", "1"):
        file = io.BytesIO()
        grey = Image.fromarray(pixels[..., 0]).convert(mode)
        grey.save(file, "TIFF" if mode == "I" else "PNG")
        files.append(file.getvalue())
    return files


def _arrays(*tables: dict[str, Any]) -> Callable[[], list[bytes]]:
    def make() -> list[bytes]:
        files = []
        for table in tables:
            file = io.BytesIO()
            np.savez(file, **table)
            files.append(file.getvalue())
        return files
    return make


def _weights() -> list[bytes]:
    rng = np.random.default_rng(0)
    params = {"a": {"kernel": rng.normal(size=(3, 4)).astype(np.float32)}, "b": np.ones(3, np.float32)}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "a.safetensors")
        export_safetensors(path, params, {"format": "x", "config": json.dumps({"a": [1, 2]})})
        return [path.read_bytes()]


def _torch() -> list[bytes]:
    """PyTorch's archive, as its format is described, of two tensors in one storage."""
    def tensor(key: str, offset: int, size: int) -> bytes:
        return (b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
                b"X\x01\x00\x00\x00" + key.encode() + b"X\x03\x00\x00\x00cpuK\x06tQK"
                + bytes([offset]) + b"K" + bytes([size]) + b"\x85K\x01\x85\x89"
                b"ccollections\nOrderedDict\n)RtR")

    steps = (b"\x80\x02}(X\x01\x00\x00\x00a" + tensor("0", 0, 4) + b"X\x01\x00\x00\x00b"
             + tensor("0", 4, 2) + b"u.")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", steps)
        archive.writestr("archive/data/0", np.arange(6, dtype=np.float32).tobytes())
        archive.writestr("archive/version", "3\n")
    return [file.getvalue()]


_XYC = [float(value) for joint in range(18) for value in (joint * 3, joint * 5, 0.9)]
_COCO_XYV = [value for joint in range(17) for value in (joint * 3, joint * 5, 2)]
_PERSON = {"id": 1, "image_id": 7, "category_id": 1, "keypoints": _COCO_XYV, "num_keypoints": 17,
           "bbox": [0, 0, 40, 80], "area": 3200, "iscrowd": 0}
_LANDMARKS = [{"x": 0.01 * n, "y": 0.02 * n, "z": 0.0, "visibility": 0.9} for n in range(33)]
_KEY = {"format": FORMAT, "study": "0" * 64, "methods": ["ours"], "settings": {"seconds": 1.0},
        "questions": {"q0": {"kind": "real-or-generated", "check": False, "pair": ["a", "b"],
                             "options": {"o0": {
                                 "origin": "generated", "method": "ours", "file": "a"}}}}}
_ENTRY_14 = ":".join(["a.jpg", str([*range(14)]), str([*range(14)])])
_ENTRY_18 = ":".join(["a.jpg", str([*range(18)]), str([-1, *range(17)])])

def _zipped(folder: pathlib.Path) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())
    return file.getvalue()


def unzip(content: bytes, folder: pathlib.Path) -> None:
    """Replaces a folder by what `_zipped` made of one."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with warnings.catch_warnings(), zipfile.ZipFile(io.BytesIO(content)) as archive:
        warnings.simplefilter("ignore")
        archive.extractall(folder)


_IMAGES = (8, 16)  # of the two checkpoints


@functools.cache
def _state(images: int) -> TrainState:
    rng = np.random.default_rng(images)
    params = {"a": {"kernel": rng.normal(size=(30, 20)).astype(np.float32)},
              "b": rng.normal(size=5).astype(np.float32)}
    return create_state(params, make_optimizer(OptimizerConfig(), 8))


def _checkpoints() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        with Checkpoints(folder, config={"a": [1, 2]}) as checkpoints:
            for images in _IMAGES:
                checkpoints.save(_state(images), images=images, data_state={"position": images})
        return [_zipped(pathlib.Path(folder))]


def _restore(folder: pathlib.Path) -> None:
    """Raises AssertionError for a state that is not what was saved."""
    with Checkpoints(folder, config={"a": [1, 2]}) as checkpoints:
        restored = checkpoints.restore_latest(_state(0))
    if restored is None:
        return
    assert restored.images in _IMAGES and restored.data_state == {"position": restored.images}
    for found, wanted in zip(jax.tree.leaves(restored.state),
                             jax.tree.leaves(_state(restored.images)), strict=True):
        assert np.array_equal(found, wanted), "another state"


def _records() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        return [_zipped(build_people(folder, identities=2, test_identities=2, views=2, size=(32, 16)))]


def _read_records(folder: pathlib.Path) -> None:
    source = load_array_record(folder, "train", cache=False)
    for index in range(len(source)):
        source.image(index)
        assert np.isfinite(source.pose(index)).all()
    check_built(folder)


READERS = {
    "model weights": Reader(".safetensors", _weights, load_safetensors),
    "PyTorch weights": Reader(".pth", _torch, read_torch),
    "pictures": Reader(".png", _pictures, read_image),
    "poses, JSON": Reader(".json", _json(
        {"people": [{"pose_keypoints_2d": _XYC}], "canvas_width": 64, "canvas_height": 128},
        {"annotations": [_PERSON], "images": [
            {"id": 7, "file_name": "a.jpg", "width": 64, "height": 128}]}, [_PERSON],
        {"landmarks": [_LANDMARKS]}, {"poseLandmarks": _LANDMARKS},
        {"skeleton": "coco17", "size": [128, 64], "joints": {"nose": [3, 4], "left_eye": [1, 2]}}),
        read_poses),
    "poses, CSV": Reader(".csv", _text(
        f"name:keypoints_y:keypoints_x\n{_ENTRY_14}\n", f"name:keypoints_y:keypoints_x\n{_ENTRY_18}\n"),
        read_poses),
    "poses, text": Reader(".txt", _text("\n".join(f"{n} {2 * n}" for n in range(18))), read_poses),
    "pairs, CSV": Reader(".csv", _text("from,to\na.jpg,b.jpg\nb.jpg,a.jpg\n", "a.jpg,b.jpg\n"),
                         read_pair_list),
    "limits, TOML": Reader(".toml", _text("color = 0.5\ndetail = 0.2\n", "[a]\nb = [1, 2.0, 'x']\n"),
                           read_thresholds),
    "study's key, JSON": Reader("/key.json", _json(_KEY), lambda path: read_key(path.parent)),
    "Human-Art, JSON": Reader(".json", _json({
        "info": {}, "categories": [{"id": 1, "name": "person"}], "annotations": [_PERSON],
        "images": [{"id": 7, "file_name": "HumanArt/images/a/b.jpg", "width": 64, "height": 128,
                    "category": "a", "description": "x"}]}), read_human_art),
    "detections, JSON": Reader(".json", _json([
        {"image_id": 7, "category_id": 1, "keypoints": [float(v) for v in _COCO_XYV], "score": 0.9}]),
        lambda path: read_detections(path, [7])),
    "packed poses, .npz": Reader(".npz", _arrays({"arr_0": np.array(
        [{"keypoints": np.array(_COCO_XYV, np.float64), "area": 5.0}], dtype=object)},
        {"arr_0": np.array([])}), read_packed_poses),
    "guesses, .npz": Reader(".npz", _arrays({"poses": np.ones((3, 14, 3), np.float32)}),
                            lambda path: read_guesses(str(path), SKELETONS["market14"])),
    "statistics, .npz": Reader(".npz", _arrays(
        {"mu": np.zeros(4), "sigma": np.eye(4), "count": 9, "network": "reid"}), load_gaussian),
    "checkpoints": Reader("/", _checkpoints, _restore),
    "built datasets": Reader("/", _records, _read_records)}
