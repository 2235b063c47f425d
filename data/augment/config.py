"""How often and how strongly training pairs are changed."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from repose_jax.common.ranges import Fraction, Range, check_fields

# In the order in which they are applied. New ones go to the end: places seed the random numbers.
NAMES = ("background", "affine", "color", "occlude", "blur", "noise", "jpeg", "joints")
# After these a point of the body is elsewhere, or cannot be seen.
_DISPLACING = ("background", "affine", "occlude")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Random changes to training pairs; the field called by its bare name is its probability.

    All are off by default. Mirroring is `DataConfig.flip`.

    Attributes:
      background: probability that what surrounds the person is replaced.
      background_strength: how much of the new background shows there; at 1 nothing of the old.
      background_kind: another picture of the data with its person, smooth or grainy noise, a
        gradient, or any of them.
      background_on: change the source only, or give both pictures the same new background.
      background_feather: width of the soft edge between person and background, in heights.
      affine: probability that a picture is scaled, turned and shifted, its pose following; drawn
        for source and target apart.
      affine_scale: scale factors go from 1 / (1 + it) to 1 + it; PIDM has 0.05, upwards only.
      affine_rotate: largest angle in degrees, either way.
      affine_shift: largest shift, in widths and heights.
      color: probability that both pictures' colours are changed, in the same way.
      color_strength: brightness, contrast and saturation change by up to this factor, hue by a
        quarter of it, in turns; SimCLR's proportions (Chen et al. 2020).
      occlude: probability that something is pasted on the source.
      occlude_area: largest share of the picture that one of them covers, from 0.02 up; random
        erasing has 0.4 (Zhong et al. 2017).
      occlude_count: most of them on a picture.
      occlude_kind: plain rectangles, pieces of other pictures, or any of them.
      occlude_joints: mark the source's joints below them as unknown.
      blur: probability of a Gaussian blur of the source.
      blur_sigma: its largest standard deviation, in heights.
      noise: probability of Gaussian noise on the source.
      noise_sigma: its largest standard deviation; 1 is from black to white.
      jpeg: probability of a JPEG compression of the source.
      jpeg_quality: the lowest quality, of 1 to 95. Blur, noise and JPEG come in the order of
        Real-ESRGAN's degradation (Wang et al. 2021).
      joints: probability that the joints of the source's pose are misplaced, as an estimator's are.
      joints_sigma: standard deviation of x and of y of each of them, in heights.
    """

    background: Fraction = 0.0
    background_strength: Fraction = 1.0
    background_kind: Literal["any", "picture", "noise", "gradient"] = "any"
    background_on: Literal["source", "both"] = "source"
    background_feather: Annotated[float, Range(0, 0.2)] = 0.01
    affine: Fraction = 0.0
    affine_scale: Annotated[float, Range(0, 0.5)] = 0.1
    affine_rotate: Annotated[float, Range(0, 45)] = 5.0
    affine_shift: Annotated[float, Range(0, 0.5)] = 0.05
    color: Fraction = 0.0
    color_strength: Fraction = 0.2
    occlude: Fraction = 0.0
    occlude_area: Annotated[float, Range(0.02, 0.6)] = 0.15
    occlude_count: Annotated[int, Range(1, 8)] = 1
    occlude_kind: Literal["any", "rectangle", "picture"] = "any"
    occlude_joints: bool = False
    blur: Fraction = 0.0
    blur_sigma: Annotated[float, Range(0, 0.1)] = 0.015
    noise: Fraction = 0.0
    noise_sigma: Annotated[float, Range(0, 0.5)] = 0.05
    jpeg: Fraction = 0.0
    jpeg_quality: Annotated[int, Range(1, 95)] = 20
    joints: Fraction = 0.0
    joints_sigma: Annotated[float, Range(0, 0.05)] = 0.005

    def __post_init__(self):
        check_fields(self, "augment")

    @property
    def active(self) -> tuple[str, ...]:
        """Names of those that may happen, in the order in which they are applied."""
        return tuple(name for name in NAMES if getattr(self, name) > 0)

    @property
    def displacing(self) -> tuple[str, ...]:
        """Those of `active` after which a body's points are elsewhere or hidden."""
        return tuple(name for name in self.active if name in _DISPLACING)

    def identity(self) -> dict[str, float | int | str]:
        """Probabilities and strengths of those that may happen; the others decide nothing."""
        return {field: value for field, value in dataclasses.asdict(self).items()
                if field.split("_")[0] in self.active}

    def only(self, name: str) -> AugmentConfig:
        """The same strengths, with one that always happens and no other."""
        return dataclasses.replace(self, **{n: float(n == name) for n in NAMES})
