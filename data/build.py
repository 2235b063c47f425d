"""Writes a dataset as array_record files."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import shutil
import tempfile

import tensorflow_datasets as tfds

from repose_jax.data.market1501.layout import load_market1501
from repose_jax.errors import UserError


def build_market1501(root: str | os.PathLike[str], data_dir: str | os.PathLike[str], *,
                     progress: bool = False) -> pathlib.Path:
    """Writes a Market-1501 folder below `data_dir`; see `prepare`."""
    from repose_jax.data.market1501 import market1501_dataset_builder

    skeleton = load_market1501(root, "train", cache=False).skeleton
    builder = market1501_dataset_builder.Builder(
        data_dir=os.fspath(data_dir), config=skeleton.name, file_format="array_record")
    return prepare(builder, progress=progress, manual_dir=os.fspath(root))


def prepare(builder: tfds.core.DatasetBuilder, *, progress: bool = False,
            manual_dir: str | None = None) -> pathlib.Path:
    """Writes a dataset unless it is there, complete, already.

    The files go to a temporary folder that takes the final name at the end, so that an
    interrupted build leaves nothing that looks like a dataset; what it left is removed here. Only one build
    at a time may write a dataset. `progress` lets TensorFlow Datasets show bars.

    Returns:
      The folder of the dataset, which `load_array_record` takes.

    Raises:
      UserError: for input that cannot be used and a folder that cannot be written.
    """
    folder = pathlib.Path(builder.data_path)
    for stale in folder.parent.glob(f"incomplete.*_{folder.name}"):
        shutil.rmtree(stale)
    tfds.display_progress_bar(progress)
    talk = contextlib.nullcontext() if progress else contextlib.redirect_stdout(io.StringIO())
    try:
        with tempfile.TemporaryDirectory() as downloads, talk:
            builder.download_and_prepare(
                file_format="array_record", download_dir=downloads,
                download_config=tfds.download.DownloadConfig(manual_dir=manual_dir))
    except Exception as error:
        # TensorFlow Datasets wraps what a generator raises.
        cause = error
        while cause is not None and not isinstance(cause, UserError):
            cause = cause.__cause__ or cause.__context__
        if cause is not None:
            raise cause from None
        if isinstance(error, OSError):
            raise UserError(folder, f"cannot be written ({error.strerror or error})",
                            "choose another folder") from None
        raise
    return folder
