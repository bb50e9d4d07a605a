"""The page's files: what a browser keeps of them, in which form it gets them, and what the page may not do.

A collector is given a small build, so that the tests know each byte; what the real build has to hold is read from
collector/static where it is there.
"""

from __future__ import annotations

import gzip
import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.collector.node import Answer, Node, call
from tests.collector_process import CollectorProcess, running_collector

ROOT = Path(__file__).parents[3]
BUILT = ROOT / "collector" / "static"
PAGE = b"<!doctype html><title>the page</title>"
SCRIPT = b"console.log('the script')"
NAME = "index-AbCd1234.js"
# What "br" and "gzip" hold is not looked into by the collector, so that these need not be what they say.
BROTLI, GZIP = b"as brotli", gzip.compress(SCRIPT, mtime=0)
ADDRESSES = (
    "/", "/login", "/runs", "/runs/a-run/logs", "/runs/a%2Fb", "/experiments/an%20experiment", "/compute/lab/node-1",
    "/compare?run=a&run=b", "/new",
)  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """A collector that serves the small build."""
    folder = tmp_path_factory.mktemp("site")
    assets = folder / "static" / "assets"
    assets.mkdir(parents=True)
    (folder / "secret.txt").write_text("nobody's business")
    (folder / "static" / "index.html").write_bytes(PAGE)
    for suffix, body in (("", SCRIPT), (".br", BROTLI), (".gz", GZIP)):
        (assets / (NAME + suffix)).write_bytes(body)
    (assets / "icon-1.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    with running_collector(folder / "run", environ={"STUDIO_STATIC": str(folder / "static")}) as process:
        yield process


def asked(site: CollectorProcess, path: str, method: str = "GET", **headers: str) -> Answer:
    """A request of somebody who has not logged in."""
    return call(site, method, path, token="", headers={name.replace("_", "-"): value for name, value in headers.items()})


def asset(site: CollectorProcess, **headers: str) -> Answer:
    return asked(site, f"/assets/{NAME}", **headers)


@pytest.mark.parametrize("path", ADDRESSES)
def test_every_address_of_the_page_is_the_page(site: CollectorProcess, path: str) -> None:
    answer = asked(site, path)
    assert (answer.status, answer.data) == (200, PAGE)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"


def test_the_page_is_asked_for_each_time_and_sent_only_where_it_changed(site: CollectorProcess) -> None:
    first = asked(site, "/runs")
    assert first.headers["Cache-Control"] == "no-cache"
    again = asked(site, "/runs", If_None_Match=first.headers["ETag"])
    assert (again.status, again.data) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert again.headers["Cache-Control"] == "no-cache"
    assert asked(site, "/runs", If_None_Match='"an earlier one"').data == PAGE


def test_what_has_its_hash_in_its_name_is_kept_for_a_year(site: CollectorProcess) -> None:
    answer = asset(site)
    assert answer.data == SCRIPT
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert asset(site, If_None_Match=answer.headers["ETag"]).status == 304


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("", ""),
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("gzip;q=1.0, br;q=0", "gzip"),
        ("br;q=0.000, gzip; q=0", ""),
        ("br;q=0.1, gzip;q=0.9", "gzip"),
        ("gzip;q=0.5, br;q=0.5", "br"),
        ("*", "br"),
        ("*, br;q=0", "gzip"),
        ("*;q=0", ""),
        ("identity", ""),
        ("brotli, x-gzipped", ""),
        ("br;q=high, gzip", "gzip"),
        (";;,,=", ""),
    ],
)
def test_a_file_comes_as_the_browser_can_take_it(site: CollectorProcess, accepted: str, encoding: str) -> None:
    answer = asset(site, Accept_Encoding=accepted)
    assert answer.data == {"": SCRIPT, "br": BROTLI, "gzip": GZIP}[encoding]
    assert answer.headers.get("Content-Encoding", "") == encoding
    assert "Accept-Encoding" in answer.headers["Vary"]


def test_what_was_not_compressed_comes_as_it_is(site: CollectorProcess) -> None:
    answer = asked(site, "/assets/icon-1.svg", Accept_Encoding="br, gzip")
    assert "Content-Encoding" not in answer.headers
    assert answer.headers["Content-Type"].startswith("image/svg+xml")


@pytest.mark.parametrize("path", ["/", f"/assets/{NAME}"])
def test_head_has_the_heads_and_no_body(site: CollectorProcess, path: str) -> None:
    answer, whole = asked(site, path, "HEAD", Accept_Encoding="br"), asked(site, path, Accept_Encoding="br")
    assert (answer.status, answer.data) == (200, b"")
    for name in ("ETag", "Content-Length", "Content-Type", "Content-Security-Policy"):
        assert answer.headers[name] == whole.headers[name]


def policy_of(answer: Answer) -> dict[str, list[str]]:
    """The Content-Security-Policy as words by directive."""
    (text,) = answer.headers.get_all("Content-Security-Policy", [])
    return {words[0]: words[1:] for words in (part.split() for part in text.split(";")) if words}


@pytest.mark.parametrize("path", ["/", "/runs/a-run/logs", f"/assets/{NAME}"])
def test_only_what_the_collector_sends_may_run_and_nothing_is_sent_elsewhere(site: CollectorProcess, path: str) -> None:
    answer = asked(site, path)
    policy = policy_of(answer)
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == ["'self'"]
    assert policy["style-src"] == ["'self'"]
    assert policy["connect-src"] == ["'self'"]
    for name in ("base-uri", "form-action", "frame-ancestors"):
        assert policy[name] == ["'none'"]
    assert not {"'unsafe-inline'", "'unsafe-eval'", "*", "https:", "http:"} & {
        word for words in policy.values() for word in words
    }
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_a_file_that_there_is_not_is_told_as_such_and_not_kept(site: CollectorProcess) -> None:
    answer = asked(site, "/assets/index-Earlier1.js")
    assert answer.status == 404
    assert "earlier version" in answer.json["detail"]
    assert "immutable" not in answer.headers.get("Cache-Control", "")


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../secret.txt", "/assets/..%2f..%2fsecret.txt", "/assets/%2e%2e/%2e%2e/secret.txt", "/assets/..%5csecret.txt",
        "/assets//etc/passwd", "/assets/%2fetc%2fpasswd", "/assets/", f"/assets/{NAME}.br", "/assets/../index.html",
    ],
)  # fmt: skip
def test_nothing_but_the_pages_files_is_read(site: CollectorProcess, path: str) -> None:
    connection = http.client.HTTPConnection(site.url.removeprefix("http://"), timeout=20)
    try:
        connection.putrequest("GET", path, skip_accept_encoding=True)
        connection.endheaders()
        answer = Answer(connection.getresponse())
    finally:
        connection.close()
    assert answer.status == 404
    assert b"nobody's business" not in answer.data


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_the_page_is_only_read(site: CollectorProcess, method: str) -> None:
    assert asked(site, "/runs", method).status == 405


def test_a_collector_that_was_packed_without_the_page_says_so(tmp_path: Path) -> None:
    with running_collector(tmp_path, environ={"STUDIO_STATIC": str(tmp_path / "none")}) as collector:
        answer = asked(collector, "/runs")
        assert (answer.status, answer.json["code"]) == (404, "not-built")
        assert "make studio" in answer.json["detail"]
        assert call(collector, "GET", "/api/v1/runs").status == 200


def test_a_runs_page_in_a_file_is_no_page_of_ours(site: CollectorProcess) -> None:
    node = Node(site)
    html = b"<script src='/api/v1/runs'></script><script>document.title = 'taken'</script>"
    for name in ("outputs/report.html", "azureml-logs/70_driver_log.txt", "outputs/picture.svg"):
        stream = node.open_one(name)
        node.send(stream, 0, html)
        answer = node.file(name)
        assert (answer.status, answer.data) == (200, html)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        is_inert = "sandbox" in answer.headers.get("Content-Security-Policy", "") or answer.headers.get(
            "Content-Disposition", ""
        ).startswith("attachment")
        assert is_inert or answer.headers["Content-Type"].partition(";")[0] in ("text/plain", "application/octet-stream")


@pytest.mark.skipif(not (BUILT / "index.html").exists(), reason="Studio is not built; `make studio` builds it")
def test_the_page_as_it_is_built_needs_nothing_that_the_policy_refuses() -> None:
    page = (BUILT / "index.html").read_text()
    assert re.findall(r"\s(?:style|on\w+)=", page) == []
    assert re.findall(r"<script(?![^>]*\ssrc=)", page) == []
    assert [one for one in re.findall(r'(?:src|href)="([^"]*)"', page) if not one.startswith("/assets/")] == []
    for path in (BUILT / "assets").iterdir():
        assert re.search(r"-[\w-]{8}\.\w+(\.br|\.gz)?$", path.name), f"{path.name} has no hash in its name"


def test_the_versions_that_are_built_with_are_pinned_without_addresses() -> None:
    text = (ROOT / "studio" / "package-lock.json").read_text()
    assert "://" not in text, "`npm run pin` in studio/ writes the file without addresses"
    asked_for = json.loads((ROOT / "studio" / "package.json").read_text())
    root, *needed = json.loads(text)["packages"].values()
    assert all(one["integrity"].startswith("sha512-") for one in needed)
    for kind in ("dependencies", "devDependencies"):
        assert asked_for[kind] == root[kind], "`npm run pin` in studio/ was not run after package.json became another"
        assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in asked_for[kind].values())
