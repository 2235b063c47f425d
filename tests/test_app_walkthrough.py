"""The whole way through the page with a bundled model, as docs/app.md tells it, in a real browser.

REPOSE_SCREENSHOTS=docs writes the pictures of docs/app.md.
"""

import json
import pathlib
import re

import pytest
from app_parts import running

from repose_jax.inference.app.service import AppService

selenium = pytest.importorskip("selenium")
from app_browser import all_was_well, click, drag, pose, tool  # noqa: E402
from browsers import find, press, shoot, until  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from test_app_browser_many import finished, unpacked  # noqa: E402

from repose_jax.studies.acceptance_service import AcceptanceService  # noqa: E402

pytestmark = pytest.mark.slow
EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"
PEOPLE = [str(EXAMPLES / f"person-{letter}.png") for letter in "abc"]
POSES = [str(EXAMPLES / f"pose-{name}.json") for name in ("arms", "turned", "walking")]


@pytest.fixture(scope="module")
def address():
    service = AppService(["people"])
    with running(service, more=AcceptanceService(service).extension()) as found:
        yield found


def painted(browser, count):
    until(browser, lambda b: len(b.find_elements(By.CSS_SELECTOR, "#history button")) == count, 300)
    until(browser, lambda b: find(b, "#paint").is_enabled())


def test_one_picture(browser, address, tmp_path):
    browser.get(address)
    until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, "#gallery button"), 60)
    find(browser, "#photo").send_keys(PEOPLE[0])
    until(browser, lambda b: find(b, "#poses").is_displayed(), 120)
    detected = pose(browser)
    assert len(detected) >= 12
    click(browser, "#gallery button[data-name=waving]")
    until(browser, lambda b: pose(b) != detected, 60)
    before = pose(browser)
    drag(browser, "left_wrist", (6, -12))
    drawn = pose(browser)
    assert drawn != before
    tool(browser, "undo")
    assert pose(browser) == before
    tool(browser, "redo")
    click(browser, "#paint")
    painted(browser, 1)
    assert not find(browser, "#problem").is_displayed()
    shoot(browser, "app", whole=True)
    browser.execute_script("const c = document.querySelector('#compare'); c.value = 0; c.oninput()")
    assert "100%" in browser.execute_script("return document.querySelector('#before').style.clipPath")
    click(browser, "#download")
    until(browser, lambda b: (tmp_path / "person-a-repose-0.png").exists())
    click(browser, "#save")
    saved = tmp_path / "pose.json"
    until(browser, lambda b: saved.exists())
    assert len(json.loads(saved.read_text())["people"][0]["pose_keypoints_2d"]) == 54
    tool(browser, "detected")
    assert pose(browser) == detected
    click(browser, "#fit")
    find(browser, "#pose-file").send_keys(str(saved))
    until(browser, lambda b: pose(b) == {j: pytest.approx(xy, abs=0.01) for j, xy in drawn.items()}, 60)
    click(browser, "#explain")
    until(browser, lambda b: find(b, "#explained").is_displayed(), 300)
    browser.execute_script("document.querySelector('#variants').value = 16")
    click(browser, "#paint")
    until(browser, lambda b: len(b.find_elements(By.CSS_SELECTOR, "#history button")) >= 2, 300)
    browser.execute_script("document.querySelector('#cancel').click()")
    until(browser, lambda b: find(b, "#status").text == "Stopped", 60)
    made = len(browser.find_elements(By.CSS_SELECTOR, "#history button"))
    assert 2 <= made < 17 and find(browser, "#paint").is_enabled()
    all_was_well(browser, address)


def test_no_english_is_left_in_japanese(browser, address):
    """On the example; names of models, files and formats are no English."""
    if browser.size == "phone":
        pytest.skip("the words are the same")
    browser.get(address)
    until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, "#gallery button"), 60)
    find(browser, "#language").send_keys("日本語")
    click(browser, "#example")
    until(browser, lambda b: find(b, "#pose-notes").text, 300)
    assert "がポーズを推定しました" in find(browser, "#pose-notes").text
    click(browser, "#gallery button[data-name=waving]")
    until(browser, lambda b: "写真の人物の体に合わせました" in find(b, "#pose-notes").text, 60)
    click(browser, "#paint")
    painted(browser, 1)
    shoot(browser, "app-ja", whole=True)
    text = browser.execute_script("return document.querySelector('main').innerText")
    assert set(re.findall("[A-Za-z]{3,}(?: [A-Za-z]+)+", text)) == {"OpenPose JSON"}
    find(browser, "#language").send_keys("English")
    assert find(browser, "#history button").text == "seed 0, 0 steps"
    all_was_well(browser, address)


def test_a_batch(browser, address, tmp_path):
    browser.get(f"{address}/batch.html")
    until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, "#model option"), 60)
    find(browser, "#photos").send_keys("\n".join(PEOPLE))
    find(browser, "#poses").send_keys("\n".join(POSES))
    click(browser, "#run")
    until(browser, finished, 300)
    until(browser, lambda b: find(b, "#zip").is_displayed())
    shoot(browser, "app-batch", whole=True)
    click(browser, "#zip")
    until(browser, lambda b: (tmp_path / "repose.zip").exists())
    assert len(unpacked(tmp_path / "repose.zip")[1]) == 9
    all_was_well(browser, address)


def test_an_acceptance_check(browser, address):
    browser.get(f"{address}/accept.html")
    until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, "#model option"), 60)
    find(browser, "#photos").send_keys("\n".join(PEOPLE))
    find(browser, "#poses").send_keys("\n".join(POSES))
    browser.execute_script("document.querySelector('#per_photo').value = 2")
    click(browser, "#run")
    until(browser, lambda b: find(b, "#verdict").is_displayed(), 400)
    assert len(browser.find_elements(By.CSS_SELECTOR, ".card")) == 6
    shoot(browser, "app-accept", whole=True)
    all_was_well(browser, address)


def test_keys_alone(browser, address, tmp_path):
    """But for the file, which a browser's own window asks for."""
    if browser.size == "phone":
        pytest.skip("has no keys")
    browser.get(address)
    until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, "#gallery button"), 60)
    find(browser, "#photo").send_keys(PEOPLE[1])
    until(browser, lambda b: find(b, "#poses").is_displayed(), 120)
    detected = pose(browser)

    def tab_to(what):
        for _ in range(90):
            press(browser, Keys.TAB)
            if browser.execute_script("return document.activeElement.matches(arguments[0])", what):
                return
        raise AssertionError(f"{what} is not reached")

    browser.execute_script("document.querySelector('#language').focus()")
    tab_to("#gallery button[data-name=arms-out]")
    press(browser, Keys.ENTER)
    until(browser, lambda b: pose(b) != detected, 60)
    tab_to("#paint")
    press(browser, Keys.ENTER)
    painted(browser, 1)
    tab_to("#compare")
    value = find(browser, "#compare").get_property("value")
    press(browser, Keys.ARROW_RIGHT)
    assert find(browser, "#compare").get_property("value") != value
    tab_to("#download")
    press(browser, Keys.ENTER)
    until(browser, lambda b: (tmp_path / "person-b-repose-0.png").exists())
    all_was_well(browser, address)
