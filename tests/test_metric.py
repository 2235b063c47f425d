"""Adding a metric is one file: what it defines is measured, shown and compared by itself."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest

import repose_jax.evaluation.metrics as metrics
from repose_jax.data.registry import open_dataset
from repose_jax.evaluation.evaluators.scorer import Scorer, in_memory
from repose_jax.evaluation.metrics.instruments import Instruments
from repose_jax.evaluation.metrics.metric import Metric, facts, found_metrics, scores
from repose_jax.evaluation.metrics.picture_batch import PictureBatch
from repose_jax.evaluation.report.page import page
from repose_jax.evaluation.report.score_table import score
from repose_jax.evaluation.report.table import latex, markdown, per_picture_csv
from repose_jax.networks.pif import FieldConfig, fresh_field
from repose_jax.pose.skeleton import MARKET14
from repose_jax.studies.ablation import distance_by

FILE = '''"""Mean red of the picture, in [0, 1]."""

from repose_jax.evaluation.metrics.metric import Metric

METRIC = Metric("redness", "how red", "neither",
                lambda batch: batch.unit("generated")[..., 0].mean((1, 2)), digits=2,
                beside="neither")
'''
SET = '''"""How far the mean colour of the generated pictures is from that of their targets."""

import numpy as np

from repose_jax.evaluation.metrics.metric import Facts, MetricFamily, Score
from repose_jax.evaluation.statistics.statistic import OfSet


def colors(batch):
    return np.concatenate([batch.unit(w).mean((1, 2)) for w in ("generated", "target")], 1)


METRIC = MetricFamily("set", {"tint*": Facts("tint,", "lower", 3)}, lambda by: [
    Score("tint_mean", colors, OfSet(lambda kept: float(
        np.abs(np.subtract(*np.split(kept.mean(0), 2))).max())))])
'''


@pytest.fixture
def added(tmp_path, monkeypatch):
    """The files of two metrics in the folder of metrics, as far as the package can tell."""
    (tmp_path / "redness.py").write_text(FILE)
    (tmp_path / "tint.py").write_text(SET)
    monkeypatch.setattr(metrics, "__path__", [*metrics.__path__, str(tmp_path)])
    found_metrics.cache_clear()
    yield
    found_metrics.cache_clear()


def test_it_shows_up_in_json_table_page_and_csv(added, market):
    test = open_dataset(market, "test")
    pairs = np.arange(6)
    pictures = np.zeros((6, *test.size, 3), np.uint8)
    pictures[..., 0] = 51 * np.arange(6, dtype=np.uint8)[:, None, None]
    scorer = Scorer(test, pairs, Instruments(size=test.size, windows=(7,)))
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
    # What is accumulated and finished over the set: no interval, no column of pictures.
    mean = np.mean([test.image(b).mean((0, 1)) / 255 for _, b in test.pairs[pairs]], 0)
    tint = report.scores["tint_mean"]
    assert tint.value == pytest.approx(np.abs(mean - [0.5, 0, 0]).max(), rel=1e-5)
    assert np.isnan(tint.low) and "tint" not in rows.splitlines()[0]
    assert "tint, mean" in markdown([report])


class Blind:
    """A judge of poses that finds nobody."""

    name, sha256 = "blind", ""

    def poses(self, pictures):
        return np.full((len(pictures), 14, 3), np.nan, np.float32)


def _batch(value: int = 0) -> PictureBatch:
    black, pose = np.zeros((3, 32, 16, 3), np.uint8), np.ones((3, 14, 3), np.float32)
    return PictureBatch(np.full_like(black, value), black, black, pose, pose, MARKET14)


@pytest.mark.parametrize("beside", ["target", "source"])
def test_it_is_measured_with_and_without_a_target(added, beside):
    config = FieldConfig(features=4, width=8, depth=1)
    field = type("Field", (), {"config": config,
                               "params": jax.jit(fresh_field(config))(jax.random.key(0))})()
    table = score("t", [(_batch(255), 3)], scores(Instruments(
        size=(32, 16), poses=Blind(), field=distance_by(field)), beside))
    found = table.values
    np.testing.assert_allclose(found["redness"], 1)
    # A judge that finds nothing is no reason for a number: joints are missed, distances unknown.
    assert np.isnan(found["pose_error"]).all() and (found["pck_10"] == 0).all()
    assert found["pif"].shape == (3,)
    assert ("l1" in found) == ("gaussian_ssim" in found) == (beside == "target")
    assert ("color" in found) == ("detail" in found) == (beside == "source")


def test_every_score_has_a_title_and_files_come_in_groups():
    by = Instruments(size=(64, 32), poses=Blind(), mae=True)
    for beside in ("target", "source"):
        for one in scores(by, beside):
            assert any(one.name == key or (key.endswith("*") and one.name.startswith(key[:-1]))
                       for metric in found_metrics().values() for key in metric.facts), one.name
    names = [one.name for one in scores(by)]
    assert names.index("l1") < names.index("inside_l1") < names.index("pose_error")
    assert facts("frechet_reid").title == "Frechet distance, reid"
    assert facts("kid_inception").decides and facts("ssim_7").title == "SSIM, window 7"
    assert facts("gaussian_ssim_1.2").title == "SSIM, Gaussian 1.2"
    assert facts("ap").title == "AP" and facts("other_thing").title == "other thing"


def test_conversions_are_made_once():
    pictures = np.zeros((2, 8, 4, 3), np.uint8)
    poses = np.zeros((2, 14, 3), np.float32)
    batch = PictureBatch(pictures, pictures, pictures, poses, poses, MARKET14)
    assert batch.unit("target") is batch.unit("target")
    assert batch.on_devices("generated") is batch.on_devices("generated")
    assert batch.on_devices("target", (8, 4)) is batch.on_devices("target")
    assert batch.on_devices("target", (4, 2)).shape == (2, 4, 2, 3)
    assert batch.person() is batch.person() and not batch.person().any()


def test_a_metric_measures_by_its_name():
    metric = Metric("one", "One", "higher", lambda batch: np.ones(len(batch.generated)))
    found = metric.measure(_batch())
    assert set(found) == {"one"} and (found["one"] == 1).all()
