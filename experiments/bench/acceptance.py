"""What the acceptance check says of pictures whose verdict is known: its default limits, tested.

    python -m repose_jax.experiments.bench.acceptance MARKET_FOLDER [--pairs 500] [--half 1]

Random pairs of a photo and a wanted pose. Judged in place of a result: the real photo in that pose,
which should pass; the source photo itself, which does not stand in the pose; and a real photo of a
stranger in that stranger's pose, who is not the person. Prints as JSON the share of each that passes
each check and all of them, and quantiles of the values. Of the test people, as the judges know the
training people by heart: one half to choose limits by (0), the other to say what they do (1).
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from repose_jax.data.pairs.stream import examples
from repose_jax.data.registry import open_dataset
from repose_jax.evaluation.evaluators.reid_features import FeatureReader
from repose_jax.evaluation.statistics.derangement import derangement
from repose_jax.models.pose_predictor import PoseReader
from repose_jax.studies.acceptance import judge_all
from repose_jax.studies.acceptance_limits import CHECKS, Thresholds, failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--judge", default="judge-market1501")
    parser.add_argument("--identity", default="reid-market1501")
    parser.add_argument("--half", type=int, default=1, choices=(0, 1))
    options = parser.parse_args()
    source = open_dataset(options.data, "test")
    numbers = np.asarray(source.pairs)
    people = np.unique(source.persons, return_inverse=True)[1]
    mine = np.flatnonzero(people[numbers[:, 0]] % 2 == options.half)
    some = np.random.default_rng(options.seed).choice(mine, options.pairs, replace=False)
    batch = examples(source, some)
    identities = FeatureReader.load(options.identity, source.size) if options.identity else None
    judges = PoseReader.load(options.judge), identities
    photo, here = batch["source"], batch["source_pose"]
    target, there = batch["target"], batch["target_pose"]
    persons = np.asarray(source.persons)[np.asarray(source.pairs[some])[:, 0]]
    other = derangement(persons, options.seed)
    found = {}
    for name, pictures, poses in (("the real photo", target, there), ("the source", photo, there),
                                  ("a stranger", target[other], there[other])):
        values = judge_all(photo, here, pictures, poses, *judges)
        failed = [failures({check: value[i] for check, value in values.items()}, Thresholds())
                  for i in range(len(photo))]
        found[name] = {
            "pass": {check: float(np.mean([check not in f for f in failed])) for check in CHECKS},
            "pass all": float(np.mean([not f for f in failed])),
            "quantiles 5, 50, 95 %": {
                check: np.nanquantile(value, (0.05, 0.5, 0.95)).round(4).tolist()
                for check, value in values.items() if np.isfinite(value).any()}}
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
