"""Who may do what; what is said to those who may not, and to requests that make no sense."""

from __future__ import annotations

import json
import secrets
import socket
from dataclasses import dataclass
from typing import Any

import pytest

from tests.collector.node import LOG, Node, call, frame, sha256
from tests.collector_process import CollectorProcess
from tests.waiting import wait_for

FRAMES = {"Content-Type": "application/vnd.runyard.frames"}
TAR = {"Content-Type": "application/x-tar"}


@dataclass(frozen=True)
class Scene:
    """A run with one stream, and a token of each kind: of this run and node, and of others."""

    node: Node
    stream: int
    tokens: dict[str, str]


@pytest.fixture
def scene(collector: CollectorProcess) -> Scene:
    """The scene."""
    node, other = Node(collector), Node(collector)
    stream = node.open_one()
    client = collector.client()
    tokens = {"none": "", "unknown": "ry_" + "x" * 40, "admin": collector.token, "run": node.run_token}
    tokens["other run"] = other.run_token
    for name, kind, subject in (
        ("user", "user", "ann"),
        ("node", "node", node.node_id),
        ("other node", "node", "another-node"),
    ):
        tokens[name] = client.json("POST", "/tokens", {"kind": kind, "subject": subject})["token"]
    return Scene(node, stream, tokens)


def outcome(scene: Scene, token: str, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> int:
    """The status of one request with the token of that name."""
    return call(scene.node.collector, method, path, body, token=scene.tokens[token], headers=headers).status


def requests_of(scene: Scene) -> list[tuple[str, str, Any, dict[str, str], set[str]]]:
    """Every route with the names of the tokens that may use it for this run."""
    node = scene.node
    run = f"/api/v1/runs/{node.run_id}"
    registration = {"node_id": node.node_id, "ip": "127.0.0.1", "hostname": "host"}
    opening = {"node_id": node.node_id, "attempt": 0, "streams": [{"name": LOG}]}
    seal = {"seals": [{"stream": scene.stream, "length": 5, "segments": [{"start": 0, "end": 5, "sha256": "0" * 64}]}]}
    readers, writers = {"admin", "user", "run"}, {"admin", "node", "run"}
    anybody = set(scene.tokens) - {"none", "unknown"}
    snapshot = f"/api/v1/snapshots/{sha256(b'a snapshot')}"
    blob, bytes_type = f"/api/v1/blobs/{sha256(b'a blob')}", {"Content-Type": "application/octet-stream"}
    artifact = {"path": "a/b", "sha256": sha256(b"a blob"), "size_bytes": 6}
    return [
        ("GET", "/livez", None, {}, set(scene.tokens)),
        ("GET", "/readyz", None, {}, anybody),
        ("GET", "/api/v1/openapi.json", None, {}, anybody),
        ("GET", "/metrics", None, {}, {"admin", "user"}),
        ("GET", "/api/v1/runs", None, {}, {"admin", "user"}),
        ("GET", run, None, {}, readers),
        ("POST", f"{run}/nodes", registration, {}, writers),
        ("PUT", f"{run}/nodes/{node.node_id}/state", {"seq": 0, "status": "Running"}, {}, writers),
        ("POST", f"{run}/streams", opening, {}, writers),
        ("GET", f"{run}/streams?node_id={node.node_id}", None, {}, writers),
        ("POST", "/api/v1/ingest", frame(scene.stream, 0, b"x"), FRAMES, writers),
        ("POST", f"{run}/seals", seal, {}, writers),
        ("GET", f"{run}/files", None, {}, readers),
        ("GET", f"{run}/files/{LOG}", None, {}, readers),
        ("HEAD", f"{run}/files/{LOG}", None, {}, readers),
        ("GET", f"{run}/follow?until=now", None, {}, readers),
        ("GET", f"{run}/verify", None, {}, readers),
        ("PUT", snapshot, b"a snapshot", TAR, anybody),
        ("GET", snapshot, None, {}, anybody),
        ("HEAD", snapshot, None, {}, anybody),
        ("PUT", blob, b"a blob", bytes_type, anybody),
        ("HEAD", blob, None, {}, anybody),
        ("POST", f"{run}/artifacts", artifact, {}, readers),
        ("GET", f"{run}/artifacts", None, {}, readers),
        ("GET", f"{run}/artifacts/a/b", None, {}, readers),
        ("HEAD", f"{run}/artifacts/a/b", None, {}, readers),
        ("GET", f"{run}/archive", None, {}, readers),
        ("POST", "/api/v1/tokens", {"kind": "user", "subject": "x"}, {}, {"admin"}),
    ]


def test_each_kind_of_token_may_do_what_is_said_and_no_more(scene: Scene) -> None:
    for method, path, body, headers, allowed in requests_of(scene):
        for token in scene.tokens:
            status = outcome(scene, token, method, path, body, headers)
            if token in allowed:
                assert status < 400, (method, path, token, status)
            else:
                assert status == (401 if token in ("none", "unknown") else 403), (method, path, token, status)


def test_users_and_nodes_create_runs_and_runs_do_not(scene: Scene) -> None:
    for token in scene.tokens:
        body = scene.node.description(run_id="made-" + secrets.token_hex(4), run_token_sha256=secrets.token_hex(32))
        status = outcome(scene, token, "POST", "/api/v1/runs", body)
        assert status == (201 if token in ("admin", "user", "node", "other node") else 403 if "run" in token else 401), token


def test_a_run_creates_its_own_children_and_nobody_elses(scene: Scene) -> None:
    for token, parent_run_id, status in (
        ("run", scene.node.run_id, 201),
        ("run", "nobody", 403),
        ("other run", scene.node.run_id, 403),
        ("user", scene.node.run_id, 201),
    ):
        child = {"run_id": "made-" + secrets.token_hex(4), "run_token_sha256": secrets.token_hex(32)}
        body = scene.node.description(**child, parent_run_id=parent_run_id)
        assert outcome(scene, token, "POST", "/api/v1/runs", body) == status, (token, parent_run_id)
        if status == 201:
            assert outcome(scene, "run", "GET", f"/api/v1/runs/{child['run_id']}") == 200
            assert outcome(scene, "other run", "GET", f"/api/v1/runs/{child['run_id']}") == 403


def test_a_node_may_not_speak_for_another_one(scene: Scene) -> None:
    run = f"/api/v1/runs/{scene.node.run_id}"
    other = {"node_id": "some-other-node", "ip": "127.0.0.1", "hostname": "host"}
    assert outcome(scene, "node", "POST", f"{run}/nodes", other) == 403
    assert outcome(scene, "node", "PUT", f"{run}/nodes/some-other-node/state", {"seq": 0, "status": "Running"}) == 403
    assert outcome(scene, "node", "POST", f"{run}/streams", {"node_id": "some-other-node", "streams": []}) == 403


def test_a_revoked_token_is_unknown(scene: Scene) -> None:
    collector = scene.node.collector
    made = call(collector, "POST", "/api/v1/tokens", {"kind": "user", "subject": "bob"}).json
    assert set(made) == {"token_id", "token", "kind", "subject"}
    assert call(collector, "GET", "/api/v1/runs", token=made["token"]).status == 200
    collector.restart()
    assert call(collector, "GET", "/api/v1/runs", token=made["token"]).status == 200
    assert call(collector, "DELETE", f"/api/v1/tokens/{made['token_id']}").status == 204
    assert call(collector, "GET", "/api/v1/runs", token=made["token"]).status == 401
    assert call(collector, "DELETE", f"/api/v1/tokens/{made['token_id']}").status == 404


def test_no_token_is_kept_or_logged(scene: Scene) -> None:
    collector = scene.node.collector
    for token in scene.tokens.values():
        call(collector, "GET", "/api/v1/runs", token=token)
    collector.stop()
    kept = b"".join(path.read_bytes() for path in collector.data_dir.glob("collector.sqlite3*")) + collector.log_text.encode()
    for name, token in scene.tokens.items():
        assert not token or token.encode() not in kept, name
    assert sha256(scene.tokens["user"].encode()).encode() in kept
    assert (collector.data_dir / "admin.token").stat().st_mode & 0o777 == 0o600


def test_files_belong_to_the_collector_alone(scene: Scene) -> None:
    scene.node.send(scene.stream, 0, b"x")
    for path in [scene.node.collector.data_dir, *scene.node.collector.data_dir.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_problems_are_documents_with_a_request_id(collector: CollectorProcess) -> None:
    answer = call(collector, "GET", "/api/v1/runs/nothing", headers={"X-Request-Id": "my-id-1"})
    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")
    expected = {"type": "about:blank", "title": "Not Found", "status": 404, "code": "no-such-run", "request_id": "my-id-1"}
    assert answer.json == expected | {"detail": "there is no run 'nothing'"}
    assert answer.headers["X-Request-Id"] == "my-id-1"
    answer = call(collector, "GET", "/livez", headers={"X-Request-Id": "bad id\t"}, token="")
    assert len(answer.headers["X-Request-Id"]) == 16
    assert call(collector, "GET", "/api/v1/runs", token="").headers["WWW-Authenticate"] == "Bearer"


def test_unknown_routes_and_methods_are_problems(collector: CollectorProcess) -> None:
    for path in ("/nothing", "/api", "/api/v1", "/api/v1/nothing", "/api/v2/runs", "/api/v1/runs/", "/assets/nothing.js"):
        answer = call(collector, "GET", path)
        assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json"), path
    answer = call(collector, "DELETE", "/api/v1/runs")
    assert (answer.status, answer.headers["Allow"], answer.json["code"]) == (405, "GET,POST", "method-not-allowed")


def test_bodies_that_cannot_be_used_are_refused_in_one_sentence(collector: CollectorProcess) -> None:
    node = Node(collector)
    target = f"/api/v1/runs/{node.run_id}/nodes/{node.node_id}/state"
    kind = {"Content-Type": "application/json"}
    for body, said in (
        (b"{", "the body is not JSON"),
        (b"\xff", "the body is not JSON"),
        (b"[1]", "expected `object`, got `array`"),
        (b"{}", "missing required field"),
        (b'{"seq":1,"status":"Lost"}', "invalid enum value 'Lost'"),
        (b'{"seq":-1,"status":"Running"}', "`int` >= 0"),
        (b'{"seq":9223372036854775808,"status":"Running"}', "`int` <= 9223372036854775807"),
        (b'{"seq":1,"status":"Running","more":1}', "unknown field `more`"),
        (b'{"seq":1,"status":"Running","cause":"\\u0000"}', "the body cannot be used"),
        (b"[" * 100_000, "the body"),
    ):
        answer = call(collector, "PUT", target, body, headers=kind)
        assert (answer.status, answer.json["code"]) == (400, "invalid"), body[:50]
        assert said in answer.json["detail"], answer.json["detail"]
    answer = call(collector, "PUT", target, b"{}", headers={"Content-Type": "text/plain"})
    assert (answer.status, answer.json["code"]) == (415, "wrong-type")
    answer = call(collector, "PUT", target, b" " * (17 << 20), headers=kind)
    assert (answer.status, answer.json["code"]) == (413, "too-large")
    answer = call(collector, "GET", f"/api/v1/runs/{node.run_id}?verbose=1")
    assert (answer.status, answer.json["code"]) == (400, "invalid")


def test_health_and_metrics_tell_how_it_is(collector: CollectorProcess) -> None:
    assert call(collector, "GET", "/livez", token="").json == {"status": "ok"}
    ready = {"status": "ok", "checks": {"database": "ok", "migrations": "ok", "disk": "ok"}}
    assert call(collector, "GET", "/readyz").json == ready
    node = Node(collector)
    stream = node.open_one()

    def numbers() -> dict[str, float]:
        lines = call(collector, "GET", "/metrics").data.decode().splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}

    before = numbers()
    node.send(stream, 0, b"12345", sync=True)
    node.ingest(frame(stream, 9, b"x"))
    after = numbers()

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    assert grown("runyard_ingest_bytes_total") == 5
    assert grown("runyard_ingest_frames_total") == 2
    assert grown('runyard_ingest_requests_total{result="ok"}') == 1
    assert grown('runyard_ingest_requests_total{result="gap"}') == 1
    assert grown('runyard_commit_seconds_count{synced="files"}') >= 1
    assert after['runyard_runs{status="NotStarted"}'] >= 1
    assert after['runyard_runs{status="CancelRequested"}'] >= 0  # also of a status that no run may have
    assert after["runyard_open_streams"] >= 1
    assert after["runyard_disk_free_bytes"] > 0
    assert after["runyard_database_errors_total"] == 0
    assert after["runyard_followers"] >= 0


def test_the_log_is_json_lines(collector: CollectorProcess) -> None:
    call(collector, "GET", "/api/v1/runs/nothing", headers={"X-Request-Id": "find-me"})
    (line,) = logged(collector, "find-me")
    assert (line["event"], line["level"], line["status"], line["path"]) == ("request", "info", 404, "/api/v1/runs/nothing")
    assert line["ts"].endswith("Z")


def test_a_client_that_leaves_in_the_middle_of_its_request_is_a_line_in_the_log_and_no_error(
    collector: CollectorProcess,
) -> None:
    path = f"/api/v1/blobs/{sha256(secrets.token_bytes(8))}"
    host, _, port = collector.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as client:
        lines = (f"PUT {path} HTTP/1.1", f"Host: {host}", f"Authorization: Bearer {collector.token}")
        told = ("Content-Type: application/octet-stream", "Content-Length: 1000", "X-Request-Id: has-left")
        client.sendall("\r\n".join((*lines, *told, "Expect: 100-continue", "", "")).encode())
        assert client.recv(100).startswith(b"HTTP/1.1 100")  # it waits for the body
        client.sendall(b"so much")
    (line,) = wait_for(lambda: logged(collector, "has-left"), "the line in the log")
    assert (line["event"], line["level"], line["status"], line["path"]) == ("request", "info", 499, path)


def logged(collector: CollectorProcess, request_id: str) -> list[dict[str, Any]]:
    """What the log says of a request; all of the log is looked at."""
    lines = [json.loads(line) for line in collector.log_text.splitlines()]
    return [line for line in lines if line.get("request_id") == request_id]
