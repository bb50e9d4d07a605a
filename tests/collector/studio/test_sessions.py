"""A browser has a session for a token: what it may do with it, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.cookies import SimpleCookie
from typing import Any

import pytest

from tests.collector.node import Answer, call
from tests.collector_process import CollectorProcess, running_collector

CHANGE = {"X-Runyard-Studio": "1"}


def asked(
    collector: CollectorProcess, method: str, path: str, body: Any = None, cookie: str = "", headers: Mapping[str, str] = {}
) -> Answer:
    """A request of a browser's: without a token, with its cookie."""
    sent = dict(headers) | ({"Cookie": cookie} if cookie else {})
    data = None
    if body is not None:
        data, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
    return call(collector, method, path, data, token="", headers=sent)


def logged_in(collector: CollectorProcess, **who: str) -> str:
    """The cookie, as the browser sends it back."""
    answer = asked(collector, "POST", "/api/v1/session", who)
    assert answer.status == 201, answer.data
    (morsel,) = SimpleCookie(answer.headers["Set-Cookie"]).values()
    assert morsel["httponly"]
    assert morsel["samesite"] == "Strict"
    assert morsel["path"] == "/"
    return f"{morsel.key}={morsel.value}"


def test_a_browser_that_has_logged_in_reads_and_changes_without_a_token(collector: CollectorProcess) -> None:
    cookie = logged_in(collector, token=collector.token)
    assert asked(collector, "GET", "/api/v1/session", cookie=cookie).json == {"kind": "admin", "subject": ""}
    assert asked(collector, "GET", "/api/v1/runs", cookie=cookie).status == 200
    made = asked(collector, "POST", "/api/v1/tokens", {"kind": "user", "subject": "ada"}, cookie, CHANGE)
    assert made.status == 201
    assert asked(collector, "GET", "/api/v1/session", cookie=logged_in(collector, token=made.json["token"])).json == {
        "kind": "user",
        "subject": "ada",
    }


@pytest.mark.parametrize(
    ("told", "is_secure"), [(None, False), ("http", False), ("https", True), ("HTTPS, http", True), ("http, https", False)]
)
def test_behind_a_proxy_with_tls_the_cookie_goes_by_tls_alone(
    collector: CollectorProcess, told: str | None, is_secure: bool
) -> None:
    headers = {"X-Forwarded-Proto": told} if told else {}
    answer = asked(collector, "POST", "/api/v1/session", {"token": collector.token}, headers=headers)
    (morsel,) = SimpleCookie(answer.headers["Set-Cookie"]).values()
    assert bool(morsel["secure"]) is is_secure


def test_a_page_of_another_site_can_change_nothing(collector: CollectorProcess) -> None:
    cookie = logged_in(collector, token=collector.token)
    answer = asked(collector, "POST", "/api/v1/tokens", {"kind": "user", "subject": "eve"}, cookie)
    assert (answer.status, answer.json["code"]) == (403, "cross-site")


@pytest.mark.parametrize("body", [{}, {"token": "ry_nobodys"}, {"code": "none"}, {"token": "a", "code": "b"}])
def test_who_has_no_token_gets_no_session(collector: CollectorProcess, body: dict[str, str]) -> None:
    answer = asked(collector, "POST", "/api/v1/session", body)
    assert answer.status == (401 if len(body) == 1 else 400)
    assert "Set-Cookie" not in answer.headers


def test_a_token_of_a_node_gets_no_session(collector: CollectorProcess) -> None:
    token = call(collector, "POST", "/api/v1/tokens", {"kind": "node", "subject": "node-0001"}).json["token"]
    assert asked(collector, "POST", "/api/v1/session", {"token": token}).status == 403


def test_a_code_is_good_for_one_login(collector: CollectorProcess) -> None:
    code = call(collector, "POST", "/api/v1/session-codes").json["code"]
    cookie = logged_in(collector, code=code)
    assert asked(collector, "GET", "/api/v1/session", cookie=cookie).status == 200
    assert asked(collector, "POST", "/api/v1/session", {"code": code}).status == 401


def test_a_session_ends_by_logging_out_and_when_its_token_is_revoked(collector: CollectorProcess) -> None:
    cookie = logged_in(collector, token=collector.token)
    assert asked(collector, "DELETE", "/api/v1/session", cookie=cookie).status == 204
    assert asked(collector, "GET", "/api/v1/session", cookie=cookie).status == 401
    made = call(collector, "POST", "/api/v1/tokens", {"kind": "user", "subject": "ada"}).json
    cookie = logged_in(collector, token=made["token"])
    assert call(collector, "DELETE", f"/api/v1/tokens/{made['token_id']}").status == 204
    assert asked(collector, "GET", "/api/v1/session", cookie=cookie).status == 401


def test_a_session_outlives_the_collector(tmp_path: Any) -> None:
    with running_collector(tmp_path) as collector:
        cookie = logged_in(collector, token=collector.token)
        collector.kill()
        collector.restart()
        assert asked(collector, "GET", "/api/v1/session", cookie=cookie).status == 200


def test_neither_token_nor_cookie_is_in_the_collectors_log(tmp_path: Any) -> None:
    with running_collector(tmp_path, arguments=("--log-level", "debug")) as collector:
        cookie = logged_in(collector, token=collector.token)
        asked(collector, "GET", "/api/v1/runs", cookie=cookie)
        collector.stop()
        assert collector.token not in collector.log_text
        assert cookie.partition("=")[2] not in collector.log_text
