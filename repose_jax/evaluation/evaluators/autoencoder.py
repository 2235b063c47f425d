"""Scores a first stage: how well pictures of people it was never trained on come back."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from repose_jax.common.batching import in_parts
from repose_jax.common.errors import UserError
from repose_jax.common.signal import to_image, to_signal
from repose_jax.data.config import DataConfig
from repose_jax.evaluation.metrics.psnr import psnr
from repose_jax.evaluation.metrics.ssim import gaussian_ssim, gaussian_taps
from repose_jax.evaluation.statistics.bootstrap import Bootstrap, Interval
from repose_jax.models.weights import Pretrained
from repose_jax.networks.apply import apply
from repose_jax.networks.autoencoder import Autoencoder, AutoencoderConfig

_MOST = 60.0  # dB
_NAMES = {"psnr": "PSNR, dB", "ssim": "SSIM", "l1": "L1"}


@dataclasses.dataclass(frozen=True)
class AutoencoderScores:
    """How well pictures come back, rounded to 8 bits as they would be seen.

    Attributes:
      scores: by name: "psnr" in dB, a picture's at most 60; "ssim" (Gaussian window); "l1" in [0, 1]
        units.
      latents: of each channel, deviation of the standardised latents; near 1 on people like those of
        training.
      conditions: how many pictures, of how many people, of what size.
    """

    scores: dict[str, Interval]
    latents: list[float]
    conditions: dict

    def to_dict(self) -> dict:
        """All of it, for `write_json`."""
        return dataclasses.asdict(self)

    def markdown(self) -> str:
        """A table; brackets hold the 95 % intervals over people."""
        cells = [f"{v.value:.3f} [{v.low:.3f}, {v.high:.3f}]" for v in self.scores.values()]
        facts, names = self.conditions, [_NAMES[name] for name in self.scores]
        return (f"| {' | '.join(names)} |\n{'|---' * len(names)}|\n| {' | '.join(cells)} |\n\n"
                f"{facts['pictures']} pictures of {facts['people']} people, "
                f"{facts['size'][0]}x{facts['size'][1]}, through latents of "
                f"{facts['latents'][0]}x{facts['latents'][1]}x{facts['latents'][2]}, whose channels "
                f"have deviations of {min(self.latents):.2f} to {max(self.latents):.2f}.\n")


def score_autoencoder(
    weights: Pretrained[AutoencoderConfig], data: DataConfig, *, count: int = 500, seed: int = 0,
    batch_size: int = 16,
) -> AutoencoderScores:
    """Sends test pictures through the latents and back.

    Args:
      weights: of the first stage.
      data: whose test split is used, at its own size.
      count: pictures, drawn at random; all where there are fewer.
      seed: of the pictures and the intervals.
      batch_size: pictures at a time.

    Raises:
      UserError: the data cannot be used, or have pictures that are no whole cells.
    """
    test, network = data.open("test"), Autoencoder(weights.config)
    cell = weights.config.factor
    if any(side % cell for side in test.size):
        raise UserError("data", f"has pictures of {test.size[0]}x{test.size[1]}, which are no whole "
                        f"cells of {cell} pixels", "give pictures of other sides")
    if min(test.size) < len(gaussian_taps(1.5)):
        raise UserError("data", f"has pictures of {test.size[0]}x{test.size[1]}, less than SSIM's "
                        "window", "give larger ones")
    chosen = np.random.default_rng(seed).permutation(len(test))[:count]
    pictures = np.stack([test.image(int(i)) for i in chosen])

    @jax.jit
    def through(params, batch):
        latents = apply(network, params, to_signal(batch), method="latents")
        back = to_image(apply(network, params, latents, method="pictures"))
        ours, theirs = (x.astype(jnp.float32) / 255 for x in (back, batch))
        each = psnr(ours, theirs), gaussian_ssim(ours, theirs), jnp.abs(ours - theirs).mean((1, 2, 3))
        moments = latents.mean((1, 2)), (latents**2).mean((1, 2))
        # A picture that comes back exactly has no finite PSNR, and would be all of the mean.
        return jnp.concatenate([jnp.stack([jnp.minimum(each[0], _MOST), *each[1:]], 1), *moments], 1)

    found = in_parts(functools.partial(through, weights.params), pictures.__getitem__,
                     len(pictures), batch_size).astype(np.float64)
    people = Bootstrap(np.asarray(test.persons)[chosen], seed=seed)
    channels = weights.config.latent
    mean, square = found[:, 3:3 + channels].mean(0), found[:, 3 + channels:].mean(0)
    return AutoencoderScores(
        {name: people.mean(found[:, i]) for i, name in enumerate(_NAMES)},
        np.sqrt(np.maximum(square - mean**2, 0)).tolist(), {
            "pictures": people.pictures, "people": people.people, "seed": seed,
            "size": list(test.size),
            "latents": [test.size[0] // cell, test.size[1] // cell, channels]})
