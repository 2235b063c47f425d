"""TensorFlow Datasets builder of rendered people."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import io
import itertools
import multiprocessing
from collections.abc import Iterator

import tensorflow_datasets as tfds
from PIL import Image

from repose_jax.data.array_record import person_features
from repose_jax.data.people.renderer import render_person
from repose_jax.data.people.source import identity_numbers, person_label
from repose_jax.pose.skeleton import SKELETONS


@dataclasses.dataclass(kw_only=True)
class PeopleConfig(tfds.core.BuilderConfig):
    """How many people are rendered, and how.

    Attributes:
      identities: people of the train split.
      test_identities: people of the test split, none of whom is in the train split.
      views: pictures a person.
      size: (height, width) of the pictures.
      seed: of the renderer's world.
      name: made from the others, as the folder of the dataset is called by it.
    """

    name: str = ""
    identities: int = 2000
    test_identities: int = 200
    views: int = 6
    size: tuple[int, int] = (128, 64)
    seed: int = 0

    def __post_init__(self):
        height, width = self.size
        self.name = (f"{height}x{width}-{self.identities}+{self.test_identities}x{self.views}"
                     f"-seed{self.seed}")


class Builder(tfds.core.GeneratorBasedBuilder):
    """Pictures as PNG with exact poses in every skeleton, test people apart from train people.

    Attributes:
      workers: processes that render; what is built does not depend on it.
    """

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [PeopleConfig(description="2000 people of 6 views, 128x64")]
    workers = 0

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self, features=person_features(list(SKELETONS.values())),
            description="Rendered people in rendered clothes, with exact keypoints.")

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        config = self.builder_config
        return {
            "train": self._generate_examples(identity_numbers("train", config.identities)),
            "test": self._generate_examples(identity_numbers("test", config.test_identities))}

    def _generate_examples(self, identities: range):
        config = self.builder_config
        draw = functools.partial(_example, config.seed, config.size)
        jobs = itertools.product(identities, range(config.views))
        if not self.workers:
            yield from map(draw, jobs)
            return
        # A forked process would inherit the locks of JAX's threads.
        with concurrent.futures.ProcessPoolExecutor(
                self.workers, multiprocessing.get_context("spawn")) as pool:
            yield from _in_order(pool, draw, jobs, ahead=8 * self.workers)


def _in_order(pool, draw, jobs, ahead: int) -> Iterator:
    # Executor.map would hold all the pictures that are ready before they are asked for.
    waiting = [pool.submit(draw, job) for job in itertools.islice(jobs, ahead)]
    while waiting:
        done = waiting.pop(0).result()
        waiting += [pool.submit(draw, job) for job in itertools.islice(jobs, 1)]
        yield done


def _example(seed: int, size: tuple[int, int], job: tuple[int, int]) -> tuple[str, dict]:
    identity, view = job
    render = render_person(seed, identity, view, size)
    content = io.BytesIO()
    Image.fromarray(render.image).save(content, "PNG")
    person = person_label(identity)
    name = f"{person}_{view}"
    return name, {"image": content.getvalue(), "name": name, "person": person,
                  "poses": {name: render.annotated(name) for name in SKELETONS}}
