"""What befalls long runs: bad steps, held-out people, batches drawn ahead."""

from __future__ import annotations

import json
import math

import jax
import numpy as np
import pytest

from repose_jax.common.errors import UserError
from repose_jax.data.config import DataConfig
from repose_jax.training import loop
from repose_jax.training.chips import CHIPS, Chip, chip_of, counted_once
from repose_jax.training.log import Meter, TrainingLog
from repose_jax.training.state import OptimizerConfig
from test_loop import Batches, assert_same, config_of, run, squared_error


class Named(Batches):
    """One batch is poisoned; each example has a name."""

    def __init__(self, poison: int | None = None, by: float = math.nan):
        super().__init__()
        self.bad, self.by = poison, by

    def __next__(self):
        position, batch = self.position, super().__next__()
        if position == self.bad:
            batch["y"] = batch["y"] + np.float32(self.by)
        return batch

    def names(self, state):
        return [f"b{state['position']}e{i}" for i in range(self.size)]


def bad_rows(folder):
    return [json.loads(line) for line in (folder / "bad_steps.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("by, spike", [(math.nan, 0), (1e4, 5)])
def test_a_skipped_step_is_one_that_was_never_taken(tmp_path, by, spike):
    class Without(Batches):  # the same, with nothing in the place of the bad batch
        def __next__(self):
            self.position += self.position == 12
            return super().__next__()

    config = {"bad_steps": "skip", "spike": spike}
    # A limit needs twenty losses before it.
    longer = 12 if not spike else 30
    state, events = run(tmp_path / "bad", config_of(total_images=320, **config),
                        batches=Named(longer, by))
    plain, _ = run(tmp_path / "good", config_of(total_images=320, **config),
                   batches=Named(None))
    assert int(state.step) == 39 and int(plain.step) == 40
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))
    [note] = [facts["training"] for name, facts in events if name == "note"]
    at = 8 * (longer + 1)
    kind = "loss spike" if spike else "non-finite loss"
    assert note.startswith(kind) and f"at image {at}, pictures b{longer}e0, b{longer}e1" in note
    assert note.endswith("and 4 more, see bad_steps.jsonl; skipped")
    [row] = bad_rows(tmp_path / "bad")
    assert row["images"] == at and row["pictures"] == Named().names({"position": longer})
    if not spike:
        # The same as a run that never saw that batch: the noise follows the steps that were taken.
        same, _ = run(tmp_path / "without", config_of(total_images=312, checkpoint_every_images=0),
                      batches=Without())
        assert_same(same, state)
    rows = TrainingLog(tmp_path / "bad").rows()
    assert rows[-1]["images"] == 320 and all(math.isfinite(row["loss"]) for row in rows)


def test_going_back_leaves_the_bad_batch_behind(tmp_path):
    state, events = run(tmp_path, config_of(bad_steps="back"), batches=Named(11))
    notes = [facts["training"] for name, facts in events if name == "note"]
    assert len(notes) == 1 and "pictures b11e0" in notes[0]
    assert notes[0].endswith(f"goes on from {tmp_path / 'checkpoints' / '80'}")
    # The bad step ended at 96 and was read after that at 104: ten steps before, seven after.
    assert int(state.step) == 17 and events[-1][1]["images"] == 160
    again, _ = run(tmp_path)
    assert_same(state, again)


def test_stopping_names_the_pictures_and_what_else_could_be_done(tmp_path):
    with pytest.raises(UserError, match=r"non-finite loss at image 96, pictures b11e0, .*"
                       r"checkpoints/80; .*--train.bad-steps skip or back"):
        run(tmp_path / "stop", batches=Named(11))
    with pytest.raises(UserError, match="none was due yet"):
        run(tmp_path / "back", config_of(bad_steps="back"), batches=Named(2))


def test_a_run_that_only_skips_is_ended(tmp_path):
    def broken(params, batch, keys):
        loss, extra = squared_error(params, batch, keys)
        return loss * math.nan, extra

    with pytest.raises(UserError, match="the 11th bad step since a checkpoint"):
        run(tmp_path, config_of(bad_steps="skip", checkpoint_every_images=0), loss_fn=broken)


def test_limits_are_the_same_for_a_run_that_was_stopped(tmp_path):
    # Nothing is learnt, and the limit is so low that many an ordinary loss is above it.
    config = {"bad_steps": "skip", "spike": 1.2,
              "optimizer": OptimizerConfig(learning_rate=1e-9)}
    whole, _ = run(tmp_path / "whole", config_of(total_images=480, **config))
    skipped = [row["images"] for row in bad_rows(tmp_path / "whole")]
    assert skipped and int(whole.step) == 60 - len(skipped)
    for total in (200, 304, 480):
        parts, _ = run(tmp_path / "parts", config_of(total_images=total, **config))
    assert_same(whole, parts)
    assert [row["images"] for row in bad_rows(tmp_path / "parts")] == skipped


def test_a_spike_below_the_ordinary_is_refused():
    with pytest.raises(UserError, match="train.spike"):
        config_of(spike=0.5)


@pytest.fixture
def kept():
    return []


def validating(folder, kept, config, **options):
    return run(folder, config, held_out=Batches(),
               best_fn=lambda params, images, loss: kept.append((images, params, loss)), **options)


def test_the_loss_on_held_out_people_is_that_of_the_average_and_the_best_is_kept(tmp_path, kept):
    # The rate is far too high in the end: the best comes before the last.
    config = config_of(validate_every_images=40, validation_batches=3)
    _, events = validating(tmp_path, kept, config)
    rows = [facts for name, facts in events if name == "validation"]
    assert [row["images"] for row in rows] == [40, 80, 120, 160]
    written = TrainingLog(tmp_path, "validation.jsonl").rows()
    assert [row["loss"] for row in written] == [row["loss"] for row in rows]
    best = np.minimum.accumulate([row["loss"] for row in rows])
    assert [row["images"] for row in rows if row["best"]] == [at for at, _, _ in kept]
    assert kept[-1][2] == best[-1]
    # Worked out by hand: the same three batches, but for the noise, which is .1 in variance .01.
    images, params, loss = kept[-1]
    batches = Batches()
    errors = [np.mean((b["x"] @ params["w"] + params["b"] - b["y"]) ** 2)
              for b in (next(batches) for _ in range(3))]
    assert loss == pytest.approx(np.mean(errors) + 0.01, rel=0.5, abs=0.02)


def test_validation_leaves_the_training_as_it_is_and_goes_on_when_resumed(tmp_path, kept):
    plain, _ = run(tmp_path / "plain")
    config = {"validate_every_images": 24}
    whole, _ = validating(tmp_path / "whole", kept, config_of(**config))
    for total in (80, 160):
        parts, _ = validating(tmp_path / "parts", [], config_of(total_images=total, **config))
    assert_same(plain, whole)
    assert_same(plain, parts)
    rows = [{row["images"]: row["loss"]
             for row in TrainingLog(tmp_path / name, "validation.jsonl").rows()}
            for name in ("whole", "parts")]
    assert rows[1] == rows[0] | {80: rows[1][80]}  # where the first part ended


def test_nobody_held_out_is_one_line(tmp_path):
    with pytest.raises(UserError, match="validate_every_images: has nobody to measure on"):
        run(tmp_path, config_of(validate_every_images=8))
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("ahead", [0, 1, 2, 50])
def test_batches_drawn_ahead_change_nothing(tmp_path, ahead):
    class Counting(Batches):
        def __next__(self):
            drawn.append(self.position)
            return super().__next__()

    drawn = []
    plain, _ = run(tmp_path / "plain")
    run(tmp_path / "ahead", config_of(prefetch=ahead, total_images=80), batches=Counting())
    assert drawn == list(range(10))  # each once, and none that nobody asks for
    state, _ = run(tmp_path / "ahead", config_of(prefetch=ahead), batches=Counting())
    assert drawn == list(range(20))
    assert_same(plain, state)


@pytest.mark.parametrize("settles", [False, True])
def test_checkpoints_and_pictures_are_no_time_of_the_steps(monkeypatch, settles):
    """Eight images a second all along, whether a row comes up within a pause of 100 s or after it."""
    clock, rows = [0.0], []
    monkeypatch.setattr("repose_jax.training.log.time.monotonic", lambda: clock[0])
    meter = Meter(0.0, 8, 16, lambda *_: None, lambda *_: None, rows.append)
    for step in range(1, 13):
        clock[0] += 1
        meter.push(8 * step, {"loss": np.float32(0), "finite": np.bool_(True)})
        with meter.paused():
            if step in (4, 8):
                clock[0] += 50
                if settles:
                    meter.settle()
                clock[0] += 50
    speeds = [row["images_per_s"] for row in rows]
    # The first row has one step that is timed; without settling a step is read when the next one ends.
    assert len(speeds) >= 5 and all(4 <= speed <= 16 for speed in speeds[1:])


def test_the_share_of_the_peak_is_told_where_the_peak_is_known(tmp_path, monkeypatch):
    run(tmp_path / "unknown")
    assert all("mfu" not in row for row in TrainingLog(tmp_path / "unknown").rows())
    asked = []
    monkeypatch.setattr(loop, "chip_of", lambda kind: asked.append(kind) or Chip(1e5, 1.0))
    run(tmp_path / "known")
    rows = TrainingLog(tmp_path / "known").rows()
    assert asked == ["cpu"]
    speeds = [(row["images_per_s"], row["mfu"]) for row in rows if "mfu" in row]
    assert len(speeds) >= len(rows) - 1
    # Eight images of four weights: some hundred operations, at least two for each weight and image.
    each = [mfu * 1e5 / speed for speed, mfu in speeds if mfu > 1e-2]
    assert each and all(8 < flops < 500 for flops in each)


def test_chips_by_their_names():
    assert chip_of("TPU v5 lite") is CHIPS["v5e"] and chip_of("TPU v5p") is CHIPS["v5p"]
    assert chip_of("NVIDIA H200") is CHIPS["h200"]
    assert chip_of("NVIDIA H100 80GB HBM3") is CHIPS["h100"]
    assert chip_of("cpu") is None and chip_of("NVIDIA H100 PCIe") is None
    # The body of a loop is counted once, and the first part stands before the loop.
    assert counted_once(10.0, 1) == 10.0 and counted_once(10.0, 2) == 10.0
    assert counted_once(10.0, 8) == 40.0


def test_a_batch_of_pairs_knows_its_pictures():
    data = DataConfig(identities=4, views=3, flip=True, hold_out=1)
    source = data.open("train", size=(32, 16))
    stream = data.batches(source, 4)
    for _ in range(3):
        state = stream.get_state()
        names = stream.names(state)
        batch = next(stream)
        assert len(names) == 4
        for name, picture in zip(names, batch["target"], strict=True):
            image = source.image(source.names.index(name.split(" -> ")[1]))
            assert any(np.array_equal(picture, view) for view in (image, image[:, ::-1]))
    held_out = data.held_out_batches(4, size=(32, 16))
    people = {name.split(" -> ")[0] for name in held_out.names({"next_batch": 0})}
    assert people and not people & set(source.names)
    assert DataConfig().held_out_batches(4) is None


