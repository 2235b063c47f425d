"""Finds pictures by the names that pair lists and other programs give them."""

from __future__ import annotations

import os
import pathlib
import re
import unicodedata

from repose_jax.common.errors import UserError
from repose_jax.data.image.files import SUFFIXES

_VISUAL = "_vis"
_JOIN = "_2_"


def flattened(name: str) -> str:
    """The stem under which PATN and its descendants store a picture.

    DeepFashion's nested names lose slashes and most underscores, so that
    img/WOMEN/Blouses_Shirts/id_00000693/02_3_back.jpg becomes
    fashionWOMENBlouses_Shirtsid0000069302_3back. Other names lose folder and suffix only. Letters
    with accents, of which there are two ways to write them, come out in one (NFC).
    """
    path = pathlib.PurePosixPath(unicodedata.normalize("NFC", name).replace("\\", "/"))
    parts, stem = path.parts, path.stem if path.suffix.lower() in SUFFIXES else path.name
    numbered = next((i for i, part in enumerate(parts[:-1]) if re.fullmatch(r"id_\d+", part)), None)
    if numbered is None or numbered < 2:
        return stem
    first, _, rest = stem.partition("_")
    file = f"{first}_{rest.replace('_', '')}" if rest else first
    return "fashion" + "".join(parts[numbered - 2:numbered]) + parts[numbered].replace(
        "_", "") + file


def pictures_below(folder: str | os.PathLike[str]) -> dict[str, pathlib.Path]:
    """The pictures in a folder and those below it, by flattened stem.

    Raises:
      UserError: there are none, or two have the same name.
    """
    root = pathlib.Path(folder)
    if not root.is_dir():
        raise UserError(root, "is not a folder", "give a folder of pictures")
    found: dict[str, pathlib.Path] = {}
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() not in SUFFIXES:
            continue
        stem = flattened(path.relative_to(root).as_posix())
        if stem in found:
            raise UserError(path, f"has the name of {found[stem]}", "keep one of them")
        found[stem] = path
    if not found:
        raise UserError(root, "holds no picture", "give a folder of pictures")
    return found


def generated_name(source: str, target: str) -> str:
    """The stem of a generated picture, as PIDM's and CFLD's published results have it."""
    return f"{flattened(source)}{_JOIN}{flattened(target)}"


def generated_pictures(
    folder: str | os.PathLike[str], pairs: list[tuple[str, str]]
) -> list[pathlib.Path]:
    """The picture of each pair, named <source stem>_2_<target stem>[_vis].png or .jpg.

    Args:
      folder: holds the pictures, perhaps in folders of its own.
      pairs: names of source and target.

    Raises:
      UserError: a picture is missing or belongs to no pair; the first is named, all are counted.
    """
    found = {}
    for stem, path in pictures_below(folder).items():
        name = stem.removesuffix(_VISUAL)
        if name in found:
            raise UserError(path, f"has the name of {found[name]}", "keep one of them")
        found[name] = path
    wanted = [generated_name(*pair) for pair in pairs]
    missing = [name for name in wanted if name not in found]
    if missing:
        raise UserError(folder, f"lacks {len(missing)} of {len(wanted)} pictures, the first "
                        f"{missing[0]}.png", "complete it, or give the pairs that it holds")
    extra = sorted(found.keys() - set(wanted))
    if extra:
        raise UserError(folder, f"holds {len(extra)} pictures of no pair, the first "
                        f"{found[extra[0]].name}", "take them away, or give their pairs too")
    return [found[name] for name in wanted]
