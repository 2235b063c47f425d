"""The page in a real browser: upload, drag, undo, save, load, paint, compare; with keys alone, too.

Needs the `browser` extra and Chromium with its driver. Run: `pytest -m slow tests/test_app_browser.py`;
REPOSE_SCREENSHOTS=FOLDER keeps pictures of the pages.
"""

import base64
import hashlib
import json
import pathlib
import zipfile

import pytest
from app_parts import photo, quick_service, running, tiny_service

import repose_jax.inference.app
from repose_jax.inference.app.service import AppService

selenium = pytest.importorskip("selenium")
from browsers import SIZES, chromium, find, press, shoot, until  # noqa: E402
from selenium import webdriver  # noqa: E402
from selenium.webdriver.common.actions.action_builder import ActionBuilder  # noqa: E402
from selenium.webdriver.common.actions.interaction import (  # noqa: E402
    POINTER_MOUSE, POINTER_TOUCH)
from selenium.webdriver.common.actions.pointer_input import PointerInput  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(market_model):
    with running(tiny_service(market_model)) as found:
        yield found


@pytest.fixture(params=SIZES)
def browser(request, tmp_path):
    yield from chromium(request.param, tmp_path)


def opened(browser, address, tmp_path):
    """The page with a photo on it; looks at its end whether all was well."""
    path = tmp_path / "a.png"
    path.write_bytes(base64.b64decode(photo()["base64"]))
    browser.get(address)
    until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, "#gallery button"))
    find(browser, "#photo").send_keys(str(path))
    until(browser, lambda b: find(b, "#poses").is_displayed())
    yield browser
    severe = [e["message"] for e in browser.get_log("browser") if e["level"] == "SEVERE"]
    assert not [line for line in severe if "status of 400" not in line]
    asked = browser.execute_script(
        "return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert asked and all(name.startswith((address, "data:", "blob:")) for name in asked), asked
    assert browser.execute_script(
        "return document.documentElement.scrollWidth <= window.innerWidth")


@pytest.fixture
def page(browser, address, tmp_path):
    yield from opened(browser, address, tmp_path)


@pytest.fixture(scope="module")
def quick_address(market_model):
    with running(quick_service(market_model)) as found:
        yield found


@pytest.fixture
def quick(browser, quick_address, tmp_path):
    """The page before a painter whose pictures are noise, which costs nothing."""
    yield from opened(browser, quick_address, tmp_path)


def pose(browser, name="target"):
    return browser.execute_script(f"return editors.{name}.pose")


def drag(browser, joint, by, name="target"):
    """Drags a joint with mouse or finger by CSS pixels, gripping it a little beside its middle."""
    canvas = find(browser, f"#{name} canvas")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    x, y = browser.execute_script(f"return editors.{name}.place('{joint}')")
    kind = POINTER_TOUCH if browser.size == "phone" else POINTER_MOUSE
    actions = ActionBuilder(browser, mouse=PointerInput(kind, kind))
    actions.pointer_action.move_to_location(round(x) + 4, round(y) + 3).pointer_down()
    actions.pointer_action.move_to_location(round(x) + 4 + by[0], round(y) + 3 + by[1]).pointer_up()
    actions.perform()


def tool(browser, name, box="target"):
    button = find(browser, f"#{box} [data-tool={name}]")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()


def click(browser, selector):
    element = find(browser, selector)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    element.click()


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


def test_a_picture_is_painted_compared_downloaded_and_taken_up_again(page, tmp_path):
    drag(page, "left_wrist", (20, -60))
    drawn = pose(page)
    page.execute_script("document.querySelector('#steps').value = 2")
    click(page, "#paint")
    until(page, lambda b: find(b, "#result").is_displayed(), 300)
    click(page, "#download")
    file = tmp_path / "a-repose-0.png"
    until(page, lambda b: file.exists())
    assert b"generated by AI" in file.read_bytes()
    page.execute_script("const c = document.querySelector('#compare'); c.value = 0; c.oninput()")
    assert "100%" in page.execute_script("return document.querySelector('#before').style.clipPath")
    first = page.execute_script("return document.querySelector('#after').src")
    tool(page, "detected")
    page.execute_script("document.querySelector('#seed').value = 3")
    click(page, "#paint")
    until(page, lambda b: len(b.find_elements(By.CSS_SELECTOR, "#history button")) == 2, 60)
    assert page.execute_script("return document.querySelector('#after').src") != first
    click(page, "#history button:last-child")
    assert page.execute_script("return document.querySelector('#after').src") == first
    assert pose(page) == drawn and find(page, "#seed").get_property("value") == "0"


def test_what_is_drawn_is_what_is_painted(page):
    """The page asks for the very joints on the canvas, and retargets only when it is told to."""
    page.execute_script("""window.asked = []; const real = window.fetch;
        window.fetch = (path, what) => { if (what.body) asked.push([path, JSON.parse(what.body)]);
                                         return real(path, what); }""")
    tool(page, "smaller")
    page.execute_script("document.querySelector('#steps').value = 1")
    click(page, "#paint")
    until(page, lambda b: find(b, "#result").is_displayed(), 300)
    path, asked = page.execute_script("return window.asked[0]")
    assert path == "/jobs" and asked["target"]["joints"] == pose(page) != pose(page, "source")
    assert asked["source"]["joints"] == pose(page, "source")
    assert asked["retarget"] == "none" and asked["target"]["size"] == [256, 128]


def test_a_picture_is_watched_and_stopped_in_the_middle(quick):
    quick.execute_script("document.querySelector('#steps').value = 40")
    click(quick, "#paint")
    until(quick, lambda b: "left" in find(b, "#status").text, 300)
    assert 0 < quick.execute_script("return document.querySelector('#progress').value") < 1
    assert find(quick, "#preview").is_displayed()
    shoot(quick, "painting")
    click(quick, "#cancel")
    until(quick, lambda b: find(b, "#status").text == "Stopped", 10)
    assert not find(quick, "#coming").is_displayed() and not find(quick, "#result").is_displayed()
    quick.execute_script("document.querySelector('#steps').value = 2")
    click(quick, "#paint")
    until(quick, lambda b: find(b, "#result").is_displayed(), 300)


def test_a_grid_of_seeds_and_where_a_picture_comes_from(quick):
    quick.execute_script("""document.querySelector('#steps').value = 2;
        document.querySelector('#variants').value = 3; document.querySelector('#seed').value = 5""")
    click(quick, "#paint")
    until(quick, lambda b: len(b.find_elements(By.CSS_SELECTOR, "#grid button")) == 3, 300)
    shown = [e.text for e in quick.find_elements(By.CSS_SELECTOR, "#grid button")]
    assert shown == ["5", "6", "7"]
    sources = quick.execute_script("return [...document.querySelectorAll('#grid img')].map(i => i.src)")
    assert len(set(sources)) == 3
    click(quick, "#grid button:first-child")
    assert quick.execute_script("return document.querySelector('#after').src") == sources[0]
    assert find(quick, "#download").get_property("download") == "a-repose-5.png"
    click(quick, "#explain")
    until(quick, lambda b: find(b, "#explained").is_displayed(), 300)
    assert quick.execute_script("return document.querySelector('#alignment').naturalWidth") == 128


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


def test_keys_alone_paint_a_picture(quick):
    """From the canvas on, with Tab, Enter and letters, as without mouse or finger."""
    quick.execute_script("document.querySelector('#target canvas').focus()")
    for key in ("n", Keys.ARROW_UP, "]", "+", "-", "["):
        press(quick, key)
    for _ in range(80):
        press(quick, Keys.TAB)
        if quick.execute_script("return document.activeElement.id") == "steps":
            press(quick, Keys.BACKSPACE)
            press(quick, "2")
        if quick.execute_script("return document.activeElement.id") == "paint":
            break
    press(quick, Keys.ENTER)
    until(quick, lambda b: find(b, "#result").is_displayed(), 300)


def test_a_batch_is_paused_resumed_and_saved(browser, quick_address, tmp_path):
    people, made = tmp_path / "in", tmp_path / "repose.zip"
    people.mkdir()
    for name in ("a.png", "b.png"):
        (people / name).write_bytes(base64.b64decode(photo()["base64"]))
    (people / "none.png").write_bytes(b"no picture")
    gallery = json.loads((pathlib.Path(repose_jax.inference.app.__file__).with_name(
        "gallery.json")).read_text())
    for entry in gallery[:2]:
        (people / f"{entry['name']}.json").write_text(json.dumps(entry["pose"]))
    poses = [people / f"{entry['name']}.json" for entry in gallery[:2]]
    (people / "pairs.csv").write_text("photo,pose\n" + "\n".join(
        f"{name},{poses[0].name}" for name in ("a.png", "none.png", "b.png")))
    browser.get(f"{quick_address}/batch.html")
    until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, "#model option"))
    find(browser, "#photos").send_keys("\n".join(str(people / n) for n in ("a.png", "none.png")))
    find(browser, "#poses").send_keys("\n".join(map(str, poses)))
    find(browser, "#pairs").send_keys(str(people / "pairs.csv"))
    click(browser, "#run")
    until(browser, lambda b: "b.png: is in the list" in find(b, "#problem").text)
    find(browser, "#photos").send_keys("\n".join(
        str(people / n) for n in ("a.png", "b.png", "none.png")))
    until(browser, lambda b: find(b, "#photos-said").text.startswith("3"))
    # At once: a slow browser would find the batch at its end.
    browser.execute_script("for (const id of ['run', 'pause']) document.getElementById(id).click()")
    until(browser, lambda b: find(b, "#resume").is_displayed(), 300)
    states = browser.execute_script("return work.rows.map(row => row.state)")
    assert states == ["done", "waiting", "waiting"]
    click(browser, "#resume")
    until(browser, lambda b: browser.execute_script(
        "return work.rows.every(row => ['done', 'failed'].includes(row.state))"), 300)
    states = browser.execute_script("return work.rows.map(row => [row.state, row.error || ''])")
    assert [s for s, _ in states] == ["done", "failed", "done"] and "none.png" in states[1][1]
    shoot(browser, "batch")
    until(browser, lambda b: find(b, "#zip").is_displayed())
    click(browser, "#zip")
    until(browser, lambda b: made.exists())
    with zipfile.ZipFile(made) as found:
        assert found.testzip() is None
        lines = [json.loads(line) for line in found.read("manifest.jsonl").splitlines()]
        assert [line["source"] for line in lines] == ["a.png", "b.png"]
        for line in lines:
            assert hashlib.sha256(found.read(line["file"])).hexdigest() == line["sha256"]
    severe = [e["message"] for e in browser.get_log("browser") if e["level"] == "SEVERE"]
    assert not [line for line in severe if "status of 400" not in line]
    assert browser.execute_script(
        "return document.documentElement.scrollWidth <= window.innerWidth")


def test_a_token_comes_with_the_address(browser, market_model):
    with running(tiny_service(market_model), token="s3cret") as address:
        browser.get(f"{address}/#token=s3cret")
        until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, "#gallery button"))
        browser.get("about:blank")
        browser.get(address)
        until(browser, lambda b: "Authorization" in find(b, "#problem").text)


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


def test_the_bundled_model_paints_a_rendered_person(browser, tmp_path):
    """What docs/app.md shows: REPOSE_SCREENSHOTS=docs writes its pictures."""
    path = pathlib.Path(__file__).parents[1] / "examples" / "person-a.png"
    with running(AppService(["people"])) as address:
        browser.get(address)
        until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, "#gallery button"))
        find(browser, "#photo").send_keys(str(path))
        until(browser, lambda b: find(b, "#poses").is_displayed(), 120)
        assert len(pose(browser)) >= 12
        before = pose(browser)
        click(browser, "#gallery button[data-name=waving]")
        until(browser, lambda b: pose(b) != before)
        drag(browser, "left_wrist", (6, -12))
        click(browser, "#paint")
        until(browser, lambda b: find(b, "#result").is_displayed(), 300)
        assert not find(browser, "#problem").is_displayed()
        shoot(browser, "app", whole=True)
