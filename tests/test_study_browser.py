"""A study's page in a real browser: answered by keyboard and mouse, downloaded, sent, scored.

Needs the `browser` extra and Chromium with its driver (Debian: chromium, chromium-driver). Run:
`pytest -m slow tests/test_study_browser.py`; REPOSE_SCREENSHOTS=FOLDER keeps pictures of the pages.
"""

import json
import shutil
import threading

import numpy as np
import pytest
from PIL import Image, ImageFilter

from repose_jax.cli import main
from repose_jax.data.people.renderer import render_person
from repose_jax.studies.human.key import read_key
from repose_jax.studies.human.serve import make_server

selenium = pytest.importorskip("selenium")
from browsers import find, press, shoot, until  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

pytestmark = pytest.mark.slow
METHODS = ("zebra-net", "quokka-net", "ibex-net")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study of all kinds with rendered people, 128x64, in three spoilings."""
    root = tmp_path_factory.mktemp("material")
    spoil = (lambda p: p.filter(ImageFilter.GaussianBlur(2)),
             lambda p: p.transpose(Image.Transpose.FLIP_LEFT_RIGHT), lambda p: p.quantize(6))
    for name in ("real", *METHODS):
        (root / name).mkdir()
    lines = ["from,to"]
    for i in range(9):
        for view in range(2):
            picture = Image.fromarray(render_person(0, i, view, (128, 64)).image)
            picture.save(root / "real" / f"w{i}_{view}.png")
        lines.append(f"w{i}_0.png,w{i}_1.png")
        for method, change in zip(METHODS, spoil):
            change(picture).save(root / method / f"w{i}_0_2_w{i}_1.png")
    (root / "pairs.csv").write_text("\n".join(lines))
    assert main(["study", "build", "--images", *(f"{m}={root / m}" for m in METHODS), "--real",
                 str(root / "real"), "--pairs", str(root / "pairs.csv"), "--output",
                 str(root / "study"), "--kind", "real-or-generated", "best", "pair",
                 "--questions", "6", "--checks", "1", "--seconds", "0.3"]) == 0
    return root / "study"


def heading(browser):
    return find(browser, "h1").text


def begin(browser, code):
    shoot(browser, "welcome")
    find(browser, "#begin").click()
    assert "code" in find(browser, "#problem").text
    find(browser, "#code").send_keys(code)
    find(browser, "#begin").click()
    assert "tick" in find(browser, "#problem").text
    find(browser, "#consent").click()
    find(browser, "#begin").click()


def answer(browser, number, at, keyboard):
    """Answers the question on show with a choice of the number; returns what was chosen."""
    nothing = "return document.querySelector('#next').disabled"
    if browser.execute_script("return !!document.querySelector('.shot')"):
        shoot(browser, f"{at:02}-waits")
        assert not find(browser, ".choice input").is_enabled()
        until(browser, lambda b: find(b, ".choice input").is_enabled())
        shoot(browser, f"{at:02}-shows")
        until(browser, lambda b: "gone" in find(b, ".shot").text)
        assert not browser.find_elements(By.CSS_SELECTOR, ".shot img")
    shoot(browser, f"{at:02}-asks")
    press(browser, Keys.ENTER)
    assert browser.execute_script(nothing), "it went on without an answer"
    inputs = browser.find_elements(By.CSS_SELECTOR, ".choice input")
    if keyboard:
        press(browser, str(number))
    else:
        inputs[number - 1].click()
    assert [i.is_selected() for i in inputs] == [n == number - 1 for n in range(len(inputs))]
    chosen = inputs[number - 1].get_attribute("value")
    shoot(browser, f"{at:02}-chosen")
    fits = browser.execute_script(
        "return document.documentElement.scrollWidth <= window.innerWidth")
    assert fits, "the page is wider than the window"
    press(browser, Keys.ENTER) if keyboard else find(browser, "#next").click()
    return chosen


def take_part(browser, code, keyboard):
    """Answers everything; returns the choices."""
    begin(browser, code)
    choices = []
    for at in range(21):
        if at % 7 == 0:
            assert f"Part {at // 7 + 1} of 3" in heading(browser)
            shoot(browser, f"{at:02}-instructions")
            find(browser, "#start").click()
        until(browser, lambda b, at=at: find(b, "#where").text == f"Question {at + 1} of 21")
        choices.append(answer(browser, at % 2 + 1, at, keyboard(at)))
    until(browser, lambda b: heading(b) == "Thank you!")
    severe = [e["message"] for e in browser.get_log("browser") if e["level"] == "SEVERE"]
    assert not severe
    return choices


def test_answers_are_downloaded_and_scored(study, browser, tmp_path):
    browser.get((study / "index.html").as_uri())
    choices = take_part(browser, "p-1", lambda at: at % 4 < 2)
    shoot(browser, "thanks")
    shown = browser.execute_script("return document.querySelector('#answers').value")
    find(browser, "#download").click()
    file = tmp_path / "answers-p-1.json"
    until(browser, lambda b: file.exists())
    content = json.loads(file.read_text())
    assert content == json.loads(shown)
    assert [row["choice"] for row in content["answers"]] == choices
    key = read_key(study)
    assert [key.questions[row["question"]].kind for row in content["answers"]] == sorted(
        (q.kind for q in key.questions.values()),
        key=["real-or-generated", "best", "pair"].index)
    assert not any(m in file.read_text() for m in METHODS)
    on_show = [row["shown_ms"] for row in content["answers"][:7]]
    assert 290 <= np.median(on_show) < 400
    assert main(["study", "score", str(study), "--answers", str(file), "--output",
                 str(tmp_path / "scores.json"), "--failed-checks", "3"]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert sum(s["interval"]["value"] for s in scores["jab"].values()) == pytest.approx(1)


def test_each_participant_has_an_order_of_their_own(study, browser):
    drawn = {}
    for code in ("p-1", "P-1", "p-2"):
        browser.get((study / "index.html").as_uri())
        begin(browser, code)
        find(browser, "#start").click()
        until(browser, lambda b: find(b, ".choice input").is_enabled())
        image = browser.execute_script("return document.querySelector('.shot img').src")
        words = [i.get_attribute("value") for i in browser.find_elements(
            By.CSS_SELECTOR, ".choice input")]
        drawn[code] = image, words
        browser.execute_script("window.onbeforeunload = null")
    assert drawn["p-1"] == drawn["P-1"] != drawn["p-2"]


def test_answers_are_sent_to_the_server(study, browser, tmp_path):
    copy = tmp_path / "study"
    shutil.copytree(study, copy)
    with make_server(copy, "127.0.0.1", 0, lambda text: None) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        browser.get(f"http://127.0.0.1:{server.server_port}/")
        take_part(browser, "p-1", lambda at: True)
        until(browser, lambda b: "are stored" in find(b, "#status").text)
        shoot(browser, "sent")
        assert not find(browser, "#download").is_displayed()
        server.shutdown()
        thread.join()
    assert (copy / "answers" / "answers-p-1.json").is_file()
