"""TensorFlow Datasets builder of Human-Art."""

from __future__ import annotations

import pathlib

import numpy as np
import tensorflow_datasets as tfds

from repose_jax.common.errors import UserError
from repose_jax.data.human_art.annotations import LeftOut, annotation_file, load_human_art
from repose_jax.data.human_art.packed import load_humansd, mapping_file
from repose_jax.data.human_art.records import ArtRecords
from repose_jax.data.image.findings import Findings
from repose_jax.data.records.builder import PartedBuilder, Split
from repose_jax.pose.skeleton import COCO17


class Builder(PartedBuilder):
    """Pictures as given, each with all people in it; `built.load_built_human_art` reads them.

    The folder is `manual_dir` of the download configuration.
    """

    VERSION = tfds.core.Version("1.0.0")
    DESCRIPTION = ("Pictures of people, natural and artificial, with poses, Human-Art (Ju et al., CVPR "
                   "2023).")
    HOMEPAGE = "https://idea-research.github.io/HumanArt/"
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "manual_dir is the folder that holds annotations/training_humanart.json and images/, or "
        "HumanSD's mapping_file_training.json")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=COCO17.name, description="poses in coco17")]

    def _features(self) -> tfds.features.FeaturesDict:
        def numbers(*shape: int | None) -> tfds.features.Tensor:
            return tfds.features.Tensor(shape=shape, dtype=np.float32)

        return tfds.features.FeaturesDict({
            "image": tfds.features.Image(shape=(None, None, 3)),
            "name": tfds.features.Text(),
            "number": tfds.features.Text(),  # as JSON, which tells 7 from "7"
            "size": tfds.features.Tensor(shape=(2,), dtype=np.int32),
            "scenario": tfds.features.Text(), "description": tfds.features.Text(),
            "people": numbers(None, len(COCO17), 3), "boxes": numbers(None, 4),
            "areas": numbers(None)})

    def _settings(self) -> dict[str, object]:
        return {}

    def _skeletons(self) -> list[str]:
        return [COCO17.name]

    def _splits(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Split]:
        root, splits = pathlib.Path(dl_manager.manual_dir), {}
        for split in ("train", "test"):
            left_out: LeftOut | None = {} if self.skip_broken else None
            if where := annotation_file(root, split):
                layout = "Human-Art"
                pictures = load_human_art(root, split, left_out=left_out)
            elif where := mapping_file(root, split):
                layout = "HumanSD's packing of Human-Art"
                pictures = load_humansd(root, split, left_out=left_out)
            else:
                continue
            damage = Findings()
            for why, names in (left_out or {}).items():
                damage.add(where.relative_to(root), names, why)
            splits[split] = Split(
                records=ArtRecords(pictures, root), layout=layout, left_out=left_out or {},
                notes=[f"left out: {finding}" for finding in damage])
        if not splits:
            raise UserError(root, "has neither training_humanart.json nor validation_humanart.json",
                            "give Human-Art's folder, or HumanSD's with its mapping files")
        return splits
