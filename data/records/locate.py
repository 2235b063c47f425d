"""Where a built dataset lies."""

from __future__ import annotations

import os
import pathlib

from repose_jax.common.errors import UserError


def find_built(folder: str | os.PathLike[str]) -> pathlib.Path | None:
    """The dataset in or below a folder (data_dir/name/config/version); None where there is none.

    Raises:
      UserError: where there are several.
    """
    folder = pathlib.Path(folder)
    found = [path.parent for depth in ("", "*/", "*/*/", "*/*/*/")
             for path in sorted(folder.glob(f"{depth}dataset_info.json"))
             if "incomplete." not in str(path.relative_to(folder))]
    if len(found) > 1:
        some = ", ".join(str(path.relative_to(folder)) for path in found[:4])
        raise UserError(folder, f"holds several datasets: {some}", "give the folder of one")
    return found[0] if found else None
