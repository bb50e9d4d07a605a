"""`runyard completion`: what each shell itself makes of the words when a person presses Tab."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runyard import cli
from runyard.cli.grammar import verbs
from tests.cli.scene import environment, runyard
from tests.collector.node import Node
from tests.collector_process import CollectorProcess

LIMIT_S = 20.0
BIN = str(Path(sys.executable).parent)


def made(shell: str) -> str:
    done = subprocess.run([f"{BIN}/runyard", "completion", shell], capture_output=True, text=True, timeout=30, check=True)
    return done.stdout


class Shell:
    """An interactive shell on a terminal of its own, at whose keys the test sits."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self.shown = ""

    def type(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def until(self, text: str) -> str:
        """Reads until the text stands on the screen; everything since the last call."""
        deadline = time.monotonic() + LIMIT_S
        while text not in self.shown:
            assert time.monotonic() < deadline, f"{text!r} did not come: {self.shown!r}"
            if select.select([self._terminal], [], [], 0.2)[0]:
                self.shown += os.read(self._terminal, 1 << 16).decode(errors="replace")
        read, self.shown = self.shown, ""
        return read

    def line(self, keys: str) -> str:
        """What the line is after these keys: the shell prints it itself in place of running it."""
        self.type(keys)
        self.type("\x01echo '[' \x05 ']'\r")
        return self.until(" ]\r\n").partition(" ]\r\n")[0].rpartition("[ ")[2]


@contextmanager
def shell(argv: list[str], folder: Path, **more: str) -> Iterator[Shell]:
    """Started in a folder, with our command on its PATH."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNYARD_")}
    environ = kept | {"PATH": f"{BIN}:{os.environ['PATH']}", "TERM": "dumb", "PS1": "$ ", "HOME": str(folder)} | more
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(folder)
        os.execvpe(argv[0], argv, environ)
    try:
        yield Shell(terminal)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(terminal)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """bash's completion, in a file."""
    path = tmp_path / "runyard.bash"
    path.write_text(made("bash"))
    return path


@contextmanager
def bash(script: Path, **more: str) -> Iterator[Shell]:
    with shell(["bash", "--norc", "--noprofile", "-i"], script.parent, **more) as one:
        one.type(f"bind 'set bell-style none'; source {script.name}; echo 'rea''dy'\r")
        one.until("ready\r\n")
        yield one


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("runyard lo\t", "runyard logs "),
        ("runyard logs --foll\t", "runyard logs --follow "),
        ("runyard logs --stream o\t", "runyard logs --stream out "),
        ("runyard ps --output=j\t", "runyard ps --output=json "),
        ("runyard service unin\tcol\t", "runyard service uninstall collector "),
        ("runyard run --spec my-r\t", "runyard run --spec my-run.toml "),
        ("runyard run --code my-c\t", "runyard run --code my-code/"),
        ("runyard run -- seq 1 my-r\t", "runyard run -- seq 1 my-run.toml "),
        ("runyard run -- runya\tmy-c\t", "runyard run -- runyard my-code/"),
    ],
)
def test_bash_completes(keys: str, line: str, script: Path) -> None:
    (script.parent / "my-run.toml").touch()
    (script.parent / "my-code").mkdir()
    with bash(script) as one:
        # The line's last blank is the shell's, too.
        assert one.line(keys) == line.rstrip()


def test_bash_completes_the_ids_of_runs_and_without_a_collector_nothing(collector: CollectorProcess, script: Path) -> None:
    Node(collector, run_id="digits_1790000000_0a1b2c3d")
    settings = {name: value for name, value in environment(collector).items() if name.startswith("RUNYARD_")}
    with bash(script, **settings) as one:
        assert one.line("runyard show dig\t") == "runyard show digits_1790000000_0a1b2c3d"
    with bash(script) as one:
        assert one.line("runyard show dig\t") == "runyard show dig"


def test_the_ids_of_runs_are_asked_for_quietly(collector: CollectorProcess) -> None:
    assert runyard(collector, "completion", "runs").stdout == b""
    done = runyard(collector, "completion", "runs", RUNYARD_COLLECTOR_URL="http://127.0.0.1:1")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_every_verb_and_flag_is_in_every_shells_completion() -> None:
    scripts = {shell: made(shell) for shell in ("bash", "zsh", "fish")}
    assert [verb.name for verb in verbs()] == [*cli.VERBS]
    for verb in verbs():
        for flag in (flag for word in verb.flags for flag in word.flags):
            assert flag in scripts["bash"]
            assert f"{flag}[" in scripts["zsh"]
            assert f" {'-l' if flag.startswith('--') else '-s'} {flag.lstrip('-')} " in scripts["fish"] + " "


@pytest.mark.needs_system("zsh")
@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_completes(tmp_path: Path) -> None:
    (tmp_path / "_runyard").write_text(made("zsh"))
    with shell(["zsh", "-f", "-i"], tmp_path) as one:
        one.type(f"unsetopt zle; fpath=({tmp_path} $fpath); autoload -U compinit; compinit -u -D; setopt zle; echo 'rea''dy'\r")
        one.until("ready\r\n")
        one.type("bindkey -e; echo 'al''so'\r")
        one.until("also\r\n")
        assert one.line("runyard lo\t") == "runyard logs"
        assert one.line("runyard logs --foll\t") == "runyard logs --follow"
        assert one.line("runyard service unin\tcol\t") == "runyard service uninstall collector"


@pytest.mark.needs_system("fish")
@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("runyard lo", {"logs"}),
        ("runyard logs --foll", {"--follow"}),
        ("runyard logs --stream ", {"out", "err"}),
        ("runyard config ", {"explain", "check"}),
    ],
)
def test_fish_completes(line: str, words: set[str], tmp_path: Path) -> None:
    folder = tmp_path / ".config/fish/completions"
    folder.mkdir(parents=True)
    (folder / "runyard.fish").write_text(made("fish"))
    places = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / ".config")}
    environ = os.environ | places | {"PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(["fish", "-c", f"complete -C '{line}'"], env=environ, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert {found.partition("\t")[0] for found in done.stdout.splitlines()} == words
