"""A first stage is trained, goes on, loads, and is scored."""

from __future__ import annotations

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repose_jax.cli import main
from repose_jax.common.errors import UserError
from repose_jax.common.signal import to_signal
from repose_jax.data.config import DataConfig
from repose_jax.experiments.presets.autoencoder_market1501 import CONFIG
from repose_jax.models.weights import kind_of, load_autoencoder
from repose_jax.networks.apply import apply
from repose_jax.networks.autoencoder import Autoencoder, AutoencoderConfig, fresh_autoencoder
from repose_jax.tasks.autoencoder import AutoencoderExperiment, AutoencoderObjective, autoencoder_loss

TINY = AutoencoderConfig(channels=(8, 8), blocks=1, latent=3, patch=2, groups=4, attention=False)


def train(market, folder, images, *more):
    return main(["train", "autoencoder-market1501", "--data.path", str(market), "--output", str(folder),
                 "--image-size", "32", "16", "--autoencoder.channels", "8", "8",
                 "--autoencoder.latent", "3", "--autoencoder.groups", "4", "--train.batch-size", "4",
                 "--train.total-images", str(images), "--train.log-every-images", "16",
                 "--train.optimizer.warmup-images", "16", "--train.optimizer.decay", "constant",
                 "--train.optimizer.learning-rate", "3e-3", *more])


@pytest.fixture(scope="module")
def run_folder(market, tmp_path_factory):
    """The preset, made tiny, trained by the command."""
    folder = tmp_path_factory.mktemp("first") / "stage"
    assert train(market, folder, 160) == 0
    return folder


class TestCommand:
    def test_it_learns_and_loads(self, run_folder):
        rows = [json.loads(line) for line in (run_folder / "log.jsonl").read_text().splitlines()]
        assert rows[-1]["l1"] < 0.8 * rows[0]["l1"] and rows[-1]["psnr"] > rows[0]["psnr"] + 1
        assert list((run_folder / "samples").glob("*.png"))
        assert kind_of(run_folder) == "first-stage"
        loaded = load_autoencoder(run_folder)
        assert loaded.config == TINY and loaded.facts["size"] == [32, 16]

    def test_latents_are_standardised(self, run_folder, market):
        """Over the training pictures every channel has mean 0 and deviation 1, by the file alone."""
        loaded = load_autoencoder(run_folder)
        source = DataConfig(path=str(market)).open("train", size=(32, 16))
        pictures = jnp.asarray(np.stack([source.image(i) for i in range(len(source))]))
        latents = jax.jit(lambda x: apply(Autoencoder(loaded.config), loaded.params, to_signal(x),
                                          method="latents"))(pictures)
        np.testing.assert_allclose(latents.mean((0, 1, 2)), 0, atol=0.02)
        np.testing.assert_allclose(latents.std((0, 1, 2)), 1, atol=0.02)
        # Which was not so by itself.
        assert np.abs(np.asarray(loaded.params["scale"]) - 1).max() > 0.05

    def test_it_goes_on_and_knows_what_it_was(self, run_folder, market, capsys):
        assert train(market, run_folder, 168) == 0
        assert "resume: images 160" in capsys.readouterr().out
        assert train(market, run_folder, 176, "--objective.divergence", "0.1") == 2
        assert "objective.divergence was 0.0001, now 0.1" in capsys.readouterr().err

    def test_it_is_scored(self, run_folder, market, tmp_path):
        assert main(["evaluate", "--model", str(run_folder), "--data", str(market),
                     "--output", str(tmp_path / "r.json")]) == 0
        told = json.loads((tmp_path / "r.json").read_text())
        assert 5 < told["scores"]["psnr"]["value"] < 60 and 0 < told["scores"]["l1"]["value"] < 0.5
        assert told["conditions"]["latents"] == [8, 4, 3] and told["conditions"]["people"] == 4
        assert len(told["latents"]) == 3
        assert "through latents of 8x4x3" in (tmp_path / "r.md").read_text()


class TestLoss:
    def test_terms(self):
        """Zero weights leave their terms out; the divergence is that of the closed form."""
        params = jax.jit(fresh_autoencoder(TINY))(jax.random.key(0))
        rng = np.random.default_rng(0)
        batch = {name: rng.integers(0, 256, (2, 32, 16, 3), np.uint8) for name in ("source", "target")}
        keys = jax.random.split(jax.random.key(1), 2)

        def terms(draw, **weights):
            objective = AutoencoderObjective(**weights)
            loss, found = jax.jit(lambda params: autoencoder_loss(
                Autoencoder(TINY), objective, params, None, batch, keys, draw))(params)
            assert loss == pytest.approx(sum(float(v) for k, v in found.items() if k != "psnr"))
            return found

        plain = terms(False, gradient=0.0, divergence=0.0)
        assert set(plain) == {"l1", "psnr"}
        pictures = to_signal(jnp.concatenate([batch["source"], batch["target"]]))
        network = Autoencoder(TINY)
        posterior, back = jax.jit(lambda p: (apply(network, p, pictures, method="encode"),
                                             apply(network, p, pictures)))(params)
        assert plain["l1"] == pytest.approx(float(jnp.abs(back - pictures).mean()), rel=1e-5)
        full = terms(True, divergence=2.0)
        assert set(full) == {"l1", "gradient", "divergence", "psnr"}
        assert full["divergence"] == pytest.approx(2 * float(posterior.divergence().mean()), rel=1e-4)
        assert full["l1"] != plain["l1"]

    def test_sizes_that_do_not_fit_are_a_line(self):
        with pytest.raises(UserError, match="image-size.*30x16.*multiples of 4"):
            AutoencoderExperiment(autoencoder=TINY, image_size=(30, 16))
        with pytest.raises(UserError, match="channels.*is empty"):
            AutoencoderExperiment(autoencoder=AutoencoderConfig())

    def test_another_start_is_a_line(self, run_folder):
        other = dataclasses.replace(CONFIG, image_size=(32, 16))
        with pytest.raises(UserError, match="has the configuration"):
            other.task(run_folder)
