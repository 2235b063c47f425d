"""The real benchmarks, where they lie beside the project; skipped where they are absent."""

import pathlib

import numpy as np
import pytest

from repose_jax.data.check import check_dataset
from repose_jax.data.deepfashion.layout import load_deepfashion
from repose_jax.data.registry import open_dataset

DATA = pathlib.Path(__file__).parents[2] / "shared" / "data"


def folder(name):
    path = DATA / name
    return pytest.param(path, id=name, marks=pytest.mark.skipif(
        not path.is_dir(), reason=f"{name} is not beside the project"))


def counts(report, split):
    return [c.found for c in report.counts if c.what.startswith(split)][:4]


@pytest.mark.parametrize("path", [folder("deepfashion")])
def test_deepfashion_as_patn_has_it(path):
    report = check_dataset(path)
    assert counts(report, "test") == [189, 189, 88, 100]
    assert [f.what for f in report.findings] == ["has no lists for train"]
    source = open_dataset(path, "test")
    assert (len(source), len(source.pairs), source.size) == (189, 100, (256, 176))
    # People stand in their pictures, and hips lie below shoulders.
    known = source.poses[:, [2, 5, 8, 11], 2].all(1)
    shoulders, hips = (source.poses[known][:, some, 1].mean(1) for some in ([2, 5], [8, 11]))
    assert known.mean() > 0.5 and (hips > shoulders).mean() > 0.97


@pytest.mark.parametrize("path", [folder("deepfashion_originals")])
def test_deepfashion_as_nted_has_it(path):
    report = check_dataset(path)
    assert not report.findings
    assert (counts(report, "train"), counts(report, "test")) == ([4, 4, 1, 5], [10, 10, 5, 5])
    for split in ("train", "test"):
        source = load_deepfashion(path, split, size=(512, 352))
        assert source.image(0).shape == (512, 352, 3) and (source.poses[..., 2] > 0).mean() > 0.6
        twice = load_deepfashion(path, split)
        np.testing.assert_allclose(source.poses[..., :2] + (source.poses[..., 2:] > 0) * 0.5,
                                   2 * (twice.poses[..., :2] + (twice.poses[..., 2:] > 0) * 0.5),
                                   atol=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("path", [folder("deepfashion_originals")])
def test_a_few_steps_on_real_photos(path, tmp_path):
    from repose_jax.cli import main
    assert main(["train", "tiny", "--data.path", str(path), "--train.total-images", "32",
                 "--output", str(tmp_path / "run")]) == 0
    assert list((tmp_path / "run").glob("*.safetensors"))


@pytest.mark.slow
@pytest.mark.parametrize("path", [folder("market1501")])
def test_market1501(path):
    report = check_dataset(path, sample=100)
    assert not report.hurts
    for split, wanted in (("train", [12_936, 12_936, 751, 296_938]),
                          ("test", [13_115, 13_115, 750, 12_000])):
        source = open_dataset(path, split, cache=False)
        assert counts(report, split) == wanted
        assert [len(source), len(set(source.persons)), len(source.pairs)] == wanted[1:]
