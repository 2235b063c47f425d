"""How much memory the page's server takes under files and clients that mean it harm.

    python -m repose_jax.experiments.bench.app_hostile [--rounds 40] [--clients 8] [--slow 8]

Starts `repose app` as `app_load` does and lets clients post each file of a set as often as there are
rounds, all clients at once, while others have begun a body and send no more of it; who is told to wait,
asks again. Prints a line of JSON: memory before, at most up to each quarter of the requests, and a
while after, in MB, and how often which status was answered to which file.
"""

from __future__ import annotations

import argparse
import base64
import collections
import contextlib
import io
import itertools
import json
import socket
import struct
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib

from PIL import Image

from repose_jax.experiments.bench.app_load import memory_mb, server

_QUIET_S = 5.0  # after the last answer: what is freed late is freed then
_PATIENCE_S = 300.0


def encoded(mode: str, size: tuple[int, int], kind: str) -> bytes:
    """A picture of one colour as a file."""
    content = io.BytesIO()
    Image.new(mode, size).save(content, kind)
    return content.getvalue()


def png_that_promises(side: int) -> bytes:
    """A PNG of some hundred bytes that says it is as many pixels wide and high."""
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(
            ">I", zlib.crc32(name + content))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b""))


def asked(model: str, photo: bytes) -> bytes:
    """A request for the pose in a photo."""
    return json.dumps({"model": model, "photo": {
        "name": "a.png", "base64": base64.b64encode(photo).decode("ascii")}}).encode()


def bodies(model: str) -> dict[str, bytes]:
    """The requests for the pose in a photo that does harm."""
    large = encoded("RGB", (7000, 7000), "JPEG")
    files = {
        "144 million pixels, PNG": encoded("1", (12000, 12000), "PNG"),
        "100 million pixels, JPEG": encoded("L", (10000, 10000), "JPEG"),
        "claims 3600 million": png_that_promises(60000),
        "49 million pixels, as many as are taken": large,
        "the same, cut in half": large[:len(large) // 2],
        "22 MB of nothing": bytes(22 << 20),
        "an SVG": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"}
    found = {name: asked(model, content) for name, content in files.items()}
    return found | {"nested 200,000 deep": b"[" * 200_000, "31 MB of a number": b"9" * (31 << 20)}


def status_of(address: str, body: bytes) -> int:
    """The status that is answered to a body; 0 where nothing is."""
    request = urllib.request.Request(f"{address}/photo", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE_S) as reply:
            return reply.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def begun(address: str) -> socket.socket:
    """A connection on which a body of a megabyte is begun."""
    name = urllib.parse.urlsplit(address)
    client = socket.create_connection((name.hostname, name.port))
    client.sendall(f"POST /photo HTTP/1.1\r\nHost: {name.netloc}\r\nContent-Type: application/json\r\n"
                   f"Content-Length: {1 << 20}\r\n\r\n{{".encode())
    return client


def measure(address: str, process: int, model: str, rounds: int, clients: int, slow: int) -> dict:
    """Memory of a server, and what it answered."""
    work = bodies(model)
    queue = itertools.cycle(work)
    total = left = rounds * len(work)
    lock = threading.Lock()
    peaks: list[int] = []
    answers: dict[str, collections.Counter[int]] = {name: collections.Counter() for name in work}
    before = memory_mb(process, "VmRSS")

    def harm() -> None:
        nonlocal left
        while True:
            with lock:
                if not left:
                    return
                left, name = left - 1, next(queue)
                if (total - left) * 4 // total > len(peaks):
                    peaks.append(round(memory_mb(process)))
            status = 503
            while status == 503:
                status = status_of(address, work[name])
                with lock:
                    answers[name][status] += 1

    with contextlib.ExitStack() as stack:
        for _ in range(slow):
            stack.enter_context(begun(address))
        start = time.monotonic()
        threads = [threading.Thread(target=harm) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - start
    time.sleep(_QUIET_S)
    return {"requests": total, "seconds": round(seconds), "clients": clients, "slow": slow,
            "before_mb": round(before), "peaks_mb": peaks, "peak_mb": round(memory_mb(process)),
            "after_mb": round(memory_mb(process, "VmRSS")),
            "answers": {name: dict(sorted(counts.items())) for name, counts in answers.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="people")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--slow", type=int, default=8)
    options = parser.parse_args()
    with server() as (address, process):
        with urllib.request.urlopen(f"{address}/facts"):  # loads the models
            pass
        status_of(address, asked(options.model, encoded("RGB", (64, 128), "PNG")))  # compiles
        print(json.dumps(measure(address, process, options.model, options.rounds, options.clients,
                                 options.slow)), flush=True)


if __name__ == "__main__":
    main()
