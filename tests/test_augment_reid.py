"""Re-identification with generated pictures: the arms, what is shared, and going on."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest

from heard import Heard
from repose_jax.cli import main
from repose_jax.common.errors import UserError
from repose_jax.data.config import DataConfig
from repose_jax.models.weights import load_reid
from repose_jax.networks.reid import ReidConfig
from repose_jax.studies.reid_augmentation import ARMS, AugmentReid, augment_reid, markdown, write
from repose_jax.tasks.reid import ReidExperiment
from repose_jax.training.config import LoopConfig

SMALL = ReidConfig(image_size=(32, 16), people=4, channels=(8, 8), blocks=1, parts=2, embedding=8,
                   groups=4)


@pytest.fixture(scope="module")
def wanted(market, market_model):
    return AugmentReid(
        model=str(market_model), shares=(0.5,), longer=0.5, generated=0.5,
        experiment=ReidExperiment(reid=SMALL, per_person=2, data=DataConfig(path=str(market)),
                                  train=LoopConfig(total_images=32, batch_size=8)))


def test_arms_start_alike_and_a_finished_part_is_not_done_again(wanted, tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "clear_caches", lambda: None)  # it would compile the next arm anew
    heard = Heard()
    rows = augment_reid(wanted, tmp_path, events=heard)
    row, place = rows[0], tmp_path / "share-50"
    assert (row.real, row.generated) == (6, 3) and set(row.scores) == set(ARMS)
    facts = {name: load_reid(place / name).facts for name in ("real", "longer", "generated")}
    assert [f["images"] for f in facts.values()] == [32, 16, 16]
    assert [f["generated"] for f in facts.values()] == [0, 0, 3]
    low = min(row.gain.low, row.gain.value)
    assert -1 <= low <= row.gain.high <= 1
    np.testing.assert_allclose(
        row.gain.value, row.scores[ARMS[2]].precision.value - row.scores[ARMS[1]].precision.value)
    with np.load(place / "generated.npz") as file:
        assert file["pictures"].shape == (3, 32, 16, 3)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("generated.npz")}
    again = augment_reid(wanted, tmp_path)[0]
    assert again.scores == row.scores and again.gain == row.gain
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("generated.npz")}

    write(rows, wanted, tmp_path, "repose augment-reid")
    assert json.loads((tmp_path / "results.json").read_text())["rows"][0]["real"] == 6
    assert "| 6 (50%) | 3 |" in markdown(rows) and "50%" in heard.told[0]


@pytest.mark.parametrize("changes,message", [
    ({"shares": ()}, "shares"), ({"shares": (1.5,)}, "shares"), ({"generated": 0}, "generated")])
def test_settings_that_cannot_be(changes, message):
    with pytest.raises(UserError, match=message):
        AugmentReid(experiment=ReidExperiment(), **changes)


def test_a_model_of_another_size_is_refused(market, market_model, tmp_path, capsys):
    assert main(["augment-reid", "--data", str(market), "--model", str(market_model), "--output",
                 str(tmp_path / "a")]) == 2
    assert "use the same size" in capsys.readouterr().err
