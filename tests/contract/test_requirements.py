"""Requirements: what `-r` and `-c` name is read in, relative to the file that names it; everything else stays as it is."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard import requirements
from runyard.errors import InputError


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_included_files_stand_in_place_of_their_lines_each_relative_to_its_own_folder(tmp_path: Path) -> None:
    write(tmp_path / "more/deep.txt", "deep==1\n")
    write(tmp_path / "more/base.txt", "base==1\n--requirement=deep.txt  # below\n")
    top = write(tmp_path / "top.txt", "first==1\n-r more/base.txt\nlast==1\n")
    found = requirements.read(top)
    assert found.text.split() == ["first==1", "base==1", "deep==1", "last==1"]
    assert (found.constraints, found.folder) == ("", str(tmp_path))


@pytest.mark.parametrize(
    "line",
    [
        "-r a.txt",
        "-ra.txt",
        "  -r   a.txt  ",
        "--requirement a.txt",
        "--requirement=a.txt",
        '-r "a.txt"',
        "-r \\\n  a.txt",
        "-r a.txt # x",
    ],
)
def test_every_way_to_write_an_include_is_one(tmp_path: Path, line: str) -> None:
    write(tmp_path / "a.txt", "a==1\n")
    assert requirements.read(write(tmp_path / "top.txt", line + "\n")).text == "a==1\n"


def test_constraints_stand_apart_since_they_install_nothing(tmp_path: Path) -> None:
    write(tmp_path / "limits.txt", "torch<3\n-c more.txt\n")
    write(tmp_path / "more.txt", "numpy<3\n")
    found = requirements.read(write(tmp_path / "top.txt", "torch\n-c limits.txt\n"))
    assert found.text == "torch\n"
    assert found.constraints.split() == ["torch<3", "numpy<3"]


def test_other_lines_stay_as_they_are_hashes_and_comments_included(tmp_path: Path) -> None:
    text = "# -r not.txt \\\na==1 \\\n    --hash=sha256:00 \\\n    --hash=sha256:01\n"
    text += "--index-url https://x/simple\n-e ./package\n\nb # -r no\n"
    assert requirements.read(write(tmp_path / "top.txt", text)).text == text


def test_a_file_that_two_name_is_taken_once(tmp_path: Path) -> None:
    write(tmp_path / "base.txt", "base\n")
    write(tmp_path / "a.txt", "-r base.txt\na\n")
    assert requirements.read(write(tmp_path / "top.txt", "-r a.txt\n-r base.txt\n")).text.split() == ["base", "a"]


@pytest.mark.parametrize("option", ["-r", "-c"])
def test_a_cycle_is_refused(tmp_path: Path, option: str) -> None:
    write(tmp_path / "a.txt", f"{option} b.txt\n")
    write(tmp_path / "b.txt", "-r ./sub/../a.txt\n")
    (tmp_path / "sub").mkdir()
    with pytest.raises(InputError, match=r"a\.txt includes itself through .*b\.txt"):
        requirements.read(tmp_path / "a.txt")


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"{tmp_path}/none\.txt does not exist"):
        requirements.read(write(tmp_path / "top.txt", "-r none.txt\n"))
    with pytest.raises(InputError, match="does not exist"):
        requirements.read(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        requirements.of_lines(["-r " + "x" * 5000], tmp_path, "here")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "top.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        requirements.read(tmp_path / "top.txt")


def test_a_file_without_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="more than 4 MiB"):
        requirements.read(write(tmp_path / "top.txt", "x==1\n" * (1 << 20)))


def test_an_address_is_refused_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="https:// is not read in") as caught:
        requirements.of_lines(["-r https://u:s3cret@host/r.txt"], tmp_path, "environment.requirements")
    assert "s3cret" not in str(caught.value)


@given(
    st.lists(
        st.text(st.characters(codec="utf-8"), max_size=20)
        | st.sampled_from(["-r a", "-c", "--requirement=", "--constraint ./b", "\\", "x\\", "#\\"])
    )
)
def test_any_lines_become_requirements_or_one_sentence(lines: list[str]) -> None:
    with suppress(InputError):
        requirements.of_lines(lines, Path("/nonexistent"), "here")
