"""TensorFlow Datasets builder of a DeepFashion In-shop folder."""

from __future__ import annotations

import dataclasses
import pathlib

import tensorflow_datasets as tfds

from repose_jax.data.deepfashion.annotations import FRAME, has_split
from repose_jax.data.deepfashion.layout import load_deepfashion
from repose_jax.data.records.array_record import person_features
from repose_jax.data.records.builder import PartedBuilder, Split, split_of
from repose_jax.pose.skeleton import OPENPOSE18


@dataclasses.dataclass(kw_only=True)
class DeepFashionConfig(tfds.core.BuilderConfig):
    """How the pictures are stored.

    Attributes:
      size: (height, width) to which pictures are squeezed.
      name: made from the size, as the folder of the dataset is called by it.
    """

    name: str = ""
    size: tuple[int, int] = FRAME

    def __post_init__(self):
        self.name = f"{self.size[0]}x{self.size[1]}"


class Builder(PartedBuilder):
    """Pictures of one size, as given where they have it and else as PNG; the pairs of the lists.

    The folder is `manual_dir` of the download configuration.
    """

    VERSION = tfds.core.Version("1.0.0")
    DESCRIPTION = ("Photos of models with machine-made poses, DeepFashion In-shop (Liu et al., CVPR "
                   "2016) as programs of pose-guided synthesis have it.")
    HOMEPAGE = "https://mmlab.ie.cuhk.edu.hk/projects/DeepFashion/InShopRetrieval.html"
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "manual_dir is the folder that holds fasion-resize-annotation-train.csv, or "
        "train_pairs.txt and pose/, and the pictures")
    BUILDER_CONFIGS = [DeepFashionConfig(size=size, description=f"{size[0]}x{size[1]}")
                       for size in (FRAME, (512, 352))]

    def _features(self) -> tfds.features.FeaturesDict:
        return person_features([OPENPOSE18])

    def _settings(self) -> dict[str, object]:
        return {"size": self.builder_config.size}

    def _splits(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Split]:
        root, splits = pathlib.Path(dl_manager.manual_dir), {}
        for split in ("train", "test"):
            # Of a part of DeepFashion there may be one split only; of none the first is missed.
            if not has_split(root, split) and has_split(root, "test" if split == "train" else "train"):
                continue
            # Which pictures can be decoded is not known yet; the manifest counts those that are kept.
            source = load_deepfashion(root, split, size=self.builder_config.size, cache=False,
                                      skip_broken=self.skip_broken, compare=False)
            splits[split] = split_of(source, root, f"DeepFashion, {source.notes[0]}")
        return splits
