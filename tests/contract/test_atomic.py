"""Small files: a reader sees the old or the new content, whatever happens to the writer."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from runyard import atomic


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_a_file_is_replaced_and_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    atomic.write_json(str(path), {"a": 1})
    atomic.write_json(str(path), {"a": [2]}, durable=False)
    assert atomic.read_json(str(path)) == {"a": [2]}
    assert path.stat().st_mode & 0o777 == 0o600
    assert names_in(tmp_path) == ["state.json"]


def test_a_failed_write_leaves_the_old_content_and_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError):
        atomic.write_bytes(str(tmp_path / "taken"), b"new")
    assert names_in(tmp_path) == ["taken"]


def test_readers_beside_several_writers_never_see_a_part(tmp_path: Path) -> None:
    path = str(tmp_path / "value.json")
    values = [[number] * 5000 for number in range(4)]
    atomic.write_json(path, values[0], durable=False)

    def write(value: list[int]) -> None:
        for _ in range(40):
            atomic.write_json(path, value, durable=False)

    writers = [threading.Thread(target=write, args=(value,)) for value in values]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert atomic.read_json(path) in values
    for writer in writers:
        writer.join()
    assert names_in(tmp_path) == ["value.json"]


@pytest.mark.parametrize("content", [None, b"", b'{"a":', b"\xff"])
def test_what_is_missing_or_no_json_reads_as_none(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    assert atomic.read_json(str(path)) is None


def test_a_pipe_a_folder_or_an_endless_file_in_its_place_holds_up_nobody(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe.json", tmp_path / "link.json"
    os.mkfifo(pipe)
    link.symlink_to("/dev/zero")
    for path in (pipe, link, tmp_path):
        with pytest.raises(OSError, match="no plain file"):
            atomic.read_json(str(path))
    (tmp_path / "deep.json").write_text("[" * 100_000)
    assert atomic.read_json(str(tmp_path / "deep.json")) is None
