"""Adding a metric is one file: what it defines is measured, shown and compared by itself."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest

import repose_jax.evaluation.metrics as metrics
from repose_jax.data.registry import open_dataset
from repose_jax.evaluation.evaluators.scorer import Scorer, in_memory
from repose_jax.evaluation.metrics.metric import Metric, found_metrics
from repose_jax.evaluation.metrics.picture_batch import PictureBatch
from repose_jax.evaluation.report.metric_facts import facts
from repose_jax.evaluation.report.page import page
from repose_jax.evaluation.report.table import latex, markdown, per_picture_csv
from repose_jax.networks.pif import FieldConfig, fresh_field
from repose_jax.pose.skeleton import MARKET14
from repose_jax.studies import ablation

FILE = '''"""Mean red of the picture, in [0, 1]."""

from repose_jax.evaluation.metrics.metric import Metric

METRIC = Metric("redness", "how red", "neither",
                lambda batch: batch.unit("generated")[..., 0].mean((1, 2)), digits=2)
'''


@pytest.fixture
def added(tmp_path, monkeypatch):
    """The file of a metric in the folder of metrics, as far as the package can tell."""
    (tmp_path / "redness.py").write_text(FILE)
    monkeypatch.setattr(metrics, "__path__", [*metrics.__path__, str(tmp_path)])
    found_metrics.cache_clear()
    yield
    found_metrics.cache_clear()


def test_it_shows_up_in_json_table_page_and_csv(added, market):
    test = open_dataset(market, "test")
    pairs = np.arange(6)
    pictures = np.zeros((6, *test.size, 3), np.uint8)
    pictures[..., 0] = 51 * np.arange(6, dtype=np.uint8)[:, None, None]
    scorer = Scorer(test, pairs, windows=(7,))
    table = scorer.table("mine", in_memory(pictures))
    report = scorer.report(table)
    np.testing.assert_allclose(table.values["redness"], np.arange(6) / 5, atol=1e-6)
    assert report.scores["redness"].value == pytest.approx(0.5)
    assert json.loads(json.dumps(report.to_dict()))["scores"]["redness"]["value"] == pytest.approx(0.5)
    for text in (markdown([report]), latex([report]), page("t", "c", [report], table)):
        assert "how red" in text and "0.50" in text
    rows = per_picture_csv([table], [("a", "b")] * 6, ["p"] * 6).decode()
    assert "redness" in rows.splitlines()[0]
    assert (facts("redness").better, facts("redness").digits) == ("neither", 2)


def test_an_ablation_compares_it(added):
    class Judge:
        def poses(self, pictures):
            return np.full((len(pictures), 14, 3), np.nan, np.float32)

    config = FieldConfig(features=4, width=8, depth=1)
    field = type("Field", (), {"config": config,
                               "params": jax.jit(fresh_field(config))(jax.random.key(0))})()
    pose = np.ones((3, 14, 3), np.float32)
    everything = {"source": np.zeros((3, 32, 16, 3), np.uint8), "source_pose": pose,
                  "target": np.zeros((3, 32, 16, 3), np.uint8), "target_pose": pose}
    pictures = np.full((3, 32, 16, 3), 255, np.uint8)
    found = ablation._measure(pictures, everything=everything, judge=Judge(), field=field,
                              skeleton=MARKET14)
    np.testing.assert_allclose(found["redness"], 1)
    np.testing.assert_allclose(found["l1"], 1)
    # A judge that finds nothing is no reason for a number: joints are missed, distances unknown.
    assert np.isnan(found["pose_error"]).all() and (found["pck_10"] == 0).all()


def test_conversions_are_made_once():
    pictures = np.zeros((2, 8, 4, 3), np.uint8)
    poses = np.zeros((2, 14, 3), np.float32)
    batch = PictureBatch(pictures, pictures, pictures, poses, poses)
    assert batch.unit("target") is batch.unit("target")
    assert batch.on_devices("generated") is batch.on_devices("generated")
    assert batch.person(MARKET14) is batch.person(MARKET14) and not batch.person(MARKET14).any()


def test_a_metric_measures_by_its_name():
    metric = Metric("one", "One", "higher", lambda batch: np.ones(len(batch.generated)))
    pictures = np.zeros((2, 8, 4, 3), np.uint8)
    poses = np.zeros((2, 14, 3), np.float32)
    found = metric.measure(PictureBatch(pictures, pictures, pictures, poses, poses))
    assert set(found) == {"one"} and (found["one"] == 1).all()
