"""The documents: every command in them works as it stands there and prints what they show; every link leads somewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.docs import documents
from tests.docs.documents import ROOT, SHELL, Block, Shown
from tests.docs.reader import read

DOCUMENTS = documents.documents()
BY_NAME = {documents.name_of(path): path for path in DOCUMENTS}
TYPED = [
    name
    for name, path in BY_NAME.items()
    if any(block.kind in SHELL and not block.tested_by for block in documents.blocks(path.read_text()))
]


def needing(name: str) -> ParameterSet:
    """The document, with what its commands need beside ours."""
    needs_curl = [
        pytest.mark.needs_system("curl"),
        pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
    ]
    return pytest.param(name, marks=needs_curl if "\ncurl " in BY_NAME[name].read_text().replace("$ ", "") else [])


@pytest.mark.parametrize("name", [needing(name) for name in TYPED])
def test_its_commands_work_in_their_order_and_print_what_it_shows(name: str, tmp_path: Path) -> None:
    with read(tmp_path, documents.blocks(BY_NAME[name].read_text())) as done:
        assert done.returncode == 0, f"{done.text}\n(typed: {tmp_path / 'typed.sh'})"
        for shown in done.shown:
            printed = done.printed(shown)
            line = documents.missing(shown, printed)
            assert not line, f"{name}:{shown.line}: $ {shown.command}\nshows {line!r}, prints:\n{printed}\n{done.text}"


@pytest.mark.parametrize("name", BY_NAME)
def test_no_command_in_it_stands_where_nothing_runs_it(name: str) -> None:
    text = BY_NAME[name].read_text()
    assert not documents.unfenced_commands(text)
    for block in documents.blocks(text):
        assert block.kind, f"{name}:{block.line}: a block that does not say what it holds"


@pytest.mark.parametrize("name", BY_NAME)
def test_what_is_run_elsewhere_is_run_there_with_the_same_words(name: str) -> None:
    for block in documents.blocks(BY_NAME[name].read_text()):
        if not block.tested_by:
            continue
        text = "\n".join((ROOT / test).read_text() for test in block.tested_by)
        for command in block.commands:
            lacking = [word for word in words_of(command) if word not in text]
            assert not lacking, f"{name}:{block.line}: {block.tested_by} have no {lacking} of: {command}"


def words_of(command: str) -> list[str]:
    """The words that make a command what it is: our programs, verbs, flags; no names, numbers, paths and addresses."""
    command = command.split("  #")[0].split(" > ")[0].split(" -- ")[0]
    words = [word.split("=")[0] for word in command.split() if word not in ("sudo", "export")]
    return [word for word in words if re.fullmatch(r"(?:--)?[a-z][a-z-]*", word) and word not in ("lab", "python")]


@pytest.mark.parametrize("name", BY_NAME)
def test_every_link_leads_somewhere(name: str) -> None:
    path = BY_NAME[name]
    text = path.read_text()
    for link in documents.links(text):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), f"{name}: {link} is not there"
        if anchor and target.suffix == ".md":
            assert anchor in documents.anchors(target.read_text()), f"{name}: {link} has no such heading"


def test_what_troubleshooting_quotes_is_what_the_code_says() -> None:
    code = "\n".join(path.read_text() for folder in ("runyard", "agent", "collector") for path in (ROOT / folder).rglob("*.py"))
    rows = [
        line.split(" | ")[0] for line in BY_NAME["docs/troubleshooting.md"].read_text().splitlines() if line.startswith("| ")
    ]
    quoted = [
        quote for row in rows for quote in re.findall(r"`([^`]+)`", row) if " " in quote and not quote.startswith("runyard ")
    ]
    assert len(quoted) > 10
    for piece in (piece.strip() for quote in quoted for piece in quote.split("…")):
        assert piece in code, f"no module says {piece!r}"


def test_every_document_can_be_reached_from_the_readme() -> None:
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        path = waiting.pop()
        if path in reached or path.suffix != ".md" or not path.exists():
            continue
        reached.add(path)
        files = [link.partition("#")[0] for link in documents.links(path.read_text()) if not re.match(r"[a-z]+:", link)]
        waiting += [(path.parent / file).resolve() for file in files if file]
    assert {documents.name_of(path) for path in DOCUMENTS} <= {str(path.relative_to(ROOT)) for path in reached}


def test_the_reference_is_what_the_code_gives() -> None:
    done = subprocess.run(
        [sys.executable, "tools/make_reference.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.needs_system("groff-base")
@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_the_manual_is_read_without_a_complaint(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "tools/make_manual.py", str(tmp_path)], cwd=ROOT, check=True, timeout=60)
    pages = sorted(tmp_path.iterdir())
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-Kutf8", "-ww", "-z", *map(str, pages)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_a_console_block_shows_is_compared_line_by_line() -> None:
    def shown(*lines: str) -> Shown:
        return Shown("", lines, "", 1)

    assert not documents.missing(shown("a  b", "…", "c … d"), "a b\nx\ny\nc 1 2 d\n")
    assert documents.missing(shown("a", "c"), "a\nb\nc\n") == "c"
    assert documents.missing(shown("a"), "a\nb\n") == "(nothing more, but: b)"
    assert not documents.missing(shown("…", "b"), "a\nb\n")


def test_blocks_are_found_with_what_tests_them() -> None:
    text = "<!-- tested by tests/a.py -->\n```sh\nrunyard ps\n```\n\ntext\n\n- x\n\n  ```python\n  # train.py\n  1\n  ```\n"
    assert documents.blocks(text) == [
        Block("sh", "runyard ps\n", 2, ("tests/a.py",)),
        Block("python", "# train.py\n1\n", 10),
    ]
    assert documents.blocks(text)[1].file == "train.py"
    assert documents.unfenced_commands("a\n\n    runyard ps\n    {\n\n```sh\n    runyard ps\n```\n") == ["runyard ps"]
