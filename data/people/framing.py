"""How a photo cuts a person: from head to foot, to the knees, the hips or the chest, upright or wide.

Shops and albums show people in parts as often as whole. All photos of a person are framed alike, as the
pictures are that are painted from a photo: a pose is put on the source's body, of its size, in its
place.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from repose_jax.data.people.scene import Camera

# Of the stature, from the crown of an upright person to the middle of the hips.
_CROWN_TO_HIPS = 0.47


@dataclasses.dataclass(frozen=True, kw_only=True)
class Framing:
    """What all photos of a person share.

    Attributes:
      aspect: width of the photo by its height; what a picture of another aspect has beside it is
        filled with the colours of the photo's edge, as `data.image.resize.letterbox` does.
      fill: stature in heights of the photo; None frames the person from head to foot, see `Camera`.
      top: room above the head of an upright person, in heights; less than 0 cuts it. Only with
        `fill`.
      side: of the hips from the photo's middle, to the right, in heights. Only with `fill`.
    """

    aspect: float
    fill: float | None = None
    top: float = 0.0
    side: float = 0.0

    def apply(self, camera: Camera, rng: np.random.Generator) -> Camera:
        """The camera that takes one of these photos: people do not stand quite still."""
        grown, right, down = rng.uniform(0.96, 1.04), *rng.normal(0, (0.02, 0.01))
        if self.fill is None:
            return camera
        fill = float(self.fill * grown)
        return dataclasses.replace(
            camera, fill=fill, stature=True,
            shift=(float(self.side + right), float(self.top + _CROWN_TO_HIPS * fill - 0.5 + down)))


def sample_framing(rng: np.random.Generator) -> Framing:
    """A third of all people from head to foot; of the others a tenth without the top of the head.

    Photos are as wide as those of DeepFashion (.68) or others of 2:3 and 3:4, or half as wide as
    high, as cameras of surveillance cut people out; few are square.
    """
    kind = rng.choice(4, p=(0.3, 0.35, 0.25, 0.1))
    aspect = float((0.5, rng.uniform(0.62, 0.72), rng.uniform(0.5, 0.8), rng.uniform(0.75, 1.0))[kind])
    if rng.random() < 1 / 3:
        return Framing(aspect=aspect)
    fill = float(np.exp(rng.uniform(np.log(1.05), np.log(2.5))))
    top = -rng.uniform(0.02, 0.1) * fill if rng.random() < 0.1 else rng.uniform(0.0, 0.1)
    return Framing(aspect=aspect, fill=fill, top=float(top), side=float(rng.normal(0, 0.03)))
