"""`python -m demo`: a collector on loopback, `runyard run` around a training, `runyard logs -f` in this terminal.

What one sees has gone all the way: from the driver's log through the spool and HTTP into the collector, and out of it again.
Reads from demo/train.py; writes below .demo/ in the repository and to the terminal.
"""

from __future__ import annotations

import argparse
import os
import re
import select
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from runyard import reader
from runyard.cli.studio import login_link
from runyard.cli.terminal import size
from runyard.client import CollectorClient
from runyard.errors import RunyardError

ROOT = Path(__file__).parent.parent
RUNYARD = [sys.executable, "-m", "runyard"]
READY = re.compile(r"runyard collector ready url=(\S+) data_dir=(.+) token_file=(.+)")
START_LIMIT_S = 30.0
STOP_LIMIT_S = 15.0
LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Collector:
    """A collector that runs."""

    url: str
    data_dir: Path
    token_file: Path
    pid: int

    @property
    def client(self) -> CollectorClient:
        """A new client with the administrator's token."""
        return CollectorClient(self.url, self.token_file.read_text().strip())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; the exit code is the training's."""
    parser = argparse.ArgumentParser(prog="python -m demo", description="A training, followed live through a collector.")
    parser.add_argument("--folder", type=Path, default=ROOT / ".demo", help="where everything goes (default: .demo)")
    parser.add_argument("command", nargs="*", metavar="CMD", help="train with this command instead (behind --)")
    args = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the collector is ended, too
    try:
        return demonstrate(args.folder.resolve(), args.command or [sys.executable, str(ROOT / "demo" / "train.py")])
    except RunyardError as error:
        print(f"demo: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # whoever read our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def demonstrate(folder: Path, command: list[str]) -> int:
    """Start everything, show the training, end everything."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    run_id = time.strftime("digits-%Y%m%d-%H%M%S") + f"-{os.getpid()}"
    with collector_in(folder) as collector:
        say(f"collector: {collector.url} (process {collector.pid}), its data in {shown(collector.data_dir)}")
        say(studio_line(collector))
        run = [*RUNYARD, "run", "--experiment", "digits", "--run-id", run_id, "--", *command]
        environ = environment(folder, collector)
        with (folder / "wrapper.log").open("wb") as log:
            wrapper = subprocess.Popen(run, env=environ, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        with suppress(KeyboardInterrupt):  # the wrapper is asked to end, too: by the same key
            follow(run_id, collector, wrapper, environ)
        code = wait_for(wrapper)
        farewell(run_id, collector, folder, code)
    return code


@contextmanager
def collector_in(folder: Path) -> Iterator[Collector]:
    """A collector of our own; its administrator's token is made at its first start."""
    command = [*RUNYARD, "collector", "--host", "127.0.0.1", "--port", "0", "--data-dir", str(folder / "collector")]
    with (folder / "collector.log").open("ab") as log:
        # A session of its own: Ctrl-C is for the training, whose end has still to be shipped.
        process = subprocess.Popen(
            command, env=environment(folder), cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )
    try:
        assert process.stdout is not None
        is_there, _, _ = select.select([process.stdout], [], [], START_LIMIT_S)
        match = READY.match(process.stdout.readline() if is_there else "")
        if match is None:
            raise RunyardError(f"the collector did not start; see {shown(folder / 'collector.log')}")
        yield Collector(match[1], Path(match[2]), Path(match[3]), process.pid)
    finally:
        process.terminate()
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def studio_line(collector: Collector) -> str:
    """A link to the web page that is good for one login, or how the page is built."""
    try:
        with urllib.request.urlopen(collector.url, timeout=10):  # noqa: S310 - our own collector, on loopback
            return f"Studio, its web page, while it runs: {login_link(collector.client)}"
    except urllib.error.HTTPError:  # it has no page
        return "Studio, its web page, is not built here; `make studio` builds it"


def environment(folder: Path, collector: Collector | None = None) -> dict[str, str]:
    """The environment without settings of the user's own, and with those of the demo."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNYARD_")}
    ours = {"XDG_CONFIG_HOME": str(folder), "RUNYARD_SPOOL__DIR": str(folder / "spool")}
    if collector is not None:
        ours |= {"RUNYARD_COLLECTOR_URL": collector.url, "RUNYARD_TOKEN": collector.token_file.read_text().strip()}
    return kept | ours


def follow(run_id: str, collector: Collector, wrapper: subprocess.Popen[bytes], environ: dict[str, str]) -> None:
    """Show the run's log in this terminal until it is complete."""
    client = collector.client
    while wrapper.poll() is None:
        try:
            if reader.run(client, run_id)["processes"]:
                break
        except reader.NoSuchRun:
            pass
        time.sleep(LOOK_S)
    client.close()
    say(f"runyard logs -f {run_id}")
    subprocess.run([*RUNYARD, "logs", "-f", run_id], env=environ, cwd=ROOT, check=False)


def wait_for(wrapper: subprocess.Popen[bytes]) -> int:
    """The training's exit code."""
    while True:
        try:
            code = wrapper.wait()
        except KeyboardInterrupt:
            continue  # the wrapper has had it as well, and ends the driver the harder
        return code if code >= 0 else 128 - code


def farewell(run_id: str, collector: Collector, folder: Path, code: int) -> None:
    """Where everything lies, and how to look again."""
    say(f"the training ended with exit code {code}; `runyard run` said what it said in {shown(folder / 'wrapper.log')}")
    nodes = reader.run(collector.client, run_id)["nodes"]
    for node in nodes:
        place = collector.data_dir / "runs" / "digits" / run_id / node["folder"]
        print(f"\nThe collector's folder for node {node['ip']}: {shown(place)}")
        for path in sorted(place.rglob("*")):
            if path.is_file():
                print(f"  {size(path.stat().st_size):>8}  {path.relative_to(place)}")
    port = collector.url.rpartition(":")[2]
    runyard = shlex.quote(shown(Path(sys.executable).with_name("runyard")))
    print(f"""
To look again, start the collector on the same data (it stops now), and ask it:
  {runyard} collector --port {port} --data-dir {shlex.quote(shown(collector.data_dir))} 2>/dev/null &
  export RUNYARD_COLLECTOR_URL={collector.url} RUNYARD_TOKEN="$(cat {shlex.quote(shown(collector.token_file))})"
  {runyard} studio {run_id}
  {runyard} ps
  {runyard} show {run_id}
  {runyard} logs {run_id} --timestamps
  {runyard} logs {run_id} --raw
  {runyard} verify {run_id}""")


def say(text: str) -> None:
    """One line of the demo's own, told apart from the training's."""
    print(f"== {text}", flush=True)


def shown(path: Path) -> str:
    """`path` as one would type it in the repository."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


if __name__ == "__main__":
    sys.exit(main())
