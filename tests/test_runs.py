"""`repose runs`: what is said of runs that go on, that ended and that were stopped."""

from __future__ import annotations

import json
import os

import pytest

from repose_jax.cli import main
from repose_jax.cli.runs import age, curve
from repose_jax.common.lock import alone
from repose_jax.training.run_list import runs_in
from test_loop import Batches, config_of, run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One finished run, one stopped, one that a kill has left without a checkpoint."""
    place = tmp_path_factory.mktemp("runs")
    run(place / "done", config_of(validate_every_images=80), held_out=Batches())
    run(place / "deeper" / "half", config_of(total_images=80))
    metadata = place / "deeper" / "half" / "checkpoints" / "80" / "metadata" / "metadata"
    saved = json.loads(metadata.read_text())
    saved["extra"]["loop"]["total_images"] = 160  # as if it had been stopped there
    metadata.write_text(json.dumps(saved))
    (place / "killed").mkdir()
    (place / "killed" / "log.jsonl").write_text('{"images": 16, "loss": 2.5}\n{"images": 3')
    (place / "killed" / "lock").write_bytes(b"")  # a kill leaves it
    (place / "nothing").mkdir()
    for number, name in enumerate(("killed/log.jsonl", "deeper/half/log.jsonl", "done/log.jsonl")):
        os.utime(place / name, (number, number))
    return place


def test_states(folder):
    found = {run.folder.name: run for run in runs_in(folder)}
    assert {name: (run.state, run.images, run.total_images) for name, run in found.items()} == {
        "done": ("finished", 160, 160), "half": ("stopped", 80, 160), "killed": ("stopped", 16, None)}
    assert found["killed"].losses == (2.5,) and found["killed"].seen == 0
    assert found["done"].best is not None and found["half"].best is None
    assert [run.folder.name for run in runs_in(folder)][-1] == "killed"
    with alone(folder / "deeper" / "half"):
        assert {run.folder.name: run.state for run in runs_in(folder)}["half"] == "running"
        # Looking has not let anybody in.
        assert {run.folder.name: run.state for run in runs_in(folder)}["half"] == "running"
    assert runs_in(folder / "done")[0].state == "finished"


def test_the_command(folder, capsys):
    assert main(["runs", str(folder)]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["run", "state", "images"] and len(lines) == 3
    half = next(line for line in lines if line.startswith(os.path.join("deeper", "half")))
    assert "stopped" in half and "80 of 160" in half
    assert main(["runs", str(folder / "nothing")]) == 0
    assert "no runs in" in capsys.readouterr().out
    assert main(["runs", str(folder / "none")]) == 2
    assert "none: is no folder" in capsys.readouterr().err


def test_ages_and_curves():
    assert [age(s) for s in (-1, 5, 125, 7_200, 200_000)] == ["0 s", "5 s", "2 min", "2 h", "2 d"]
    assert curve([1, 2, 3]) == "▁▅█" or curve([1, 2, 3]) == "▁▄█"
    assert curve([]) == "" and curve([2.0] * 40) == "▁" * 16
    assert curve([float("nan"), 1.0, float("inf"), 0.0]) == "█▁"
    assert curve(range(64))[0] == "▁" and len(curve(range(64))) == 16
