"""Writes examples/: rendered test people, whom no model has seen, with their poses.

    python -m repose_jax.experiments.examples examples [TIMES]

With TIMES the same people in so many times the size. Needs the extra `bodies`.
"""

from __future__ import annotations

import pathlib
import sys

from repose_jax.common.provenance import write_png
from repose_jax.data.people.renderer import render_person
from repose_jax.data.people.source import FIRST_TEST_IDENTITY
from repose_jax.data.people.world import World
from repose_jax.pose.formats import NamedPose, write_pose
from repose_jax.pose.skeleton import OPENPOSE18

SIZE = (256, 128)
WORLD = World(scene="person", cloth="creased", heads="turning", bodies="makehuman")
# (file name, identity, view): sources, and the views that only lend their pose.
PEOPLE = (("person-a", 19, 0), ("person-b", 6, 1), ("person-c", 46, 1))
POSES = (("pose-walking", 43, 1), ("pose-arms", 12, 1), ("pose-turned", 16, 0))


def write_examples(folder: pathlib.Path, times: int = 1) -> None:
    """Writes a PNG and a pose JSON for each person, and a JSON for each pose, `times` as large."""
    size = (times * SIZE[0], times * SIZE[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, identity, view in PEOPLE + POSES:
        render = render_person(0, FIRST_TEST_IDENTITY + identity, view, size, WORLD)
        pose = NamedPose(pose=render.annotated(OPENPOSE18.name), name=name, skeleton=OPENPOSE18,
                         size=size)
        write_pose(folder / f"{name}.json", pose)
        if (name, identity, view) in PEOPLE:
            write_png(folder / f"{name}.png", render.image, {
                "Software": "repose_jax", "Comment": "a rendered person; no photo"})


if __name__ == "__main__":
    write_examples(pathlib.Path(sys.argv[1]), *map(int, sys.argv[2:]))
