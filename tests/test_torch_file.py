"""PyTorch's files, both formats, against what PyTorch itself wrote; and files that must not run."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict

import ml_dtypes
import numpy as np
import pytest

from repose_jax.common.errors import UserError
from repose_jax.common.torch_file import check_hash, read_state_dict, read_torch

MAGIC = 0x1950A86A20F9469CFC6C


@pytest.fixture(params=["zip", "legacy"])
def save(request, tmp_path):
    """Writes an object with PyTorch, gives the path."""
    torch = pytest.importorskip("torch")

    def write(content):
        path = tmp_path / "weights.pth"
        torch.save(content, path, _use_new_zipfile_serialization=request.param == "zip")
        return path

    return write


def test_every_type_and_layout_comes_back(save):
    torch = pytest.importorskip("torch")
    rng = torch.Generator().manual_seed(0)
    base = torch.randn(6, 5, 4, generator=rng)
    kinds = ("float16", "float32", "float64", "bfloat16", "uint8", "int8", "int16", "int32",
             "int64", "bool")
    state = OrderedDict((kind, (10 * base).to(getattr(torch, kind))) for kind in kinds)
    state |= {
        "transposed": base.permute(2, 0, 1), "cut": base[1:5:2, ::3, 1:], "row": base[2],
        "repeated": base[0, 0, :1].expand(3, 7), "number": torch.tensor(7),
        "none": torch.zeros(3, 0, 2), "parameter": torch.nn.Parameter(base[0].clone())}
    found = read_state_dict(save(state), sha256_prefix=None)
    assert list(found) == list(state)
    for name, value in state.items():
        if name == "bfloat16":
            assert found[name].dtype == ml_dtypes.bfloat16
            value, found[name] = value.float(), found[name].astype(np.float32)
        value = value.detach().numpy()
        assert found[name].dtype == value.dtype and found[name].shape == value.shape, name
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert np.shares_memory(found["transposed"], found["row"])
    assert not found["row"].flags.writeable


def test_state_of_a_network_with_its_metadata(save):
    torch = pytest.importorskip("torch")
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    found = read_state_dict(save(network.state_dict()), sha256_prefix=None)
    assert found.keys() == network.state_dict().keys() and found["1.num_batches_tracked"] == 0
    np.testing.assert_array_equal(found["0.weight"], network[0].weight.detach())


def test_nested_content_and_what_is_no_state_dict(save):
    torch = pytest.importorskip("torch")
    path = save({"model": {"w": torch.ones(2)}, "step": 3, "rates": [0.1, None], "size": (1, "a")})
    found = read_torch(path)
    np.testing.assert_array_equal(found["model"].pop("w"), [1, 1])
    assert found == {"model": {}, "step": 3, "rates": [0.1, None], "size": (1, "a")}
    with pytest.raises(UserError, match="a dict under 'model', no tensor"):
        read_state_dict(path, sha256_prefix=None)
    with pytest.raises(UserError, match="holds a list"):
        read_state_dict(save([torch.ones(1)]), sha256_prefix=None)


def test_a_whole_network_is_refused(save):
    torch = pytest.importorskip("torch")
    with pytest.raises(UserError, match="names torch.nn.modules.linear.Linear"):
        read_torch(save(torch.nn.Linear(1, 1)))


def test_a_file_cut_anywhere_or_changed_is_refused_or_read(save, tmp_path):
    torch = pytest.importorskip("torch")
    whole = save({"a": torch.arange(40.0), "b": torch.ones(3, 2, dtype=torch.int64)}).read_bytes()
    rng, path = np.random.default_rng(0), tmp_path / "cut.pth"
    for length in [0, 1, 4, 30, *rng.integers(0, len(whole), 40), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="cut.pth"):
            read_torch(path)
    for _ in range(150):
        changed = bytearray(whole)
        changed[rng.integers(len(whole))] = rng.integers(256)
        path.write_bytes(changed)
        try:
            read_torch(path)
        except UserError:
            pass  # any other exception is a defect


def _legacy(content: bytes, *storages: tuple[str, np.ndarray], **machine) -> bytes:
    """A file of the old format, with the pickle of its object as given."""
    machine = {"protocol_version": 1001, "little_endian": True} | machine
    parts = [pickle.dumps(part, 2) for part in (MAGIC, 1001, machine)]
    parts += [content, pickle.dumps([key for key, _ in storages], 2)]
    parts += [struct.pack("<q", len(values)) + values.tobytes() for _, values in storages]
    return b"".join(parts)


class _Named:
    """Pickled as the name of something that need not be there."""

    def __init__(self, name: str):
        self.name = name


class _Pickler(pickle._Pickler):
    """Writes by hand what old versions of PyTorch wrote; a storage is ("storage", type, ...)."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_name(self, named):
        self.write(b"c" + named.name.replace(":", "\n").encode() + b"\n")

    dispatch[_Named] = save_name

    def persistent_id(self, value):
        return value if isinstance(value, tuple) and value[:1] == ("storage",) else None

    def save(self, value, *args, **kwargs):
        if isinstance(value, _Reduced):
            function, arguments, *state = value.reduced
            self.save(function)
            self.save(arguments)
            self.write(pickle.NEWOBJ if value.new else pickle.REDUCE)
            for part in state:
                self.save(part)
                self.write(pickle.BUILD)
        else:
            super().save(value, *args, **kwargs)


class _Reduced:
    """Pickled as the call of a named function, or of a type's `__new__`, then given states."""

    def __init__(self, name, arguments, *state, new=False):
        self.reduced, self.new = (_Named(name), arguments, *state), new


def _pickled(content) -> bytes:
    file = io.BytesIO()
    _Pickler(file, 2).dump(content)
    return file.getvalue()


def test_files_of_the_first_versions(tmp_path):
    """`_rebuild_tensor` without hooks, parameters of three forms, views of a storage."""
    values = np.arange(12, dtype=np.float32)
    kind = _Named("torch:FloatStorage")

    def tensor(view=None):
        return _Reduced("torch._utils:_rebuild_tensor", (
            ("storage", kind, "11", "cpu", 12, view), 0, (2, 3), (3, 1)))

    parameter = "torch.nn.parameter:Parameter"
    content = {
        "plain": tensor(), "view": tensor(("12", 6, 6)),
        "made": _Reduced(parameter, (tensor(),), (True, False, OrderedDict())),
        "state": _Reduced(parameter, (), (tensor(), None, OrderedDict(), True, False), new=True)}
    path = tmp_path / "old.pth"
    path.write_bytes(_legacy(_pickled(content), ("11", values)))
    found = read_state_dict(path, sha256_prefix=None)
    for name in ("plain", "made", "state"):
        np.testing.assert_array_equal(found[name], values[:6].reshape(2, 3))
    np.testing.assert_array_equal(found["view"], values[6:].reshape(2, 3))
    path.write_bytes(_legacy(_pickled({"w": tensor(("12", 8, 6))}), ("11", values)))
    with pytest.raises(UserError, match="leaves storage 11"):
        read_torch(path)
    path.write_bytes(_legacy(_pickled(content), ("11", values), little_endian=False))
    with pytest.raises(UserError, match="byte order"):
        read_torch(path)


@pytest.mark.parametrize("offset, size, stride, what", [
    (8, (2, 3), (3, 1), "leaves its storage"), (0, (1 << 40,), (1,), "leaves its storage"),
    (-1, (2,), (1,), "negative"), (0, (2,), (-1,), "negative"), (0, (2, 2), (1,), "well formed")])
def test_a_tensor_must_lie_in_its_storage(tmp_path, offset, size, stride, what):
    storage = ("storage", _Named("torch:FloatStorage"), "0", "cpu", 12)
    tensor = _Reduced("torch._utils:_rebuild_tensor_v2",
                      (storage, offset, size, stride, False, OrderedDict()))
    path = tmp_path / "bad.pth"
    path.write_bytes(_legacy(_pickled({"w": tensor}), ("0", np.zeros(12, np.float32))))
    with pytest.raises(UserError, match=what):
        read_torch(path)


@pytest.mark.parametrize("name, arguments", [
    ("posix:system", ("touch {}",)), ("builtins:eval", ("open('{}', 'w')",)),
    ("builtins:getattr", ("", "join")), ("torch._utils:_rebuild_tensor_v2.__globals__", ()),
    ("torch.nn.modules.container:Sequential", ()), ("collections:namedtuple", ("a", "b"))])
@pytest.mark.parametrize("inside", ["zip", "legacy"])
def test_nothing_but_tensors_is_named(tmp_path, name, arguments, inside):
    touched, path = tmp_path / "touched", tmp_path / "evil.pth"
    arguments = tuple(text.format(touched) for text in arguments)
    content = pickle.dumps({}, 2)[:-1] + _pickled(_Reduced(name, arguments))[2:]
    if inside == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("evil/data.pkl", content)
    else:
        path.write_bytes(_legacy(content))
    with pytest.raises(UserError, match="refused"):
        read_torch(path)
    assert not touched.exists()


def test_what_the_permitted_names_can_be_bent_to(tmp_path):
    """Functions and types cannot be left in the content, and what is done to one dies with it."""
    path = tmp_path / "evil.pth"
    for name in ("collections:OrderedDict", "torch._utils:_rebuild_tensor_v2",
                 "torch.nn.parameter:Parameter", "torch:FloatStorage"):
        path.write_bytes(_legacy(_pickled({"w": _Named(name)})))
        with pytest.raises(UserError, match="refused"):
            read_torch(path)
    for new in (False, True):
        for state in ((1, 2, 3, 4, 5), {"__class__": 1}, (None, {"data": "x"}), b"x"):
            bent = _Reduced("torch.nn.parameter:Parameter", (), state, new=new)
            path.write_bytes(_legacy(_pickled({"w": bent})))
            try:
                read_state_dict(path, sha256_prefix=None)
                pytest.fail("read as a tensor")
            except UserError:
                pass


def test_other_archives_and_compressed_records(tmp_path):
    path = tmp_path / "other.pth"
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    path.write_bytes((tmp_path / "other.npz").read_bytes())
    with pytest.raises(UserError, match="did not write"):
        read_torch(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"a": "b" * 1000}, 2))
    with pytest.raises(UserError, match="compressed"):
        read_torch(path)
    path.write_bytes(pickle.dumps(["no", "magic"]))
    with pytest.raises(UserError, match="no file of PyTorch"):
        read_torch(path)


def test_hash_of_the_name(tmp_path):
    content = _legacy(_pickled({}))
    digest = hashlib.sha256(content).hexdigest()
    good, bad, bare = (tmp_path / name for name in (
        f"net_v1-{digest[:8]}.pth", "net-00000000.pth", "net.pth"))
    for path in (good, bad, bare):
        path.write_bytes(content)
    assert check_hash(good) == digest and read_state_dict(good) == {}
    with pytest.raises(UserError, match="00000000 is asked for"):
        read_state_dict(bad)
    with pytest.raises(UserError, match="no hash in its name"):
        read_state_dict(bare)
    assert check_hash(bare, digest[:12].upper()) == check_hash(bare, None) == digest
    with pytest.raises(UserError, match="abcd is asked for"):
        check_hash(good, "abcd")
    with pytest.raises(UserError, match="no such file"):
        check_hash(tmp_path / "absent-00000000.pth")
    with pytest.raises(UserError, match="cannot be read"):
        read_torch(os.fspath(tmp_path))
