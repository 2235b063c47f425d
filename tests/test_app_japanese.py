"""The library's lines in Japanese: that the table has all, none too many, and what a reader sees."""

import ast
import importlib
import io
import json
import pathlib
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
from app_parts import file, photo
from PIL import Image

from repose_jax.inference.app import japanese
from repose_jax.inference.app.japanese import error_in_japanese, note_in_japanese
from repose_jax.inference.app.requests import File, PhotoRequest
from repose_jax.pose.formats import read_pose
from repose_jax.pose.people import choose_person
from repose_jax.pose.retarget import describe, inside_frame, retarget
from repose_jax.pose.skeleton import OPENPOSE18

TABLE = json.loads(pathlib.Path(japanese.__file__).with_suffix(".json").read_text(encoding="utf-8"))
LEAD = japanese._LEAD
GALLERY = json.loads(pathlib.Path(japanese.__file__).with_name("gallery.json").read_text())

# The modules that a request passes through, and the calls that begin an error there.
MODULES = """common.fields common.provenance common.ranges data.image.files
    inference.app.jobs inference.app.requests inference.app.serve inference.app.service
    inference.detection.photo_pose inference.model_frame inference.pipeline
    models.pose_energy_file models.sample_config models.sample_overrides
    pose.detectors pose.formats pose.joint_names pose.pose_json pose.pose_rules pose.pose_text
    pose.pose_writers pose.raw_poses studies.acceptance_limits studies.acceptance_service""".split()
ERRORS = {"UserError": (1, 2), "TooMany": (1, 2), "Conflict": (1, 2), "_Refused": (2, 3),
          "Fault": (0, None), "NotAPose": (0, None)}

# What these modules say, but to nobody who uses the page, and why.
NOT_MET = {
    "a file's name or place, and the page sends contents": {
        "is not a PNG's name", "let the output end in .png", "does not exist", "cannot be read ({})",
        "give a file", "check the path", "says that nobody is in the photo",
        "take it away, and the pose is estimated", "is {}x{}, the folder's first picture {}x{}",
        "give the size to bring all to"},
    "arrays of Python": {"is {} {}", "give uint8 [h, w, 3]"},
    "the server's start": {
        "is not a job", "take it away, or give another --jobs", "has two models of one name",
        "name each once", "holds a network of kind {}", "give one of kind {}",
        "would judge what it guided", "judge with another estimator", "is for {}, the model for {}",
        "name one of the model's skeleton", "is for pictures of {}x{}, the model for {}x{}",
        "name one of the model's size"},
    "settings that the page does not ask for": {
        "is {} to {}", "give two numbers from 0 (noise) to 1 (picture), the lower first",
        "is {}, and {} adds no noise", "give 0, or the sampler ddim", "give X0 Y0 X1 Y1 in its pixels",
        "is {}, and sampling begins with noise", "give 1, or a start below 1"},
    "one of many poses by its name": {"has {} named {}", "it has {}"},
    "limits in a file": {
        "is larger than {} bytes", "give a file of limits alone", "is no TOML ({})", "give a TOML file",
        "write lines like pose_error = 0.08", "has the unknown name {}", "use {}", "{} {}"},
    "ends in another sentence, below": {"{}, in {}"},
}
# Sentences that are put together of several, or come from modules that say much else.
COMPOSED = {
    "has {} joints where detectors have {}, in {}", "line {} ({}) {}", "line {} {}", "was stopped",
    "ask again", "is missing: no bundled one suits {}",
    "give a pose estimator of the model's size and skeleton as --judge"}


def text_of(node, module):
    """A string of the source with {} for its values; None for what is no string there."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    if isinstance(node, ast.Name):
        return found if isinstance(found := getattr(module, node.id, None), str) else None
    return None


def sentences():
    """(what is wrong, what to do) as the modules say it, and every string that they hold."""
    what, mend, every = set(), set(), set()
    for name in MODULES:
        module = importlib.import_module(f"repose_jax.{name}")
        for node in ast.walk(ast.parse(pathlib.Path(module.__file__).read_text(encoding="utf-8"))):
            every.add(text_of(node, module))
            if isinstance(node, ast.Call):
                called = getattr(node.func, "id", getattr(node.func, "attr", ""))
                places = ERRORS.get(called) or (
                    (1, None) if ast.unparse(node.func) == "faults.setdefault" else None)
                if places is not None:
                    for place, found in zip(places, (what, mend), strict=True):
                        if place is not None:
                            found.add(text_of(node.args[place], module))
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).startswith("faults["):
                what.add(text_of(node.value, module))
    return what - {None}, mend - {None}, every


def test_every_error_that_a_route_can_raise_has_its_line():
    what, mend, _ = sentences()
    left_out = set().union(*NOT_MET.values())
    assert len(what) > 100 and len(mend) > 50
    assert what - left_out <= set(TABLE["what"]) and mend - left_out <= set(TABLE["mend"])
    assert left_out <= what | mend, "a reason for what nothing says any longer"
    assert not left_out & (set(TABLE["what"]) | set(TABLE["mend"]))


def test_no_module_of_errors_is_forgotten():
    """Of the rooms that requests pass through, but for what commands and clients alone load."""
    root = pathlib.Path(japanese.__file__).parents[2]
    raising = {".".join(path.relative_to(root).with_suffix("").parts)
               for room in ("inference", "pose") for path in (root / room).rglob("*.py")
               if "raise UserError(" in path.read_text(encoding="utf-8")}
    assert raising - set(MODULES) == {
        "inference.app.client", "inference.export", "inference.detection.mediapipe",
        "inference.detection.rtmpose"}


def test_no_line_has_outlived_its_sentence():
    _, _, every = sentences()
    assert set(TABLE["what"]) | set(TABLE["mend"]) <= every | COMPOSED
    for part in TABLE.values():
        for english, text in part.items():
            japanese_values = text.format(*(f"<{i}>" for i in range(english.count("{}"))))
            assert japanese_values and "{}" not in text, english


def in_japanese(address, path, values):
    """The answer to a request of a reader of Japanese."""
    body = values if isinstance(values, bytes) else json.dumps(values).encode()
    request = urllib.request.Request(address + path, body, {
        "Content-Type": "application/json", "Accept-Language": "ja-JP,ja;q=0.9,en;q=0.8"})
    try:
        with urllib.request.urlopen(request) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as error:
        return json.load(error)


def poses(*texts):
    return [("/pose", {"file": file("p.txt", text.encode()), "size": [256, 128]}) for text in texts]


def huge():
    content = io.BytesIO()
    Image.fromarray(np.zeros((8000, 8000), bool)).save(content, "PNG")
    return file("huge.png", content.getvalue())


OWN = {"skeleton": "market14", "size": [256, 128], "unit": "pixels", "joints": {"neck": [60, 40]}}
MISTAKES = [
    ("/photo", {"photo": file("a.png", b"x")}), ("/photo", {"photo": file("a.png", b"")}),
    ("/photo", {"photo": {"name": "a.png", "base64": "?"}}), ("/photo", {"photo": huge()}),
    ("/photo", {"photo": 3}), ("/photo", {"photo": photo(), "more": 1}), ("/photo", {}),
    ("/photo", {"photo": photo(), "model": "x"}), ("/photo", b"{"), ("/photo", b"\xff"), ("/no", {}),
    ("/photo", {"photo": {"name": "a.png", "base64": photo()["base64"][:400]}}),
    *poses("", "hello", "1 2\n3 4\n", "[", "{}", "[1]",
           '{"people": 3}', '{"people": [3]}', '{"people": []}',
           '{"skeleton": "x", "joints": {}}', '{"skeleton": "market14", "joints": []}',
           '{"skeleton": "market14", "joints": {"tail": [1, 2]}}',
           '{"skeleton": "market14", "joints": {"neck": [1]}}', '{"joints": {"neck": [NaN, 1]}}',
           '{"skeleton": "market14", "joints": {"neck": ["a", 1]}}', "a:[1]:[1, 2]\n", "a:b\nc:d\n",
           '{"people": [{"pose_keypoints_2d": [1, 2, 3]}]}', '{"annotations": [{"keypoints": [1, 2]}]}',
           '{"annotations": [{"keypoints": [[1, 2, 1], [3, 4, 1]]}]}', '{"landmarks": [1]}',
           '{"skeleton": "market14", "unit": "miles", "joints": {"neck": [1, 2]}}',
           '{"skeleton": "market14", "image_height": 3, "joints": {"neck": [1, 2]}}'),
    ("/pose", {"file": file("p.txt", b"\xff\xfe\x00"), "size": [256, 128]}),
    ("/pose", {"file": file("p.json", json.dumps(OWN).encode()), "size": [0, 128]}),
    ("/pose", {"file": file("p.json", json.dumps(OWN).encode()), "size": [256]}),
    ("/pose", {"file": file("p.json", json.dumps(OWN).encode()), "size": [256, 128],
               "source": OWN | {"size": [1, 1]}}),
    ("/pose", {"file": file("p.json", json.dumps(OWN).encode()), "size": [256, 128], "source": OWN}),
    ("/save", {"pose": 3}), ("/save", {"pose": OWN, "format": "word"}),
    *[("/paint", {"photo": photo(), "source": OWN, "target": OWN} | more) for more in (
        {"seed": -1}, {"seed": "1"}, {"steps": 10**9}, {"steps": True},
        {"target_weight": 1.0, "steps": 1}, {"consent": "\n"}, {"target": None},
        {"source_weight": "much"}, {"retarget": "all"})],
]


def test_every_mistake_is_said_in_japanese(address, market_model):
    for path, values in MISTAKES:
        if isinstance(values, dict) and path != "/save":
            values = {"model": market_model.name} | values
        answer = in_japanese(address, path, values)
        error = answer["error"]
        assert error.endswith("。") and not error.startswith(LEAD) and "\n" not in error, (path, error)
        # In English alone to all others.
        body = values if isinstance(values, bytes) else json.dumps(values).encode()
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(urllib.request.Request(address + path, body, {
                "Content-Type": "application/json"}))
        assert error_in_japanese(json.load(raised.value)["error"]) == error and error.isascii() is False


def test_a_photo_with_nobody_in_it(service, address, market_model, monkeypatch):
    transfer = service.transfer(market_model.name)
    monkeypatch.setattr(transfer.detector, "people", lambda image, box=None: (
        np.zeros((0, 14, 3), np.float32), transfer.skeleton))
    answer = in_japanese(address, "/photo", {"model": market_model.name, "photo": photo()})
    assert answer["pose"] is None
    note, = answer["notes"]
    assert note.startswith("a.png：人物が見つかりません（known）。") and note.endswith("してください。")
    job = in_japanese(address, "/jobs", {"model": market_model.name, "photo": photo(), "target": OWN})
    while job["state"] in ("waiting", "painting"):
        time.sleep(0.05)
        request = urllib.request.Request(
            f"{address}/jobs/{job['id']}", headers={"Accept-Language": "ja"})
        job = json.load(urllib.request.urlopen(request))
    assert job["error"].startswith("a.png：人物が見つかりません")


def is_said(note):
    said = note_in_japanese(note)
    assert not said.startswith(LEAD) and not said.isascii(), note
    # Words of the library that are left; names of files, joints and models are not its words.
    assert not {"the", "of", "to", "and", "joints", "scaled"} & set(said.split()), said
    return said


def test_notes_on_poses_are_said_in_japanese(service, market_model):
    found = [read_pose("p", content=json.dumps(each["pose"]).encode()).pose for each in GALLERY]
    for one in found[1:]:
        done = retarget(found[0], one * [1.1, 0.8, 1], OPENPOSE18, "bones")
        is_said(f"a.json: {describe(done, OPENPOSE18)}")
        for by in ([3, 1, 1], [1, 1, 1]):
            _, note = inside_frame(done.pose * by, found[0], OPENPOSE18, (256, 128))
            assert note is None or is_said(f"a: b.json: {note}")
    said = is_said("a: retargeted to the source's body: scaled to 110 %; for that size, "
                   "legs 4 % shorter, head 2 % larger")
    assert said.endswith("大きさ 110 %、そのうえで脚を 4 % 短く、頭を 2 % 大きく")
    _, note = choose_person(np.stack(found[:2]), "largest")
    is_said(f"b.png: {note}")
    for note in service.photo(PhotoRequest(
            model=market_model.name, photo=File(**photo(300))))["notes"]:
        is_said(note)
    for corners in (1, 2):
        joints = {joint: [0, 0] if i < corners else [50 + 3 * i, 60 + 5 * i, 0.1 if i == 9 else 1]
                  for i, joint in enumerate(OPENPOSE18.joints)}
        noted = read_pose("p.json", content=json.dumps({"keypoints": joints}).encode()).notes
        assert len(noted) == 2
        for note in noted:
            is_said(note)
    for note in ("converted from market14 to openpose18, which leaves out head_top, nose",
                 "a.png: resized from 300x100 to 128x43 and padded to 128x64",
                 "a.json: 3 joints lie outside of the picture",
                 "a.json: 2 joints of a confidence below 0.3 left out",
                 "a.json: b cannot be used: has no rows"):
        is_said(note)


def test_a_stranger_s_words_are_only_quoted():
    """A name may look like a sentence, hold marks, or be long: that costs no time."""
    assert error_in_japanese("a: b; c.png: is empty; give a pose file") == (
        "a: b; c.png：空です。ポーズのファイルを選んでください。")
    assert error_in_japanese("{0}.png: is empty; give a pose file").startswith("{0}.png：")
    assert error_in_japanese("zzz: is odd; do") == f"{LEAD}zzz: is odd; do"
    start = time.process_time()
    for word in ("a: b; ", "x to ", "line 1 ", "has {} in {}, ", "(", ": is x; give x"):
        for count in (300, 300_000):
            assert len(error_in_japanese(word * count)) and len(note_in_japanese(f"n: {word * count}"))
    assert time.process_time() - start < 5
