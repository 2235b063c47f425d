"""How far is the pose that was painted from the valid ones? A pose interaction field is asked."""

from __future__ import annotations

import numpy as np

from repose_jax.evaluation.metrics.instruments import Instruments
from repose_jax.evaluation.metrics.metric import Facts, MetricFamily, Score
from repose_jax.evaluation.metrics.picture_batch import PictureBatch
from repose_jax.evaluation.metrics.pose_accuracy import read_poses


def _scores(by: Instruments) -> list[Score]:
    field = by.field
    if by.poses is None or field is None:
        return []

    def distance(batch: PictureBatch) -> np.ndarray:
        read = read_poses(by, batch)
        # The judge's confidences would hide the joints that came out worst.
        shown = read.seen & (batch.target_pose[..., 2:] > 0)
        return np.asarray(field(np.concatenate(
            [np.where(read.seen, read.found[..., :2], 0), shown], axis=-1, dtype=np.float32)))

    return [Score("pif", distance, beside="neither")]


METRIC = MetricFamily("pose", {"pif": Facts("distance to valid poses", "lower")}, _scores)
