"""Kills one of two processes that train together, again and again, and compares the end.

    python -m repose_jax.experiments.bench.crash_processes examples/train_your_own.py --kills 5

Two processes of `repose train PRESET` share this machine. At a random moment one of them gets SIGKILL:
the other has to end by itself, with one line. The same command goes on from the last checkpoint; the
model file in the end must equal to the byte that of two processes that were left alone. Kills that came
after the last write of a training do not count: they go on with another. Exit code 0 if all of that
holds, 1 otherwise. What was found is in `docs/scale.md`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import random
import socket
import subprocess
import sys
import tempfile
import time

from repose_jax.training.stderr_relay import LINE

_MODEL = "model.safetensors"
# Where a kill falls: after so many seconds at most once the sign is there; None waits for no sign.
_MOMENTS = {"start": (None, 20.0), "first rows": ("log.jsonl", 1.0),
            "checkpoint": ("checkpoints/*tmp*", 0.05), "later": ("checkpoints/*[0-9]", 2.0)}


@dataclasses.dataclass(frozen=True)
class _Matrix:
    """Two processes, and how they are told about each other.

    Attributes:
      preset: what is trained, a name or a file.
      images: how long; a checkpoint comes six times.
      lost_s: seconds after which a silent process counts as lost, and in which they have to join.
    """

    preset: str
    images: int
    lost_s: int

    def start(self, folder: pathlib.Path) -> list[subprocess.Popen]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        every = str(max(self.images // 6 // 8 * 8, 8))
        return [subprocess.Popen(
            [sys.executable, "-m", "repose_jax.cli", "train", self.preset, "--output", str(folder),
             "--train.total-images", str(self.images), "--train.batch-size", "8",
             "--train.log-every-images", "8", "--train.checkpoint-every-images", every,
             "--train.sample-every-images", "0", "--distributed.coordinator", f"127.0.0.1:{port}",
             "--distributed.processes", "2", "--distributed.process", str(number),
             "--distributed.lost-s", str(self.lost_s), "--distributed.join-s", str(self.lost_s)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"JAX_PLATFORMS": "cpu"}) for number in range(2)]

    def ended(self, run: subprocess.Popen) -> tuple[int, list[str]]:
        """Exit code and the lines that are no progress bar; one that hangs is killed, code -9."""
        try:
            said = run.communicate(timeout=10 * self.lost_s)[1]
        except subprocess.TimeoutExpired:
            run.kill()
            said = run.communicate()[1]
        return run.returncode, [line for line in said.splitlines() if line and "image" not in line]

    def whole(self, folder: pathlib.Path) -> bool:
        """Trains to the end, or goes on to it; whether both processes did, which else is told."""
        ends = [self.ended(run) for run in self.start(folder)]
        for number, (code, lines) in enumerate(ends):
            if code:
                print(f"BAD: process {number} ended with code {code}: {lines}", flush=True)
        return all(code == 0 for code, _ in ends)

    def kill(self, folder: pathlib.Path, rng: random.Random) -> tuple[str, bool]:
        """Starts two processes and kills one; what happened, and whether it was as it should be."""
        moment, killed = rng.choice(list(_MOMENTS)), rng.randrange(2)
        sign, most = _MOMENTS[moment]
        before = _seen(folder, sign)
        runs = self.start(folder)
        while sign and all(run.poll() is None for run in runs) and not _seen(folder, sign) - before:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, most))
        at = [int(path.name) for path in folder.glob("checkpoints/*") if path.name.isdecimal()]
        runs[killed].kill()
        began = time.monotonic()
        code, lines = self.ended(runs[1 - killed])
        took = time.monotonic() - began
        runs[killed].communicate()
        told = f"{moment}, process {killed}, newest checkpoint {max(at, default='none')}"
        if (folder / _MODEL).exists():
            return f"{told}: too late, not counted", code in (0, 1, 2)
        line = "the line" if lines == [LINE.decode().strip()] else repr(lines[:1])[:200]
        return (f"{told}: the other ended after {took:.0f} s with code {code}, {line}, "
                f"{len(lines)} line(s)",
                code not in (0, -9) and len(lines) == 1 and lines[0].startswith("repose: error:")
                and "damaged" not in lines[0])


def _seen(folder: pathlib.Path, sign: str | None) -> set[tuple[str, int]]:
    """The signs in a folder, with their times: a log goes on under its name."""
    found = set()
    for path in folder.glob(sign) if sign else ():
        try:
            found.add((path.name, path.stat().st_mtime_ns))
        except FileNotFoundError:
            pass  # it was temporary, and the next look may meet its like
    return found


def _rows(folder: pathlib.Path) -> list[tuple[int, float]]:
    rows = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [(row["images"], row["loss"]) for row in rows]


def main() -> int:
    """Runs the matrix."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("preset")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--images", type=int, default=2_400)
    parser.add_argument("--lost-s", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    matrix = _Matrix(options.preset, options.images, options.lost_s)
    rng, all_good, counted, trainings = random.Random(options.seed), True, 0, 0
    with tempfile.TemporaryDirectory() as place:
        alone, folder = pathlib.Path(place, "alone"), pathlib.Path(place, "0")
        if not matrix.whole(alone):
            return 1
        while counted < options.kills or folder.exists():
            if counted < options.kills:
                told, good = matrix.kill(folder, rng)
                print(f"{'good' if good else 'BAD'}: {told}", flush=True)
                all_good &= good
                counted += not (folder / _MODEL).exists()
            if counted == options.kills or (folder / _MODEL).exists():
                trainings += 1
                same = matrix.whole(folder) and (
                    (alone / _MODEL).read_bytes() == (folder / _MODEL).read_bytes())
                rows = same and _rows(alone) == _rows(folder)
                print(f"gone on with to the end: model file equal to the byte: {same}; rows equal: "
                      f"{rows}", flush=True)
                all_good &= rows
                folder = pathlib.Path(place, str(trainings))
        print(f"{counted} kills, {trainings} trainings: {'good' if all_good else 'BAD'}")
    return 0 if all_good else 1


if __name__ == "__main__":
    sys.exit(main())
