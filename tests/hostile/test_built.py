"""Built datasets that somebody else made or a disk has damaged."""

from __future__ import annotations

import json
import pathlib
import shutil
import sys

import numpy as np
import pytest

from repose_jax.common.errors import UserError
from repose_jax.data.build import build_people
from repose_jax.data.records.array_record import load_array_record, open_built
from repose_jax.data.records.check import check_built
from repose_jax.data.records.manifest import FILE, read_manifest


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> pathlib.Path:
    return pathlib.Path(build_people(tmp_path_factory.mktemp("built"), identities=2,
                                     test_identities=2, views=2, size=(32, 16)))


@pytest.fixture
def built(whole, tmp_path) -> pathlib.Path:
    shutil.copytree(whole, tmp_path / "built")
    return tmp_path / "built"


def changed(path: pathlib.Path, *steps: tuple[str, ...]) -> None:
    """Replaces values of a JSON file: the last of a step is the value, the others lead to it."""
    content = json.loads(path.read_text())
    for *way, last, value in steps:
        inner = content
        for part in way:
            inner = inner[part]
        inner[last] = value
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("key", ["pythonClassName", "type", "proto_cls"])
def test_no_module_is_imported_that_a_dataset_names(built, tmp_path, monkeypatch, key):
    """TFDS imports whatever module stands there."""
    (tmp_path / "stranger.py").write_text("raise SystemExit('it runs')")
    monkeypatch.syspath_prepend(tmp_path)
    changed(built / "features.json", ("featuresDict", "features", "name", key, "stranger.Text"))
    for use in (open_built, load_array_record, check_built):
        with pytest.raises(UserError, match="asks for 'stranger.Text'"):
            use(built)
    assert "stranger" not in sys.modules


@pytest.mark.parametrize("name, steps, line", [
    ("metadata.json", ("pairs", {"train": [["nobody", "else"]]}), "nobody"),
    ("metadata.json", ("pairs", {"train": 5}), "not iterable"),
    ("metadata.json", ("notes", 5), "of no split"),
    ("features.json", ("featuresDict", "features", "poses", "featuresDict", "features",
                       {"nobody18": None}), "is broken"),
    ("dataset_info.json", ("fileFormat", "nothing"), "is broken"),
    ("dataset_info.json", ("splits", [{"name": "train", "shardLengths": ["9"]}]), "is broken")])
def test_what_a_dataset_tells_of_itself_may_be_wrong(built, name, steps, line):
    changed(built / name, steps)
    with pytest.raises(UserError, match=line) as raised:
        source = load_array_record(built)
        [source.image(i) for i in range(len(source))]
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' * 2000, "9" * 5000, "\\xff", "[]"])
def test_a_manifest_may_hold_anything(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(UserError, match=f"{FILE}: (cannot be read|tells of no settings)"):
        read_manifest(tmp_path)


def test_a_pose_that_is_not_finite_is_a_line(built, monkeypatch):
    from repose_jax.data.records.array_record import RecordImages
    record = RecordImages.record

    def ruined(self, index):
        found = record(self, index)
        if index == 3:
            found["poses"]["openpose18"] = found["poses"]["openpose18"] * np.nan
        return found

    monkeypatch.setattr(RecordImages, "record", ruined)
    with pytest.raises(UserError, match="openpose18 has the shape .* or is not finite"):
        load_array_record(built)


def test_a_picture_of_another_size_is_a_line(built, monkeypatch):
    from repose_jax.data.records.array_record import RecordImages
    decode = RecordImages.decode
    for cache in (True, False):
        source = load_array_record(built, cache=cache)
        with monkeypatch.context() as patch:
            patch.setattr(RecordImages, "decode", lambda self, record: decode(self, record)[1:])
            with pytest.raises(UserError, match="has the size 31 x 16 where the others have 32 x 16"):
                source.image(2)


def test_the_whole_one_is_read(whole):
    source = load_array_record(whole)
    assert len(source) == 4 and source.image(3).shape == (32, 16, 3)
    assert not check_built(whole).findings
