"""Miniatures of DeepFashion In-shop, byte by byte as the programs of the field leave them on disk.

The scripts themselves were run beside these (docs/data.md): databases are equal in every key and
value, the files of poses, names and pairs in their form.
"""

import functools
import io

import lmdb
import numpy as np
from PIL import Image

from repose_jax.data.people.renderer import render_person

HIGH = (96, 66)  # stands for the 1101x750 of img_highres
# Folder and file of each picture: two people, one of them in two sets of clothes.
NESTED = {
    "train": [f"{folder}/{clothes}_{view}.jpg" for folder, clothes, views in (
        ("WOMEN/Dresses/id_00000093", "01", ("1_front", "2_side", "7_additional")),
        ("WOMEN/Dresses/id_00000093", "02", ("1_front", "3_back")),
        ("MEN/Shirts_Polos/id_00000154", "03", ("1_front", "4_full"))) for view in views],
    "test": [f"WOMEN/Blouses_Shirts/id_00000693/02_{view}.jpg"
             for view in ("1_front", "3_back", "4_full")],
}
# Source and target by number.
PAIRS = {"train": [(0, 1), (1, 0), (2, 0), (3, 4), (6, 5)], "test": [(0, 1), (2, 1)]}
CLOTHES = {"train": (0, 0, 0, 1, 1, 2, 2), "test": (10, 10, 10)}


def flat(nested):
    """The flattened name, by the rule of PATN's generate_fashion_datasets.py."""
    parts = nested.split("/")
    parts[2] = parts[2].replace("_", "")
    first, *rest = parts[3].split("_")
    return "".join(["fashion", *parts[:3], f"{first}_{''.join(rest)}"])


@functools.cache
def renders(split):
    return [render_person(5, identity, view, HIGH)
            for view, identity in enumerate(CLOTHES[split])]


def frame_poses(split, whole):
    """[N, 18, 3] in the 256x176 frame, to whole pixels where the files have no others."""
    poses = np.stack([render.annotated("openpose18") for render in renders(split)])
    poses[..., :2] = (poses[..., :2] + 0.5) * (176 / HIGH[1], 256 / HIGH[0]) - 0.5
    if whole:
        poses[..., :2] = np.round(poses[..., :2])
    poses[..., :2] *= poses[..., 2:]
    return poses


def save(path, picture, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, **options)


def write_csv(root, prefix="fasion-resize", pictures="{split}_highres", nested=False,
              separator=":"):
    """PATN's, GFLA's, DPTN's and CFLD's folder, -1 is missing.

    pandas writes the CSV files; the separator ": " is that of PATN's compute_coordinates.py.
    """
    for split, names in NESTED.items():
        rows = ["name:keypoints_y:keypoints_x"]
        for name, pose in zip(names, frame_poses(split, True), strict=True):
            y, x = (np.where(pose[:, 2] > 0, pose[:, i], -1).astype(int).tolist() for i in (1, 0))
            rows.append(separator.join(map(str, (flat(name), y, x))))
        lists = {f"{prefix}-annotation-{split}.csv": rows, f"{split}.lst": map(flat, names),
                 f"{prefix}-pairs-{split}.csv": [
                     "from,to", *(f"{flat(names[a])},{flat(names[b])}" for a, b in PAIRS[split])]}
        root.mkdir(exist_ok=True)
        for file, lines in lists.items():
            (root / file).write_text("".join(f"{line}\n" for line in lines))
        for name, render in zip(names, renders(split), strict=True):
            save(root / pictures.format(split=split) / (name if nested else flat(name)),
                 render.image, quality=95)
    return root


def write_text(root, sources_together=False):
    """NTED's, PIDM's and X-MDPT's folder: img/, pose/ by np.savetxt, TARGET,SOURCE[,SOURCE...]."""
    for split, names in NESTED.items():
        for name, render, pose in zip(names, renders(split), frame_poses(split, False),
                                      strict=True):
            save(root / "img" / name, render.image, quality=95)
            file = (root / "pose" / name).with_suffix(".txt")
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savetxt(file, np.where(pose[:, 2:] > 0, pose[:, :2] + (40, 0), -1))
        sources = {}
        for a, b in PAIRS[split]:
            sources.setdefault(b if sources_together else (a, b), []).append(a)
        lines = [[b if isinstance(b, int) else b[1], *a] for b, a in sources.items()]
        (root / f"{split}_pairs.txt").write_text("".join(
            ",".join(f"img/{names[i]}" for i in line) + "\n" for line in lines))
        (root / f"{split}.lst").write_text("".join(f"{flat(name)}\n" for name in names))
    return root


def with_borders(picture):
    """In-shop's low resolution: 256x256, the person in columns 40 to 216 of white."""
    padded = np.full((256, 256, 3), 255, np.uint8)
    padded[:, 40:216] = np.asarray(Image.fromarray(picture).resize((176, 256)))
    return padded


def write_database(root, size, names=None):
    """What the prepare_data.py of NTED and PIDM makes of img/."""
    names = names or sorted({name for split in PAIRS for line in
                             (root / f"{split}_pairs.txt").read_text().split()
                             for name in line.split(",")})
    with lmdb.open(str(root / f"{size[0]}-{size[1]}"), map_size=1 << 24) as environment:
        with environment.begin(write=True) as transaction:
            transaction.put(b"length", str(len(names)).zfill(5).encode())
            for name in names:
                content = io.BytesIO()
                with Image.open(root / name) as picture:
                    picture.convert("RGB").resize(size[::-1], Image.Resampling.BICUBIC).save(
                        content, format="png")
                transaction.put((name.rsplit(".", 1)[0] + ".png").encode(), content.getvalue())


def squeezed(path, size):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB").resize(size[::-1], Image.Resampling.BICUBIC))
