"""Pictures that were generated for Human-Art's poses, by the names of the annotated pictures."""

from __future__ import annotations

import collections
import os
import pathlib
from collections.abc import Sequence

from repose_jax.common.errors import UserError
from repose_jax.data.human_art.annotations import AnnotatedPicture
from repose_jax.data.image.files import SUFFIXES


def picture_names(pictures: Sequence[AnnotatedPicture]) -> list[str]:
    """What the generated picture of each is called, without suffix.

    Its stem, as 000000000007, where no other picture has the same; Human-Art counts within each
    scenario, so most are named with the folder, as cartoon/000000000007.

    Raises:
      UserError: two pictures cannot be told apart.
    """
    stems = collections.Counter(picture.path.stem for picture in pictures)
    names = [picture.path.stem if stems[picture.path.stem] == 1
             else f"{picture.path.parent.name}/{picture.path.stem}" for picture in pictures]
    name, times = collections.Counter(names).most_common(1)[0]
    if times > 1:
        raise UserError(name, f"is the name of {times} annotated pictures", "rename one of them")
    return names


def human_art_pictures(
    folder: str | os.PathLike[str], pictures: Sequence[AnnotatedPicture]
) -> list[pathlib.Path]:
    """The generated picture of each annotated picture, .png or .jpg, see `picture_names`.

    Folders above those of a name do not matter, so that what HumanSD's scripts/pose2img_metrics.py
    writes fits: it stores each under the whole path of the annotated picture, though four pictures
    side by side (its issue 32), of which only the first is the generated one.

    Raises:
      UserError: a picture is missing, of no annotation or there twice; the first is named, all are
        counted.
    """
    root = pathlib.Path(folder)
    if not root.is_dir():
        raise UserError(root, "is not a folder", "give a folder of pictures")
    wanted = picture_names(pictures)
    known, found, extra = set(wanted), {}, []
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() not in SUFFIXES:
            continue
        name = next((name for name in (f"{path.parent.name}/{path.stem}", path.stem)
                     if name in known), None)
        if name is None:
            extra.append(path)
        elif name in found:
            raise UserError(path, f"has the name of {found[name]}", "keep one of them")
        else:
            found[name] = path
    missing = [name for name in wanted if name not in found]
    if missing:
        raise UserError(root, f"lacks {len(missing)} of {len(wanted)} pictures, the first "
                        f"{missing[0]}.png", "generate a picture for each annotated one")
    if extra:
        raise UserError(root, f"holds {len(extra)} pictures of no annotation, the first "
                        f"{extra[0].relative_to(root)}", "take them away")
    return [found[name] for name in wanted]
