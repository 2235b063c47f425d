"""How rendered people are shown."""

from __future__ import annotations

import dataclasses
from typing import Any

from repose_jax.common.ranges import Bodies, Cloth, Framing, Heads, Scene, check_fields


@dataclasses.dataclass(frozen=True, kw_only=True)
class World:
    """What differs between datasets of the same people.

    Attributes:
      scene: "view" draws light and background anew for each view, as if taken in many places;
        "person" draws them once for a person, as if all were taken in one.
      framing: "whole" shows people from head to foot, mostly; "any" also parts of them, in photos
        of other aspects, the same for all views of a person, see `framing`.
      cloth: "smooth", or "creased", with folds that are others in each view, or "loose", creased and in
        half of all cases wide, see `cloth`.
      heads: "following" the trunk, mostly; "turning" up to 60 degrees to either side; or "lifelike",
        turning and with faces as photos have them, see `face`.
      bodies: of "cones", or of "makehuman", a mesh with faces and hands, see `makehuman`.
    """

    scene: Scene = "view"
    framing: Framing = "whole"
    cloth: Cloth = "smooth"
    heads: Heads = "following"
    bodies: Bodies = "cones"

    def __post_init__(self):
        check_fields(self)

    def changes(self) -> dict[str, Any]:
        """What is not as in the plain world, by its name."""
        return {field.name: value for field in dataclasses.fields(self)
                if (value := getattr(self, field.name)) != field.default}
