"""The description of the API is true: the router has the same routes, and no request that it allows breaks the collector."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import CHECKS
from schemathesis.generation import GenerationMode

from runyard.collector import openapi
from runyard.collector.api import ROUTES
from runyard.collector.route import FRAMES_TYPE, TAR_TYPE, Route
from runyard.collector.tracking.record_routes import NDJSON_TYPE
from tests.collector.node import Node, call
from tests.collector_process import CollectorProcess, running_collector


@schemathesis.serializer(FRAMES_TYPE, TAR_TYPE, NDJSON_TYPE)
def as_it_is(context: Any, value: Any) -> bytes:
    """Bodies of these types are bytes as they are."""
    return value.encode() if isinstance(value, str) else bytes(value)


DOCUMENT = Path(__file__).parents[2] / "docs" / "http-api.md"


def test_the_served_document_is_made_from_the_route_table(collector: CollectorProcess) -> None:
    served = call(collector, "GET", "/api/v1/openapi.json").json
    assert served == json.loads(openapi.as_json(ROUTES))
    assert served["openapi"] == "3.1.0"
    listed = {(method.upper(), path) for path, item in served["paths"].items() for method in item}
    assert listed == {(route.method, route.path) for route in ROUTES}
    assert len({operation["operationId"] for item in served["paths"].values() for operation in item.values()}) == len(ROUTES)


def test_the_router_answers_exactly_the_routes_of_the_document(collector: CollectorProcess) -> None:
    for path in dict.fromkeys(route.path for route in ROUTES):
        target = re.sub(r"{\w+}", "x", path)
        # More than one path may be meant: a run may be called "query".
        methods = {one.method for one in ROUTES if re.fullmatch(re.sub(r"{\w+}", "[^/]+", one.path), target)}
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            answer = call(collector, method, target, token="")
            if method in methods:
                # Without a token: what needs none is answered, or the body that it needs is missed.
                assert answer.status in (200, 204, 401, 415), (method, path, answer.status)
            else:
                assert (answer.status, answer.headers["Allow"]) == (405, ",".join(sorted(methods))), (method, path)


def test_the_prose_names_the_same_routes() -> None:
    text = DOCUMENT.read_text()
    named = set(re.findall(r"`(GET|POST|PUT|DELETE) (/[^\s`?]*)", text))
    assert named == {(route.method, route.path) for route in ROUTES if route.method != "HEAD"}


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """A collector for the fuzzer alone, with a run for it to find."""
    with running_collector(tmp_path_factory.mktemp("fuzzed")) as process:
        node = Node(process, run_id="known-run", node_id="known-node")
        node.send(node.open_one(), 0, b"hello\n")
        yield process


@pytest.fixture(scope="module")
def schema(fuzzed: CollectorProcess) -> schemathesis.BaseSchema:
    """The served document, in which the known run is found more often than by chance."""
    document = call(fuzzed, "GET", "/api/v1/openapi.json").json
    for item in document["paths"].values():
        for operation in item.values():
            for parameter in operation["parameters"]:
                if (parameter["name"], parameter["in"]) == ("run_id", "path"):
                    parameter["schema"] = {"anyOf": [{"const": "known-run"}, parameter["schema"]]}
    return schemathesis.openapi.from_dict(document)


# Following waits for a run's end; it has tests of its own.
FUZZED = [route for route in ROUTES if not route.path.endswith("/follow")]


def _beyond_a_schema(route: Route) -> list[Any]:
    """No schema can say that a page token is one of ours, that segments leave no hole, or that 1.0 is not written for 1: what
    it allows may still be refused by these routes."""
    is_beyond = route.takes_body or "page_token" in route.query.__struct_fields__
    return [CHECKS.get_one("positive_data_acceptance")] if is_beyond else []


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])
@pytest.mark.parametrize("route", FUZZED, ids=lambda route: f"{route.method} {route.path}")
def test_no_request_breaks_a_promise_of_the_document(
    schema: schemathesis.BaseSchema, fuzzed: CollectorProcess, route: Route, mode: GenerationMode
) -> None:
    operation = schema[route.path][route.method]
    headers = {"Authorization": f"Bearer {fuzzed.token}"}

    @hypothesis.settings(max_examples=8, derandomize=True, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def check(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(base_url=fuzzed.url, headers=headers, timeout=20, excluded_checks=_beyond_a_schema(route))

    try:
        check()
    except hypothesis.errors.Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, "only what takes no parameters has no wrong requests"
