"""Weight files from strangers: each is read right or refused in one line, at once."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import pathlib
import pickle
import random
import struct
import time

import jax
import numpy as np
import pytest
import safetensors.numpy

from repose_jax import weights
from repose_jax.common.errors import UserError
from repose_jax.common.torch_file import read_state_dict, read_torch
from repose_jax.models.weights import load_field, load_model
from repose_jax.training.weight_file import load_safetensors
from hostile_pickles import zipped

SECONDS = 5.0  # of CPU: a busy machine is not the file's fault


@contextlib.contextmanager
def refused(match: str):
    """One printable line of moderate length, for little work."""
    began = time.process_time()
    with pytest.raises(UserError, match=match) as caught:
        yield
    line = str(caught.value)
    assert line.isprintable() and len(line) < 1000 and time.process_time() - began < SECONDS, line


@pytest.fixture(scope="module")
def good(market_model):
    """(tensors, strings) of a model."""
    path = market_model / "model.safetensors"
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    return safetensors.numpy.load(content), json.loads(content[8:8 + size])["__metadata__"]


def changed(strings: dict[str, str], name: str, place: str, value) -> dict[str, str]:
    """The strings with one value of one of them, JSON, replaced: `place` is a path of dots."""
    content = json.loads(strings[name])
    *path, last = place.split(".")
    inner = content
    for part in path:
        inner = inner[part]
    inner[last] = value
    return {**strings, name: json.dumps(content)}


DEEP = "[" * 100_000 + "]" * 100_000
STRINGS = {
    **{f"no {name}": (name, None) for name in ("format", "config", "facts", "sample")},
    **{f"{name} is {text:.9}": (name, text) for name in ("config", "facts", "sample")
       for text in ("no JSON", "[]", "5", "null", DEEP, "[" * 200 + "]" * 200, "9" * 5000)}}
VALUES = [
    ("config", "network", None), ("config", "network", []), ("config", "network.unet", None),
    ("config", "network.unet", [1]), ("config", "network.unet.blocks", "many"),
    ("config", "network.unet.blocks", 1.5), ("config", "network.unet.blocks", 10**6),
    ("config", "network.unet.blocks", 60), ("config", "network.unet.blocks", -1),
    ("config", "network.unet.blocks", 10**400), ("config", "network.unet.blocks", True),
    ("config", "network.unet.channels", []), ("config", "network.unet.channels", [[1]]),
    ("config", "network.unet.channels", [8] * 1000), ("config", "network.unet.channels", {}),
    ("config", "network.unet.channels", [10**9]), ("config", "network.unet.wings", 2),
    ("config", "network.unet.attention", [99]), ("config", "network.unet.dropout", 2),
    ("config", "network.unet.patch", 0), ("config", "network.unet.heads", 7),
    ("config", "network.rpa.iterations", 10**6), ("config", "network.rpa.initial", "foo"),
    ("config", "network.rpa", "x"), ("config", "network.image_size", "128x64"),
    ("config", "network.image_size", [128]), ("config", "network.image_size", [2**20, 2**20]),
    ("config", "network.image_size", [0, 0]), ("config", "network.skeleton", "octopus"),
    ("config", "network.skeleton", "\x1b[2J\n" * 99), ("config", "prediction", "foo"),
    ("config", "prediction", None), ("config", "schedule", {"kind": "foo"}),
    ("config", "schedule", {"steps": 10**9}), ("config", "schedule", {"steps": -1}),
    ("sample", "guidance", None), ("sample", "steps", "x"), ("sample", "steps", -1),
    ("sample", "sampler", "foo"), ("sample", "eta", float("nan")),
    ("sample", "guidance.pif", float("inf")), ("sample", "guidance.interval", [1, 0])]


@pytest.mark.parametrize("case", STRINGS)
def test_strings_that_are_not_there_or_not_JSON_are_a_line(tmp_path, good, case):
    tensors, strings = good
    name, text = STRINGS[case]
    strings = {**strings, name: text} if text is not None else {
        key: value for key, value in strings.items() if key != name}
    (tmp_path / "model").write_bytes(safetensors.numpy.save(tensors, strings))
    with refused("model"):
        load_model(tmp_path / "model")


@pytest.mark.parametrize("text", [None, "no JSON", "[]"])
def test_the_line_names_the_file_once(tmp_path, text):
    bundled = pathlib.Path(weights.__path__[0], "field-people.safetensors").read_bytes()
    strings = json.loads(bundled[8:8 + int.from_bytes(bundled[:8], "little")])["__metadata__"]
    strings = {key: value for key, value in strings.items() if key != "config"} | (
        {} if text is None else {"config": text})
    path = tmp_path / "model"
    path.write_bytes(safetensors.numpy.save(safetensors.numpy.load(bundled), strings))
    with pytest.raises(UserError) as caught:
        load_field(path)
    assert str(caught.value).count(str(path)) == 1


@pytest.mark.parametrize(("name", "place", "value"), VALUES, ids=lambda value: f"{value!s:.20}")
def test_settings_that_make_no_network_are_a_line(tmp_path, good, name, place, value):
    tensors, strings = good
    content = safetensors.numpy.save(tensors, changed(strings, name, place, value))
    (tmp_path / "model").write_bytes(content)
    with refused("model"):
        load_model(tmp_path / "model")


def nan(tensors):
    return {name: np.full_like(value, np.nan) for name, value in tensors.items()}


def named(name: str):
    return lambda tensors: {**tensors, name: np.ones(1, np.float16)}


@pytest.mark.parametrize(("change", "line"), [
    (nan, "not finite"),
    (lambda tensors: {k: v.astype(np.int16) for k, v in tensors.items()}, "type int16"),
    (lambda tensors: {k: np.full(v.shape, 1e300) for k, v in tensors.items()}, "not finite"),
    (lambda tensors: {}, "the file has 0"), (named("unet"), "no place of its own"),
    (named("a//b"), "no place"), (named(""), "no place"), (named("/".join("a" * 99)), "no place"),
    (named("x" * 10_000), "has the tensor"), (named("a\n\x1b[2J"), "has the tensor")])
def test_tensors_that_no_network_has_are_a_line(tmp_path, good, change, line):
    tensors, strings = good
    (tmp_path / "model").write_bytes(safetensors.numpy.save(change(dict(tensors)), strings))
    with refused(line):
        load_model(tmp_path / "model")


def raw(header: str, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header.encode())) + header.encode() + data


@pytest.mark.parametrize("content", [
    b"", b"\xff" * 8, struct.pack("<Q", 10**10) + b"{}", raw(DEEP), raw(" " * 10**6), raw("[]"),
    raw('{"a": {"dtype": "F8_E4M3", "shape": [1], "data_offsets": [0, 1]}}', b"\0"),
    raw('{"a": {"dtype": "F16", "shape": [1000000000000], "data_offsets": [0, 2]}}', b"\0\0"),
    raw('{"a": {"dtype": "F16", "shape": [1], "data_offsets": [2, 0]}}', b"\0\0"),
    raw('{"a": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}', b"\0"),
    raw('{"a": {"dtype": "F16", "shape": [1], "data_offsets": [0, 2]}, '
        '"a/b": {"dtype": "F16", "shape": [1], "data_offsets": [2, 4]}}', b"\0\0\0\0")],
    ids=lambda content: f"{content[8:48]!r}")
def test_headers_that_lie_are_a_line(tmp_path, content):
    (tmp_path / "model").write_bytes(content)
    with refused("model"):
        load_safetensors(tmp_path / "model")


@pytest.mark.parametrize("trials", [100, pytest.param(3_000, marks=pytest.mark.slow)])
def test_any_bytes_are_read_or_refused(tmp_path, good, trials):
    """Random damage anywhere in a small file: one line, or numbers that are finite."""
    tensors, strings = good
    small = dict(sorted(tensors.items(), key=lambda item: item[1].size)[:4])
    whole, rng = safetensors.numpy.save(small, strings), random.Random(0)
    for _ in range(trials):
        content = bytearray(whole)
        for _ in range(rng.choice((1, 1, 4, 32))):
            content[rng.randrange(len(content))] = rng.randrange(256)
        del content[rng.choice((len(content), rng.randrange(len(content)))):]
        (tmp_path / "model").write_bytes(content)
        try:
            read, _ = load_safetensors(tmp_path / "model")
        except UserError as error:
            assert str(error).isprintable()
        else:
            assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(read))
        with contextlib.suppress(UserError):
            load_model(tmp_path / "model")


# --- PyTorch's files


def references(levels: int) -> bytes:
    """A pickle of a few hundred bytes that stands for ten to the power of `levels` things."""
    inner = ["x"]
    for _ in range(levels):
        inner = [inner] * 10
    return pickle.dumps(inner, 2)


def test_a_thing_with_many_ways_to_it_is_gone_through_once(tmp_path):
    (tmp_path / "bomb.pth").write_bytes(zipped(references(20)))
    began = time.process_time()
    read_torch(tmp_path / "bomb.pth")
    assert time.process_time() - began < SECONDS
    with refused("holds a list"):
        read_state_dict(tmp_path / "bomb.pth", sha256_prefix=None)


STEPS = {
    "a place far out": b"\x80\x02]r" + struct.pack("<I", 2**28) + b".",
    "another": b"\x80\x02]p4000000000\n.",
    "too many steps": b"\x80\x02" + b"N0" * 600_000 + b"N.",
    "deep": b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".",
    "itself": b"\x80\x02]q\x00h\x00a.",
    "a length that lies": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"abc.",
    "a count that lies": b"\x80\x02(]" + b"." * 3}


@pytest.mark.parametrize("case", STEPS)
def test_a_small_pickle_that_asks_for_much_is_a_line(tmp_path, case):
    (tmp_path / "bomb.pth").write_bytes(zipped(STEPS[case]))
    with refused("bomb.pth"):
        read_state_dict(tmp_path / "bomb.pth", sha256_prefix=None)


@pytest.mark.parametrize("size", [(2**33,), (2**60,), (2, 2, 2)])
def test_no_tensor_is_larger_than_its_bytes(tmp_path, size):
    class Rebuilt:
        def __reduce__(self):
            from collections import OrderedDict
            return _rebuild_tensor_v2, (Storage(), 0, size, (0,) * len(size), False, OrderedDict())

    class Storage:
        """Pickled as a reference to four numbers."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing):
            return ("storage", FloatStorage, "0", "cpu", 4) if isinstance(thing, Storage) else None

    buffer = io.BytesIO()
    Pickler(buffer, 2).dump({"w": Rebuilt()})
    content = buffer.getvalue().replace(__name__.encode(), b"torch._utils", 1)
    names = (b"ctorch._utils\n_rebuild_tensor_v2", b"ctorch\nFloatStorage")
    content = content.replace(b"c" + __name__.encode() + b"\nFloatStorage", names[1])
    assert all(name in content for name in names)
    (tmp_path / "wide.pth").write_bytes(zipped(content, **{"data/0": bytes(16)}))
    with refused("more elements than its storage"):
        read_state_dict(tmp_path / "wide.pth", sha256_prefix=None)


def _rebuild_tensor_v2(*_):
    """Stands for PyTorch's function of this name."""


class FloatStorage:
    """Stands for PyTorch's type of this name."""


@dataclasses.dataclass
class Fuzz:
    """Pickles made of random steps, most of them nonsense."""

    rng: random.Random

    def steps(self) -> bytes:
        count = self.rng.randrange(1, 60)
        known = [b"]", b"}", b"(", b"t", b"a", b"s", b"u", b"e", b"0", b"2", b"N", b"q\x00", b"h\x00",
                 b"K\x05", b"X\x01\x00\x00\x00a", b"ctorch\nFloatStorage\n", b"Q", b"R", b"b", b"\x81",
                 b"ccollections\nOrderedDict\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"."]
        return b"\x80\x02" + b"".join(
            self.rng.choice(known) if self.rng.random() < 0.95 else self.rng.randbytes(2)
            for _ in range(count)) + b"."


@pytest.mark.parametrize("trials", [500, pytest.param(50_000, marks=pytest.mark.slow)])
def test_any_steps_are_read_or_refused(tmp_path, trials):
    fuzz = Fuzz(random.Random(0))
    for _ in range(trials):
        (tmp_path / "fuzz.pth").write_bytes(zipped(fuzz.steps(), **{"data/0": bytes(16)}))
        with contextlib.suppress(UserError):
            read_torch(tmp_path / "fuzz.pth")
