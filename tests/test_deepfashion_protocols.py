"""The DeepFashion protocols end to end: folders named as the field's programs name them, models."""

import dataclasses
import json

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from deepfashion_folders import NESTED, flat, save, squeezed, write_csv, write_text
from repose_jax.cli import main
from repose_jax.evaluation.protocols.pairs import PROTOCOLS

PAIRS = [(0, 1), (2, 1), (1, 0)]  # source and target among the test pictures


def photo(root, name, size):
    """A test picture as the data have it, squeezed."""
    nested = root / "img" / name
    return squeezed(nested if nested.is_file() else root / "test_highres" / flat(name), size)


def made_name(a, b):
    """GFLA's, NTED's and PIDM's: source and target, without the ending."""
    return "_2_".join(flat(NESTED["test"][number])[:-4] for number in (a, b))


def generated(root, folder, size, ending):
    """Something like the targets in place of generated pictures."""
    rng = np.random.default_rng(0)
    for number, (a, b) in enumerate(PAIRS):
        target = photo(root, NESTED["test"][b], size)
        picture = target * (0.5 + 0.1 * number) + 20 + rng.normal(0, 8, target.shape)
        save(folder / f"{made_name(a, b)}{ending}", picture.clip(0, 255).astype(np.uint8))
    return folder


def csv_list(path):
    names = NESTED["test"]
    path.write_text("".join(f"{line}\n" for line in [
        "from,to", *(f"{flat(names[a])},{flat(names[b])}" for a, b in PAIRS)]))
    return path


def text_list(path):
    names = NESTED["test"]
    path.write_text("".join(f"img/{names[b]},img/{names[a]}\n" for a, b in PAIRS))
    return path


def evaluate(protocol, root, pairs, folder, output):
    return main(["evaluate", "--protocol", protocol, "--images", str(folder), "--pairs", str(pairs),
                 "--data", str(root), "--no-baselines", "--output", str(output)])


def as_scripted(made, target, sigma):
    """The scores of the authors' scripts on pictures in [0, 1], float32 as they have them."""
    return {
        "psnr": peak_signal_noise_ratio(target, made, data_range=1),
        "ssim_51": structural_similarity(target, made, data_range=1, win_size=51, channel_axis=-1),
        f"gaussian_ssim_{sigma}_own_range": structural_similarity(
            target * 255, made * 255, gaussian_weights=True, sigma=sigma, channel_axis=-1,
            use_sample_covariance=False, data_range=(made * 255).max() - (made * 255).min()),
        "l1": np.abs(target - made).mean(),
        "mae": np.abs(target - made).sum() / (target + made).sum()}


@pytest.mark.parametrize("protocol, size, stored, ending, sigma, layout", [
    ("deepfashion-256", (256, 256), (256, 256), "_vis.png", 1.2, "text"),
    ("deepfashion-256", (256, 256), (256, 176), ".png", 1.2, "csv"),
    pytest.param("deepfashion-256-gfla", (256, 256), (256, 256), "_vis.jpg", 1.5, "csv",
                 marks=pytest.mark.slow),
    ("deepfashion-256-cfld", (256, 176), (256, 176), "_vis.png", 1.5, "csv"),
    pytest.param("deepfashion-512-cfld", (512, 352), (512, 352), "_vis.png", 1.5, "csv",
                 marks=pytest.mark.slow)])
def test_reports_hold_the_scores_of_the_scripts(tmp_path, capsys, protocol, size, stored, ending,
                                                sigma, layout):
    root = (write_text if layout == "text" else write_csv)(tmp_path / "fashion")
    pairs = (text_list if layout == "text" else csv_list)(
        tmp_path / f"pairs.{'txt' if layout == 'text' else 'csv'}")
    folder = generated(root, tmp_path / "made", stored, ending)
    assert evaluate(protocol, root, pairs, folder, tmp_path / "report.json") == 0
    report = json.loads((tmp_path / "report.json").read_text())
    found, expected = report["reports"][0]["scores"], []
    for a, b in PAIRS:
        made = squeezed(folder / f"{made_name(a, b)}{ending}", size)
        target = photo(root, NESTED["test"][b], size)
        expected.append(as_scripted(*(p.astype(np.float32) / 255 for p in (made, target)), sigma))
    for name in expected[0]:
        if name != "mae" or not protocol.endswith("cfld"):
            assert found[name]["value"] == pytest.approx(
                np.mean([scores[name] for scores in expected]), abs=1e-4 if name != "psnr" else 1e-3)
    said = f"made: pictures of {stored[0]}x{stored[1]} are squeezed to {size[0]}x{size[1]}"
    assert (said in capsys.readouterr().out) == (stored != size)
    assert report["stored_sizes"] == {"made": list(stored)}
    assert any("3 pairs; papers report on 8570" in line
               for line in report["reports"][0]["conditions"]["left_out"])


def test_missing_extra_and_wrongly_sized_pictures_are_one_line(tmp_path, capsys):
    root, pairs = write_csv(tmp_path / "fashion"), csv_list(tmp_path / "pairs.csv")
    folder = generated(root, tmp_path / "made", (256, 176), "_vis.png")
    victim = sorted(folder.iterdir())[1]
    whole = victim.read_bytes()

    def fails(says):
        output = tmp_path / "report.json"
        assert evaluate("deepfashion-256-cfld", root, pairs, folder, output) == 2
        error = capsys.readouterr().err
        assert says in error and error.count("\n") == 1, error
        assert not list(tmp_path.glob("report*"))

    victim.unlink()
    fails(f"made: lacks 1 of 3 pictures, the first {victim.stem.removesuffix('_vis')}.png")
    save(victim, squeezed(sorted(folder.iterdir())[0], (256, 256)))
    fails(f"{victim.name}: is 256x256, where 2 of 3 pictures are 256x176")
    victim.write_bytes(whole)
    stranger = folder / f"{made_name(1, 2)}_vis.png"
    stranger.write_bytes(whole)
    fails(f"made: holds 1 pictures of no pair, the first {stranger.name}")


def generate(protocol, root, run, folder, *more):
    """Generates and scores; then scores what was saved, which gives the same."""
    common = ["evaluate", "--protocol", protocol, "--data", str(root), "--pairs", "2",
              "--no-baselines"]
    output = folder.with_suffix(".json")
    assert main([*common, "--model", str(run), "--steps", "2", "--save", str(folder), "--output",
                 str(output), *more]) == 0
    first = json.loads(output.read_text())
    assert main([*common, "--images", str(folder), "--output", str(output)]) == 0
    again = json.loads(output.read_text())
    pixels = {name: score for name, score in first["reports"][0]["scores"].items()
              if name in {"ssim_11", "ssim_51", "psnr", "l1", "mae"} or "own_range" in name}
    assert len(pixels) >= 4 and pixels == {  # others depend on the skeleton, which a model chooses
        name: again["reports"][0]["scores"][name] for name in pixels}
    assert first["protocol"]["name"] == protocol and first["model"]["facts"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["manifest.jsonl", *(f"{made_name(a, b)}.png" for a, b in [(0, 1), (2, 1)])])
    return first


def test_a_model_is_generated_from_and_scored(market_model, tmp_path, capsys, monkeypatch):
    """With the protocol's rules on small pictures."""
    root = write_csv(tmp_path / "fashion")
    assert main(["evaluate", "--protocol", "deepfashion-256", "--model", str(market_model), "--data",
                 str(root), "--pairs", "2", "--output", str(tmp_path / "o.json")]) == 2
    assert "makes pictures of 32x16, deepfashion-256 is of 256x256" in capsys.readouterr().err
    monkeypatch.setitem(PROTOCOLS, "deepfashion-256", dataclasses.replace(
        PROTOCOLS["deepfashion-256"], size=(32, 16), windows=(11,)))
    report = generate("deepfashion-256", root, market_model, tmp_path / "made")
    assert report["reports"][0]["scores"]["gaussian_ssim_1.2_own_range"]["value"] is not None
    assert report["denoising"] is None, "both pairs are of one person"
    assert "denoising loss: absent" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["deepfashion-256", "deepfashion-512-cfld"])
def test_a_model_of_the_protocols_size(tmp_path, protocol):
    root = write_csv(tmp_path / "fashion")
    run = tmp_path / "run"
    assert main(["train", "tiny", "--data.path", str(root), "--model.network.image-size",
                 *map(str, PROTOCOLS[protocol].size), "--model.network.unet.patch", "16",
                 "--train.batch-size", "2", "--train.total-images", "2", "--output", str(run)]) == 0
    assert generate(protocol, root, run, tmp_path / "made")["reports"][0]["scores"]["ssim_51"]
