"""`repose transfer` in bulk: a stream that goes on where it stopped and replaces nothing unasked."""

from __future__ import annotations

import gc
import pathlib

import numpy as np
import pytest
from PIL import Image

from repose_jax.cli import main
from repose_jax.cli import transfer as command
from repose_jax.common.errors import UserError
from repose_jax.inference.pipeline import PoseTransfer, Prepared

COUNT = 12


@pytest.fixture(scope="module")
def photos(market, tmp_path_factory) -> list[str]:
    """Photos under names of their own, one CSV with the poses of all."""
    folder = tmp_path_factory.mktemp("photos")
    source = market / "bounding_box_test"
    names = sorted(path.name for path in source.glob("*.jpg"))
    rows = (market / "market-annotation-test.csv").read_text().splitlines()
    poses = dict(row.split(":", 1) for row in rows[1:])
    lines = [rows[0]]
    for number in range(COUNT):
        name = names[number % len(names)]
        (folder / f"p{number:02d}.jpg").write_bytes((source / name).read_bytes())
        lines.append(f"p{number:02d}.jpg:{poses[name]}")
    (folder / "poses.csv").write_text("\n".join(lines) + "\n")
    return sorted(str(path) for path in folder.glob("*.jpg"))


def paint(photos, model, output, *more) -> int:
    poses = pathlib.Path(photos[0]).with_name("poses.csv")
    return main(["transfer", *photos, "--source-pose", str(poses), "--pose", str(poses),
                 "--pose-name", "p00.jpg", "--model", str(model), "--steps", "2",
                 "--output", str(output), *more])


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_run_that_stopped_goes_on_to_the_same_pictures(
        photos, market_model, tmp_path, monkeypatch, capsys):
    assert paint(photos, market_model, tmp_path / "whole") == 0
    written, write = [], command.write_png

    def full(path, *rest):
        if len(written) == 5:
            raise UserError(path, "cannot be written (No space left on device)", "make room")
        written.append(path.name)
        write(path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(command, "write_png", full)
        assert paint(photos, market_model, tmp_path / "stopped") == 2
    assert sorted(contents(tmp_path / "stopped")) == sorted(written)
    capsys.readouterr()
    assert paint(photos, market_model, tmp_path / "stopped") == 0
    out = capsys.readouterr().out
    assert f"5 of {COUNT} pictures are there already and kept" in out
    assert out.count("wrote ") == COUNT - 5
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")
    assert paint(photos, market_model, tmp_path / "stopped") == 0
    assert f"{COUNT} of {COUNT} pictures are there" in capsys.readouterr().out


def test_pictures_that_were_made_otherwise_are_not_replaced_unasked(
        photos, market_model, tmp_path, capsys):
    few = photos[:2]
    assert paint(few, market_model, tmp_path) == 0
    before = contents(tmp_path)
    for more in (("--seed", "1"), ("--steps", "3"), ("--retarget", "none")):
        capsys.readouterr()
        assert paint(few, market_model, tmp_path, *more) == 2
        assert "is there already and its s" in capsys.readouterr().err
    assert contents(tmp_path) == before
    assert paint(few, market_model, tmp_path, "--seed", "1", "--overwrite") == 0
    assert contents(tmp_path) != before
    victim = tmp_path / sorted(before)[0]
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(victim)
    assert paint(few, market_model, tmp_path, "--seed", "1") == 2
    victim.write_text("no picture")
    assert paint(few, market_model, tmp_path, "--seed", "1") == 2


def test_only_a_batch_of_pictures_is_held_at_a_time(photos, market_model, tmp_path, monkeypatch):
    most, sample = [], PoseTransfer.run
    monkeypatch.setattr(command, "_BATCH", 2)

    def counting(self, *arguments):
        gc.collect()
        most.append(sum(type(thing) is Prepared for thing in gc.get_objects()))
        return sample(self, *arguments)

    monkeypatch.setattr(PoseTransfer, "run", counting)
    assert paint(photos, market_model, tmp_path) == 0
    assert len(most) == COUNT / 2 and max(most) <= 4


def test_a_wrong_source_is_found_before_the_first_is_painted(photos, market_model, tmp_path):
    broken = pathlib.Path(photos[0]).with_name("z.jpg")
    broken.write_text("no picture")
    assert paint([*photos, str(broken)], market_model, tmp_path) == 2
    assert not list(tmp_path.iterdir())
    broken.unlink()
