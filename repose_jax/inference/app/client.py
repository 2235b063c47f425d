"""A client of `repose app`, with the standard library alone.

    from repose_jax import Client

    picture = Client("http://127.0.0.1:8008").paint("photo.png", "pose.json", "people-256", seed=3)
    pathlib.Path("out.png").write_bytes(picture)
"""

from __future__ import annotations

import base64
import json
import os
import pathlib
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from typing import Any

from repose_jax.common.errors import UserError
from repose_jax.common.provenance import file_content

_PATIENCE_S = 60.0  # for a server that has too much to do


class Client:
    """Asks a server for pictures.

    Args:
      address: as `repose app` printed it.
      token: of the server, if it asks for one.
    """

    def __init__(self, address: str = "http://127.0.0.1:8008", token: str = ""):
        self.address = address.partition("#")[0].rstrip("/")
        self._token = token or address.partition("#token=")[2]

    def paint(self, photo: str | os.PathLike[str], pose: str | os.PathLike[str], model: str, *,
              progress: Callable[[dict[str, Any]], object] = lambda job: None,
              **settings: Any) -> bytes:
        """Paints the person of a photo in the pose of a file of any format; waits for it.

        Args:
          photo, pose: files.
          model: one that the server offers.
          progress: gets the job, several times a second.
          **settings: other fields of the request, such as seed, steps or consent.

        Returns:
          The content of a PNG.

        Raises:
          UserError: in the server's own words, or where it does not answer.
        """
        source = self.ask("/photo", {"model": model, "photo": _file(photo)})
        target = self.ask("/pose", {"model": model, "file": _file(pose), "size": source["size"],
                                    "retarget": "none"})
        # A request that is sent again, by whoever, is the same job.
        job = self.ask("/jobs", {"model": model, "photo": _file(photo), "source": source["pose"],
                                 "target": target["pose"], **settings}, key=str(uuid.uuid4()))
        while job["state"] in ("waiting", "painting"):
            progress(job)
            time.sleep(0.2)
            job = self.ask(f"/jobs/{job['id']}")
        progress(job)
        if job["state"] != "done":
            raise UserError(self.address, job.get("error", "stopped the picture"), "ask again")
        return base64.b64decode(job["answer"]["picture"])

    def ask(self, path: str, values: dict[str, Any] | None = None, key: str = "") -> dict[str, Any]:
        """What the server answers to a request, posted where there are values; see /openapi.json."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}
        request = urllib.request.Request(
            self.address + path, None if values is None else json.dumps(values).encode(),
            headers | ({"Idempotency-Key": key} if key else {}))
        end = time.monotonic() + _PATIENCE_S
        while True:
            try:
                with urllib.request.urlopen(request) as reply:
                    return json.load(reply)
            except urllib.error.HTTPError as error:
                # Refused before anything was done, as there is much to do: asked again when told so.
                wait = float(error.headers.get("Retry-After", "inf"))
                if time.monotonic() + wait > end:
                    raise UserError(self.address, json.load(error)["error"], "ask otherwise") from None
                time.sleep(wait)
            except OSError as error:
                raise UserError(self.address, f"does not answer ({error})",
                                "start repose app") from None


def _file(path: str | os.PathLike[str]) -> dict[str, str]:
    return {"name": pathlib.Path(path).name,
            "base64": base64.b64encode(file_content(path)).decode("ascii")}
