"""Damages files of every kind that a stranger may send, and counts what their readers make of them.

    python -m repose_jax.experiments.bench.fuzz_readers --minutes 10 --seed 0

Each reader gets whole files that this script writes, damaged by random bytes, cuts, repetitions and
numbers and words that are known to hurt; of archives the members are damaged, too. A damaged file that
reaches a line of the reader that none reached before is kept and damaged further. A reader has to
end in a value or in a `UserError` of one line, within 20 seconds; everything else is a fault, and its
file is written to --faults. Exit code 1 where there is one. What was found: `docs/reliability.md`.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import os
import pathlib
import random
import resource
import signal
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from repose_jax.common.errors import UserError
from repose_jax.common.torch_file import read_torch
from repose_jax.data.human_art.annotations import read_human_art
from repose_jax.data.human_art.detections import read_detections
from repose_jax.data.human_art.packed import read_packed_poses
from repose_jax.data.image.files import read_image
from repose_jax.data.pairs.list import read_pair_list
from repose_jax.evaluation.statistics.gaussian import load_gaussian
from repose_jax.pose.formats import read_poses
from repose_jax.pose.skeleton import SKELETONS
from repose_jax.studies.acceptance import read_thresholds
from repose_jax.studies.human.key import FORMAT, read_key
from repose_jax.tasks.pose_field import read_guesses
from repose_jax.training.weight_file import export_safetensors, load_safetensors

_SLOWEST_S = 20
_PACKAGE = str(pathlib.Path(read_image.__code__.co_filename).parents[2])
_HURTING = [
    b"-1", b"0", b"1e400", b"-1e400", b"NaN", b"Infinity", b"null", b"true", b"99999999999999999999",
    b"9" * 400, b"9" * 5000, b"[" * 2000, b'{"a":' * 2000, b"[]", b"{}", b'""', b"\x00", b"\xff\xfe",
    b"\xef\xbb\xbf", "\u202e".encode(), b"?",
    b"\r\n", b",", b":", b"nan", b"../../etc/passwd", b"2**31", b"\x80\x04"]


@dataclasses.dataclass(frozen=True)
class Reader:
    """Something that reads files from strangers.

    Attributes:
      suffix: of its files; with a slash, the name of the file in the folder that is read.
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
        {"mu": np.zeros(4), "sigma": np.eye(4), "count": 9, "network": "reid"}), load_gaussian)}


def damaged(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """A file with one to six changes; members of archives are changed inside of it, half the time."""
    if content[:2] == b"PK" and rng.random() < 0.5:
        return _damaged_inside(content, rng)
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        place = rng.randrange(len(data) + 1)
        end = min(len(data), place + rng.choice((1, 2, 4, 8, 40)))
        kind = rng.randrange(8)
        if kind == 0 and place < len(data):
            data[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[place:end] = rng.randbytes(end - place)
        elif kind == 2:
            data[place:end] = rng.choice(_HURTING)
        elif kind == 3:
            data[place:place] = rng.choice(_HURTING)
        elif kind == 4:
            del data[place:end]
        elif kind == 5:
            data[place:place] = data[place:end] * rng.choice((1, 2, 100))
        elif kind == 6:
            del data[place:]
        else:
            other = rng.choice(others)
            cut = rng.randrange(len(other) + 1)
            data[place:] = other[cut:]
        if rng.random() < 0.3:  # a whole number or word in place of another
            starts = [i for i in range(1, len(data)) if data[i - 1] in b" ,:[=" and data[i] not in b" "]
            if starts:
                start = stop = rng.choice(starts)
                while stop < len(data) and data[stop] not in b",:]}\n ":
                    stop += 1
                data[start:stop] = rng.choice(_HURTING)
        del data[1_000_000:]
    return bytes(data)


def _damaged_inside(content: bytes, rng: random.Random) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [(name, archive.read(name)) for name in archive.namelist()]
    except Exception:  # one that was damaged before
        return content[:-1]
    which = rng.randrange(len(members)) if members else 0
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
        warnings.simplefilter("ignore")  # two members of one name
        for number, (name, member) in enumerate(members):
            if number == which:
                member = damaged(member, [member], rng) if member[:2] != b"PK" else member[:-1]
            archive.writestr(name, member)
    return file.getvalue()


class TooSlow(BaseException):
    """A reader took longer than it may."""


@dataclasses.dataclass
class Outcome:
    """What became of a reader's files."""

    inputs: int = 0
    read: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    kept: int = 0
    lines: set = dataclasses.field(default_factory=set)
    faults: dict[str, bytes] = dataclasses.field(default_factory=dict)


def fuzz(reader: Reader, folder: pathlib.Path, seed: int, seconds: float, most: int) -> Outcome:
    """Damages and reads for some time, or until so many files are read."""
    rng, outcome, corpus = random.Random(seed), Outcome(), reader.corpus()
    path = folder / (reader.suffix[1:] if reader.suffix[0] == "/" else f"file{reader.suffix}")
    began, whole = time.monotonic(), list(corpus)
    while outcome.inputs < most and (time.monotonic() - began < seconds or whole):
        content = whole.pop() if whole else damaged(rng.choice(corpus), corpus, rng)
        path.write_bytes(content)
        before, start = len(outcome.lines), time.monotonic()
        fault = _read(reader, path, outcome)
        took = time.monotonic() - start
        outcome.inputs += 1
        outcome.slowest = max(outcome.slowest, took)
        if fault is not None:
            outcome.faults.setdefault(fault, content)
        elif len(outcome.lines) > before and len(content) < 100_000 and took < 1:
            corpus.append(content)
            outcome.kept += 1
    outcome.seconds = time.monotonic() - began
    return outcome


def _read(reader: Reader, path: pathlib.Path, outcome: Outcome) -> str | None:
    """Reads a file; returns what is wrong with how that ended, None where nothing is."""
    def trace(frame, event, argument):
        if not frame.f_code.co_filename.startswith(_PACKAGE):
            return None
        outcome.lines.add((frame.f_code.co_filename, frame.f_lineno))
        return trace

    def ring(number, frame):
        raise TooSlow

    signal.signal(signal.SIGALRM, ring)
    signal.alarm(_SLOWEST_S)
    sys.settrace(trace)
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            reader.read(path)
        outcome.read += 1
        return f"warning: {said[0].category.__name__} {str(said[0].message):.60}" if said else None
    except UserError as error:
        return None if len(str(error)) < 1000 and "\n" not in str(error) else "a long line"
    except (Exception, TooSlow) as error:
        frame = error.__traceback__
        while frame.tb_next and frame.tb_next.tb_frame.f_code.co_filename.startswith(_PACKAGE):
            frame = frame.tb_next
        place = f"{pathlib.Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}"
        return f"{type(error).__name__} at {place}: {str(error):.80}"
    finally:
        sys.settrace(None)
        signal.alarm(0)


def executable_lines(name: str) -> set[int]:
    """Numbers of a file's lines that hold code of functions."""
    todo, found = [compile(pathlib.Path(name).read_text(), name, "exec")], set()
    module = todo[0]
    while todo:
        code = todo.pop()
        todo += [c for c in code.co_consts if isinstance(c, type(code))]
        if code is not module:
            found |= {line for _, _, line in code.co_lines() if line and line != code.co_firstlineno}
    return found


def main() -> int:
    """Runs all readers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="over all readers")
    parser.add_argument("--most", type=int, default=10**9, help="files a reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="readers whose name holds this")
    parser.add_argument("--faults", type=pathlib.Path, help="folder for files at fault")
    options = parser.parse_args()
    chosen = {name: reader for name, reader in READERS.items() if options.only in name}
    total, faulty, seen = 0, 0, {}
    with tempfile.TemporaryDirectory() as place:
        for name, reader in chosen.items():
            outcome = fuzz(reader, pathlib.Path(place), options.seed,
                           60 * options.minutes / len(chosen), options.most)
            total, faulty = total + outcome.inputs, faulty + len(outcome.faults)
            for file, line in outcome.lines:
                seen.setdefault(file, set()).add(line)
            print(f"{name}: {outcome.inputs} files in {outcome.seconds:.0f} s, {outcome.read} read, "
                  f"the slowest {outcome.slowest:.2f} s, {outcome.kept} kept, "
                  f"{len(outcome.faults)} kinds of fault", flush=True)
            for number, (fault, content) in enumerate(outcome.faults.items()):
                print(f"  {fault}", flush=True)
                if options.faults:
                    options.faults.mkdir(parents=True, exist_ok=True)
                    stem = "".join(c if c.isalnum() else "-" for c in name)
                    (options.faults / f"{stem}-{number}").write_bytes(content)
    for file, lines in sorted(seen.items()):
        known = executable_lines(file)
        if len(lines & known) > 10:
            print(f"  {os.path.relpath(file, _PACKAGE)}: {len(lines & known)} of {len(known)} lines")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{total} files, {faulty} kinds of fault, peak memory {peak:.0f} MB")
    return int(faulty > 0)


if __name__ == "__main__":
    sys.exit(main())
