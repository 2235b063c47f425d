"""Rendered people as a dataset, drawn when they are asked for."""

from __future__ import annotations

import functools
import hashlib

import numpy as np
from jaxtyping import Float, UInt8

from repose_jax.common.errors import UserError
from repose_jax.data.pairs.source import PairSource, TrueFlow
from repose_jax.data.people import makehuman
from repose_jax.data.people.correspondence import correspondence
from repose_jax.data.people.renderer import render_person
from repose_jax.data.people.standing import head_turn, trunk_turn
from repose_jax.data.people.view import View, sample_identity, sample_view
from repose_jax.data.people.world import World
from repose_jax.pose.skeleton import SKELETONS

# To be counted up when the renderer paints another picture for the same numbers.
_WORLD = 2
# Test people are numbered from here, so they are the same however many people train.
FIRST_TEST_IDENTITY = 1_000_000


def identity_numbers(split: str, identities: int) -> range:
    """Which people of the renderer's world a split holds; the splits share none."""
    first = FIRST_TEST_IDENTITY if split == "test" else 0
    if not 1 <= identities <= FIRST_TEST_IDENTITY:
        raise UserError("identities", f"is {identities}", f"give 1 to {FIRST_TEST_IDENTITY}")
    return range(first, first + identities)


def person_label(identity: int) -> str:
    """The person's name; pictures are called `<person>_<view>`."""
    return f"p{identity:07d}"


class RenderedPeople(PairSource):
    """Pictures that exist once they are looked at; poses come with them.

    `poses` renders everything; `image` and `pose` render what they need.
    """

    def __init__(self, *, seed: int, identities: range, views: int, size: tuple[int, int],
                 skeleton: str, world: World, cache: bool):
        labels = [person_label(identity) for identity in identities]
        super().__init__(
            skeleton=SKELETONS[skeleton], size=size,
            names=[f"{label}_{view}" for label in labels for view in range(views)],
            persons=[label for label in labels for _ in range(views)],
            poses=None, read=self._render_image, read_flow=self._true_flow, cache=cache)
        self._seed, self._identities, self._views = seed, identities, views
        self._world = world

    @functools.cached_property
    def identity(self) -> dict[str, str]:
        """SHA-256 of what decides the people; rendering them to look would take minutes."""
        recipe = repr((_WORLD, self._seed, self._identities, self._views, self.size,
                       self.skeleton.name, None if self.given_pairs is None
                       else self.given_pairs.tolist(),
                       *self._world.changes().values()))
        return {"people": hashlib.sha256(recipe.encode()).hexdigest()}

    def __getstate__(self) -> dict:
        state = super().__getstate__()
        return {key: value for key, value in state.items() if key not in ("_cache_poses", "_last")}

    def _render(self, index: int):
        # The picture and the pose of one view are mostly asked for one after the other.
        last, render = getattr(self, "_last", (None, None))
        if index != last:
            identity, view = divmod(index, self._views)
            render = render_person(self._seed, self._identities[identity], view, self.size,
                                   self._world)
            self._last = index, render
            if self.cached:
                self._cache_poses[index] = render.annotated(self.skeleton.name)
        return render

    def _true_flow(self, source: int, target: int) -> TrueFlow:
        (number, first), (other, second) = (self._view(i) for i in (source, target))
        if number != other:
            raise ValueError(f"pictures {source} and {target} show two people")
        who = sample_identity(self._seed, number, self._world)
        return correspondence(who, first, second, self.size)

    def turn(self, index: int) -> float:
        """Which way the trunk of picture `index` faces, radians; see `trunk_turn`."""
        return trunk_turn(self._view(index)[1])

    def head_turn(self, index: int) -> float:
        """Which way the head of picture `index` faces, radians."""
        number, view = self._view(index)
        return head_turn(sample_identity(self._seed, number, self._world), view)

    def _view(self, index: int) -> tuple[int, View]:
        """The person's number and the view of picture `index`."""
        identity, view = divmod(int(index), self._views)
        number = self._identities[identity]
        return number, sample_view(self._seed, number, view, self._world)

    def _render_image(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        return self._render(index).image

    @functools.cached_property
    def _cache_poses(self) -> dict[int, np.ndarray]:
        return {}

    def pose(self, index: int) -> Float[np.ndarray, "joints 3"]:
        if "poses" in self.__dict__:
            return self.poses[index]
        known = self._cache_poses.get(int(index))
        if known is None:
            known = self._render(int(index)).annotated(self.skeleton.name)
        return known

    @functools.cached_property
    def poses(self) -> Float[np.ndarray, "n joints 3"]:
        return np.stack([self.pose(i) for i in range(len(self))])


def rendered_people(seed: int = 0, identities: int = 64, views: int = 6,
                    size: tuple[int, int] = (128, 64), skeleton: str = "openpose18", *,
                    split: str = "train", world: World = World(),
                    cache: bool = True) -> PairSource:
    """People of a seed, without any file.

    Args:
      seed: of the world; the same seed gives the same people.
      identities: how many people, each one a person's pairs are made of.
      views: pictures a person, at least 2.
      size: (height, width) of the pictures.
      skeleton: name of the poses' skeleton.
      split: "train" or "test"; they share no person.
      world: how they are shown.
      cache: keep what was rendered in memory.

    Raises:
      UserError: for arguments that make no pairs or cannot be rendered.
    """
    if views < 2:
        raise UserError("views", f"is {views}", "give 2 or more, a pair needs two pictures")
    if split not in ("train", "test"):
        raise UserError("split", f"is {split}", "choose train or test")
    if skeleton not in SKELETONS:
        raise UserError("skeleton", f"is {skeleton}", f"choose one of {', '.join(SKELETONS)}")
    if world.bodies == "makehuman":
        makehuman.folder()  # said now, not by a process that renders
    return RenderedPeople(seed=seed, identities=identity_numbers(split, identities), views=views,
                          size=size, skeleton=skeleton, world=world, cache=cache)
