"""The protocols under which the field's papers report numbers, as data.

Two numbers called "SSIM" or "FID" are only comparable under one protocol. These are read off the
programs that the papers' authors published; where a program does something that one would not do
today, the protocol says so and does it too, as the number would not be reproduced otherwise.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from repose_jax.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """How generated pictures of a benchmark are scored.

    Attributes:
      name: by which it is chosen.
      data: whose layout the dataset has.
      size: (height, width) at which pixels are compared; pictures of another size are squeezed to
        it by Pillow's bicubic filter.
      feature_size: (height, width) at which LPIPS and Inception see them, by bilinear interpolation
        without antialiasing from `size`.
      windows, sigmas: of SSIM.
      range_of_prediction: the Gaussian SSIM takes the range of the generated picture, not 1.
      inception: "imagenet" (torchvision's) or "tf" (that of the FID's authors).
      lpips: backbone.
      pairs: how many test pairs papers report on.
      references: how many real pictures the Frechet distance compares with: all training pictures.
      judge, identity: bundled networks that read poses and people; "" for none.
      source: whose program it is.
      quirks: what a reader of the number should know.
    """

    name: str
    data: Literal["market1501", "deepfashion"]
    size: tuple[int, int]
    feature_size: tuple[int, int]
    windows: tuple[int, ...] = (51,)
    sigmas: tuple[float, ...] = (1.5,)
    range_of_prediction: bool = False
    inception: Literal["imagenet", "tf"] = "imagenet"
    lpips: Literal["alex", "vgg", "squeeze"] = "alex"
    pairs: int
    references: int
    judge: str = ""
    identity: str = ""
    source: str
    quirks: tuple[str, ...] = ()


_RANGE = ("the Gaussian SSIM takes the generated picture's own range, so that it is not symmetric "
          "and rewards pictures of low contrast")
_TRAIN = "the Frechet distance compares with the training pictures, not with the targets"
_QUIRK_BATCH = ("the authors' program leaves the last incomplete batch of 64 out of the Frechet "
                "distance; here every picture counts")

_ALL = (
    Protocol(
        name="market1501", data="market1501", size=(128, 64), feature_size=(128, 64),
        windows=(7, 11, 51), pairs=12_000, references=12_936,
        judge="judge-market1501", identity="reid-market1501",
        source="pairs of PATN (tengteng95/Pose-Transfer), metrics of GFLA and PIDM at 128x64",
        quirks=(_TRAIN, "papers report SSIM without its window; all three are given")),
    Protocol(
        name="deepfashion-256", data="deepfashion", size=(256, 256), feature_size=(256, 176),
        sigmas=(1.2,), range_of_prediction=True, pairs=8_570, references=48_674,
        source="utils/metrics.py of ankanbhunia/PIDM, itself GFLA's",
        quirks=(_TRAIN, _RANGE, _QUIRK_BATCH,
                "SSIM, PSNR and L1 see pictures squeezed to 256x256, LPIPS and Inception 256x176")),
    Protocol(
        name="deepfashion-256-cfld", data="deepfashion", size=(256, 176), feature_size=(256, 176),
        range_of_prediction=True, pairs=8_570, references=48_674,
        source="models/metrics.py of YanzuoLu/CFLD",
        quirks=(_TRAIN, _RANGE, "Inception sees [0, 1] pictures where it expects them normalised "
                "by ImageNet's mean and deviation")),
    Protocol(
        name="deepfashion-512-cfld", data="deepfashion", size=(512, 352), feature_size=(512, 352),
        range_of_prediction=True, pairs=8_570, references=48_674,
        source="models/metrics.py of YanzuoLu/CFLD",
        quirks=(_TRAIN, _RANGE, "Inception sees [0, 1] pictures where it expects them normalised "
                "by ImageNet's mean and deviation")),
)
PROTOCOLS = {protocol.name: protocol for protocol in _ALL}


def protocol(name: str) -> Protocol:
    """A protocol by name; UserError where there is none."""
    if name not in PROTOCOLS:
        raise UserError(name, "is not a protocol", f"choose one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
