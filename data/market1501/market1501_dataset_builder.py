"""TensorFlow Datasets builder of a folder in the Market-1501 layout."""

from __future__ import annotations

import pathlib

import numpy as np
import tensorflow_datasets as tfds

from repose_jax.data.array_record import person_features
from repose_jax.data.images import read_bytes, read_image
from repose_jax.data.market1501.layout import image_folder, load_market1501
from repose_jax.errors import UserError
from repose_jax.pose.skeleton import MARKET14, SKELETONS


class Builder(tfds.core.GeneratorBasedBuilder):
    """Pictures as they are in the folder, poses in pixels; one configuration a skeleton.

    The folder is `manual_dir` of the download configuration.

    Attributes:
      skip_broken: leave out what cannot be used, see `load_layout`.
    """

    skip_broken = False
    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "manual_dir is the folder that holds bounding_box_train, bounding_box_test and "
        "market-annotation-{train,test}.csv")
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name=name, description=f"poses in {name}")
        for name in sorted(SKELETONS, key=lambda name: name != MARKET14.name)]

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            features=person_features([SKELETONS[self.builder_config.name]]),
            metadata=tfds.core.MetadataDict(),
            description="Photos of pedestrians with machine-made poses, in the layout of "
                        "Market-1501 (Zheng et al., ICCV 2015).",
            homepage="https://zheng-lab.cecs.anu.edu.au/Project/project_reid.html")

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        root = pathlib.Path(dl_manager.manual_dir)
        splits = {}
        for split in ("train", "test"):
            try:
                image_folder(root, split)
            except UserError:
                if split == "train":
                    raise
                continue
            source = load_market1501(root, split, cache=False, skip_broken=self.skip_broken)
            if source.skeleton.name != self.builder_config.name:
                raise UserError(root, f"has poses of {source.skeleton.name}, not of "
                                f"{self.builder_config.name}", "build with that configuration")
            self.info.metadata.setdefault("notes", {})[split] = list(source.notes)
            if isinstance(source.pairs, np.ndarray):
                names = np.array(source.names)
                self.info.metadata.setdefault("pairs", {})[split] = names[source.pairs].tolist()
            splits[split] = self._generate_examples(source, image_folder(root, split))
        return splits

    def _generate_examples(self, source, folder: pathlib.Path):
        for i, name in enumerate(source.names):
            content = read_bytes(folder / name)
            # The bytes are stored as they are; a corrupt picture must not pass unseen.
            height, width = read_image(folder / name, content).shape[:2]
            if (height, width) != source.size:
                raise UserError(folder / name, f"is {height}x{width}, the first picture "
                                f"{source.size[0]}x{source.size[1]}", "bring all to one size")
            yield name, {
                "image": content, "name": name, "person": source.persons[i],
                "poses": {source.skeleton.name: source.pose(i)}}
