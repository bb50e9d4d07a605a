"""What runs have written has the web page's own address: no browser takes it for a page, a script or a style."""

from __future__ import annotations

import pytest

from tests.collector.artifacts.uploads import put_file
from tests.collector.mlflow.mlflow_api import FILES
from tests.collector.node import Node, call
from tests.collector_process import CollectorProcess

EVIL = b"<script>fetch('/api/v1/runs')</script>"
RUNNABLE = ("html", "javascript", "css", "svg", "xml", "pdf")


@pytest.mark.parametrize(
    "name", ["page.html", "picture.svg", "page.xhtml", "x.js", "x.css", "x.xml", "x.pdf", "x.mhtml", "x.txt"]
)
def test_no_file_of_a_run_is_run_by_a_browser(collector: CollectorProcess, name: str) -> None:
    node = Node(collector)
    put_file(node, f"uploaded/{name}", EVIL)
    node.send(node.open_one(f"outputs/{name}"), 0, EVIL, sync=True)
    run = f"/api/v1/runs/{node.run_id}"
    paths = [f"{run}/artifacts/uploaded/{name}", f"{run}/artifacts/outputs/{name}", f"{run}/files/outputs/{name}"]
    paths.append(f"{FILES}/0/{node.run_id}/artifacts/uploaded/{name}")
    for path in paths:
        for method in ("GET", "HEAD"):
            answer = call(collector, method, path)
            assert answer.status == 200, (path, answer.data)
            assert not any(one in answer.headers["Content-Type"] for one in RUNNABLE), path
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
            assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
