"""What `repose transfer` is told."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Annotated, Literal

import tyro

from repose_jax.cli.detector import BoxOption, Kind
from repose_jax.cli.provenance_options import ProvenanceOptions
from repose_jax.common.ranges import Finite, Natural, Range, Seed
from repose_jax.inference.model_frame import Frame
from repose_jax.models.enlarging import LARGEST
from repose_jax.models.sample_overrides import SampleOptions
from repose_jax.pose.retarget import Mode


@dataclasses.dataclass(frozen=True)
class TransferOptions:
    """Paint the person of each source in each pose.

    Attributes:
      sources: photos of people, and folders, whose photos are taken in the order of their names.
      pose: file with the target pose: CSV, OpenPose, COCO or MediaPipe JSON, 18 lines of x y, or
        our own JSON; or a photo of a person in that pose, which is then found as the source's is.
      pairs: list of pairs, lines from,to of photos in the folder that is given as SOURCE: each is
        painted once, in the pose that --pose has in the row of the second photo's name, or without
        --pose in that which the second photo shows.
      output: the PNG to write; with several results, a folder.
      source_pose: pose in the source; by default that of a pose file of the photo's own name beside
        it, or else it is estimated.
      source_pose_name: row of the source pose in its file; by default the photo's file name where
        the file has several rows.
      source_box: left, top, right and bottom in pixels of the photo: paint the person who is there
        from what is around them; by default the whole photo, of the person whom its pose file or
        the detector shows best.
      pose_name: rows of the target poses, where the file has several.
      pose_person: which of several people in the target pose's picture: the number in the file or of
        the detector, from 0, or the one who is seen best.
      pose_box: left, top, right and bottom in pixels of that picture: the person who is there.
      min_confidence: joints of pose files that have a lower confidence are missing; 0.3 by default.
      detector: what finds the poses in photos that have no pose file; by default the pose estimator
        that the model names.
      detector_model: the file of the detector's network: RTMPose's .onnx, MediaPipe's .task.
      retarget: what of the target pose's body becomes the source's: bones, the lengths of its
        limbs, its size and its place; scale, the last two; none, nothing.
      enlarge: how many times the model's size the picture is to be, with the photo's own details
        where the painter keeps them.
      frame: photo, to paint pictures as high as the model's and as wide as the photo has it, up to a
        square; model, in the size that the model learnt from, of which the photo fills a part. What
        is refined by --steps, and what --source-box cuts out, always is in that.
      model: a bundled model, a model file, or the folder of a training run.
      seed: the same seed gives the same picture.
      sample: the sampler's settings.
      grid: also write source, pose and result side by side, to OUTPUT with "-grid" in its name.
      overwrite: replace pictures that are in the output folder already; without it those that were
        made from the same are kept, so that a command that was stopped goes on.
      explain: also draw flow, mask and aligned source of every iteration, with "-explain", and each
        step's picture, pose and energy, with "-trajectory".
      provenance: content credentials of what is written.
    """

    sources: Annotated[tuple[pathlib.Path, ...], tyro.conf.Positional, tyro.conf.arg(
        metavar="SOURCE")]
    output: pathlib.Path
    pose: pathlib.Path | None = None
    pairs: pathlib.Path | None = None
    source_pose: pathlib.Path | None = None
    source_pose_name: str | None = None
    source_box: BoxOption = None
    pose_name: tuple[str, ...] = ()
    pose_person: Natural | Literal["largest"] = "largest"
    pose_box: BoxOption = None
    min_confidence: Finite | None = None
    detector: Kind | None = None
    detector_model: pathlib.Path | None = None
    retarget: Mode = "bones"
    enlarge: Annotated[int, Range(1, LARGEST)] = 1
    frame: Frame = "photo"
    model: str = "people-256"
    seed: Seed = 0
    sample: Annotated[SampleOptions, tyro.conf.arg(name="")] = SampleOptions()
    grid: bool = False
    overwrite: bool = False
    explain: bool = False
    provenance: ProvenanceOptions = ProvenanceOptions()
