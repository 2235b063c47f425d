"""`repose transfer` in bulk: a stream that goes on where it stopped and replaces nothing unasked."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import time
import weakref

import numpy as np
import pytest
from PIL import Image

from repose_jax.cli import main
from repose_jax.cli import transfer as command
from repose_jax.common.errors import UserError
from repose_jax.data.image.names import generated_pictures
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
                 # Two signatures of the same are never the same bytes.
                 "--provenance.no-sign", "--output", str(output), *more])


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    """The pictures of a folder."""
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


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
    made, most, prepare, sample = [], [], Prepared.__init__, PoseTransfer.run
    monkeypatch.setattr(command, "_BATCH", 2)

    def noting(self, *arguments):
        prepare(self, *arguments)
        made.append(weakref.ref(self))

    def counting(self, *arguments):
        most.append(sum(prepared() is not None for prepared in made))
        return sample(self, *arguments)

    monkeypatch.setattr(Prepared, "__init__", noting)
    monkeypatch.setattr(PoseTransfer, "run", counting)
    assert paint(photos, market_model, tmp_path) == 0
    assert len(made) >= COUNT and len(most) == COUNT / 2 and 2 <= max(most) <= 4


@pytest.mark.slow
def test_two_at_once_share_a_cache_of_compiled_programs(photos, market_model, tmp_path):
    """Both begin with an empty one, so that both write the same entries; then with one cut short."""
    poses = pathlib.Path(photos[0]).with_name("poses.csv")
    words = ["transfer", *photos[:2], "--source-pose", str(poses), "--pose", str(poses),
             "--pose-name", "p00.jpg", "--model", str(market_model), "--steps", "2",
             # Two signatures of the same are never the same bytes.
             "--provenance.no-sign", "--output"]

    def start(name: str, cache: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "repose_jax.cli", *words, str(tmp_path / name)],
            env=os.environ | {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / cache)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def end(*running: subprocess.Popen) -> list[str]:
        said = [process.communicate(timeout=3000)[1] for process in running]
        assert [process.returncode for process in running] == [0] * len(running), said
        return said

    for said in end(start("a", "cache"), start("b", "cache")):
        assert "Traceback" not in said and "Error" not in said
    entries = [path for path in (tmp_path / "cache").iterdir() if path.name.endswith("-cache")]
    assert entries
    end(start("c", "cache"))  # reads what the two wrote
    for entry in entries:
        os.truncate(entry, entry.stat().st_size // 2)
    (said,) = end(start("d", "cache"))
    assert "Traceback" not in said
    pictures = [contents(tmp_path / name) for name in "abcd"]
    assert len(pictures[0]) == 2 and pictures == 4 * pictures[:1]


def test_a_wrong_source_is_found_before_the_first_is_painted(photos, market_model, tmp_path):
    broken = pathlib.Path(photos[0]).with_name("z.jpg")
    broken.write_text("no picture")
    assert paint([*photos, str(broken)], market_model, tmp_path) == 2
    assert not list(tmp_path.iterdir())
    broken.unlink()


@pytest.fixture(scope="module")
def pairs(photos) -> tuple[pathlib.Path, pathlib.Path]:
    """The folder of the photos, and a list of pairs of them."""
    folder = pathlib.Path(photos[0]).parent
    path = folder / "pairs.txt.csv"
    path.write_text("from,to\n" + "".join(
        f"p{i:02d}.jpg,p{(5 * i + 1) % COUNT:02d}.jpg\n" for i in range(COUNT)))
    return folder, path


def listed(pairs, model, output, *more) -> list[str]:
    folder, path = map(str, pairs)
    return ["transfer", folder, "--pairs", path, "--source-pose", f"{folder}/poses.csv", "--pose",
            f"{folder}/poses.csv", "--model", str(model), "--steps", "2", "--output", str(output),
            *more]


def test_a_list_of_pairs_paints_each_once(photos, pairs, market_model, tmp_path, capsys):
    """The pictures of one source and one pose each, by the names that evaluation asks for."""
    assert main(listed(pairs, market_model, tmp_path / "out")) == 0
    found = generated_pictures(tmp_path / "out", [
        (f"p{i:02d}.jpg", f"p{(5 * i + 1) % COUNT:02d}.jpg") for i in range(COUNT)])
    assert len(found) == COUNT
    poses = pathlib.Path(photos[0]).with_name("poses.csv")
    # In a batch of other neighbours, which may round otherwise.
    assert main(["transfer", photos[3], "--source-pose", str(poses), "--pose", str(poses),
                 "--pose-name", "p04.jpg", "--source-pose-name", "p03.jpg", "--model",
                 str(market_model), "--steps", "2", "--output", str(tmp_path / "one.png")]) == 0
    a, b = (np.asarray(Image.open(path), int) for path in (found[3], tmp_path / "one.png"))
    assert found[3].stem == "p03_2_p04" and np.abs(a - b).max() <= 1
    capsys.readouterr()
    assert main(listed(pairs, market_model, tmp_path / "out")) == 0
    assert f"{COUNT} of {COUNT} pictures are there" in capsys.readouterr().out


def test_a_folder_is_its_photos(photos, market_model, tmp_path, capsys):
    folder = pathlib.Path(photos[0]).parent
    assert main(["transfer", str(folder), "--source-pose", str(folder / "poses.csv"), "--pose",
                 str(folder / "poses.csv"), "--pose-name", "p00.jpg", "--model",
                 str(market_model), "--steps", "1", "--output", str(tmp_path)]) == 0
    assert len(list(tmp_path.glob("*.png"))) == COUNT


@pytest.mark.parametrize("text, said", [
    ("from,to\np00.jpg,nobody.jpg\n", "nobody.jpg"),
    ("from,to\nnobody.jpg,p00.jpg\n", "line 2 names nobody.jpg, which is no photo in"),
    ("p00.jpg,p01.jpg\np00.jpg,p01.jpg\n", "line 2 says a pair again"),
    ("p00.jpg\n", "line 1 has 1 fields"), ("from,to\n", "has no pair")])
def test_a_wrong_list_is_a_line(pairs, market_model, tmp_path, capsys, text, said):
    wrong = tmp_path / "wrong.csv"
    wrong.write_text(text)
    assert main(listed((pairs[0], wrong), market_model, tmp_path / "out")) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1
    assert not list(tmp_path.rglob("*.png"))


def test_a_list_stands_alone(photos, pairs, market_model, tmp_path, capsys):
    for more in (["--pose-name", "p00.jpg"], ["--pose", photos[0]]):
        assert main(listed(pairs, market_model, tmp_path, *more)) == 2
    wrong = listed(pairs, market_model, tmp_path)
    wrong[1] = photos[0]
    assert main(wrong) == 2
    assert main(["transfer", photos[0], "--model", str(market_model), "--output",
                 str(tmp_path / "out.png")]) == 2
    assert "--pose: is missing; name the target pose's file" in capsys.readouterr().err


@pytest.mark.slow
def test_a_killed_run_loses_and_repeats_nothing(pairs, market_model, tmp_path):
    """SIGKILL once some pictures are there; the same command paints the others, and only those."""
    out = tmp_path / "out"
    started = subprocess.Popen(
        [sys.executable, "-m", "repose_jax.cli", *listed(pairs, market_model, out)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not list(out.glob("*.png")) and time.monotonic() < deadline:
        time.sleep(0.01)
    started.kill()
    started.wait()
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.png")}
    assert before
    assert main(listed(pairs, market_model, out)) == 0
    assert len(list(out.glob("*.png"))) == COUNT
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())
    lines = (out / "manifest.jsonl").read_text().splitlines()
    assert len({json.loads(line)["file"] for line in lines}) == len(lines) == COUNT
