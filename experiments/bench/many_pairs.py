"""1,000 pictures by `repose transfer --pairs`, killed in the middle: what is lost, speed and memory.

    python -m repose_jax.experiments.bench.many_pairs [--pairs 1000] [--kill-at 500]

The photos are rendered people, the model the preset `tiny` with random parameters, one step: what is
measured is everything around the network. The command is started, gets SIGKILL once --kill-at pictures
are there, and is started again. Ends with 1 unless the second run leaves every picture of the first as
it was (its bytes and its time), paints all others, and the list of the folder names each picture once.
Linux only: memory is read from /proc.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np
from PIL import Image

from repose_jax.data.people.source import rendered_people
from repose_jax.experiments.presets.tiny import CONFIG
from repose_jax.models.pose_transfer import RePoseModel
from repose_jax.models.weights import save_model

_PHOTOS = 48
_SAMPLE_S = 0.25


def prepare(folder: pathlib.Path, count: int) -> list[str]:
    """Model, photos, poses and list of pairs; the words of the command."""
    network = CONFIG.model.network
    people = rendered_people(identities=_PHOTOS // 4, views=4, size=network.image_size,
                             skeleton=network.skeleton)
    rng = np.random.default_rng(0)
    params = jax.tree.map(  # nothing is compiled for weights that need no sense
        lambda leaf: rng.normal(0, 0.05, leaf.shape).astype(np.float32),
        jax.eval_shape(RePoseModel(CONFIG.model).init, jax.random.key(0)))
    save_model(folder / "model.safetensors", CONFIG.model, params, {},
               dataclasses.replace(CONFIG.sample, steps=1))
    photos = folder / "photos"
    photos.mkdir()
    rows = ["name:keypoints_y:keypoints_x"]
    for i in range(_PHOTOS):
        Image.fromarray(people.image(i)).save(photos / f"p{i:02d}.png")
        y, x = ([round(float(v)) if seen else -1 for v, seen in zip(column, people.pose(i)[:, 2],
                                                                   strict=True)]
                for column in (people.pose(i)[:, 1], people.pose(i)[:, 0]))
        rows.append(f"p{i:02d}.png:{y}:{x}")
    (folder / "poses.csv").write_text("\n".join(rows) + "\n")
    pairs = [(a, b) for a in range(_PHOTOS) for b in range(_PHOTOS) if a != b][:count]
    (folder / "pairs.csv").write_text("from,to\n" + "".join(
        f"p{a:02d}.png,p{b:02d}.png\n" for a, b in pairs))
    poses = str(folder / "poses.csv")
    return [sys.executable, "-m", "repose_jax.cli", "transfer", str(photos), "--pairs",
            str(folder / "pairs.csv"), "--source-pose", poses, "--pose", poses, "--model",
            str(folder / "model.safetensors"), "--output", str(folder / "out")]


def resident_mb(process: int) -> float:
    """Resident memory of a process; 0 once it has ended."""
    try:
        lines = pathlib.Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)


def watched(words: list[str], out: pathlib.Path, kill_at: int | None) -> list[tuple[float, int, float]]:
    """Runs the command; (seconds, pictures, MB) all along.

    Raises:
      RuntimeError: it failed, or ended before it was killed.
    """
    seen: list[tuple[float, int, float]] = []
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(words, stdout=said, stderr=said)
        while process.poll() is None:
            count = sum(1 for _ in out.glob("*.png"))
            seen.append((time.monotonic(), count, resident_mb(process.pid)))
            if kill_at is not None and count >= kill_at:
                process.kill()
                process.wait()
                return seen
            time.sleep(_SAMPLE_S)
        if process.returncode or kill_at is not None:
            said.seek(0)
            raise RuntimeError(f"ended with {process.returncode}: {said.read().decode()[-2000:]}")
    return seen


def told(name: str, seen: list[tuple[float, int, float]], before: int) -> None:
    """Prints speed and memory of a run, from its first picture on."""
    at_work = [row for row in seen if row[1] > before and row[2]]
    (begun, first, _), (ended, last, _) = at_work[0], at_work[-1]
    fifth = max(1, len(at_work) // 5)
    early, late = (statistics.median(row[2] for row in rows)
                   for rows in (at_work[:fifth], at_work[-fifth:]))
    print(f"{name}: {last - before} pictures, the first after {begun - seen[0][0]:.1f} s, then "
          f"{(last - first) / max(ended - begun, 1e-9):.1f} images/s; memory {early:.0f} MB in the "
          f"first fifth, {late:.0f} MB in the last, {max(row[2] for row in seen):.0f} MB at most",
          flush=True)


def main() -> int:
    """Measures and checks; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--kill-at", type=int, default=500)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        words, out = prepare(folder, options.pairs), folder / "out"

        def pictures():
            return {path.name: (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).digest())
                    for path in out.glob("*.png")}

        seen = watched(words, out, options.kill_at)
        kept = pictures()
        told("until SIGKILL", seen, 0)
        told("after it", watched(words, out, None), len(kept))
        now = pictures()
        lines = (out / "manifest.jsonl").read_text().splitlines()
        listed = [json.loads(line)["file"] for line in lines]
        wrong = {"lost": options.pairs - len(now),
                 "painted again": sum(now.get(name) != made for name, made in kept.items()),
                 "listed twice or not": sum(listed.count(name) != 1 for name in now)}
        print(f"{len(kept)} were there at the kill; " + ", ".join(
            f"{count} {what}" for what, count in wrong.items()))
    return int(any(wrong.values()))


if __name__ == "__main__":
    sys.exit(main())
