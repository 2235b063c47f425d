"""A judge of poses of another family: BlazePose's landmarks, left beside each picture of a folder.

    python -m venv other && other/bin/pip install mediapipe==0.10.21 ai-edge-litert
    other/bin/python experiments/bench/blazepose.py FOLDER [FOLDER ...]

Then `repose evaluate --images FOLDER --judge beside --no-baselines ...` scores them. BlazePose
(Bazarevsky et al. 2020) was trained by others on other pictures with other annotations; its network
comes with the package mediapipe, whose older numpy asks for an environment of its own, so this file
imports nothing of repose_jax. Its detector, which seeks a person first, misses many pictures as
small as 128x64; as they are cut to a person already, the landmark network is run on the whole
picture, in a square with a margin.
"""

from __future__ import annotations

import argparse
import json
import pathlib

import numpy as np
from PIL import Image

_MARGIN = 0.06  # of the height, above and below
_SIDE = 256  # of the network's input
_LANDMARKS = 33  # of the 39 that it gives; the others are of its own use


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    options = parser.parse_args()
    network = _network()
    for folder in options.folders:
        presence = []
        for path in sorted(folder.glob("*.png")):
            picture = Image.open(path).convert("RGB")
            x, y, present = _landmarks(network, picture)
            presence.append(present)
            path.with_suffix(".json").write_text(json.dumps({
                "image_height": picture.height, "image_width": picture.width,
                "landmarks": [{"x": float(a / picture.width), "y": float(b / picture.height),
                               "z": 0.0, "visibility": 1.0} for a, b in zip(x, y)]}))
        print(f"{folder}: {len(presence)} pictures, the network says of "
              f"{np.mean(np.array(presence) > 0.5):.3f} that they show a person")


def _network():
    import mediapipe
    from ai_edge_litert.interpreter import Interpreter
    file = pathlib.Path(mediapipe.__file__).parent / "modules/pose_landmark/pose_landmark_full.tflite"
    network = Interpreter(str(file), num_threads=1)
    network.allocate_tensors()
    return network


def _landmarks(network, picture: Image.Image) -> tuple[np.ndarray, np.ndarray, float]:
    """x and y of each landmark in pixels of the picture, and the probability of a person."""
    side = round(picture.height * (1 + 2 * _MARGIN))
    top, left = (side - picture.height) // 2, (side - picture.width) // 2
    square = np.pad(np.asarray(picture), (
        (top, side - picture.height - top), (left, side - picture.width - left), (0, 0)),
        mode="edge")
    scaled = Image.fromarray(square).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    network.set_tensor(network.get_input_details()[0]["index"],
                       np.asarray(scaled, np.float32)[None] / 255)
    network.invoke()
    found = {tuple(out["shape"]): network.get_tensor(out["index"])
             for out in network.get_output_details()}
    points = found[1, 195].reshape(39, 5)[:_LANDMARKS, :2] * side / _SIDE
    return points[:, 0] - left, points[:, 1] - top, float(found[1, 1].ravel()[0])


if __name__ == "__main__":
    main()
