"""What the ablations on Market-1501's test people share."""

from repose_jax.data.config import DataConfig
from repose_jax.experiments.presets import small
from repose_jax.studies.ablation import Ablation, Settings

DEFAULT = small.guidance("market1501")


def market(title: str, cells: tuple[Settings, ...]) -> Ablation:
    """An ablation of the bundled `market1501` model on 500 pairs."""
    return Ablation(
        title=title, cells=cells, model="market1501", data=DataConfig(path="market1501"),
        judge="judge-market1501", field="field-market1501")
