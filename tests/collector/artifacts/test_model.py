"""Random uploads, replacements and removals against a dict of path -> bytes: lists, reads and zips say what it says."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.collector.node import Node
from tests.collector_process import CollectorProcess

from .uploads import all_files, archive, delete_file, enter, folder, get_file, put_blob, unzipped

_parts = st.sampled_from(["a", "b", "c", "ä b", "A", "a.txt", "%2e%2e", "+", "_", "日"])
_paths = st.lists(_parts, min_size=1, max_size=3).map("/".join)
_contents = st.sampled_from([b"", b"x", b"other", b"line\n" * 500])
_actions = st.lists(
    st.tuples(st.just("put"), _paths, _contents) | st.tuples(st.just("delete"), _paths, st.just(b"")), max_size=10
)


def _is_in_the_way(files: dict[str, bytes], path: str) -> bool:
    return any(other != path and (other.startswith(f"{path}/") or path.startswith(f"{other}/")) for other in files)


def _put(node: Node, files: dict[str, bytes], path: str, content: bytes) -> None:
    assert put_blob(node.collector, content).status in (200, 201)
    is_refused = _is_in_the_way(files, path)
    assert enter(node, path, content).status == (409 if is_refused else 201)
    if not is_refused:
        files[path] = content


def _delete(node: Node, files: dict[str, bytes], path: str) -> None:
    gone = [other for other in files if other == path or other.startswith(f"{path}/")]
    assert delete_file(node, path) == (204 if gone else 404)
    for other in gone:
        del files[other]


def _listed(node: Node, path: str) -> set[str]:
    """All files, found by walking the folders."""
    found = folder(node, path, page_size=1000)
    below = [file for one in found["folders"] for file in _listed(node, one)]
    return {file["path"] for file in found["files"]} | set(below)


@pytest.mark.timeout(300)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=_actions)
def test_files_are_what_was_put_last_and_not_taken_away(
    collector: CollectorProcess, actions: list[tuple[str, str, bytes]]
) -> None:
    node, files = Node(collector), dict[str, bytes]()
    for action, path, content in actions:
        if action == "put":
            _put(node, files, path, content)
        else:
            _delete(node, files, path)
    assert {path: file["size_bytes"] for path, file in all_files(node).items()} == {
        path: len(content) for path, content in files.items()
    }
    assert _listed(node, "") == set(files)
    assert unzipped(archive(node).data) == files
    for path, content in files.items():
        assert get_file(node, path).data == content
