"""Kills a training again and again and compares its end with that of one that was left alone.

    python -m repose_jax.experiments.bench.crash_matrix --kills 15 --seed 0

The training is the package's own loop on four weights, slowed down so that kills meet it everywhere:
in its start, between steps, while a checkpoint is written, at the end. Kills that came after the last
write of a training do not count: they go on with another. Exit code 0 if all model files are equal to
the byte and the logs agree, 1 otherwise. What was found is in `docs/reliability.md`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import pathlib
import random
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

_IMAGES, _STEP_S = 800, 0.01
_MODEL, _KILLED, _ENDED = "model.safetensors", "killed at work", "ended before it was met"
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
        metadata={"model": "toy"}, sample_fn=lambda ema, images: np.zeros((8, 8, 3), np.uint8))
    export_safetensors(folder / _MODEL, trained.average,
                       {"images": str(trained.images)}, dtype=np.float32)


# Children are forked off a process that has imported all, but started nothing: each begins at once.
_FORKS = multiprocessing.get_context("forkserver")


def _child(folder: pathlib.Path, said: pathlib.Path) -> None:
    """`child`, which writes what it says into a file."""
    with open(said, "wb") as file:
        os.dup2(file.fileno(), 2)
    child(folder)


class _Run:
    """A training in a process of its own."""

    def __init__(self, folder: pathlib.Path):
        self._said = folder.with_name(f"{folder.name}-said")
        self.process = _FORKS.Process(target=_child, args=(folder, self._said))
        self.process.start()

    def end(self) -> tuple[int | None, str]:
        """Its exit code once it has ended, and what it said."""
        self.process.join()
        return self.process.exitcode, self._said.read_text() if self._said.exists() else ""


def _kill(folder: pathlib.Path, moment: str, rng: random.Random) -> str:
    """Starts a run and kills it; says how that went."""
    sign, most = _MOMENTS[moment]
    before = set(folder.glob(sign)) if sign else set()
    run = _Run(folder)
    while sign and run.process.is_alive() and not set(folder.glob(sign)) - before:
        time.sleep(0.0005)
    time.sleep(rng.uniform(0, most))
    done = (folder / _MODEL).exists()
    run.process.kill()
    code, said = run.end()
    if "Traceback" in said:
        return f"traceback: {said[-300:]}"
    if code == 0:
        return _ENDED
    return "killed after its last write" if done else _KILLED


def _rows(folder: pathlib.Path) -> list[tuple[int, float]]:
    rows = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [(row["images"], row["loss"]) for row in rows]


def _compare(whole: pathlib.Path, killed: pathlib.Path) -> list[str]:
    """Ends a training that was killed; says what differs from the one that was left alone."""
    code, said = _Run(killed).end()
    if code or "Traceback" in said:
        return [f"its last run ended with {code} and said {said[-300:]!r}"]
    wrong = []
    if (whole / _MODEL).read_bytes() != (killed / _MODEL).read_bytes():
        wrong.append("another model file")
    if _rows(whole) != _rows(killed):
        wrong.append("other rows")
    # Files of `write_whole` that are younger than a minute may be somebody's, and stay.
    left = [path.name for path in killed.rglob("*")
            if path.name == "lock" or "orbax-checkpoint-tmp" in path.name]
    return wrong + [f"left over: {left}"] * bool(left)


def main() -> int:
    """Runs the matrix."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=15, help="that meet a training at work")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    _FORKS.set_forkserver_preload([train.__module__, export_safetensors.__module__])
    rng = random.Random(options.seed)
    met: Counter[tuple[str, str]] = Counter()
    trainings, wrong = 0, []

    def kills() -> int:
        return sum(count for (_, how), count in met.items() if how == _KILLED)

    with tempfile.TemporaryDirectory() as place:
        whole = pathlib.Path(place, "whole")
        if _Run(whole).end()[0]:
            return 1
        while kills() < options.kills:
            # A training that ended has nothing left to lose: the next kills are for another one.
            killed = pathlib.Path(place, f"killed-{trainings}")
            killed.mkdir()
            trainings += 1
            while kills() < options.kills and not (killed / _MODEL).exists():
                moment = rng.choice(list(_MOMENTS))
                how = _kill(killed, moment, rng)
                met[moment, how] += 1
                print(f"{moment}: {how}", flush=True)
                wrong += [how] * how.startswith("traceback")
            differs = _compare(whole, killed)
            print(f"training {trainings}, gone on with to its end: {differs or 'as if never killed'}",
                  flush=True)
            wrong += differs
    for (moment, how), count in sorted(met.items()):
        print(f"{count} x {moment}: {how}")
    print(f"{kills()} kills of a training at work, {trainings} trainings; model files equal to the "
          f"byte, rows equal, nothing left over: {not wrong}")
    for line in wrong:
        print(f"  {line}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
