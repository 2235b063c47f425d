"""Ablations: cells, resumption, what is compared, and the report."""

from __future__ import annotations

import csv
import dataclasses
import json

import jax
import numpy as np
import pytest

from repose_jax.cli.ablate import ATTRIBUTE, PACKAGE, parse_grid
from repose_jax.cli.presets import load_preset, preset_names
from repose_jax.common.errors import UserError
from repose_jax.data.config import DataConfig
from repose_jax.diffusion.schedule import Schedule
from repose_jax.evaluation.metrics.metric import Score
from repose_jax.evaluation.metrics.pose_accuracy import leaked, pck, pose_error
from repose_jax.evaluation.statistics.bootstrap import Bootstrap
from repose_jax.evaluation.statistics.statistic import Correlation, Mean
from repose_jax.models.model_config import ModelConfig
from repose_jax.models.pose_transfer import RePoseModel
from repose_jax.models.sample_config import SampleConfig
from repose_jax.models.weights import save_model, save_weights
from repose_jax.networks.network import NetworkConfig
from repose_jax.networks.pif import FieldConfig, fresh_field
from repose_jax.networks.pose_estimator import EstimatorConfig, fresh_estimator
from repose_jax.networks.rpa import RPAConfig
from repose_jax.networks.unet import UNetConfig
from repose_jax.studies import ablation as ablation_module
from repose_jax.studies.ablation import Ablation, Cell, Result, grid, run, with_settings
from repose_jax.studies.ablation_report import axes_of, rows, write_report

SIZE = (32, 16)


class TestPoseAccuracy:
    def test_in_heights_over_the_wanted_joints(self):
        wanted = np.array([[[10, 20, 1], [30, 40, 1], [5, 5, 0]]], np.float32)
        found = np.array([[[13, 24, 0], [30, 50, 1], [90, 90, 1]]], np.float32)
        np.testing.assert_allclose(pose_error(found, wanted, 100), (0.05 + 0.10) / 2)
        np.testing.assert_allclose(pck(found, wanted, 100, 0.05), 0.5)
        np.testing.assert_allclose(pck(found, wanted, 100, 0.10), 1.0)
        assert np.isnan(pose_error(found, wanted * [1, 1, 0], 100)).all()

    def test_leakage_is_being_nearer_to_the_source(self):
        rng = np.random.default_rng(0)
        target, source = (np.concatenate([rng.uniform(0, 60, (8, 14, 2)), np.ones((8, 14, 1))], -1)
                          for _ in range(2))
        part = np.array([0, 0.3, 0.49, 0.51, 0.8, 1, 0.1, 0.9])[:, None, None]
        found = (1 - part) * target + part * source
        np.testing.assert_array_equal(leaked(found, target, source, 64), (part > 0.5).ravel())
        hidden = source * [1, 1, 0]
        assert np.isnan(leaked(found, target, hidden, 64)).all()


class TestCells:
    def test_grid_is_every_combination(self):
        cells = grid(guidance__pif=(0.0, 1.0), steps=(4, 6))
        assert cells == ({"guidance.pif": 0.0, "steps": 4}, {"guidance.pif": 0.0, "steps": 6},
                         {"guidance.pif": 1.0, "steps": 4}, {"guidance.pif": 1.0, "steps": 6})

    def test_settings_reach_where_they_belong(self):
        config = with_settings(SampleConfig(), {
            "steps": 7, "guidance.interval": [0.2, 0.8], "guidance.target": 2.0, "model": "x"})
        assert config.steps == 7 and config.guidance.interval == (0.2, 0.8)
        assert config.guidance.target == 2.0
        for name in ("stepps", "guidance.weight", "guidance.pif.x"):
            with pytest.raises(UserError, match="no setting"):
                with_settings(SampleConfig(), {name: 1})

    def test_words_of_the_command_line(self):
        assert parse_grid(["guidance.target=0,1.5", "guidance.interval=[0,1]"]) == (
            {"guidance.target": 0, "guidance.interval": [0, 1]},
            {"guidance.target": 1.5, "guidance.interval": [0, 1]})
        assert parse_grid(["model=a,runs/b"]) == ({"model": "a"}, {"model": "runs/b"})
        for word in ("steps", "=1", "steps="):
            with pytest.raises(UserError):
                parse_grid([word])

    @pytest.mark.parametrize("name", preset_names(PACKAGE, ATTRIBUTE))
    def test_presets_are_settings_of_the_sampler(self, name):
        for cell in load_preset(name, PACKAGE, ATTRIBUTE).cells:
            with_settings(SampleConfig(), cell).check(ModelConfig())


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A model, a guide, a judge and a field, all of them untrained."""
    folder = tmp_path_factory.mktemp("files")
    config = ModelConfig(
        network=NetworkConfig(
            image_size=SIZE, skeleton="openpose18",
            unet=UNetConfig(channels=(4, 8), blocks=1, attention=(), patch=2, refine=2, groups=2,
                            dropout=0.0, resample_blocks=False), rpa=RPAConfig(iterations=0)),
        schedule=Schedule(kind="cosine", steps=20), prediction="x0")
    save_model(folder / "model.safetensors", config,
               jax.jit(RePoseModel(config).init)(jax.random.key(0)), {}, SampleConfig(steps=2))
    estimator = EstimatorConfig(image_size=SIZE, skeleton="openpose18", channels=(8,), patch=2,
                                groups=2)
    for seed, name in ((0, "guide"), (1, "judge")):
        save_weights(folder / f"{name}.safetensors", "estimator", estimator,
                     jax.jit(fresh_estimator(estimator))(jax.random.key(seed)), {})
    field = FieldConfig(skeleton="openpose18", features=4, width=8, depth=1)
    save_weights(folder / "field.safetensors", "field", field,
                 jax.jit(fresh_field(field))(jax.random.key(0)), {})
    return folder


def ablation(files, **changes) -> Ablation:
    cells = tuple({"guidance.target": t, "guidance.estimator": str(files / "guide.safetensors")}
                  for t in (0.0, 1.0))
    return dataclasses.replace(Ablation(
        title="a test <of> it", cells=cells, model=str(files / "model.safetensors"),
        data=DataConfig(path="people", identities=3, views=2),
        judge=str(files / "judge.safetensors"), field=str(files / "field.safetensors"), pairs=5,
        seeds=(0, 1), batch_size=2), **changes)


class TestRun:
    def test_goes_on_where_it_stopped(self, files, tmp_path, monkeypatch):
        """Killed after two parts, it samples only the other two, and the outcome is the same."""
        painted = []
        sample = ablation_module.sampled

        def counted(loaded, people, pairs, config, guide, *, seed, **rest):
            if len(painted) == 2 and not resumed:
                raise KeyboardInterrupt
            painted.append((config.guidance.target, seed))
            return sample(loaded, people, pairs, config, guide, seed=seed, **rest)

        monkeypatch.setattr(ablation_module, "sampled", counted)
        resumed = False
        with pytest.raises(KeyboardInterrupt):
            run(ablation(files), tmp_path)
        resumed = True
        result = run(ablation(files), tmp_path)
        assert painted == [(0.0, 0), (0.0, 1), (1.0, 0), (1.0, 1)]
        again = run(ablation(files), tmp_path)
        assert len(painted) == 4
        for a, b in zip(result.cells, again.cells):
            for name in a.values:
                np.testing.assert_array_equal(a.values[name], b.values[name])
        assert len(result.persons) == 10 and len(list((tmp_path / "cells").iterdir())) == 4

        page = write_report(result, tmp_path, "repose ablate x")
        text = page.read_text()
        assert "a test &lt;of&gt; it" in text and "data:image/png" in text
        with open(tmp_path / "results.csv") as file:
            table = list(csv.DictReader(file))
        assert {row["metric"] for row in table} >= {"pose_error", "leakage", "torso_correlation"}
        assert {row["guidance.target"] for row in table} == {"0.0", "1.0"}
        content = json.loads((tmp_path / "results.json").read_text())
        assert content["cells"][1]["sample"]["guidance"]["target"] == 1.0
        assert (tmp_path / "pareto.png").stat().st_size > 1000

    @pytest.mark.slow
    def test_other_pairs_are_other_cells(self, files, tmp_path):
        one = dataclasses.replace(ablation(files), seeds=(0,), cells=({},))
        run(one, tmp_path)
        run(dataclasses.replace(one, pairs=4), tmp_path)
        assert len(list((tmp_path / "cells").iterdir())) == 2

    @pytest.mark.slow
    def test_batches_do_not_change_the_outcome(self, files, tmp_path):
        one = dataclasses.replace(ablation(files), seeds=(0,), cells=({},))
        a = run(one, tmp_path / "a").cells[0].values
        b = run(dataclasses.replace(one, batch_size=5), tmp_path / "b").cells[0].values
        np.testing.assert_allclose(a["pose_error"], b["pose_error"], atol=5e-3)
        np.testing.assert_allclose(a["l1"], b["l1"], atol=2e-3)

    def test_a_cell_that_lacks_a_metric_is_run_again(self, files, tmp_path):
        one = dataclasses.replace(ablation(files), seeds=(0,), cells=({},))
        before = run(one, tmp_path).cells[0]
        path, = (tmp_path / "cells").iterdir()
        with np.load(path) as file:
            older = {name: file[name] for name in file.files if name != "inside_l1"}
        np.savez(path, **older | {"pose_error": older["pose_error"] + 1})
        after = run(one, tmp_path).cells[0]
        np.testing.assert_array_equal(after.values["inside_l1"], before.values["inside_l1"])
        np.testing.assert_array_equal(after.values["pose_error"], before.values["pose_error"])
        assert [path] == list((tmp_path / "cells").iterdir())

    def test_a_judge_may_not_guide(self, files, tmp_path):
        with pytest.raises(UserError, match="judge what it guided"):
            run(ablation(files, judge=str(files / "guide.safetensors")), tmp_path)
        assert not list(tmp_path.iterdir())

    def test_a_broken_cell_is_named(self, files, tmp_path):
        one = dataclasses.replace(ablation(files), seeds=(0,), cells=({},))
        run(one, tmp_path)
        path = next((tmp_path / "cells").iterdir())
        path.write_bytes(b"nonsense")
        with pytest.raises(UserError, match=path.name):
            run(one, tmp_path)


def made_up(shift: float) -> Result:
    """Two cells whose pose errors differ by a constant, 40 pictures of 20 people."""
    rng = np.random.default_rng(0)
    values = {name: rng.uniform(0.1, 0.3, 40) for name in
              ("pose_error", "pck_5", "pck_10", "leakage", "pif", "l1", "gaussian_ssim")}
    scores = tuple(Score(name, lambda batch: np.zeros(len(batch)), Correlation()
                         if name == "torso_correlation" else Mean())
                   for name in (*values, "torso_correlation"))
    values["torso_correlation"] = rng.uniform(0, 1, (40, 6))
    other = values | {"pose_error": values["pose_error"] - shift}
    cells = [Cell({"guidance.target": t}, SampleConfig(), v, s)
             for t, v, s in ((0.0, values, 0.1), (1.0, other, 0.2))]
    question = Ablation(title="t", cells=(), model="m", data=DataConfig(), judge="j", field="f")
    return Result(question, cells, scores, np.arange(40) // 2, {})


class TestReport:
    def test_paired_differences_are_exact_where_the_change_is(self):
        result = made_up(0.05)
        row = next(r for r in rows(result) if r["cell"] == 1 and r["metric"] == "pose_error")
        for name in ("difference", "difference_low", "difference_high"):
            assert row[name] == pytest.approx(-0.05)
        mean = result.cells[0].values["pose_error"].mean()
        assert row["relative"] == pytest.approx(-0.05 / mean)
        assert row["relative_low"] < row["relative"] < row["relative_high"]
        torso = next(r for r in rows(result) if r["cell"] == 1 and r["metric"].startswith("torso"))
        assert torso["difference"] == torso["difference_high"] == 0
        assert axes_of(result.cells) == ["guidance.target"]

    def test_correlation_difference_has_the_right_sign(self):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(200, 3))
        good, bad = x + 0.2 * rng.normal(size=x.shape), x + 3 * rng.normal(size=x.shape)
        interval = Bootstrap(np.arange(200) // 2).correlation_difference(x, good, bad)
        assert interval.low > 0.3 and interval.value == pytest.approx(
            np.mean([np.corrcoef(x[:, c], good[:, c])[0, 1] - np.corrcoef(x[:, c], bad[:, c])[0, 1]
                     for c in range(3)]))

    def test_bootstrap_of_any_statistic_is_that_of_the_mean(self):
        rng = np.random.default_rng(0)
        values, people = rng.normal(size=60), Bootstrap(np.arange(60) // 3)
        expected = people.mean(values)
        found = people.of(lambda counts: np.average(values, weights=counts))
        np.testing.assert_allclose(found, expected, atol=1e-9)
        assert people.relative(values + 9, values + 9) == (0, 0, 0)
        assert not np.isfinite(people.relative(values, np.zeros_like(values)).value)
