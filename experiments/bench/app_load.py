"""How many users at once the page's server bears: latency, pictures a minute, memory, losses.

    python -m repose_jax.experiments.bench.app_load PHOTO POSE [--users 1 4 16] [--seconds 300]

Starts `repose app` as a process of its own, with its own defaults (all bundled models, signed pictures,
a key that is made for it and thrown away), and asks it over HTTP as the page does: each user posts a
job, asks every 150 ms how far it is, and, once it has its picture, posts the next, for so many seconds;
what is begun then is waited for. A request is lost where it ends in anything but its own picture: an
error, another seed's picture, or none. Prints a line of JSON for each number of users.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator

from PIL import Image

from repose_jax.common.errors import UserError
from repose_jax.inference.app.client import Client

_POLL_S = 0.15


@contextlib.contextmanager
def server() -> Iterator[tuple[str, int]]:
    """The address of a server as `repose app` starts it, and the number of its process."""
    with tempfile.TemporaryDirectory() as home:
        process = subprocess.Popen(
            [sys.executable, "-m", "repose_jax.cli", "app", "--no-open", "--port", "0"],
            stdout=subprocess.PIPE, text=True, env=os.environ | {"XDG_CONFIG_HOME": home})
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if found := re.match(r"(http://[\d.:]+)/", line):
                    yield found.group(1), process.pid
                    return
            raise UserError("repose app", "did not start", "try it by hand")
        finally:
            process.terminate()
            process.wait()


def memory_mb(process: int, what: str = "VmHWM") -> float:
    """Memory of a process here in MB (Linux): VmRSS is what it has, VmHWM the most it has had."""
    text = pathlib.Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(re.search(rf"{what}:\s+(\d+)", text).group(1)) / 1024  # type: ignore[union-attr]


class User:
    """One who asks for pictures, one after the other.

    Attributes:
      seconds: that each picture took, from asking to having it.
      lost: why requests came to nothing.
    """

    def __init__(self, address: str, request: dict, first_seed: int):
        self.seconds: list[float] = []
        self.lost: list[str] = []
        self._client, self._request, self._seed = Client(address), request, first_seed

    def work(self, until: float) -> None:
        """Asks until a time of `time.monotonic`."""
        while time.monotonic() < until:
            began, self._seed = time.monotonic(), self._seed + 1
            try:
                job = self._client.ask("/jobs", self._request | {"seed": self._seed})
                while job["state"] in ("waiting", "painting"):
                    time.sleep(_POLL_S)
                    job = self._client.ask(f"/jobs/{job['id']}")
            except UserError as error:
                self.lost.append(str(error))
                continue
            if job["state"] != "done":
                self.lost.append(job.get("error", job["state"]))
                continue
            picture = Image.open(io.BytesIO(base64.b64decode(job["answer"]["picture"])))
            picture.load()
            if picture.info.get("repose:seed") != str(self._seed):
                self.lost.append("another picture")
            self.seconds.append(time.monotonic() - began)


def measure(address: str, process: int, request: dict, users: int, seconds: float) -> dict:
    """What so many users at once see."""
    everybody = [User(address, request, 1000 * number) for number in range(users)]
    began = time.monotonic()
    threads = [threading.Thread(target=user.work, args=(began + seconds,)) for user in everybody]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
    times = sorted(second for user in everybody for second in user.seconds)
    lost = [why for user in everybody for why in user.lost]
    return {"users": users, "seconds": round(took, 1), "pictures": len(times),
            "pictures_a_minute": round(60 * len(times) / took, 1),
            "median_s": round(statistics.median(times), 2) if times else None,
            "p95_s": round(times[min(len(times) - 1, int(0.95 * len(times)))], 2) if times else None,
            "peak_mb": round(memory_mb(process)), "lost": len(lost), "why": sorted(set(lost))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photo", type=pathlib.Path)
    parser.add_argument("pose", type=pathlib.Path)
    parser.add_argument("--model", default="people")
    parser.add_argument("--users", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--seconds", type=float, default=300.0)
    options = parser.parse_args()

    def file(path: pathlib.Path) -> dict[str, str]:
        return {"name": path.name, "base64": base64.b64encode(path.read_bytes()).decode("ascii")}

    with server() as (address, process):
        client = Client(address)
        found = client.ask("/photo", {"model": options.model, "photo": file(options.photo)})
        target = client.ask("/pose", {"model": options.model, "file": file(options.pose),
                                      "size": found["size"], "retarget": "none"})
        request = {"model": options.model, "photo": file(options.photo), "source": found["pose"],
                   "target": target["pose"]}
        client.ask("/paint", request)  # the first compiles
        for users in options.users:
            print(json.dumps(measure(address, process, request, users, options.seconds)), flush=True)


if __name__ == "__main__":
    main()
