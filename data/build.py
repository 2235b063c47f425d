"""Writes a dataset as array_record files."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator

import tensorflow_datasets as tfds
from absl import logging

from repose_jax.common.errors import UserError
from repose_jax.common.lock import alone
from repose_jax.data.deepfashion.annotations import FRAME
from repose_jax.data.market1501.layout import load_market1501
from repose_jax.data.people.source import rendered_people
from repose_jax.data.records.builder import PartedBuilder, unfinished
from repose_jax.data.records.manifest import read_manifest


_SYSTEM_CALL = re.compile(r"\b(?:open|write|fsync|close)\(\) failed: ([^;]+)")


def build_market1501(root: str | os.PathLike[str], data_dir: str | os.PathLike[str], *,
                     size: tuple[int, int] | None = None, skip_broken: bool = False,
                     workers: int = 0, progress: bool = False) -> pathlib.Path:
    """Writes a Market-1501 folder below `data_dir`.

    Args:
      root: the folder.
      size: (height, width) to which pictures are resized and padded; None stores them as given.
      data_dir, progress: see `prepare`.
      skip_broken: leave out rows and pictures that cannot be used; `stored_notes` of the result
        names them. Otherwise the first of them is refused and nothing is written.
      workers: processes that prepare pictures; 0 prepares them in this one.
    """
    from repose_jax.data.market1501 import market1501_dataset_builder as module

    skeleton = load_market1501(root, "train", size=size, cache=False,
                               skip_broken=skip_broken).skeleton
    builder = _builder(module, module.MarketConfig(skeleton=skeleton.name, size=size), data_dir)
    return _prepare_folder(builder, root, skip_broken, workers, progress)


def build_deepfashion(root: str | os.PathLike[str], data_dir: str | os.PathLike[str], *,
                      size: tuple[int, int] = FRAME, skip_broken: bool = False, workers: int = 0,
                      progress: bool = False) -> pathlib.Path:
    """Writes a DeepFashion folder in any layout of `load_deepfashion` below `data_dir`.

    `size`, 256x176 if not given, is that to which pictures are squeezed; the other arguments are
    those of `build_market1501`.
    """
    from repose_jax.data.deepfashion import deepfashion_dataset_builder as module

    builder = _builder(module, module.DeepFashionConfig(size=tuple(size)), data_dir)
    return _prepare_folder(builder, root, skip_broken, workers, progress)


def build_human_art(root: str | os.PathLike[str], data_dir: str | os.PathLike[str], *,
                    skip_broken: bool = False, workers: int = 0,
                    progress: bool = False) -> pathlib.Path:
    """Writes Human-Art, or HumanSD's packing of it, below `data_dir`, pictures as given.

    The arguments are those of `build_market1501`.
    """
    from repose_jax.data.human_art import human_art_dataset_builder as module

    _check_temporary_space()
    builder = module.Builder(data_dir=os.fspath(data_dir), file_format="array_record")
    return _prepare_folder(builder, root, skip_broken, workers, progress)


def build_people(data_dir: str | os.PathLike[str], *, workers: int = 0,
                 progress: bool = False, **config) -> pathlib.Path:
    """Renders people below `data_dir`.

    Args:
      data_dir: see `prepare`.
      workers: processes that render; 0 renders in this one.
      progress: see `prepare`.
      **config: the fields of `PeopleConfig`.
    """
    from repose_jax.data.people import people_dataset_builder as module

    config = module.PeopleConfig(**config)
    for split, identities in (("train", config.identities), ("test", config.test_identities)):
        # Checks the arguments before anything is written.
        source = rendered_people(config.seed, identities, config.views, config.size, split=split)
    source.image(0)
    builder = _builder(module, config, data_dir)
    builder.workers = workers
    return prepare(builder, progress=progress)


_FROM_FOLDER = {"market1501": build_market1501, "deepfashion": build_deepfashion,
                "human-art": build_human_art}
NAMES = ("people", *_FROM_FOLDER)


def build(name: str, data_dir: str | os.PathLike[str], *,
          source: str | os.PathLike[str] | None = None, skip_broken: bool = False,
          workers: int = 0, progress: bool = False, **config) -> pathlib.Path:
    """Builds "people" (with the arguments of `build_people`), or one of `NAMES` from a folder.

    `config` may hold `size` for all but "human-art", whose pictures keep their sizes.
    """
    if name not in NAMES:
        raise UserError(name, "is not a dataset that can be built",
                        f"choose one of {', '.join(NAMES)}")
    if workers < 0:
        raise UserError("workers", f"is {workers}", "give 0 or more")
    # TensorFlow Datasets would do so for some of the files.
    data_dir = os.path.expanduser(data_dir)
    if name == "people":
        if source is not None:
            raise UserError(source, "is not needed to render people", "leave it out")
        if skip_broken:
            raise UserError("skip-broken", "has no effect on rendered people", "leave it out")
        return build_people(data_dir, workers=workers, progress=progress, **config)
    if source is None:
        raise UserError(name, "needs the folder of its pictures", "give the folder")
    if wrong := config.keys() - ({"size"} if name != "human-art" else set()):
        raise UserError(name, f"does not take {', '.join(sorted(wrong))}", "leave them out")
    if min(config.get("size", (1,))) < 1:
        raise UserError("size", f"is {' '.join(map(str, config['size']))}", "give 1 or more")
    return _FROM_FOLDER[name](source, data_dir, skip_broken=skip_broken, workers=workers,
                              progress=progress, **config)


def _check_temporary_space() -> None:
    """Refuses a machine without any, which TensorFlow Datasets needs as it begins."""
    try:
        tempfile.gettempdir()
    except OSError as error:
        raise UserError("TMPDIR", f"is of no use ({error.strerror})",
                        "set it to a folder that can be written") from None


def _builder(module, config: tfds.core.BuilderConfig,
             data_dir: str | os.PathLike[str]) -> PartedBuilder:
    """The builder of a module with a configuration."""
    _check_temporary_space()
    # TensorFlow Datasets refuses a twin of one of its own configurations.
    config = module.Builder.builder_configs.get(config.name, config)
    level = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        # It would warn of a configuration that it does not know, which is the purpose here.
        return module.Builder(data_dir=os.fspath(data_dir), config=config,
                              file_format="array_record")
    finally:
        logging.set_verbosity(level)


def _prepare_folder(builder: PartedBuilder, root: str | os.PathLike[str], skip_broken: bool,
                    workers: int, progress: bool) -> pathlib.Path:
    builder.skip_broken, builder.workers = skip_broken, workers
    return prepare(builder, progress=progress, manual_dir=os.fspath(root))


def prepare(builder: PartedBuilder, *, progress: bool = False,
            manual_dir: str | None = None) -> pathlib.Path:
    """Writes a dataset unless it is there, complete and of the same settings, already.

    The files go to a temporary folder that takes the final name at the end, so that an
    interrupted build leaves nothing that looks like a dataset. What it left are the parts that
    were done, from which the next build goes on. Only one build at a time may write a dataset.
    `progress` shows bars.

    Returns:
      The folder of the dataset, which `load_array_record` takes.

    Raises:
      UserError: for input that cannot be used, a folder that cannot be written or that another
        build writes, and a dataset that is there with other settings.
    """
    if manual_dir is not None and not (os.path.isdir(manual_dir) and os.listdir(manual_dir)):
        raise UserError(manual_dir, "is empty or not a folder", "give the folder of the pictures")
    folder = pathlib.Path(builder.data_path)
    if _is_there(folder, builder):
        return folder
    tfds.display_progress_bar(progress)
    talk = contextlib.nullcontext() if progress else contextlib.redirect_stdout(io.StringIO())
    try:
        with alone(unfinished(folder)), tempfile.TemporaryDirectory() as downloads, talk:
            for stale in folder.parent.glob(f"incomplete.*_{folder.name}"):
                shutil.rmtree(stale)
            if not _is_there(folder, builder):  # a build that has ended since may have come first
                builder.download_and_prepare(
                    file_format="array_record", download_dir=downloads,
                    download_config=tfds.download.DownloadConfig(manual_dir=manual_dir))
            # Only what another configuration of the same name left can be there still.
            shutil.rmtree(unfinished(folder), ignore_errors=True)
    except Exception as error:
        # TensorFlow Datasets wraps what a generator raises.
        for cause in _causes(error):
            if isinstance(cause, UserError):
                raise cause from None
        if reason := next(filter(None, map(_writing_failure, _causes(error))), None):
            raise UserError(folder, f"cannot be written ({reason})", "make room or choose another "
                            "folder, then build again; what was done is kept") from None
        raise
    return folder


def _is_there(folder: pathlib.Path, builder: PartedBuilder) -> bool:
    """Whether a dataset is there; UserError where it was built with other settings."""
    if not folder.exists():
        return False
    manifest = read_manifest(folder)
    if manifest is None:  # built before there were manifests
        return True
    built, asked = manifest["settings"], builder.settings()
    other = [f"{key} {built.get(key)}, not {asked.get(key)}" for key in sorted(built | asked)
             if built.get(key) != asked.get(key)]
    if other:
        raise UserError(folder, f"is there already and was built with {', '.join(other)}",
                        "choose another output or delete it")
    return True


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and those that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _writing_failure(error: BaseException) -> str | None:
    """What the system said where a file could not be written; None for other exceptions.

    All input is read by functions that raise `UserError`, so what else the system refuses is
    output. array_record's writer reports a full disk as a RuntimeError.
    """
    if isinstance(error, OSError):
        return error.strerror or str(error)
    found = _SYSTEM_CALL.search(str(error)) if isinstance(error, RuntimeError) else None
    return found and found[1]
