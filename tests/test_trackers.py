"""Figures of a run in other programs."""

from __future__ import annotations

import sys
import types

import pytest

from repose_jax.common.errors import UserError
from repose_jax.training.log import TrainingLog
from repose_jax.training.trackers import tracker
from test_loop import Batches, config_of, run


def trained(folder, found, total):
    events = run(folder, config_of(total_images=total, validate_every_images=80),
                 held_out=Batches())[1]
    for name, facts in events:
        found.record(name, facts)
    found.close()


def test_tensorboard_has_the_log(tmp_path):
    board = pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import masked_crc32c  # noqa: F401  # the format is as expected

    for total in (80, 160):
        trained(tmp_path, tracker("tensorboard", tmp_path, {}), total)
    values = []
    for path in sorted((tmp_path / "tensorboard").iterdir()):
        content, at = path.read_bytes(), 0
        while at < len(content):  # length, its checksum, the record, its checksum
            size = int.from_bytes(content[at:at + 8], "little")
            event = Event.FromString(content[at + 12:at + 12 + size])
            values += [(event.step, v.tag, v.simple_value) for v in event.summary.value]
            at += size + 16
    assert board is not None
    losses = {step: value for step, tag, value in values if tag == "loss"}
    assert losses == pytest.approx(
        {row["images"]: row["loss"] for row in TrainingLog(tmp_path).rows()})
    assert {step for step, tag, _ in values if tag == "held_out/loss"} == {80, 160}
    assert not [tag for _, tag, _ in values if tag == "images"]


def test_weights_and_biases_is_told_the_log_and_goes_on(tmp_path, monkeypatch):
    said = []
    fake = types.ModuleType("wandb")
    fake.init = lambda **how: said.append(how) or types.SimpleNamespace(
        log=lambda values, step: said.append((step, values)), finish=lambda: said.append("end"))
    monkeypatch.setitem(sys.modules, "wandb", fake)
    for total in (80, 160):
        trained(tmp_path, tracker("wandb", tmp_path, {"a": 1}), total)
    begun = [how for how in said if isinstance(how, dict)]
    assert len(begun) == 2 and begun[0] == begun[1] and begun[0]["config"] == {"a": 1}
    assert begun[0]["resume"] == "allow" and said[-1] == "end"
    steps = [step for step, values in (s for s in said if isinstance(s, tuple)) if "loss" in values]
    assert steps == [row["images"] for row in TrainingLog(tmp_path).rows()]


def test_what_is_not_installed_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match=r"needs wandb.*pip install 'repose_jax\[wandb\]'"):
        tracker("wandb", tmp_path, {})
    monkeypatch.setitem(sys.modules, "wandb", types.ModuleType("wandb"))  # it has no init
    other = tracker("wandb", tmp_path, {})
    other.record("checkpoint", {"images": 8})
    other.close()
