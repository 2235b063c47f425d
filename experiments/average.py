"""Averages models of one configuration, number by number.

    python -m repose_jax.experiments.average averaged.safetensors MODEL MODEL ...

Models that were trained on from one start often lie in one valley of the loss, whose middle is better
than its slopes: a model soup (Wortsman et al. 2022); of a model and what was trained on from it,
what either lost is kept by half (WiSE-FT, Wortsman et al. 2022). Models of different starts give
nothing of use. Everything but the numbers is the first one's; "images" is the most that any has seen.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import jax
import numpy as np

from repose_jax.common.errors import UserError
from repose_jax.models.weights import PretrainedModel, load_model, save_model
from repose_jax.training.state import Params


def averaged(models: Sequence[PretrainedModel]) -> Params:
    """The mean of the models' parameters.

    Args:
      models: at least one.

    Raises:
      UserError: names the first model of another network than the first.
    """
    first = models[0]
    for other in models[1:]:
        if other.config.network != first.config.network:
            raise UserError(other.name, f"is another network than {first.name}",
                            "average models that were trained on from one start")
    return jax.tree.map(lambda *leaves: np.mean(np.stack(leaves), axis=0), *(m.params for m in models))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", help="the model file to write")
    parser.add_argument("models", nargs="+", help="bundled names, files or training runs")
    options = parser.parse_args()
    try:
        models = [load_model(name) for name in options.models]
        params = averaged(models)
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    facts = {**models[0].facts, "images": max(m.facts.get("images", 0) for m in models)}
    save_model(options.output, models[0].config, params, facts, models[0].sample)


if __name__ == "__main__":
    main()
