"""The page's server with a tiny model that nothing has taught, and a detector that knows its answer."""

import base64
import contextlib
import io
import threading
import time

import numpy as np
from PIL import Image

from repose_jax.data.people.renderer import render_person
from repose_jax.inference.app.serve import make_server
from repose_jax.inference.app.service import AppService
from repose_jax.pose.skeleton import MARKET14

PERSON = render_person(0, 0, 2, (128, 64))


class KnownPose:
    """Finds the rendered person's own pose, in whatever size the photo has."""

    name, finds_people = "known", False

    def people(self, image, box=None):
        pose = PERSON.poses["market14"]
        pose = pose * [image.shape[1] / 64, image.shape[0] / 128, 1]
        return pose[None].astype(np.float32), MARKET14


def photo(height=256, name="a.png", format="PNG"):
    """A rendered person as a file of the page."""
    content = io.BytesIO()
    Image.fromarray(PERSON.image).resize((height // 2, height)).save(content, format)
    return file(name, content.getvalue())


def file(name, content):
    return {"name": name, "base64": base64.b64encode(content).decode()}


def tiny_service(model, seal=None):
    """A service of one model; its pictures are painted for real, in the model's few pixels."""
    service = AppService([str(model)], seal)
    service.transfer(model.name).detector = KnownPose()
    return service


def quick_service(model, seconds=0.5):
    """The same, whose pictures are noise of their seed, and every step takes some time."""
    service = tiny_service(model)
    transfer = service.transfer(model.name)

    def run(prepared, seed, config, watch=None):
        pictures = np.random.default_rng(seed).integers(0, 256, (1, *transfer.size, 3), np.uint8)
        for step in range(1, config.steps + 1):
            time.sleep(seconds)
            if watch and not watch(step, pictures):
                break
        return pictures

    transfer.run = run
    service.alignment = lambda request: {"picture": photo()["base64"]}
    return service


@contextlib.contextmanager
def running(service, say=lambda text: None, **options):
    """The address of a server that stops at the end."""
    with make_server(service, "127.0.0.1", 0, say, **options) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
