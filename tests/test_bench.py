"""`repose bench`: what is measured is said, and what became slower is told from noise."""

from __future__ import annotations

import dataclasses
import json
import sys

import jax
import numpy as np
import pytest

from repose_jax.cli import main
from repose_jax.cli.presets import load_preset, preset_names
from repose_jax.cli.train import ATTRIBUTE, PACKAGE
from repose_jax.common.errors import UserError
from repose_jax.data.pairs.stream import examples
from repose_jax.data.people.source import rendered_people
from repose_jax.experiments.bench import few_steps, quality, techniques
from repose_jax.experiments.bench.cached_features import CachingPainter
from repose_jax.experiments.bench.operations import operations
from repose_jax.experiments.bench.result import compared, differences, read_result
from repose_jax.experiments.bench.suite import SAMPLERS, one_step
from repose_jax.experiments.presets.tiny import CONFIG
from repose_jax.models.pose_transfer import RePoseModel
from repose_jax.models.sampling import generate
from repose_jax.models.weights import load_model, save_model


def result(**times) -> dict:
    return {"format": 1, "preset": "tiny", "amount": {"batch": 1}, "times_s": times,
            "machine": {"cores": 2, "load": [0.1, 5.0]}}


def test_the_start_of_every_preset_can_be_measured():
    """What refines a painted picture at a low temperature has settings that noise alone has not."""
    presets = [load_preset(name, PACKAGE, ATTRIBUTE) for name in preset_names(PACKAGE, ATTRIBUTE)]
    models = [preset for preset in presets if hasattr(preset, "sample")]
    assert len(models) > 5
    for preset in models:
        one_step(preset.sample).check(preset.model)


class TestCompare:
    def test_only_more_than_the_spread_counts(self):
        old = result(a=[1.0, 1.1, 1.2, 1.3, 1.4], b=[1.0] * 5, c=[2.0] * 5, gone=[1.0])
        new = result(a=[1.1, 1.2, 1.3, 1.4, 1.5], b=[1.2, 1.3, 1.3, 1.3, 9.0],
                     c=[1.0, 1.1, 1.1, 1.1, 1.9], fresh=[1.0])
        changes = {change.name: change for change in compared(old, new)}
        assert {name: change.verdict for name, change in changes.items()} == {
            "a": "same", "b": "slower", "c": "faster"}
        assert (changes["b"].before, changes["b"].after) == (1.0, 1.3)
        assert all(c.verdict == "same" for c in compared(old, old))

    def test_other_machines_and_amounts_are_said_the_load_is_not(self):
        other = result() | {"machine": {"cores": 4, "load": [3.0, 3.0]}, "preset": "base"}
        told = differences(result(), other)
        assert len(told) == 2 and "tiny before, base now" in told[0] and "machine" in told[1]
        assert differences(result(), result() | {"machine": {"cores": 2, "load": [9, 9]}}) == []

    @pytest.mark.parametrize(("text", "said"), [
        ("no JSON", "is no JSON"), ("[]", "is no result"), ("{}", "is no result"),
        (json.dumps(result() | {"format": 2}), "is no result"),
        (json.dumps(result(a=[])), "has no times of a"),
        (json.dumps(result(a=["x"])), "has no times of a"),
        (json.dumps(result(a=[-1.0])), "has no times of a")])
    def test_other_files_are_refused(self, tmp_path, text, said):
        (tmp_path / "old.json").write_text(text)
        with pytest.raises(UserError, match=said):
            read_result(tmp_path / "old.json")
        with pytest.raises(UserError, match="cannot be read"):
            read_result(tmp_path / "none.json")


def test_wrong_words_are_a_line(tmp_path, capsys):
    for words in (["estimator-people"], ["tiny", "--compare", str(tmp_path / "none.json")],
                  ["tiny", "--repeats", "0"], ["tiny", "--steps", "-1"]):
        assert main(["bench", *words, "--output", str(tmp_path / "out.json")]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_everything_is_measured_and_a_slow_machine_is_told(tmp_path, capsys):
    out, old = tmp_path / "new.json", tmp_path / "old.json"
    words = ["bench", "tiny", "--repeats", "2", "--steps", "2"]
    assert main([*words, "--output", str(out)]) == 0
    found = read_result(out)
    assert all(len(times) == 2 for kind in ("times_s", "processor_s")
               for times in found[kind].values())
    names = "; ".join(found["times_s"])
    for part in ("forward", "training step", "preset's own", "classifier_free", "rendered picture",
                 "metrics",
                 *(f"sampling, {sampler} {times}, 2" for sampler, times in SAMPLERS)):
        assert part in names
    assert found["start_s"]["cold"] > 0 and found["start_s"]["warm"] > 0
    assert found["training_gflop_per_pair"] > 0 and found["peak_memory_mb"] > 100
    found["times_s"] = {name: [1e-9] * 5 for name in found["times_s"]}
    old.write_text(json.dumps(found))
    short = [*words, "--no-start", "--no-training", "--only"]
    assert main([*short, "ddim uniform", "--compare", str(old), "--output",
                 str(tmp_path / "newer.json")]) == 1
    told = capsys.readouterr().out
    assert "slower: sampling, ddim uniform, 2" in told and "note: the amount differs" in told
    assert list(read_result(tmp_path / "newer.json")["times_s"]) == ["sampling, ddim uniform, 2"]
    assert main([*short, "nothing", "--output", str(tmp_path / "none.json")]) == 2
    assert not (tmp_path / "none.json").exists()


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """A model of random weights that begins with noise."""
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: rng.normal(0, 0.1, leaf.shape).astype(np.float32),
                          jax.eval_shape(RePoseModel(CONFIG.model).init, jax.random.key(0)))
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(path, CONFIG.model, params, {}, CONFIG.sample)
    return load_model(path)


@pytest.fixture(scope="module")
def pairs():
    return examples(rendered_people(identities=2, views=2, size=(32, 16)), [0, 3])


class TestFewSteps:
    @pytest.mark.slow
    @pytest.mark.parametrize(("sampler", "times", "steps", "interval"), [
        ("ddim", "uniform", 3, (0.0, 1.0)), ("ddim", "uniform", 3, (0.3, 1.0)),
        ("unipc", "trailing", 3, (0.0, 0.5)), ("heun", "trailing", 4, (0.0, 1.0))])
    def test_pictures_are_those_of_the_package(self, loaded, pairs, sampler, times, steps, interval):
        painter = few_steps.Painter(loaded, pairs)
        sample = dataclasses.replace(loaded.sample, steps=steps, sampler=sampler, times=times,
                                     classifier_free_interval=interval)
        keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(0), i))(np.arange(2))
        wanted, _ = generate(loaded.model, loaded.params, pairs["source"], pairs["source_pose"],
                             pairs["target_pose"], keys, sample)
        found = np.asarray(few_steps.to_image(painter(sample)), int)
        assert np.abs(found - np.asarray(wanted, int)).max() <= 1 and found.std() > 5
        assert np.abs(found[0] - found[1]).max() > 5
        made = few_steps.painted(few_steps.stepped(loaded, sample), pairs)
        np.testing.assert_array_equal(made.pictures, found)
        assert np.isnan(made.seconds)  # the one batch compiled

    def test_a_model_that_refines_is_a_line(self, monkeypatch, capsys):
        monkeypatch.setattr(sys, "argv", ["few_steps", "people"])
        with pytest.raises(SystemExit, match="2"):
            few_steps.main()
        assert "refines a painted picture" in capsys.readouterr().err.splitlines()[-1]

    def test_a_judge_of_other_people_and_a_painter_of_others_are_a_line(
            self, monkeypatch, tmp_path, capsys, loaded):
        small = tmp_path / "small.safetensors"
        save_model(small, CONFIG.model, loaded.params, {}, loaded.sample)
        for words, said in ((["--judge", "judge-market1501"], "reads market14 off pictures"),
                            (["--beside", "market1501"], "is for other poses or sizes")):
            monkeypatch.setattr(sys, "argv", ["few_steps", str(small), "--pairs", "2", *words])
            with pytest.raises(SystemExit, match="2"):
                few_steps.main()
            assert said in capsys.readouterr().err.splitlines()[-1]

    def test_kept_pictures_are_not_painted_again_nor_taken_for_others(self, tmp_path):
        facts = {"model": "a", "pairs": "[1, 2]"}
        made = few_steps.Painted(np.full((2, 4, 4, 3), 7, np.uint8), 0.5)
        row = tmp_path, "ddim, uniform, 2"
        assert few_steps.kept(*row, facts, lambda: made) is made
        again = few_steps.kept(*row, facts, lambda: pytest.fail("painted again"))
        np.testing.assert_array_equal(again.pictures, made.pictures)
        assert again.seconds == made.seconds
        for other in ({"model": "b"}, {"pairs": "[1, 3]"}):
            with pytest.raises(UserError, match="no pictures of this model"):
                few_steps.kept(*row, facts | other, lambda: made)
        (file,) = tmp_path.iterdir()
        file.write_bytes(b"no pictures")
        with pytest.raises(UserError, match="no pictures of this model"):
            few_steps.kept(*row, facts, lambda: made)


class TestQuality:
    """Of four people's pictures whose values are known."""

    comparison = quality.Comparison(
        quality.MEANS, np.arange(4), np.eye(4))

    def row(self, name, steps, error, found, features=None):
        rest = {key: np.ones(4) for key in ("mask_gaussian_ssim", "inside_l1", "likeness")}
        return quality.Row(name, steps, rest | {
            "pose_error": np.asarray(error, float), "found_first": np.asarray(found, float)},
            np.eye(4) if features is None else features)

    def test_changes_are_from_the_best_of_those_who_compete(self):
        nan = np.nan
        far = self.row("far", 16, [2, 2, 2, 2], [1, 1, nan, 0], np.full((4, 4), 5.0))
        near = self.row("near", 2, [1, 1, 1, 1], [1, 0, nan, 0])
        beside = self.row("beside", 0, [0.5, 0.5, 0.5, 0.5], [1, 1, nan, 1])
        changes = {title: (best.name, [round(c.value, 6) for c in found]) for title, best, found in
                   self.comparison.changes([far, near, beside], [far, near])}
        assert changes["pose error"] == ("near", [1.0, 0.0, -0.5])
        # A picture that cannot be measured counts in no row; a rate's change is a difference.
        assert changes["found first"] == ("far", [0.0, round(-1 / 3, 6), round(1 / 3, 6)])
        best, (first, second, third) = changes["KID"]
        assert best == "near" and first > 0 and second == third == 0
        cells = self.comparison.cells(near).split(" | ")
        assert cells[0] == "1.0000 [1.0000, 1.0000]" and cells[1].startswith("0.3333 [0.0000")

    def test_the_fewest_evaluations_are_told_by_value_and_by_interval(self):
        best = self.row("best", 16, [1, 1, 1, 1], np.ones(4))
        close = self.row("close", 8, [1.005, 1.005, 1.005, 1.005], np.ones(4))
        by_chance = self.row("by chance", 4, [1.3, 0.7, 1.01, 1.01], np.ones(4))
        worse = self.row("worse", 2, [1.1, 1.1, 1.1, 1.1], np.ones(4))
        told = self.comparison.table([best, close, by_chance, worse])
        assert ("pose error: best best; fewest evaluations whose value is within 1 % of it 4, whose "
                "interval is 8") in told
        assert "| worse | +10 [+10, +10] | +0 [+0, +0]" in told
        assert "found first: best" not in told and "KID: best" not in told


@pytest.mark.slow
def test_reused_features_are_those_that_were_kept(loaded, pairs):
    """At the same place nothing changes; elsewhere the last block alone answers, for less."""
    painter = CachingPainter(loaded, pairs)
    here = loaded.params, painter.context, painter.noise, 40
    elsewhere = *here[:2], painter.noise[::-1], 40
    whole, kept = painter._whole(*here)
    np.testing.assert_allclose(painter._reused(*here, kept), whole, atol=1e-5)
    assert np.abs(painter._reused(*elsewhere, kept) - painter._whole(*elsewhere)[0]).max() > 1e-3
    assert 0.1 < painter.share() < 0.9
    plain = few_steps.Painter(loaded, pairs)
    config = dataclasses.replace(loaded.sample, steps=3)
    np.testing.assert_allclose(painter(config), plain(config), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["source", "keys", "batch"])
def test_the_slower_ways_paint_the_same(loaded, pairs, what):
    """What is done once a picture or in one batch changes the operations alone."""
    config = dataclasses.replace(loaded.sample, steps=3, source_weight=2.0)
    keys = jax.random.split(jax.random.key(0), 2)
    inputs = loaded.params, pairs["source"], pairs["source_pose"], pairs["target_pose"], keys
    once = techniques.packaged(loaded.model, config)
    again = techniques.slower(loaded.model, config, what)
    found, wanted = (np.asarray(paint(*inputs), int) for paint in (again, once))
    assert np.abs(found - wanted).max() <= 1 and found.std() > 5
    more = operations(again, *inputs) - operations(once, *inputs)
    assert more > 0 or (what == "batch" and abs(more) < 0.01 * operations(once, *inputs))
