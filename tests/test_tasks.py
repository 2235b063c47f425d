"""One door for everything that can be trained: the trainer, presets, and a task in one new file."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repose_jax.cli import main
from repose_jax.cli.presets import load_preset, preset_names
from repose_jax.cli.train import ATTRIBUTE, PACKAGE
from repose_jax.common.errors import UserError
from repose_jax.models.weights import kind_of, load_weights, save_weights
from repose_jax.networks.pif import FieldConfig, fresh_field
from repose_jax.networks.pose_estimator import EstimatorConfig, fresh_estimator
from repose_jax.pose.skeleton import SKELETONS
from repose_jax.tasks.fit import fit
from repose_jax.tasks.task import Task

EXAMPLE = pathlib.Path(__file__).parents[1] / "examples" / "train_your_own.py"


def train(folder, *more):
    return main(["train", str(EXAMPLE), "--output", str(folder), "--data.identities", "8",
                 "--train.log-every-images", "64", *more])


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """The example, trained by the command for 32 steps."""
    folder = tmp_path_factory.mktemp("autoencoder")
    assert train(folder, "--train.total-images", "512") == 0
    return folder


class TestExample:
    def test_a_new_kind_of_thing_is_one_file(self, run_folder):
        rows = [json.loads(line) for line in (run_folder / "log.jsonl").read_text().splitlines()]
        assert rows[-1]["loss"] < 0.5 * rows[0]["loss"] and rows[0]["worst"] >= rows[0]["loss"]
        assert list((run_folder / "samples").glob("*.png"))
        assert kind_of(run_folder) == "autoencoder"
        own = sys.modules["preset_train_your_own"]
        found = load_weights(run_folder, "autoencoder", own.AutoencoderConfig,
                             own.fresh_autoencoder)
        assert found.config == own.AutoencoderConfig() and found.facts["images"] == 512
        task = own.CONFIG.task(run_folder)
        jax.tree.map(np.testing.assert_array_equal, task.given, found.params)

    def test_its_run_goes_on_and_knows_its_data(self, run_folder, capsys):
        assert train(run_folder, "--train.total-images", "528") == 0
        assert "resume: images 512" in capsys.readouterr().out
        assert train(run_folder, "--train.total-images", "544", "--data.seed", "1") == 2
        assert "data.seed was 0, now 1" in capsys.readouterr().err

    def test_other_data_under_the_same_settings_are_refused(self, run_folder, capsys, monkeypatch):
        monkeypatch.setattr("repose_jax.data.people.source._WORLD", -1)
        assert train(run_folder, "--train.total-images", "544") == 2
        assert "learnt from other people than these" in capsys.readouterr().err


    def test_nobody_can_evaluate_it_and_that_is_said(self, run_folder, tmp_path, capsys):
        assert main(["evaluate", "--model", str(run_folder), "--data", "people",
                     "--output", str(tmp_path / "r.json")]) == 2
        assert "of kind autoencoder, for which there is no evaluation" in capsys.readouterr().err


class TestPresets:
    def test_they_are_found_where_they_lie(self):
        names = preset_names(PACKAGE, ATTRIBUTE)
        assert {"people", "estimator-market1501", "tiny", "painter-people"} <= set(names)
        assert not {"small", "fields", "estimators", "refining"} & set(names)
        for name in names:
            config = load_preset(name, PACKAGE, ATTRIBUTE)
            assert config.train.total_images > 0 and callable(config.task)

    @pytest.mark.parametrize("text, line", [
        ("CONFIG = 1 +", "line 1: SyntaxError"), ("\nimport nonsense_", "line 2: ModuleNotFound"),
        ("other = 1", "defines no CONFIG"), ("CONFIG = 3", "no experiment")])
    def test_a_file_that_is_none_is_one_line(self, tmp_path, capsys, text, line):
        (tmp_path / "mine.py").write_text(text)
        assert main(["train", str(tmp_path / "mine.py"), "--output", str(tmp_path / "run")]) == 2
        assert line in capsys.readouterr().err and not (tmp_path / "run").exists()

    def test_what_is_neither_is_refused(self, tmp_path):
        for word, line in (("peeple", "choose one of.*people"), (str(tmp_path / "x.py"), "no file")):
            with pytest.raises(UserError, match=line):
                load_preset(word, PACKAGE, ATTRIBUTE)


@pytest.mark.parametrize("name", [
    "small-people", "field-people", "reid-market1501",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("estimator-people", "painter-people"))])
def test_every_task_tells_the_trainer_what_it_learns_from(name, monkeypatch, tmp_path, market):
    """What is to be equal when a run is resumed has the digests of its data, made in one place."""
    told = {}

    def stop(config, **given):
        told.update(given)
        raise StopIteration

    monkeypatch.setattr("repose_jax.tasks.fit.train", stop)
    config = load_preset(name, PACKAGE, ATTRIBUTE)
    path = str(market) if name == "reid-market1501" else "people"
    small = {"data": dataclasses.replace(config.data, path=path, identities=3, views=2)}
    if name == "field-people":
        small["negatives"] = 20
    if name == "reid-market1501":
        small["per_person"] = 16
    task = dataclasses.replace(config, **small).task()
    assert isinstance(task, Task)
    with pytest.raises(StopIteration):
        fit(task, tmp_path)
    content = told["metadata"]["content"]
    assert content and all(len(value) == 64 for value in content.values())
    if name != "field-people":  # whose poses are all that it sees
        own = task.source.identity if hasattr(task, "source") else None
        assert own is None or content.items() >= own.items()
    json.dumps(told["metadata"])


def test_what_judges_in_training_is_an_argument_of_the_step(tmp_path):
    """The loss with the guide's parameters given equals that with them at hand; none is a constant."""
    config = load_preset("tiny", PACKAGE, ATTRIBUTE)
    network = config.model.network
    size, skeleton = tuple(network.image_size), network.skeleton
    kinds = {"estimator": (EstimatorConfig(image_size=size, skeleton=skeleton, channels=(8,),
                                           patch=2, groups=2), fresh_estimator),
             "field": (FieldConfig(skeleton=skeleton, features=4, width=8, depth=1), fresh_field)}
    for kind, (cfg, init) in kinds.items():
        save_weights(tmp_path / kind, kind, cfg, jax.jit(init(cfg))(jax.random.key(1)), {})
    objective = dataclasses.replace(
        config.objective, field_weight=0.5, field_noise=1.0, estimator=str(tmp_path / "estimator"),
        field=str(tmp_path / "field"))
    task = dataclasses.replace(config, objective=objective).task()
    rng, joints = np.random.default_rng(0), len(SKELETONS[skeleton])
    batch = {name: jnp.asarray(rng.integers(0, 255, (2, *size, 3)), jnp.uint8)
             for name in ("source", "target")}
    batch |= {f"{name}_pose": jnp.asarray(rng.uniform(1, 15, (2, joints, 3)), jnp.float32)
              for name in ("source", "target")}
    params, keys = jax.jit(task.init)(jax.random.key(0)), jax.random.split(jax.random.key(2), 2)
    traced = jax.make_jaxpr(lambda *given: task.loss(*given)[0])(params, task.frozen, batch, keys)
    leaves = {id(leaf) for leaf in jax.tree.leaves(task.guide)}
    assert leaves and not leaves & {id(value) for value in traced.consts}
    loss = jax.jit(lambda frozen: task.loss(params, frozen, batch, keys)[1]["field"])
    guide = task.guide
    own = jax.jit(lambda: task.model.loss(
        params, batch, keys, objective,
        judge=lambda x0, noise: guide.judged(x0, noise))[1]["field"])
    assert float(loss(task.frozen)) == pytest.approx(float(own()), rel=1e-4) and float(own()) > 0
    other = jax.tree.map(lambda leaf: 0 * leaf, task.frozen)
    assert float(loss(other)) != float(own())
    assert set(guide.sha256) == {"estimator", "field"}


def test_the_toy_is_guided_towards_its_goal():
    """Unguided samples are the Gaussian's; the stronger the guidance, the nearer to the goal."""
    spec = importlib.util.spec_from_file_location("toy", EXAMPLE.with_name("guide_a_gaussian.py"))
    toy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(toy)
    plain, weak, strong = (toy.draw(strength) for strength in (0.0, 0.005, 0.02))
    assert float(plain.mean()) == pytest.approx(0, abs=0.03)
    assert float(plain.std()) == pytest.approx(toy.S, rel=0.08)
    assert 0.02 < float(weak.mean()) < float(strong.mean()) < toy.GOAL + 0.02
