"""The page's pose editor in a real browser: drag, undo, keys, save, load, mistakes, languages.

Needs the `browser` extra and Chromium with its driver: `pytest -m slow tests/test_app_browser*.py`.
REPOSE_SCREENSHOTS=FOLDER keeps pictures of the pages.
"""

import json

import pytest
from app_parts import running, tiny_service

selenium = pytest.importorskip("selenium")
from app_browser import click, drag, pose, tool  # noqa: E402
from browsers import find, press, shoot, until  # noqa: E402
from selenium import webdriver  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

pytestmark = pytest.mark.slow


def test_a_joint_is_dragged_and_taken_back(page):
    before = pose(page)
    factor = page.execute_script("return editors.target.factor")
    drag(page, "left_wrist", (30, -40))
    after = pose(page)
    assert after["left_wrist"] == pytest.approx(
        [before["left_wrist"][0] + 30 / factor, before["left_wrist"][1] - 40 / factor], abs=0.01)
    assert {j: xy for j, xy in after.items() if j != "left_wrist"} == {
        j: xy for j, xy in before.items() if j != "left_wrist"}
    assert pose(page, "source") == before, "the pose in the photo moved along"
    assert "left wrist" in find(page, "#target .said").text
    tool(page, "undo")
    assert pose(page) == before
    tool(page, "redo")
    assert pose(page) == after
    tool(page, "detected")
    assert pose(page) == before


def test_what_hangs_on_a_joint_moves_along_when_asked(page):
    before = pose(page)
    click(page, "#target .tools input[type=checkbox]")
    drag(page, "left_elbow", (-10, -20))
    after = pose(page)
    moved = {j for j in before if after[j] != before[j]}
    assert moved == {"left_elbow", "left_wrist"}


def test_joints_go_and_come_back_and_sides_change(page):
    before = pose(page)
    drag(page, "right_ankle", (0, 0))
    tool(page, "remove")
    assert set(pose(page)) == set(before) - {"right_ankle"}
    click(page, "#target .missing button[data-joint=right_ankle]")
    assert pose(page) == before
    tool(page, "flip")
    flipped = pose(page)
    left, right = before["left_wrist"], before["right_wrist"]
    assert flipped["left_wrist"][1] == right[1] and flipped["right_wrist"][1] == left[1]
    assert flipped["left_wrist"][0] - flipped["right_wrist"][0] == pytest.approx(left[0] - right[0])
    tool(page, "flip")
    assert pose(page) == {j: pytest.approx(xy) for j, xy in before.items()}


def test_keys_alone_will_do(page):
    before = pose(page)
    canvas = find(page, "#target canvas")
    page.execute_script("arguments[0].focus()", canvas)
    for _ in range(3):
        press(page, "n")
    chosen = page.execute_script("return editors.target.chosen")
    assert chosen == "right_shoulder"
    press(page, Keys.ARROW_RIGHT)
    press(page, Keys.ARROW_UP)
    step = 2 / page.execute_script("return editors.target.factor")
    assert pose(page)[chosen] == pytest.approx([before[chosen][0] + step, before[chosen][1] - step])
    press(page, Keys.DELETE)
    assert chosen not in pose(page)
    for _ in range(3):
        webdriver.ActionChains(page).key_down(Keys.CONTROL).send_keys("z").key_up(
            Keys.CONTROL).perform()
    assert pose(page) == before
    press(page, Keys.TAB)
    assert page.execute_script("return document.activeElement.tagName") != "CANVAS", "a trap"


def test_a_pose_is_saved_and_loaded_again(page, tmp_path):
    drag(page, "left_wrist", (20, -60))
    drawn = pose(page)
    click(page, "#save")
    file = tmp_path / "pose.json"
    until(page, lambda b: file.exists())
    people = json.loads(file.read_text())["people"]
    assert len(people[0]["pose_keypoints_2d"]) == 54
    tool(page, "detected")
    click(page, "#fit")
    find(page, "#pose-file").send_keys(str(file))
    until(page, lambda b: pose(b)["left_wrist"] == pytest.approx(drawn["left_wrist"], abs=0.01))
    # OpenPose has no top of the head; all others are there.
    assert set(pose(page)) == set(drawn) - {"head_top"}


def test_limbs_and_head_are_scaled_and_the_view_is_enlarged(page):
    before = pose(page)
    page.execute_script("editors.target.chosen = 'left_elbow'; editors.target.scale(1.5)")
    after = pose(page)
    from_, old, new = (p[j] for p, j in ((before, "left_shoulder"), (before, "left_elbow"),
                                         (after, "left_elbow")))
    assert new == pytest.approx([from_[i] + 1.5 * (old[i] - from_[i]) for i in (0, 1)])
    forearm = [[p["left_wrist"][i] - p["left_elbow"][i] for i in (0, 1)] for p in (before, after)]
    assert forearm[0] == pytest.approx(forearm[1]), "the forearm kept its length"
    assert {j for j in before if before[j] != after[j]} == {"left_elbow", "left_wrist"}
    tool(page, "undo")
    assert pose(page) == before
    page.execute_script("editors.target.chosen = 'head_top'")
    tool(page, "larger")
    assert {j for j in before if before[j] != pose(page)[j]} == {"head_top"}
    tool(page, "undo")
    factor = page.execute_script("return editors.target.factor")
    page.execute_script("editors.target.chosen = 'left_wrist'")
    tool(page, "zoomin")
    assert page.execute_script("return editors.target.factor") == pytest.approx(1.5 * factor)
    drag(page, "left_wrist", (30, -15))
    moved = pose(page)["left_wrist"]
    assert moved == pytest.approx([before["left_wrist"][0] + 20 / factor,
                                   before["left_wrist"][1] - 10 / factor], abs=0.01)
    for _ in range(2):
        tool(page, "zoomout")
    assert page.execute_script("return editors.target.factor") == pytest.approx(factor)


def test_a_mistake_is_one_line_and_the_page_goes_on(page, tmp_path):
    broken = tmp_path / "broken.json"
    broken.write_text('{"skeleton": "openpose18", "joints": {"tail": [1, 2]}}')
    before = pose(page)
    find(page, "#pose-file").send_keys(str(broken))
    until(page, lambda b: find(b, "#problem").is_displayed())
    assert find(page, "#problem").text.startswith("broken.json: ")
    assert pose(page) == before
    named = tmp_path / "<img src=x onerror=alert(1)>.png"
    named.write_bytes(b"no picture")
    find(page, "#photo").send_keys(str(named))
    until(page, lambda b: "is not a picture" in find(b, "#problem").text)
    assert "<img src=x" in find(page, "#problem").text, "the name became markup"
    click(page, "#gallery button[data-name=arms-up]")
    until(page, lambda b: pose(b) != before)
    assert not find(page, "#problem").is_displayed()


def test_both_languages(page):
    find(page, "#language").send_keys("日本語")
    until(page, lambda b: find(b, "#paint").text == "描く")
    assert page.execute_script("return document.documentElement.lang") == "ja"
    assert not page.execute_script(
        "return [...document.querySelectorAll('[data-t]')].some(e => e.textContent === e.dataset.t)")
    shoot(page, "japanese")


def test_a_token_comes_with_the_address(browser, market_model):
    with running(tiny_service(market_model), token="s3cret") as address:
        browser.get(f"{address}/#token=s3cret")
        until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, "#gallery button"))
        browser.get("about:blank")
        browser.get(address)
        until(browser, lambda b: "Authorization" in find(b, "#problem").text)
