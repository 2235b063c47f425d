"""Reads poses off a diffusion model's guesses at training pictures: what a field should refuse.

    python -m repose_jax.experiments.read_predictions market1501 estimator-market1501 \
        --data MARKET_FOLDER --count 24000 --output guesses.npz
    repose train field-market1501 --data.path MARKET_FOLDER --guesses guesses.npz --output runs/field

NIFTY (Kulkarni et al. 2023) trains its field on the errors that the diffusion model itself makes.
The guesses are made at every noise level, half of them knowing source and target pose.
"""

from __future__ import annotations

import argparse

import jax
import jax.numpy as jnp
import numpy as np

from repose_jax.common.files import write_whole
from repose_jax.data.config import DataConfig
from repose_jax.data.pairs.stream import batches
from repose_jax.models.weights import load_estimator, load_model
from repose_jax.networks.pose_estimator import PoseEstimator, soft_argmax
from repose_jax.tasks.pose_estimator import guess

# Below, a joint counts as not read: at high noise its mean is the middle of the picture.
_SURE = 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="diffusion model")
    parser.add_argument("estimator", help="pose estimator")
    parser.add_argument("--data", default="people")
    parser.add_argument("--count", type=int, default=24_000)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", required=True)
    options = parser.parse_args()
    denoiser, weights = load_model(options.model), load_estimator(options.estimator)
    network = PoseEstimator(weights.config)
    source = DataConfig(path=options.data).open(
        "train", skeleton=weights.config.skeleton, size=weights.config.image_size)
    stream = batches(source, batch_size=options.batch, seed=options.seed)

    @jax.jit
    def read(batch, key):
        image, noise = guess(denoiser.model, denoiser.params, batch, key, clean=0.0, posed=0.5,
                             start=denoiser.sample.start)
        pose = soft_argmax(network.apply({"params": weights.params}, image, noise),
                           image.shape[1:3]).pose
        sure = pose[..., 2:] >= _SURE
        return jnp.where(sure, pose.at[..., 2].set(1.0), 0.0)

    poses = []
    for number in range(-(-options.count // options.batch)):
        key = jax.random.fold_in(jax.random.key(options.seed), number)
        poses.append(np.asarray(read(next(stream), key)))
    poses = np.concatenate(poses)[:options.count]
    poses = poses[(poses[..., 2] > 0).sum(1) >= 4]
    write_whole(options.output, lambda file: np.savez_compressed(file, poses=poses))
    print(f"{len(poses)} poses with 4 joints or more of {options.count} guesses")


if __name__ == "__main__":
    main()
