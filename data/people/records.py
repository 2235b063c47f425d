"""What a built dataset stores of rendered people."""

from __future__ import annotations

from repose_jax.data.image.files import encode_png
from repose_jax.data.people.renderer import render_person
from repose_jax.data.people.source import identity_numbers, person_label
from repose_jax.pose.skeleton import SKELETONS


class RenderedRecords:
    """Renders the records of a split, poses in every skeleton; picklable. See `shards.Records`."""

    def __init__(self, split: str, *, seed: int, identities: int, views: int,
                 size: tuple[int, int]):
        """Takes the arguments of `rendered_people`."""
        self._identities = identity_numbers(split, identities)
        self._seed, self._views, self._size = seed, views, tuple(size)

    def __len__(self) -> int:
        return len(self._identities) * self._views

    def __call__(self, index: int) -> dict:
        identity, view = divmod(index, self._views)
        render = render_person(self._seed, self._identities[identity], view, self._size)
        return {"image": encode_png(render.image), "name": self.name(index),
                "person": person_label(self._identities[identity]),
                "poses": {name: render.annotated(name) for name in SKELETONS}}

    def name(self, index: int) -> str:
        identity, view = divmod(index, self._views)
        return f"{person_label(self._identities[identity])}_{view}"

    def identity(self, index: int) -> str:
        return self.name(index)

    def counts(self, kept: list[int]) -> dict[str, int]:
        return {"people": len(self._identities),
                "pairs": len(self._identities) * self._views * (self._views - 1)}
