"""What the name of a DeepFashion In-shop picture tells: the picture, the person, the clothes."""

from __future__ import annotations

import re

from repose_jax.common.errors import UserError
from repose_jax.data.image.names import flattened

_PARTS = re.compile(r"(fashion.*?id\d{8})(\d+)_")


def picture_key(name: str) -> str:
    """One key for every way to write a picture's name.

    img/WOMEN/Dresses/id_00000093/02_1_front.jpg, the same ending in .png (the keys of an LMDB
    folder) or in .txt (pose files), fashionWOMENDressesid0000009302_1front.jpg and the same with
    the prefix spelled fasion all give fashionWOMENDressesid0000009302_1front.
    """
    # Only suffixes of pictures are cut off there; pose files are text.
    stem = flattened(name.removesuffix(".txt"))
    return f"fashion{stem[len('fasion'):]}" if stem.startswith("fasion") else stem


def person_of(name: str) -> str:
    """The person, up to and including the id: fashionWOMENDressesid00000093."""
    return _parts(name)[0]


def clothes_of(name: str) -> str:
    """The person in one set of clothes: fashionWOMENDressesid0000009302.

    The two digits after the id number the colours of an item. The published pairs, and the split
    into train and test, keep these together, not the id: 503 of the 930 ids of the published
    test.lst have pictures in train.lst too, none of them in the same clothes.
    """
    return "".join(_parts(name))


def _parts(name: str) -> tuple[str, str]:
    found = _PARTS.match(picture_key(name))
    if found is None:
        raise UserError(name, "is not the name of a DeepFashion picture",
                        "give names like fashionWOMENDressesid0000009302_1front.jpg or "
                        "img/WOMEN/Dresses/id_00000093/02_1_front.jpg")
    return found[1], found[2]
