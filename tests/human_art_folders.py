"""Miniatures of Human-Art and of HumanSD's packing of it."""

import json

import numpy as np
from PIL import Image

from repose_jax.data.people.renderer import render_person

SIZE = (64, 40)
# Scenario, people in it, split.
PICTURES = (("2D_virtual_human/oil_painting", 2, "training"), ("real_human/dance", 1, "training"),
            ("3D_virtual_human/relief", 0, "training"), ("real_human/dance", 1, "validation"))


def drawn(number):
    """A picture of one or several rendered people side by side, and their poses."""
    people = PICTURES[number][1]
    renders = [render_person(3, number, view, SIZE) for view in range(max(1, people))]
    poses = np.zeros((people, 17, 3), np.float32)
    for i in range(people):
        poses[i] = renders[i].annotated("coco17")
        poses[i, :, 0] += SIZE[1] * i * (poses[i, :, 2] > 0)
    return np.concatenate([render.image for render in renders], 1), np.round(poses)


def file_name(number):
    return f"images/{PICTURES[number][0]}/{number:012d}.jpg"


def save_pictures(root):
    for number in range(len(PICTURES)):
        path = root / file_name(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn(number)[0]).save(path)


def write_human_art(root, prefix="HumanArt/", only_21=False):
    """The folder and the JSON that Human-Art's README describes."""
    save_pictures(root)
    (root / "annotations").mkdir()
    for split in ("training", "validation"):
        images, rows = [], []
        for number, (folder, people, of) in enumerate(PICTURES):
            if of != split:
                continue
            picture, poses = drawn(number)
            images.append({
                "file_name": prefix + file_name(number), "height": picture.shape[0],
                "width": picture.shape[1], "id": 1000 + number, "page_url": "", "image_url": "",
                "picture_name": "", "author": "", "description": f"picture {number}",
                "category": folder.split("/")[1].replace("_", " ")})
            for person in range(people):
                known = poses[person, :, 2] > 0
                # Hidden and visible joints by turns; what is not annotated is 0, 0, 0.
                sight = np.where(known, 1 + np.arange(17) % 2, 0)
                values = np.concatenate([poses[person, :, :2], sight[:, None]], 1).astype(int)
                more = np.full((4, 3), 2)
                rows.append({
                    "keypoints_21": np.concatenate([values, more]).ravel().tolist(),
                    "self_contact": [], "num_keypoints": int(known.sum()), "iscrowd": 0,
                    "image_id": 1000 + number, "area": 100.5 + person, "annotator": 1,
                    "bbox": [1.0, 2.0, 30.0, 40.0 + person], "category_id": 1, "id": len(rows)})
                if not only_21:
                    rows[-1]["keypoints"] = values.ravel().tolist()
        (root / "annotations" / f"{split}_humanart.json").write_text(json.dumps(
            {"info": {}, "images": images, "annotations": rows, "categories": []}))
    return root


def write_humansd(root, names=("training", "validation"), prefix="mapping_file_"):
    """HumanSD's folder: MMPose's results in arr_0 of an npz, and a mapping file."""
    save_pictures(root)
    for split, name in zip(("training", "validation"), names, strict=True):
        mapping = {}
        for number, (_, people, of) in enumerate(PICTURES):
            if of != split:
                continue
            pose = file_name(number).replace("images", "pose", 1).replace(".jpg", ".npz")
            (root / pose).parent.mkdir(parents=True, exist_ok=True)
            results = [{"keypoints": drawn(number)[1][i], "score": np.float32(0.9),
                        "area": np.float32(500)} for i in range(people)]
            np.savez(root / pose, results)
            mapping[f"{number:012d}"] = {"img_path": file_name(number), "pose_path": pose,
                                         "prompt": f"picture {number}"}
        (root / f"{prefix}{name}.json").write_text(json.dumps(mapping))
    return root
