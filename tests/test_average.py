"""Averages of models."""

from __future__ import annotations

import dataclasses
import sys

import jax
import numpy as np
import pytest

from painter_parts import CONFIG, random_params
from repose_jax.experiments import average
from repose_jax.models.pose_transfer import RePoseModel
from repose_jax.models.sample_config import SampleConfig
from repose_jax.models.weights import load_model, save_model


@pytest.fixture
def files(tmp_path):
    """Two models of one configuration, one of another."""
    params = random_params(RePoseModel(CONFIG))
    paths = [str(tmp_path / f"{name}.safetensors") for name in "abc"]
    sample = SampleConfig(steps=2)
    for path, factor, images in zip(paths, (1.0, 3.0), (7, 5)):
        save_model(path, CONFIG, jax.tree.map(lambda leaf, by=factor: by * leaf, params),
                   {"images": images}, sample, np.float32)
    network = dataclasses.replace(CONFIG.network, image_size=(32, 8))
    save_model(paths[2], dataclasses.replace(CONFIG, network=network), params, {}, sample)
    return paths


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["average", *arguments])
    average.main()


def test_it_is_the_mean_and_knows_what_was_seen(files, tmp_path, monkeypatch):
    out = str(tmp_path / "out.safetensors")
    run(monkeypatch, out, *files[:2])
    first, found = load_model(files[0]), load_model(out)
    jax.tree.map(lambda mean, one: np.testing.assert_allclose(mean, 2 * one, rtol=2e-3, atol=1e-4),
                 found.params, first.params)
    assert found.facts["images"] == 7
    assert (found.config, found.sample) == (first.config, first.sample)


@pytest.mark.parametrize("wrong", ["c", "none"])
def test_another_network_or_none_is_one_line(files, tmp_path, monkeypatch, capsys, wrong):
    out = tmp_path / "out.safetensors"
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, str(out), files[0], str(tmp_path / f"{wrong}.safetensors"))
    assert ended.value.code == 2 and not out.exists()
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"{wrong}.safetensors" in error
