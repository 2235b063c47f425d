"""What `repose export` writes runs without this package and paints what the package paints."""

from __future__ import annotations

import ast
import dataclasses
import json
import pathlib
import runpy

import numpy as np
import pytest
from PIL import Image

from repose_jax import PoseTransfer
from repose_jax.cli import main

ROOT = pathlib.Path(__file__).parents[1]
SCRIPT = ROOT / "examples" / "run_exported.py"


@pytest.fixture(scope="module")
def script():
    """The example's functions."""
    return runpy.run_path(str(SCRIPT))


@pytest.fixture(scope="module")
def exported(market_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "tiny.repose"
    assert main(["export", str(market_model), "--output", str(path), "--steps", "2", "--sampler",
                 "dpm++2m", "--platforms", "cpu", "tpu"]) == 0
    return path


def test_the_script_needs_nothing_of_the_package():
    tree = ast.parse(SCRIPT.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import)
             for alias in node.names} | {
        node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names == {"json", "sys", "jax", "numpy", "PIL"}


def test_it_paints_what_the_package_paints(exported, market_model, script, tmp_path):
    """From a photo and poses of another size than the model's; also several pictures at once."""
    transfer = PoseTransfer.load(market_model)
    height, width = (4 * side for side in transfer.size)
    photo = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    poses = [tmp_path / f"{name}.json" for name in ("person-a", "pose-arms")]
    for path in poses:
        told = json.loads((ROOT / "examples" / path.name).read_text(encoding="utf-8"))
        ratio = height / told["size"][0]
        joints = {name: [x * ratio, y * ratio] for name, (x, y) in told["joints"].items()}
        path.write_text(json.dumps(told | {"size": [height, width], "joints": joints}))
    script["main"](exported, tmp_path / "photo.png", *poses, tmp_path / "out.png", 7)
    painted = np.asarray(Image.open(tmp_path / "out.png"), int)

    config = dataclasses.replace(transfer.sample, steps=2, sampler="dpm++2m")
    ready = transfer.prepare(tmp_path / "photo.png", *poses, retarget="none")
    wanted = transfer.run([ready], 7, config)[0].astype(int)
    assert painted.std() > 1 and np.abs(painted - wanted).max() <= 1

    header, program = script["read"](exported)
    (_, source_pose), (_, target_pose) = (script["read_pose"](path, header) for path in poses)
    np.testing.assert_allclose(source_pose, ready.source_pose, atol=1e-4)
    np.testing.assert_allclose(target_pose, ready.target_pose, atol=1e-4)
    _, small = script["read_photo"](tmp_path / "photo.png", header)
    np.testing.assert_array_equal(small, ready.source)
    three = program.call(np.stack([small, 255 - small, small]), np.stack([source_pose] * 3),
                         np.stack([target_pose] * 3), np.array([1, 7, 7], np.uint32))
    assert np.abs(np.asarray(three[2], int) - wanted).max() <= 1
    assert np.abs(np.asarray(three[0], int) - wanted).max() > 1


@pytest.mark.parametrize(("changes", "said"), [
    ({"size": None}, "is no pose"), ({"size": [64, 64]}, "crop it to these"),
    ({"unit": "fractions"}, "is no pose"), ({"joints": {}}, "tells no joint"),
    ({"joints": [1]}, "is no pose"), ({"joints": {"neck": ["x", 1]}}, "is no pose"),
    ({"joints": {"neck": [3]}}, "is no pose")])
def test_other_poses_are_refused_in_one_line(exported, script, tmp_path, changes, said):
    header, _ = script["read"](exported)
    told = {"size": header["size"], "joints": {"neck": [3, 4]}}
    path = tmp_path / "pose.json"
    path.write_text(json.dumps(told))
    assert script["read_pose"](path, header)[1].tolist().count([3, 4, 1]) == 1
    path.write_text(json.dumps(told | changes))
    with pytest.raises(SystemExit, match=said) as end:
        script["read_pose"](path, header)
    assert "\n" not in str(end.value)
    with pytest.raises(SystemExit, match="cannot be read"):
        script["read_pose"](tmp_path / "none.json", header)


def test_the_header_says_what_it_takes(exported, market_model, script):
    header, _ = script["read"](exported)
    transfer = PoseTransfer.load(market_model)
    assert tuple(header["size"]) == transfer.size
    assert tuple(header["joints"]) == transfer.skeleton.joints
    assert header["model_sha256"] == transfer.loaded.sha256
    assert header["sample"]["sampler"] == "dpm++2m" and header["platforms"] == ["cpu", "tpu"]


@pytest.mark.parametrize(("changes", "said"), [
    ({"calling_convention": 1}, "calling convention 1, written with JAX"),
    ({"format": 2}, "is of format 2"), ({"platforms": ["tpu"]}, "is for tpu, this is cpu")])
def test_a_stale_file_is_refused_in_one_line(exported, script, tmp_path, changes, said):
    line, _, content = exported.read_bytes().partition(b"\n")
    stale = tmp_path / "stale"
    stale.write_bytes(json.dumps(json.loads(line) | changes).encode() + b"\n" + content)
    with pytest.raises(SystemExit, match=said) as end:
        script["read"](stale)
    assert "\n" not in str(end.value)
    stale.write_bytes(b"no such thing")
    with pytest.raises(SystemExit, match="is nothing that"):
        script["read"](stale)


def test_settings_are_checked_before_anything_is_written(market_model, tmp_path, capsys):
    path = tmp_path / "out" / "a.repose"
    assert main(["export", str(market_model), "--output", str(path), "--steps", "0"]) == 2
    assert capsys.readouterr().err.startswith("repose: error: steps: is 0")
    assert not path.exists()
