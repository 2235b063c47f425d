"""The pages of many pictures in a real browser: a batch, and the acceptance check."""

import base64
import hashlib
import json
import pathlib
import zipfile

import pytest
from app_parts import photo, quick_service, running
from test_app_acceptance import judging

import repose_jax.inference.app

selenium = pytest.importorskip("selenium")
from app_browser import all_was_well, click  # noqa: E402
from browsers import find, shoot, until  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(market_model, tmp_path_factory):
    service = quick_service(market_model)
    judges = judging(service, market_model, tmp_path_factory.mktemp("judge"))
    with running(service, more=judges.extension()) as found:
        yield found


@pytest.fixture
def people(tmp_path):
    """A folder with three photos, a file that is none, two poses and a list of pairs."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        (folder / name).write_bytes(base64.b64decode(photo()["base64"]))
    (folder / "none.png").write_bytes(b"no picture")
    gallery = json.loads((pathlib.Path(repose_jax.inference.app.__file__).with_name(
        "gallery.json")).read_text())
    for entry, name in zip(gallery, ("x.json", "y.json"), strict=False):
        (folder / name).write_text(json.dumps(entry["pose"]))
    (folder / "pairs.csv").write_text("photo,pose\na.png,x.json\nnone.png,x.json\nb.png,y.json\n")
    return folder


def choose(browser, what, folder, *names):
    find(browser, f"#{what}").send_keys("\n".join(str(folder / name) for name in names))
    said = f"#{what}-said"
    until(browser, lambda b: find(b, said).text)


def finished(browser):
    return browser.execute_script(
        "return work.rows.length && work.rows.every(row => ['done', 'failed'].includes(row.state))")


def unpacked(path):
    """The files of a ZIP, whole, and the lines of its list, which tell of them."""
    with zipfile.ZipFile(path) as found:
        assert found.testzip() is None
        files = {name: found.read(name) for name in found.namelist()}
    lines = [json.loads(line) for line in files["manifest.jsonl"].splitlines()]
    for line in lines:
        assert hashlib.sha256(files[line["file"]]).hexdigest() == line["sha256"]
    return files, lines


def test_a_batch_is_paused_resumed_and_saved(browser, address, people, tmp_path):
    browser.get(f"{address}/batch.html")
    until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, "#model option"))
    choose(browser, "photos", people, "a.png", "b.png", "c.png")
    choose(browser, "poses", people, "x.json", "y.json")
    # At once: a slow browser would find the batch at its end.
    browser.execute_script("for (const id of ['run', 'pause']) document.getElementById(id).click()")
    until(browser, lambda b: find(b, "#resume").is_displayed(), 300)
    states = browser.execute_script("return work.rows.map(row => row.state)")
    assert states == ["done"] + ["waiting"] * 5
    assert find(browser, "#progress").get_property("value") == pytest.approx(1 / 6)
    assert find(browser, "#status").text == "1 of 6"
    click(browser, "#resume")
    until(browser, finished, 300)
    until(browser, lambda b: find(b, "#zip").is_displayed())
    click(browser, "#zip")
    until(browser, lambda b: (tmp_path / "repose.zip").exists())
    files, lines = unpacked(tmp_path / "repose.zip")
    assert [(line["source"], line["pose"]) for line in lines] == [
        (photo_, pose) for photo_ in ("a.png", "b.png", "c.png") for pose in ("x.json", "y.json")]
    assert len(files) == 7 and "a_2_x.png" in files
    all_was_well(browser, address)


def test_a_list_of_pairs_and_what_fails_alone(browser, address, people, tmp_path):
    browser.get(f"{address}/batch.html")
    until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, "#model option"))
    choose(browser, "photos", people, "a.png", "none.png")
    choose(browser, "poses", people, "x.json", "y.json")
    choose(browser, "pairs", people, "pairs.csv")
    click(browser, "#run")
    until(browser, lambda b: "b.png: is in the list" in find(b, "#problem").text)
    find(browser, "#photos").send_keys("\n".join(
        str(people / name) for name in ("a.png", "b.png", "none.png")))
    until(browser, lambda b: find(b, "#photos-said").text.startswith("3"))
    click(browser, "#run")
    until(browser, finished, 300)
    states = browser.execute_script("return work.rows.map(row => [row.state, row.error || ''])")
    assert [s for s, _ in states] == ["done", "failed", "done"] and "none.png" in states[1][1]
    assert find(browser, "#status").text == "3 of 3, 1 of them failed"
    shoot(browser, "batch")
    all_was_well(browser, address)


def test_ready_made_poses_a_list_taken_away_and_what_failed_once_more(browser, address, people):
    browser.get(f"{address}/batch.html")
    until(browser, lambda b: find(b, "#run").is_enabled())
    choose(browser, "photos", people, "none.png")
    choose(browser, "pairs", people, "pairs.csv")
    assert find(browser, "#status").text == "3 pictures to be painted"
    click(browser, "#unpair")
    assert not find(browser, "#status").text and not find(browser, "#unpair").is_displayed()
    click(browser, "#ready")
    assert find(browser, "#status").text == "10 pictures to be painted"
    click(browser, "#run")
    until(browser, finished, 120)
    assert find(browser, "#status").text == "10 of 10, 10 of them failed"
    browser.execute_script("window.before = work.rows.map(row => row.error); again()")
    assert browser.execute_script("return work.rows.some(row => row.state === 'waiting')")
    until(browser, finished, 120)
    assert browser.execute_script("return String(work.rows.map(row => row.error)) === String(before)")
    until(browser, lambda b: find(b, "#again").is_displayed())
    all_was_well(browser, address)


def test_own_photos_are_accepted_or_not_and_why(browser, address, people, tmp_path):
    browser.get(f"{address}/accept.html")
    until(browser, lambda b: b.find_elements(By.CSS_SELECTOR, "#model option"))
    assert find(browser, "#pose_error").get_property("value") == "12"
    click(browser, "#run")
    until(browser, lambda b: "choose photos" in find(b, "#problem").text)
    choose(browser, "photos", people, "a.png", "b.png", "none.png")
    browser.execute_script("""for (const [id, value] of Object.entries({pose_error: 900, color: 999,
        detail: 0, detail_most: 99900, share: 60})) document.getElementById(id).value = value""")
    click(browser, "#run")
    until(browser, lambda b: find(b, "#verdict").is_displayed(), 300)
    # Each photo in the pose of the other; the one that is none would have had a result, too.
    assert find(browser, "#said").text == ("Accepted. 2 of 3 pass, 67%; 60% were asked for. "
                                           "1 could not be painted and count as failed.")
    assert "none.png: is not a picture" in find(browser, "#unpainted").text
    assert len(browser.find_elements(By.CSS_SELECTOR, ".card.good")) == 2
    browser.execute_script("""const field = document.getElementById('pose_error'); field.value = 0;
        field.onchange()""")
    until(browser, lambda b: find(b, "#said").text.startswith("Not accepted. 0 of 3 pass"), 60)
    assert "Stands in the wanted pose" in find(browser, ".card.bad li.bad").text
    find(browser, "#language").send_keys("日本語")
    until(browser, lambda b: find(b, "#said").text.startswith("不合格。 3 枚中 0 枚が合格"))
    click(browser, "#zip")
    until(browser, lambda b: (tmp_path / "acceptance.zip").exists(), 60)
    files, lines = unpacked(tmp_path / "acceptance.zip")
    assert [line["failed"] for line in lines] == [["pose_error"]] * 2
    assert '<html lang="ja">' in files["acceptance.html"].decode()
    assert json.loads(files["acceptance.json"])["accepted"] is False
    all_was_well(browser, address)
