"""Pickles whose few steps stand for more work than there is time for; plain ones come back whole."""

from __future__ import annotations

import io
import pickle
import struct
import time
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repose_jax.common.errors import UserError
from repose_jax.common.pickle_steps import AsksTooMuch, BoundedUnpickler, check_steps, ordered
from repose_jax.common.torch_file import read_torch
from repose_jax.data.human_art.packed import read_packed_poses
from hostile_pickles import packed, zipped

SECONDS = 5.0  # of CPU; each of them would take hours, or end the process

# (t, t) of (t, t) of ...: 2^64 numbers in 260 bytes.
TWICE = b")" + b"2\x86" * 64
DEEP = b"N" + b"\x85" * 150_000  # each in a tuple of its own: more than the C stack holds
MANY = b"".join(b"(K\x01" + struct.pack("<Bi", ord("J"), n) + b"tN" for n in range(1001))
LONG_NUMBER = b"\x8b" + struct.pack("<i", 60_000) + b"\x7f" * 60_000

STEPS = {
    "a key of tuples": b"\x80\x02}" + TWICE + b"Ns.",
    "a key of tuples among others": b"\x80\x02}(K\x01N" + TWICE + b"Nu.",
    "a dictionary made at once": b"\x80\x02(" + TWICE + b"Nd.",
    "a deep key": b"\x80\x02}" + DEEP + b"Ns.",
    "a long key": b"\x80\x02}(" + b"N" * 60_000 + b"tNs.",
    "a number of many digits": b"\x80\x02}" + LONG_NUMBER + b"Ns.",
    "many keys whose hashes can be made equal": b"\x80\x02}(" + MANY + b"u.",
    "a set": b"\x80\x04\x8f(" + TWICE + b"\x90.",
    "a set that cannot change": b"\x80\x04(" + TWICE + b"\x91.",
    "an ordered dictionary": (b"\x80\x02ccollections\nOrderedDict\n]" + TWICE + b"N\x86a\x85R."),
    "a state again and again": (
        b"\x80\x02ccollections\nOrderedDict\n)Rq\x00}(" + b"".join(
            b"J" + struct.pack("<i", n) + b"N" for n in range(20_000)) + b"uq\x01b"
        + b"h\x01b" * 20_000 + b"."),
    "a size again and again": (
        b"\x80\x02(" + b"N" * 30_000 + b"tq\x00" + b"0ctorch\nSize\nh\x00\x85R" * 3_000 + b"."),
    "a storage of that name": b"\x80\x02(X\x07\x00\x00\x00storagectorch\nFloatStorage\n" + TWICE
                              + b"X\x03\x00\x00\x00cpuK\x04tQ.",
    "a size of tuples": b"\x80\x02}ctorch\nSize\n" + TWICE + b"\x85\x85RNs.",
    "what is named": b"\x80\x02ccollections\nOrderedDict\n}X\x01\x00\x00\x00aK\x01sb.",
}


@pytest.mark.parametrize("only", [None, ("model",)])
@pytest.mark.parametrize("case", STEPS)
def test_a_weight_file_is_a_line(tmp_path, case, only):
    (tmp_path / "a.pth").write_bytes(zipped(STEPS[case], **{"data/0": bytes(16)}))
    began = time.process_time()
    with pytest.raises(UserError) as raised:
        read_torch(tmp_path / "a.pth", only)
    assert "\n" not in str(raised.value) and time.process_time() - began < SECONDS


@pytest.mark.parametrize("case", STEPS)
def test_a_pose_file_is_a_line(tmp_path, case):
    began = time.process_time()
    with pytest.raises(UserError):
        read_packed_poses(packed(tmp_path / "a.npz", STEPS[case]))
    assert time.process_time() - began < SECONDS


def test_bytes_copied_again_and_again_are_a_line(tmp_path):
    """Into an array of poses; each time they fit its shape."""
    content = b"(K\x01(M\x00\x80tcnumpy\ndtype\n(X\x02\x00\x00\x00u1K\x00K\x01tR\x89B" + struct.pack(
        "<I", 1 << 15) + bytes(1 << 15) + b"tq\x00"
    steps = (b"\x80\x03cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR"
             + content + b"b" + b"h\x00b" * 30_000 + b".")
    with pytest.raises(UserError, match="again and again"):
        read_packed_poses(packed(tmp_path / "a.npz", steps))


class Names(BoundedUnpickler):
    def find_class(self, module, name):
        return ordered if name == "OrderedDict" else super().find_class(module, name)


def loaded(content: bytes):
    file = io.BytesIO(content + b"after")
    check_steps(file)
    value = Names(file).load()
    assert file.read() == b"after"  # old weight files are one pickle after the other
    return value


plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | (
    st.binary())
keys = st.text() | st.integers(-2**63, 2**63) | st.binary() | st.tuples(st.integers(0, 9), st.text())
content = st.recursive(
    plain, lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(keys, inner)
    | st.dictionaries(keys.filter(lambda key: type(key) is not tuple), inner).map(OrderedDict)
    | st.sets(st.text()), max_leaves=20)


@settings(deadline=None, max_examples=60)
@given(value=content, protocol=st.integers(2, 5))
def test_what_is_plain_comes_back_as_python_reads_it(value, protocol):
    if protocol < 4 and has_set(value) or protocol == 2 and has_bytes(value):
        return  # made by a call of set or encode, which weights have no use for
    found, wanted = loaded(pickle.dumps(value, protocol)), pickle.loads(pickle.dumps(value, protocol))
    assert found == value and repr(found) == repr(wanted)  # the types, too


def has_set(value) -> bool:
    return isinstance(value, set) or any(map(has_set, inside(value)))


def has_bytes(value) -> bool:
    return isinstance(value, bytes) or any(map(has_bytes, inside(value)))


def inside(value) -> list:
    if isinstance(value, dict):
        return [*value, *value.values()]
    return list(value) if isinstance(value, (list, tuple, set)) else []


def test_it_names_nothing_of_itself():
    for value in (np.float32(1), np.zeros(3), print):
        with pytest.raises(pickle.UnpicklingError, match="it asks for"):
            BoundedUnpickler(io.BytesIO(pickle.dumps(value))).load()


def test_the_budget_grows_with_the_file():
    """What a file of weights consists of may be copied once, however large it is."""
    large = b"x" * 30_000_000
    assert loaded(pickle.dumps(OrderedDict(a=large)))["a"] == large
    with pytest.raises(AsksTooMuch):
        loaded(pickle.dumps({(1, (2, 3)): 4}))


@pytest.mark.parametrize("steps", [b"c\\\xfc\nx\n.", b"S'\\q'\n."], ids=["a name", "a word"])
def test_escapes_that_python_does_not_know_are_no_warning(steps, tmp_path):
    """Warnings are errors in these tests; a word is read as it stands, and such a name is none."""
    (tmp_path / "a.pth").write_bytes(zipped(b"\x80\x02" + steps))
    with pytest.raises(UserError):
        read_torch(tmp_path / "a.pth", only=["x"])
    check_steps(io.BytesIO(b"S'\\q'\n."))
    assert BoundedUnpickler(io.BytesIO(b"S'\\q'\n.")).load() == "\\q"
