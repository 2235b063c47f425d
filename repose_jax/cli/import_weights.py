"""`repose import`."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
from collections.abc import Sequence
from typing import Annotated, Literal

import tyro

from repose_jax.cli.terminal import parse, say
from repose_jax.common.ranges import Finite, Range, Side, Width


@dataclasses.dataclass(frozen=True)
class PidmOptions:
    """Turn the weights of PIDM into a model of this package.

    The file is read without PyTorch and nothing in it runs. The model serves wherever one is asked
    for: `repose transfer --model DIR`, `repose evaluate DIR`, `repose train ... --init DIR`.

    Attributes:
      file: the checkpoint that PIDM's train.py wrote, last.pt or model_*.pt.
      output: folder for the model; one that is there is replaced.
      weights: the average of the weights, by which PIDM samples, or the weights themselves.
      rpa: iterations of a recurrent pose alignment to add for fine-tuning; the output is PIDM's
        until training changes it.
      size: height and width of the pictures that the weights are for.
    """

    file: tyro.conf.Positional[pathlib.Path]
    output: Annotated[pathlib.Path, tyro.conf.arg(aliases=["-o"])]
    weights: Literal["ema", "model"] = "ema"
    rpa: Annotated[int, Range(0, 32)] = 0
    size: tuple[Side, Side] = (256, 256)


def import_pidm(argv: Sequence[str]) -> int:
    """Turn the weights of PIDM into a model, without PyTorch."""
    options = parse(PidmOptions, "import pidm", argv)
    import numpy as np

    from repose_jax.models.pidm_weights import read_pidm
    from repose_jax.models.sample_config import SampleConfig
    from repose_jax.models.weights import FILE_NAME, save_model

    read = read_pidm(options.file, options.weights, options.rpa, options.size)
    with options.file.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / FILE_NAME
    facts = {"imported": f"pidm {options.weights}", "file": options.file.name, "sha256": sha256}
    save_model(path, read.config, read.params, facts, SampleConfig(), np.float32)
    say(f"{path}: {read.used:,} numbers of {options.file.name} read, {read.unused:,} that PIDM's "
        "own network never reads left out")
    return 0


@dataclasses.dataclass(frozen=True)
class AutoencoderOptions:
    """Turn the autoencoder of latent diffusion, such as Stable Diffusion's, into a first stage.

    The file is read without PyTorch and nothing in it runs. The folder serves as the first stage of a
    model that is trained: `repose train ... --first-stage DIR`.

    Attributes:
      file: diffusers' diffusion_pytorch_model.safetensors of an AutoencoderKL, or a checkpoint of
        latent or Stable Diffusion, .safetensors or .ckpt.
      output: folder for the first stage; one that is there is replaced.
      scale: what latents are multiplied by; by default what the config.json beside the file says.
        0.18215 for Stable Diffusion 1 and 2, 0.13025 for XL.
      shift: what is taken from latents before; by default as config.json says, or 0.
      groups: groups of the normalisation; by default as config.json says, or 32.
    """

    file: tyro.conf.Positional[pathlib.Path]
    output: Annotated[pathlib.Path, tyro.conf.arg(aliases=["-o"])]
    scale: Annotated[float, Range(0, open_low=True)] | None = None
    shift: Finite | None = None
    groups: Width | None = None


def import_autoencoder(argv: Sequence[str]) -> int:
    """Turn the autoencoder of latent or Stable Diffusion into a first stage, without PyTorch."""
    options = parse(AutoencoderOptions, "import autoencoder", argv)
    import jax
    import numpy as np

    from repose_jax.models.autoencoder_weights import read_autoencoder
    from repose_jax.models.weights import FILE_NAME, save_weights

    read = read_autoencoder(options.file, scale=options.scale, shift=options.shift,
                            groups=options.groups)
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / FILE_NAME
    save_weights(path, "first-stage", read.config, read.params,
                 {"imported": "autoencoder"} | read.facts, np.float32)
    count = sum(leaf.size for leaf in jax.tree.leaves(read.params))
    say(f"{path}: {count:,} numbers, cells of {read.config.factor} pixels, {read.config.latent} "
        f"channels, times {float(read.params['scale'][0]):.6g}")
    return 0
