"""The OpenAPI document of the page's server, made from the requests that it parses."""

from __future__ import annotations

import dataclasses
import inspect
import math
import types
import typing
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

import repose_jax
from repose_jax.common.ranges import Range

_JSON = "application/json"
_ERROR = {"type": "object", "required": ["error"], "properties": {"error": {
    "type": "string", "description": "one line: what is wrong, and what to do about it"}}}
_JOB = {"type": "object", "required": ["id", "state", "step", "steps", "ahead"], "properties": {
    "id": {"type": "string"},
    "state": {"enum": ["waiting", "painting", "done", "stopped", "failed"]},
    "step": {"type": "integer"}, "steps": {"type": "integer"}, "ahead": {"type": "integer"},
    "seconds_left": {"type": ["number", "null"]},
    "preview": {"type": "string", "description": "PNG in base64, while it is painted"},
    "answer": {"type": "object", "description": "of a job that is done: as /paint answers"},
    "error": {"type": "string"}}}
_LINKS = {name: {"operationId": name, "parameters": {"id": "$response.body#/id"}}
          for name in ("get_job", "stop_job")}
_TOLD = {"/facts": "Models, their settings, and a gallery of poses",
         "/acceptance/facts": "Who judges which model, limits and words"}
_ANSWERS = {
    400: "the request cannot be used", 401: "the token is missing or wrong",
    403: "of another site's page, or not JSON", 404: "there is nothing of that name",
    405: "another method is needed", 408: "the body does not come in time",
    409: "the Idempotency-Key stands for another request",
    413: "too large, or its size is not told", 429: "too many jobs that are not finished",
    500: "a defect, which the server's terminal tells", 503: "too much at once; later"}


def schema(hint: Any) -> dict[str, Any]:
    """The JSON schema of what a field may hold, by its annotation; see `repose_jax.common.ranges`."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return schema(args[0]) | {key: value for part in args[1:] if isinstance(part, Range)
                                  for key, value in _limits(part).items()}
    if origin is Literal:
        return {"enum": list(args)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [schema(arg) for arg in args]}
    if origin is tuple and args[-1] is Ellipsis:
        return {"type": "array", "items": schema(args[0])}
    if origin is tuple:
        return {"type": "array", "prefixItems": [schema(arg) for arg in args],
                "minItems": len(args), "maxItems": len(args)}
    if dataclasses.is_dataclass(hint):
        return table(hint)
    return {} if hint is Any else {"type": {
        str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}[hint]}


def table(kind: Any) -> dict[str, Any]:
    """The JSON schema of a dataclass."""
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = dataclasses.fields(kind)
    needed = [field.name for field in fields if field.default is dataclasses.MISSING]
    return {"type": "object", "additionalProperties": False, "required": needed,
            "description": inspect.getdoc(kind) or "",
            "properties": {field.name: schema(hints[field.name]) for field in fields}}


def document(requests: dict[str, type], told: Iterable[str], token: bool,
             models: Sequence[str]) -> dict[str, Any]:
    """The document.

    Args:
      requests: what is posted to each path; that of /jobs is a job.
      told: paths that answer with facts.
      token: whether requests need one.
      models: those that the server offers.
    """
    paths: dict[str, Any] = {
        path: {"post": _operation(
            f"post{path.replace('/', '_')}", (inspect.getdoc(kind) or "").partition("\n")[0],
            {"202": _answer("the job", _JOB) | {"links": _LINKS}} if path == "/jobs" else {
                "200": _answer("done", {"type": "object"})},
            (400, 403, 408, 409, 413, 429, 500, 503), _body(kind, models))}
        for path, kind in requests.items()}
    for path in ("/paint", "/jobs"):
        paths[path]["post"]["parameters"] = [{
            "name": "Idempotency-Key", "in": "header", "schema": {
                "type": "string", "maxLength": 128, "pattern": "^[!-~]*$"},
            "description": "a second request of the same key is answered with the first's job"}]
    job = [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]
    paths["/jobs/{id}"] = {
        "parameters": job,
        "get": _operation("get_job", "How far a job is, and what came of it",
                          {"200": _answer("the job", _JOB)}, (403, 404)),
        "delete": _operation("stop_job", "Stop a job at its next step",
                             {"200": _answer("the job", _JOB)}, (403, 404))}
    for path in told:
        paths[path] = {"get": _operation(
            f"get{path.replace('/', '_')}", _TOLD.get(path, "Facts"),
            {"200": _answer("them", {"type": "object"})}, (403, 500))}
    found: dict[str, Any] = {"openapi": "3.1.0", "info": {
        "title": "repose app", "version": repose_jax.__version__,
        "description": "Pictures and files travel as base64; poses are repose's own JSON. "
        "Errors and notes are in English, to a request with Accept-Language: ja in Japanese."},
        "paths": paths}
    if token:
        found["components"] = {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}
        found["security"] = [{"token": []}]
        for path in paths.values():
            for method in ("get", "post", "delete"):
                if method in path:
                    path[method]["responses"]["401"] = _answer(_ANSWERS[401], _ERROR)
    return found


def _operation(name: str, summary: str, answers: dict[str, Any], errors: tuple[int, ...],
               body: dict[str, Any] | None = None) -> dict[str, Any]:
    told = answers | {str(code): _answer(_ANSWERS[code], _ERROR) for code in errors}
    return {"operationId": name, "summary": summary, "responses": told} | (
        {"requestBody": body} if body else {})


def _body(kind: type, models: Sequence[str]) -> dict[str, Any]:
    return {"required": True, "content": {_JSON: {"schema": _offered(table(kind), models)}}}


def _offered(found: dict[str, Any], models: Sequence[str]) -> dict[str, Any]:
    """The schema of a request, and of one inside of it, with the models that there are."""
    properties = {name: {"enum": list(models)} if name == "model" else _offered(inner, models)
                  for name, inner in found.get("properties", {}).items()}
    return found | ({"properties": properties} if properties else {})


def _answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {_JSON: {"schema": schema}}}


def _limits(part: Range) -> dict[str, Any]:
    found = {"exclusiveMinimum" if part.open_low else "minimum": part.low,
             "exclusiveMaximum" if part.open_high else "maximum": part.high}
    return {key: value for key, value in found.items() if math.isfinite(value)}
