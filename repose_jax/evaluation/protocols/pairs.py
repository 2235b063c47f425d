"""The protocols under which the field's papers report numbers, as data.

Two numbers called "SSIM" or "FID" are only comparable under one protocol. These are read off the
programs that the papers' authors published; where a program does something that one would not do
today, the protocol says so and does it too, as the number would not be reproduced otherwise.

There is none for the 512x352 of NTED and PIDM: we could see no program of NTED's that scores (its
issue 9 announces one), PIDM's only scores at 256x176, and the question for the other, issue 40 of
ankanbhunia/PIDM, is open.
GFLA's and PIDM's Inception (script/inception.py, utils/inception.py) are one file: torchvision's
network with its published weights, which CFLD takes too.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from repose_jax.common.errors import UserError
from repose_jax.evaluation.protocols.human_art import HUMAN_ART


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
      mae: the script also reports what it calls MAE, see `repose_jax.evaluation.metrics.mae`.
      mask_lpips: it also reports LPIPS of pictures multiplied by the mask of the person.
      drop_incomplete: pictures in a batch of its Frechet distance; those that do not fill the last
        one are left out, of the generated and of the real pictures. 0 leaves none out.
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
    mae: bool = False
    mask_lpips: bool = False
    drop_incomplete: int = 0
    inception: Literal["imagenet", "tf"] = "imagenet"
    lpips: Literal["alex", "vgg", "squeeze"] = "alex"
    pairs: int
    references: int
    judge: str = ""
    identity: str = ""
    source: str
    quirks: tuple[str, ...] = ()


_RANGE = ("the Gaussian SSIM takes the generated picture's own range, so that it is not symmetric "
          "and is another number than with a range of 1")
_TRAIN = "the Frechet distance compares with the training pictures, not with the targets"
_DROP = ("pictures that do not fill a batch of 64 are left out of the Frechet distance, the last "
         "of the list here, in the authors' program the last that the file system names")
_DROP_LPIPS = ("the authors' program leaves them out of LPIPS too; here every picture counts")
_NORMALISED = ("Inception sees [0, 1] pictures where it expects them normalised by ImageNet's mean "
               "and deviation")
_FACES = "MCLD's similarity of faces (InsightFace's buffalo_s) is not measured"

_GFLA = "script/metrics.py of RenYurui/Global-Flow-Local-Attention"
_PIDM = "utils/metrics.py of ankanbhunia/PIDM"
_CFLD = "models/metrics.py and datasets/deepfashion.py of YanzuoLu/CFLD"
_MCLD = ("evaluate.py and validation/metrics.py of jqliu09/MCLD, where the latter scores as CFLD's "
         "models/metrics.py does")


def _cfld(name: str, size: tuple[int, int], source: str, *more: str) -> Protocol:
    """CFLD's metrics, which MCLD took over."""
    return Protocol(
        name=name, data="deepfashion", size=size, feature_size=size, range_of_prediction=True,
        pairs=8_570, references=48_674, source=source,
        quirks=(_TRAIN, _RANGE, _NORMALISED, *more))


_ALL = (
    Protocol(
        name="market1501", data="market1501", size=(128, 64), feature_size=(128, 64),
        windows=(7, 11, 51), range_of_prediction=True, mae=True, mask_lpips=True,
        drop_incomplete=64, pairs=12_000, references=12_936,
        judge="judge-market1501", identity="reid-market1501",
        source=f"pairs of PATN (tengteng95/Pose-Transfer), {_GFLA} at 128x64",
        quirks=(_TRAIN, _RANGE, _DROP, _DROP_LPIPS, _NORMALISED,
                "papers report SSIM without its window; all three are given",
                "PIDM's program has the same mask-LPIPS but does not call it")),
    Protocol(
        name="deepfashion-256-gfla", data="deepfashion", size=(256, 256), feature_size=(256, 256),
        range_of_prediction=True, mae=True, drop_incomplete=64, pairs=8_570, references=48_674,
        source=f"{_GFLA}, on pictures of 256x256",
        quirks=(_TRAIN, _RANGE, _DROP, _DROP_LPIPS, _NORMALISED)),
    Protocol(
        name="deepfashion-256", data="deepfashion", size=(256, 256), feature_size=(256, 176),
        sigmas=(1.2,), range_of_prediction=True, mae=True, drop_incomplete=64, pairs=8_570,
        references=48_674,
        source=f"{_PIDM}, which is GFLA's but for SSIM's sigma, 1.2 for 1.5, and the size that "
               "LPIPS and Inception see",
        quirks=(_TRAIN, _RANGE, _DROP, _DROP_LPIPS, _NORMALISED,
                "SSIM, PSNR, L1 and MAE see pictures squeezed to 256x256, LPIPS and Inception "
                "256x176, where the authors' program does not round to 8 bits")),
    _cfld("deepfashion-256-cfld", (256, 176), _CFLD),
    _cfld("deepfashion-512-cfld", (512, 352), _CFLD),
    _cfld("deepfashion-256-mcld", (256, 176), _MCLD, _FACES),
    _cfld("deepfashion-512-mcld", (512, 352), _MCLD, _FACES),
)
PROTOCOLS = {protocol.name: protocol for protocol in _ALL}


def protocol(name: str) -> Protocol:
    """A protocol by name; UserError where there is none.

    Pictures of people without pairs are scored by another, `HUMAN_ART`.
    """
    if name not in PROTOCOLS:
        raise UserError(name, "is not a protocol", "choose one of "
                        f"{', '.join([*PROTOCOLS, HUMAN_ART.name])}")
    return PROTOCOLS[name]
