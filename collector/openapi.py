"""The OpenAPI 3.1 description of the API, made from the route table and the messages' types. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from runyard import __version__

from . import messages
from .route import JSON_TYPE, Answer, Route

PROBLEM_TYPE = "application/problem+json"
_REF = "#/components/schemas/{name}"
_PROBLEM_REF = {"$ref": "#/components/schemas/Problem"}

# What every route with a token, and every route with a body, may answer besides its own.
# 405: a path with an empty part may be that of another route.
_ALWAYS = (400, 500, 503, 405)
_WITH_TOKEN = (401, 403)
_WITH_BODY = (413, 415)

_PATH_PARTS: dict[str, dict[str, Any]] = {
    "experiment_id": {"type": "string", "pattern": "^[0-9]{1,18}$"},
    "run_id": {"type": "string", "minLength": 1},
    "node_id": {"type": "string", "minLength": 1},
    "cluster": {"type": "string", "minLength": 1},
    "snapshot_id": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    "token_id": {"type": "string", "minLength": 1},
    "path": {"type": "string", "minLength": 1, "description": "a file's path, as the list of files names it"},
}

_HEADERS: dict[str, dict[str, Any]] = {
    "Range": {"type": "string"},
    "If-Range": {"type": "string"},
    "If-None-Match": {"type": "string"},
    "Last-Event-ID": {"type": "string", "pattern": r"^[0-9,-]*;[0-9:,]*$"},
}

_PROBLEM = {
    "type": "object",
    "description": "RFC 9457; some routes add members of their own, such as `acks` or `expected`",
    "properties": {
        "type": {"const": "about:blank"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "one sentence for a person"},
        "code": {"type": "string", "description": "for machines"},
        "request_id": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail", "code", "request_id"],
}


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The whole description."""
    routes = list(routes)
    kinds = {route.body for route in routes if route.body} | {a.kind for route in routes for a in route.answers if a.kind}
    ordered = sorted(kinds, key=lambda kind: kind.__name__)
    _, components = msgspec.json.schema_components(ordered, ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Runyard collector", "version": __version__, "description": "See docs/http-api.md."},
        "paths": paths,
        "components": {
            "schemas": components | {"Problem": _PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{route.handler.__name__.strip('_')}{'_head' if route.method == 'HEAD' else ''}",
        "summary": route.summary,
        "parameters": [*_path_parameters(route.path), *_query_parameters(route.query), *_header_parameters(route)],
        "responses": _responses(route),
    }
    if route.kinds is None:
        operation["security"] = []
    else:
        operation["description"] = "Tokens: " + ", ".join(sorted(route.kinds)) + "."
    if route.takes_body:
        operation["requestBody"] = {"required": True, "content": _body(route)}
    return operation


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = re.findall(r"{(\w+)}", path)
    return [{"name": name, "in": "path", "required": True, "schema": _PATH_PARTS[name]} for name in names]


def _query_parameters(kind: type[Any]) -> list[dict[str, Any]]:
    _, components = msgspec.json.schema_components([kind], ref_template=_REF)
    schema = components[kind.__name__]
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _without_null(one)}
        for name, one in schema["properties"].items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter that may be left out is not null: it is not there."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1:
        return dict(choices[0])
    if None in schema.get("enum", ()):
        return {"enum": [value for value in schema["enum"] if value is not None]}
    return {key: value for key, value in schema.items() if key != "default" or value is not None}


def _header_parameters(route: Route) -> list[dict[str, Any]]:
    return [{"name": name, "in": "header", "required": False, "schema": _HEADERS[name]} for name in route.headers]


def _body(route: Route) -> dict[str, Any]:
    if route.body is not None:
        return {JSON_TYPE: {"schema": _ref(route.body)}}
    assert route.body_type is not None
    return {route.body_type: {"schema": {"type": "string", "format": "binary"}}}


def _responses(route: Route) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for answer in route.answers:
        one = responses.setdefault(str(answer.status), {"description": route.summary})
        if answer.headers:
            one["headers"] = {name: {"schema": {"type": "string"}} for name in answer.headers}
        if answer.status not in (204, 304):
            one.setdefault("content", {})[answer.content_type] = {"schema": _answer_schema(answer)}
    problems = {*route.problems, *_ALWAYS, *(_WITH_TOKEN if route.kinds is not None else ())}
    problems |= set(_WITH_BODY) if route.takes_body else set()
    for status in sorted(problems):
        one = responses.setdefault(str(status), {"description": "a problem"})
        one.setdefault("content", {})[PROBLEM_TYPE] = {"schema": _PROBLEM_REF}
    return responses


def _answer_schema(answer: Answer) -> dict[str, Any]:
    if answer.kind is not None:
        return _ref(answer.kind)
    return {} if answer.content_type == JSON_TYPE else {"type": "string"}


def _ref(kind: type[Any]) -> dict[str, Any]:
    return {"$ref": _REF.format(name=kind.__name__)}


def as_json(routes: Iterable[Route]) -> bytes:
    """The description as it is served."""
    return messages.encode(document(routes))
