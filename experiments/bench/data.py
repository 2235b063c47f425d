"""How fast batches come from a built dataset, and how much of them goes to the device.

    python -m repose_jax.experiments.bench.data [--people 16] [--seconds 5] [--folder FOLDER]

Rendered people are written as JPEG files in the layout of Market-1501, built into array_record
files, and read back through grain into batches of pairs, undecoded pictures not being kept. Each
setting is read for some seconds after its first batch, which waits for workers to start. Prints a
table row a setting and writes one JSON to standard output at the end. The load of the machine is
printed too: where others use it, look at the milliseconds of CPU time a pair, which are counted
for the process itself and thus given without workers only.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import pathlib
import sys
import tempfile
import time

import numpy as np
from PIL import Image

from repose_jax.data.augment.config import NAMES, AugmentConfig
from repose_jax.data.build import build_market1501
from repose_jax.data.pairs.source import Batch
from repose_jax.data.pairs.stream import batches
from repose_jax.data.people.renderer import render_person
from repose_jax.data.records.array_record import load_array_record

SIZES = ((128, 64), (256, 176), (512, 352))
VIEWS = 4
SKELETON = "openpose18"
# What a training for photos in the wild might use, and the worst case.
SETTINGS = {"none": AugmentConfig(), "half": AugmentConfig(**dict.fromkeys(NAMES, 0.5)),
            "all": AugmentConfig(**dict.fromkeys(NAMES, 1.0))}


def write_layout(folder: pathlib.Path, people: int, size: tuple[int, int]) -> None:
    """Rendered people as JPEG files of quality 95 in the layout of Market-1501, train only."""
    pictures = folder / "bounding_box_train"
    pictures.mkdir(parents=True)
    rows = ["name:keypoints_y:keypoints_x"]
    for person, view in itertools.product(range(people), range(VIEWS)):
        render = render_person(0, person, view, size)
        name = f"{person + 1:04d}_{view}.jpg"
        Image.fromarray(render.image).save(pictures / name, quality=95)
        pose = render.annotated(SKELETON)
        joints = np.where(pose[:, 2:] > 0, np.rint(pose[:, :2]), -1).astype(int)
        rows.append(f"{name}:{joints[:, 1].tolist()}:{joints[:, 0].tolist()}")
    (folder / "market-annotation-train.csv").write_text("\n".join(rows) + "\n")


def batch_bytes(batch: Batch) -> dict[str, int]:
    """Bytes a pair: as it is moved to the device, and were poses moved as float32 heat maps."""
    count, height, width = batch["source"].shape[:3]
    joints = batch["source_pose"].shape[1]
    moved = sum(values.nbytes for values in batch.values()) // count
    pictures = sum(batch[key].nbytes for key in ("source", "target")) // count
    return {"moved": moved, "with_maps": pictures + 2 * 4 * height * width * joints}


def measure(folder: pathlib.Path, augment: AugmentConfig, workers: int, batch_size: int,
            seconds: float) -> tuple[dict[str, float], Batch]:
    """Speed of one setting, and its last batch."""
    source = load_array_record(folder, "train", cache=False)
    stream = batches(source, batch_size=batch_size, seed=0, augment=augment, workers=workers)
    begun = time.perf_counter()
    batch = next(stream)
    first = time.perf_counter() - begun
    begun, cpu, count = time.perf_counter(), time.process_time(), 0
    while (wall := time.perf_counter() - begun) < seconds or not count:
        batch = next(stream)
        count += batch_size
    cpu = time.process_time() - cpu
    stream.close()
    facts = {"pairs_per_second": round(count / wall, 1), "first_batch_seconds": round(first, 2)}
    if not workers:
        facts["cpu_ms_per_pair"] = round(1000 * cpu / count, 2)
    return facts, batch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=16)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", type=pathlib.Path, help="for the datasets, which stay there")
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        root = options.folder or pathlib.Path(temporary)
        for size in SIZES:
            folder = root / "x".join(map(str, size))
            if not (folder / "layout").is_dir():
                write_layout(folder / "layout", options.people, size)
            built = build_market1501(folder / "layout", folder / "built")
            for (name, augment), workers in itertools.product(SETTINGS.items(), options.workers):
                facts, batch = measure(built, augment, workers, options.batch, options.seconds)
                results.append({"size": size, "augment": name, "workers": workers, **facts,
                                "bytes_per_pair": batch_bytes(batch),
                                "load": round(os.getloadavg()[0], 1)})
                print(f"{size[0]}x{size[1]}  {name:5} {workers} workers: "
                      f"{facts['pairs_per_second']:8,.1f} pairs/s, CPU ms a pair "
                      f"{facts.get('cpu_ms_per_pair', '-')}, load {results[-1]['load']}",
                      file=sys.stderr, flush=True)
    print(json.dumps({"cpus": os.cpu_count(), "batch": options.batch, "results": results}))


if __name__ == "__main__":
    main()
