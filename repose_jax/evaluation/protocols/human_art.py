"""The protocol under which HumanSD scores pictures generated for Human-Art's poses, as data."""

from __future__ import annotations

import dataclasses

from repose_jax.networks.inception import Resize, Scaling, Tap, Variant


@dataclasses.dataclass(frozen=True, kw_only=True)
class HumanArtProtocol:
    """How generated pictures of several people are scored by their poses and as a set.

    Attributes:
      name: by which it is chosen.
      side: of the square pictures that Inception sees, pixels.
      inception, resize, scaling: which weights, and how it is fed: as torchmetrics does it.
      frechet_tap, kernel_tap: its features that each distance is of.
      kernel_subsets, kernel_subset_size: of the kernel distance.
      source: whose program it is.
      quirks: what a reader of the numbers should know.
      absent: sentences on what it scores and this package does not.
    """

    name: str = "human-art"
    side: int = 299
    inception: Variant = "tf"
    resize: Resize = "tf1"
    scaling: Scaling = "tf"
    frechet_tap: Tap = "64"
    kernel_tap: Tap = "2048"
    kernel_subsets: int = 100
    kernel_subset_size: int = 1000
    source: str = "utils/metrics of IDEA-Research/HumanSD"
    quirks: tuple[str, ...] = (
        "the Frechet distance is of Inception's first 64 features, as HumanSD's settings have it, "
        "and not comparable with a FID of 2048",
        "real pictures are those of the validation set, the shorter side brought to 299 and cut at "
        "the centre; generated ones are squeezed to 299x299; HumanSD also normalises pictures by "
        "ImageNet's mean and deviation before torchmetrics takes them for [0, 1], which is not "
        "repeated",
        "HumanSD's published FID and KID were taken of four pictures side by side (issue 32)",
        "HumanSD averages AP over batches of pictures with at most three people each, whose area "
        "is that of the joints' box; here AP is over all pictures and people with the annotated "
        "area, as pycocotools has it, but that iscrowd is not read",
        "cap compares x and y; cap_as_scripted repeats a mistake of HumanSD's script, which never "
        "compares y, as the published CAP presumably do",
        "HumanSD detects with HigherHRNet-W48; numbers of another detector are not comparable")
    absent: tuple[str, ...] = (
        "clipsim: absent, CLIP (ViT-B/16) is no part of this package",
        "inception score: absent, HumanSD's script computes it and its paper has no column for it")


HUMAN_ART = HumanArtProtocol()
