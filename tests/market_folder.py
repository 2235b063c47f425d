"""A tiny Market-1501 folder of rendered people, for tests that need files on disk."""

from __future__ import annotations

import json
import pathlib

import numpy as np
from PIL import Image

from repose_jax.data.people.renderer import render_person
from repose_jax.data.people.source import identity_numbers

_HEADER = "name:keypoints_y:keypoints_x"


def write_market(root: pathlib.Path, size: tuple[int, int] = (32, 16), *, people: int = 4,
                 cameras: int = 3) -> pathlib.Path:
    """Writes both splits, each person once by each camera, and the list of test pairs.

    Args:
      root: of the folder.
      size: (height, width) of the pictures.
      people: a split.
      cameras: pictures a person.
    """
    for split in ("train", "test"):
        folder = root / f"bounding_box_{split}"
        folder.mkdir(parents=True)
        rows, names = [_HEADER], []
        for number, identity in enumerate(identity_numbers(split, people), start=1):
            for camera in range(1, cameras + 1):
                render = render_person(0, identity, camera, size)
                pose = render.annotated("market14")
                name = f"{number:04d}_c{camera}s1_{camera:06d}_00.jpg"
                Image.fromarray(render.image).save(folder / name, quality=95)
                joints = np.where(pose[:, 2:] > 0, np.rint(pose[:, :2]), -1).astype(int)
                rows.append(f"{name}:{json.dumps(joints[:, 1].tolist())}:"
                            f"{json.dumps(joints[:, 0].tolist())}")
                names.append(name)
        (root / f"market-annotation-{split}.csv").write_text("\n".join(rows) + "\n")
        if split == "test":
            pairs = [f"{a},{b}" for a in names for b in names if a != b and a[:4] == b[:4]]
            (root / "market-pairs-test.csv").write_text("\n".join(["from,to", *pairs]) + "\n")
    return root
