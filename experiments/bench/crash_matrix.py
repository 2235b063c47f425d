"""Kills a training again and again and compares its end with that of one that was left alone.

    python -m repose_jax.experiments.bench.crash_matrix --kills 15 --seed 0

The training is the package's own loop on four weights, slowed down so that kills meet it everywhere:
in its start, between steps, while a checkpoint is written, at the end. Exit code 0 if the model files
are equal to the byte and the logs agree, 1 otherwise. What was found is in `docs/reliability.md`.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np

from repose_jax.training.config import LoopConfig
from repose_jax.training.loop import train
from repose_jax.training.weight_file import export_safetensors

_IMAGES, _STEP_S = 1600, 0.01
# Where a kill falls: after so many seconds at most once the sign is there; None waits for no sign.
_MOMENTS = {
    "start": (None, 3.0), "first row": ("log.jsonl", 0.5), "checkpoint": ("checkpoints/*tmp*", 0.02),
    "checkpoint, later": ("checkpoints/*tmp*", 0.2), "samples": ("samples/*", 0.5),
    "model file": (".model.safetensors.*.tmp", 0.002)}


class Batches:
    """A regression problem; batch n depends on n alone, and takes its time."""

    def __init__(self):
        self.position = 0

    def __next__(self) -> dict[str, np.ndarray]:
        x = np.random.default_rng(self.position).normal(size=(8, 4)).astype(np.float32)
        self.position += 1
        time.sleep(_STEP_S)
        return {"x": x, "y": x @ np.arange(1, 5, dtype=np.float32)}

    def get_state(self) -> dict[str, int]:
        return {"position": self.position}

    def set_state(self, state: dict[str, int]) -> None:
        self.position = state["position"]


def _loss(params, batch, keys):
    noise = jax.vmap(jax.random.normal)(keys)
    return jnp.mean((batch["x"] @ params["w"] - batch["y"] + noise) ** 2), {}


def child(folder: pathlib.Path) -> None:
    """One run of the training, which resumes what is there."""
    trained = train(
        LoopConfig(total_images=_IMAGES, batch_size=8, log_every_images=80,
                   checkpoint_every_images=80, sample_every_images=320),
        params={"w": jnp.zeros(4)}, loss_fn=_loss, batches=Batches(), folder=folder,
        metadata={"model": "toy"}, sample_fn=lambda ema, images: np.zeros((8, 8, 3), np.uint8),
        progress=False)
    export_safetensors(folder / "model.safetensors", trained.average,
                       {"images": str(trained.images)}, dtype=np.float32)


def _start(folder: pathlib.Path) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", __spec__.name, "--child", str(folder)],
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _kill(folder: pathlib.Path, moment: str, rng: random.Random) -> str:
    """Starts a run and kills it; says how that went."""
    sign, most = _MOMENTS[moment]
    run = _start(folder)
    before = set(folder.glob(sign)) if sign else set()
    while sign and run.poll() is None and not set(folder.glob(sign)) - before:
        time.sleep(0.0005)
    time.sleep(rng.uniform(0, most))
    run.kill()
    said = run.communicate()[1]
    if run.returncode == 0:
        return "ended before it was met"
    return "killed" if "Traceback" not in said else f"traceback: {said[-300:]}"


def _rows(folder: pathlib.Path) -> list[tuple[int, float]]:
    rows = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [(row["images"], row["loss"]) for row in rows]


def main() -> int:
    """Runs the matrix."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", type=pathlib.Path)
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return 0
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as place:
        whole, killed = pathlib.Path(place, "whole"), pathlib.Path(place, "killed")
        killed.mkdir()
        if _start(whole).wait():
            return 1
        met: Counter[tuple[str, str]] = Counter()
        for _ in range(options.kills):
            moment = rng.choice(list(_MOMENTS))
            met[moment, _kill(killed, moment, rng)] += 1
        last = _start(killed)
        said = last.communicate()[1]
        same = last.returncode == 0 and (
            (whole / "model.safetensors").read_bytes() == (killed / "model.safetensors").read_bytes())
        for (moment, how), count in sorted(met.items()):
            print(f"{moment}: {how}, {count}")
        left = [path.name for path in killed.rglob("*") if path.name in ("lock",)
                or "orbax-checkpoint-tmp" in path.name]
        print(f"last run: exit code {last.returncode} {said[-300:].strip()}")
        print(f"model file equal to the byte: {same}; rows equal: {_rows(whole) == _rows(killed)}; "
              f"left over: {left or 'nothing'}")
        return 0 if same and _rows(whole) == _rows(killed) and not left else 1


if __name__ == "__main__":
    sys.exit(main())
