"""TensorFlow Datasets builder of rendered people."""

from __future__ import annotations

import dataclasses

import tensorflow_datasets as tfds

from repose_jax.data.people.records import RenderedRecords
from repose_jax.data.records.array_record import person_features
from repose_jax.data.records.builder import PartedBuilder, Split
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


class Builder(PartedBuilder):
    """Pictures as PNG with exact poses in every skeleton, test people apart from train people."""

    VERSION = tfds.core.Version("2.0.0")
    DESCRIPTION = "Rendered people in rendered clothes, with exact keypoints."
    BUILDER_CONFIGS = [PeopleConfig(description="2000 people of 6 views, 128x64")]

    def _features(self) -> tfds.features.FeaturesDict:
        return person_features(list(SKELETONS.values()))

    def _settings(self) -> dict[str, object]:
        config = self.builder_config
        return {name: getattr(config, name)
                for name in ("identities", "test_identities", "views", "size", "seed")}

    def _splits(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Split]:
        config = self.builder_config
        return {
            split: Split(layout="rendered", records=RenderedRecords(
                split, seed=config.seed, identities=identities, views=config.views,
                size=config.size))
            for split, identities in (("train", config.identities),
                                      ("test", config.test_identities))}
