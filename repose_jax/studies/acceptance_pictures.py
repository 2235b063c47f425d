"""The pictures of an acceptance check as files, signed, with a list of them."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from repose_jax.common.picture_manifest import PictureManifest
from repose_jax.common.provenance import Seal, details, file_content, write_png
from repose_jax.data.image.names import generated_name
from repose_jax.studies.acceptance_results import Result


def save_pictures(results: Sequence[Result], photos: pathlib.Path, folder: pathlib.Path,
                  seal: Seal | None = None) -> None:
    """Writes every picture as PNG, and `manifest.jsonl` with a line for each.

    Args:
      results: of the check.
      photos: the folder that the photos are in.
      folder: for the pictures, named PHOTO_2_POSE.png.
      seal: signs them, with the photo as what they were painted from.

    Raises:
      UserError: a picture cannot be written, or a photo is no longer there.
    """
    listed, used = PictureManifest(folder), set[str]()
    for result in results:
        stem = name = generated_name(result.source, result.pose)
        for more in range(2, len(results) + 1):  # poses of two files may have one name
            if name not in used:
                break
            name = f"{stem}-{more}"
        used.add(name)
        path = folder / f"{name}.png"
        sources = [] if seal is None else [file_content(photos / result.source)]
        write_png(path, result.picture, result.text, seal, sources)
        listed.add(path, {"source": result.source, "pose": result.pose, "passed": result.passed,
                          "failed": list(result.failed)} | details(result.text))
