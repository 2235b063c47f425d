"""Material for tests of the human study: pictures, a built study, answers."""

import json
import re

import numpy as np
from PIL import Image

from repose_jax.cli import main
from repose_jax.studies.human.answers import FORMAT
from repose_jax.studies.human.key import read_key

METHODS = ("zebra-net", "quokka-net", "ibex-net")
PAIRS = 12


def pictures_of_methods(tmp_path):
    """Pictures of three methods, 16x8, real ones and a list of pairs."""
    rng = np.random.default_rng(0)

    def save(folder, name):
        path = tmp_path / folder / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 8, 3), np.uint8)).save(path)

    lines = ["from,to"]
    for i in range(PAIRS):
        save("real", f"wombat{i}_a.png")
        save("real", f"wombat{i}_b.png")
        lines.append(f"wombat{i}_a.jpg,wombat{i}_b.jpg")
        for method, suffix in zip(METHODS, ("", "_vis", "")):
            save(method, f"wombat{i}_a_2_wombat{i}_b{suffix}.png")
    (tmp_path / "pairs.csv").write_text("\n".join(lines))
    return tmp_path


def build(material, *more, output="study", methods=METHODS):
    return main(["study", "build", "--images", *(f"{m}={material / m}" for m in methods),
                 "--real", str(material / "real"), "--pairs", str(material / "pairs.csv"),
                 "--output", str(material / output), "--questions", "6", *more])


def content_of(page):
    text = page.read_text()
    return json.loads(re.search(r'id="content">(.*?)</script>', text, re.S).group(1))


def fill(material, participant, choose):
    """Writes a participant's answers; `choose` gets a question's entry in the key."""
    key = read_key(material / "study")
    rows = [{"question": id, "shown": list(entry.options), "choice": choose(entry),
             "shown_ms": 1000, "answered_ms": 900} for id, entry in key.questions.items()]
    path = material / f"answers-{participant}.json"
    path.write_text(json.dumps({
        "format": FORMAT, "study": key.study, "participant": participant, "started": "",
        "finished": "", "answers": rows}))
    return path


def score(material, *paths, more=()):
    code = main(["study", "score", str(material / "study"), "--answers", *map(str, paths),
                 "--output", str(material / "scores.json"), *more])
    return code, (json.loads((material / "scores.json").read_text()) if not code else None)


def one_line(capsys):
    line, = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("repose: error: ")
    return line


def option_of(entry, method):
    return next(id for id, o in entry.options.items() if o.method == method)
