"""The acceptance check of the page: the verdict is that of `repose accept`, mistakes are lines."""

import base64
import io
import json
import re

import jax
import numpy as np
import pytest
from app_parts import file, photo, running, tiny_service
from PIL import Image
from test_app_jobs import call

from repose_jax.common.errors import UserError
from repose_jax.common.provenance import png_content, text_of
from repose_jax.inference.app.requests import PaintRequest, PhotoRequest, parse
from repose_jax.models.pose_predictor import PoseReader
from repose_jax.models.weights import save_weights
from repose_jax.networks.pose_estimator import EstimatorConfig, fresh_estimator
from repose_jax.studies.acceptance import Judges, accept
from repose_jax.studies.acceptance_limits import Thresholds
from repose_jax.studies.acceptance_service import AcceptanceRequest, AcceptanceService, PairsRequest


def judging(app, model, folder):
    """The check of a service of the tiny model, with a judge that nothing has taught."""
    path = folder / "judge.safetensors"
    config = EstimatorConfig(image_size=(32, 16), skeleton="market14", channels=(8, 8), groups=4)
    save_weights(path, "estimator", config, jax.jit(fresh_estimator(config))(jax.random.key(0)), {})
    found = AcceptanceService(app)
    found._judges[model.name] = Judges(PoseReader.load(path), None)
    return found


@pytest.fixture(scope="module")
def service(market_model, tmp_path_factory):
    return judging(tiny_service(market_model), market_model, tmp_path_factory.mktemp("judge"))


@pytest.fixture(scope="module")
def asked(service, market_model):
    """A request for the verdict on two photos in each other's poses, painted by the page."""
    app, results = service._app, []
    photos = {name: photo(height, name) for name, height in (("a.png", 256), ("b.png", 128))}
    poses = {name: app.photo(parse(PhotoRequest, json.dumps(
        {"model": market_model.name, "photo": content}).encode()))["pose"]
        for name, content in photos.items()}
    for source, pose in (("a.png", "b.png"), ("b.png", "a.png")):
        answer = app.paint(parse(PaintRequest, json.dumps({
            "model": market_model.name, "photo": photos[source], "source": poses[source],
            "target": poses[pose], "retarget": "bones", "steps": 2}).encode()))
        results.append({
            "source": source, "pose": pose, "photo": {"name": source, "base64": answer["source"]},
            "picture": {"name": "made.png", "base64": answer["picture"]},
            "source_pose": poses[source], "target_pose": poses[pose]})
    return {"model": market_model.name, "results": results}


def judge(service, **values):
    return service.judge(parse(AcceptanceRequest, json.dumps(values).encode()))


def test_the_verdict_is_that_of_the_command(service, asked, tmp_path):
    app, paths = service._app, []
    for name, height in (("a.png", 256), ("b.png", 128)):
        paths.append(tmp_path / name)
        paths[-1].write_bytes(base64.b64decode(photo(height, name)["base64"]))
    transfer = app.transfer(asked["model"])
    sample, transfer.sample = transfer.sample, transfer.sample.__class__(
        **{**vars(transfer.sample), "steps": 2})
    try:
        ours = accept(transfer, paths, [], judges=service._judges[asked["model"]],
                      thresholds=Thresholds(share=0))
    finally:
        transfer.sample = sample
    theirs = judge(service, **asked, limits={"share": 0}, report="en")
    assert theirs["numbers"]["share"] == ours.share and theirs["passed"] == ours.passed
    for mine, other in zip(ours.to_dict()["results"], theirs["numbers"]["results"], strict=True):
        assert (mine["source"], mine["pose"]) == (other["source"], other["pose"])
        for name in ("pose_error", "color", "detail"):  # in another batch, so up to rounding
            assert other[name] == pytest.approx(mine[name], abs=0.02), name


def test_limits_decide_and_what_is_lost_counts_as_failed(service, asked):
    free = {"pose_error": 9, "color": 999, "detail": 0, "detail_most": 999}
    found = judge(service, **asked, limits=free)
    assert found["accepted"] and found["passed"] == found["asked"] == 2 and "report" not in found
    found = judge(service, **asked, limits=free, refused=[
        {"name": "c.png", "why": "c.png: is damaged", "results": 2}])
    assert not found["accepted"] and (found["passed"], found["asked"], found["lost"]) == (2, 4, 2)
    found = judge(service, **asked, limits=free | {"pose_error": 0})
    assert [r["failed"] for r in found["results"]] == [["pose_error"]] * 2
    check = found["checks"][0]
    assert check == {"name": "pose_error", "bounds": {"most": "0"},
                     "count": {"failed": 2, "judged": 2, "missing": 0}}
    assert {c["state"] for c in found["results"][0]["checks"] if c["name"] == "identity"} == {"none"}


def test_the_report_is_a_page_of_its_own_in_either_language(service, asked):
    for language, word in (("en", "Acceptance of"), ("ja", "受け入れ検査")):
        report = judge(service, **asked, report=language)["report"]
        assert f'<html lang="{language}">' in report and word in report
        assert not re.search(r'(src|href)="(?!data:)', report)


@pytest.mark.parametrize("change, said", [
    ({"results": []}, "results: are none"), ({"model": "nobody"}, "model: is nobody"),
    ({"limits": {"share": 2}}, "request.limits.share: is 2; give 0 to 1"),
    ({"limits": {"detail": 5, "detail_most": 1}}, "detail: is 5, detail_most 1: nothing could pass"),
    ({"results": [3]}, "request.results[0]: is 3"), ({"results": {"a": 1}}, "request.results: is"),
    ({"report": "fr"}, "request.report: is fr")])
def test_mistakes_are_one_line(service, asked, change, said):
    with pytest.raises(UserError) as error:
        judge(service, **asked | change)
    assert str(error.value).startswith(said) and "\n" not in str(error.value)


@pytest.mark.parametrize("change, said", [
    ({"picture": photo(32)}, "a.png: does not say that"),
    ({"photo": photo(256)}, "a.png: is not of the model's size"),
    ({"photo": file("a.png", b"none")}, "a.png: is not a picture"),
    ({"source_pose": None}, "source pose: is missing"),
    ({"target_pose": {"skeleton": "market14", "joints": {}}}, "target pose: ")])
def test_pictures_that_are_not_the_models_are_refused(service, asked, change, said):
    with pytest.raises(UserError) as error:
        judge(service, **asked | {"results": [asked["results"][0] | change]})
    assert str(error.value).startswith(said) and "\n" not in str(error.value)


@pytest.mark.parametrize("change", [
    {"settings": None}, {"settings": "["}, {"settings": "[" * 90_000}, {"settings": "3"},
    {"settings": "9" * 9000}, {"settings": '{"a":' * 200 + "1" + "}" * 200}, {"seed": None},
    {"seed": "one"}, {"seed": "-1"}, {"seed": "4294967296"}, {"seed": "1.0"}, {"seed": "true"},
    {"model-sha256": None}])
def test_a_crafted_text_is_refused(service, asked, change):
    """Anybody may write the text of a PNG; the model's own hash stands in every picture of it."""
    first = asked["results"][0]
    content = base64.b64decode(first["picture"]["base64"])
    text = text_of(io.BytesIO(content)) | {f"repose:{key}": value for key, value in change.items()}
    crafted = png_content(np.asarray(Image.open(io.BytesIO(content))), {
        key: value for key, value in text.items() if value is not None})
    with pytest.raises(UserError, match="x.png: does not say that"):
        judge(service, **asked | {"results": [first | {"picture": file("x.png", crafted)}]})


def test_pictures_of_other_settings_are_not_judged_together(service, asked):
    first = asked["results"][0]
    app = service._app
    other = app.paint(parse(PaintRequest, json.dumps({
        "model": asked["model"], "photo": photo(), "source": first["source_pose"],
        "target": first["target_pose"], "steps": 2, "seed": 1}).encode()))
    second = first | {"picture": {"name": "b.png", "base64": other["picture"]}, "source": "b.png"}
    with pytest.raises(UserError, match="b.png: was painted with other settings than a.png"):
        judge(service, **asked | {"results": [first, second]})


def test_pairs_have_bounds(service):
    assert service.pairs(PairsRequest(photos=2))["pairs"] == [(0, 1), (1, 0)]
    for values, said in (({"photos": 1}, "no pose was given"), ({"photos": 200}, "600 results")):
        with pytest.raises(UserError, match=said):
            service.pairs(PairsRequest(**values))


def test_over_http_with_the_document_that_tells_of_it(service, asked):
    with running(service._app, more=service.extension()) as address:
        assert call(address, "POST", "/acceptance", asked)[0] == 200
        assert call(address, "POST", "/acceptance/pairs", {"photos": 3})[1]["pairs"][0] == [0, 1]
        status, facts = call(address, "GET", "/acceptance/facts")
        assert status == 200 and asked["model"] in facts["judges"]
        assert np.isclose(facts["limits"]["share"], 0.7) and "check.color" in facts["texts"]
        assert call(address, "GET", "/acceptance")[0] == 405
        found = call(address, "GET", "/openapi.json")[1]["paths"]
        body = found["/acceptance"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert body["properties"]["results"]["items"]["required"][:2] == ["source", "pose"]
        assert body["properties"]["limits"]["properties"]["share"]["maximum"] == 1
        assert "get" in found["/acceptance/facts"]
    with running(service._app) as address:
        assert call(address, "POST", "/acceptance", asked)[0] == 404
