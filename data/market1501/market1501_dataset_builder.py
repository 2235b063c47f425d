"""TensorFlow Datasets builder of a folder in the Market-1501 layout."""

from __future__ import annotations

import dataclasses
import pathlib

import tensorflow_datasets as tfds

from repose_jax.common.errors import UserError
from repose_jax.data.market1501.layout import image_folder, load_market1501
from repose_jax.data.records.array_record import person_features
from repose_jax.data.records.builder import PartedBuilder, Split, split_of
from repose_jax.pose.skeleton import MARKET14, SKELETONS


@dataclasses.dataclass(kw_only=True)
class MarketConfig(tfds.core.BuilderConfig):
    """How the pictures are stored.

    Attributes:
      skeleton: name of the skeleton that the folder's poses have.
      size: (height, width) to which pictures are resized and padded; None leaves them as given.
      name: made from the others, as the folder of the dataset is called by it.
    """

    name: str = ""
    skeleton: str = MARKET14.name
    size: tuple[int, int] | None = None

    def __post_init__(self):
        size = f"-{self.size[0]}x{self.size[1]}" if self.size else ""
        self.name = f"{self.skeleton}{size}"


class Builder(PartedBuilder):
    """Pictures as they are in the folder or in one size, poses in pixels.

    The folder is `manual_dir` of the download configuration.
    """

    VERSION = tfds.core.Version("2.0.0")
    DESCRIPTION = ("Photos of pedestrians with machine-made poses, in the layout of Market-1501 (Zheng "
                   "et al., ICCV 2015).")
    HOMEPAGE = "https://zheng-lab.cecs.anu.edu.au/Project/project_reid.html"
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "manual_dir is the folder that holds bounding_box_train, bounding_box_test and "
        "market-annotation-{train,test}.csv")
    BUILDER_CONFIGS = [
        MarketConfig(skeleton=name, description=f"poses in {name}")
        for name in sorted(SKELETONS, key=lambda name: name != MARKET14.name)]

    def _features(self) -> tfds.features.FeaturesDict:
        return person_features([SKELETONS[self.builder_config.skeleton]])

    def _settings(self) -> dict[str, object]:
        return {"skeleton": self.builder_config.skeleton, "size": self.builder_config.size}

    def _splits(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Split]:
        root, config = pathlib.Path(dl_manager.manual_dir), self.builder_config
        splits = {}
        for split in ("train", "test"):
            try:
                image_folder(root, split)
            except UserError:
                if split == "train":
                    raise
                continue
            source = load_market1501(root, split, size=config.size, cache=False,
                                     skip_broken=self.skip_broken)
            if source.skeleton.name != config.skeleton:
                raise UserError(root, f"has poses of {source.skeleton.name}, not of "
                                f"{config.skeleton}", "build with that configuration")
            splits[split] = split_of(source, root, "Market-1501")
        return splits
