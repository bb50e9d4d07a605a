"""`make rows` and CI's check of skips tell the truth about the tests they are given."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rows import ROWS

ROOT = Path(__file__).parent.parent
GIVEN = """
import pytest

@pytest.mark.row("A4", "B1")
def test_good(): pass

@pytest.mark.row("B1")
@pytest.mark.skip(reason="not here")
@pytest.mark.needs_system("podman")
def test_left_out(): pass

@pytest.mark.row("A7")
@pytest.mark.skip(reason="not here")
def test_also_left_out(): pass

@pytest.mark.row("A8")
def test_bad(): assert False

@pytest.mark.row("A8")
def test_another_good(): pass

def test_of_no_row(): assert False
"""


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    options = ["-p", "tests.row_marks", "-p", "no:cacheprovider", "-c", "/dev/null", f"--rootdir={folder}"]
    command = [sys.executable, *arguments, *options, str(folder)]
    # Not the options of the pytest that runs this test (CI names a report), and no plugins, whose loading takes seconds.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)


def test_each_row_is_told_with_the_tests_that_show_it(tmp_path: Path) -> None:
    (tmp_path / "test_given.py").write_text(GIVEN)
    done = run("-m", "tests.rows", folder=tmp_path)
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.split()[:1] and line.split()[0] in ROWS}
    assert list(lines) == list(ROWS)
    assert {row: line.split()[1] for row, line in lines.items() if " missing " not in line} == {
        "A4": "passed",
        "A7": "skipped",
        "A8": "failed",
        "B1": "passed",
    }
    assert lines["B1"].endswith("test_given.py::test_good, test_given.py::test_left_out (skipped)")
    assert "test_bad (failed)" in lines["A8"]
    assert "test_of_no_row" not in done.stdout
    assert done.returncode == 1


def test_rows_that_do_not_fail_leave_with_0(tmp_path: Path) -> None:
    (tmp_path / "test_given.py").write_text(GIVEN.replace("def test_bad(): assert False", ""))
    assert run("-m", "tests.rows", folder=tmp_path).returncode == 0


@pytest.mark.parametrize("mark", ['row("A16")', 'row("a4")', "row()", 'row(id="A4")'])
def test_a_row_that_the_mission_does_not_have_is_an_error(tmp_path: Path, mark: str) -> None:
    (tmp_path / "test_given.py").write_text(f"import pytest\n@pytest.mark.{mark}\ndef test_x(): pass\n")
    done = run("-m", "pytest", folder=tmp_path)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "test_given.py::test_x" in done.stdout + done.stderr


@pytest.mark.parametrize(("is_skipped", "code"), [(True, 1), (False, 0)])
def test_ci_fails_where_a_test_was_skipped(tmp_path: Path, is_skipped: bool, code: int) -> None:
    text = GIVEN if is_skipped else GIVEN.replace('@pytest.mark.skip(reason="not here")', "")
    (tmp_path / "test_given.py").write_text(text)
    report = tmp_path / "junit.xml"
    run("-m", "pytest", f"--junitxml={report}", folder=tmp_path)
    done = subprocess.run([sys.executable, ROOT / "tools/check_skips.py", report], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert ("test_left_out was skipped; it needs podman" in done.stdout) is is_skipped
    assert ("test_also_left_out was skipped; it is not in the list" in done.stdout) is is_skipped
