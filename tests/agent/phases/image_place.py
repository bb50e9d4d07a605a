"""Where tests build images: a context, a cache, and the runs that build from the one into the other."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runyard.spec import CONTAINER, Environment, Spec
from tests.agent.phases.phase_run import PhaseRun
from tests.podman_site import PodmanSite, make_context, podman_site  # noqa: F401


class Place:
    """A context, a cache, and the runs that build from the one into the other."""

    def __init__(self, folder: Path, site: PodmanSite) -> None:
        self.folder = folder
        self.site = site
        self.cache_dir = folder / "cache"
        self.context = folder / "context"
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        # A repository of the test's own: the registry, and what podman has built, outlives the test.
        self.repository = f"test/{folder.name.lower()}"
        # A step that does not end; tests beside this one have such steps, too.
        self.endless_step = f"sleep 1234.{secrets.randbelow(10**9):09}"
        self._runs = 0
        self._builds = site.builds()

    def context_with(self, *steps: str) -> None:
        """The context of the next runs. The file `here` is no other test's."""
        make_context(self.context, "COPY here /here", *steps)
        (self.context / "here").write_text(str(self.folder))

    def run(self, *, builder: str = "auto", environ: Mapping[str, str] = {}, **environment: Any) -> PhaseRun:
        """A new run of this context."""
        self._runs += 1
        wanted = Environment(
            kind=CONTAINER,
            containerfile=str(self.context / "Containerfile"),
            context=str(self.context),
            registry=self.site.registry,
            repository=self.repository,
        )
        run_dir = self.folder / f"spool/run{self._runs}-{self.folder.name}"
        spec = Spec(environment=replace(wanted, **environment))
        variables = self.site.environ | {"TMPDIR": str(self.temporary)} | dict(environ)
        return PhaseRun(run_dir, spec, cache_dir=self.cache_dir, environ=variables, builder=builder)

    def builds(self) -> int:
        """How many images have been built since the test began."""
        return self.site.builds() - self._builds

    def sleepers(self) -> list[str]:
        """Processes of the endless steps."""
        return subprocess.run(["pgrep", "-f", self.endless_step], capture_output=True, text=True, check=False).stdout.split()

    def left(self) -> list[str]:
        """What builds have left behind: containers, mounts, steps in the runtime, temporary files."""
        steps = subprocess.run(["runc", "list", "--quiet"], capture_output=True, text=True, check=True).stdout.split()
        ours = [step for step in steps if str(self.temporary) in _bundle(step)]
        return self.site.containers() + self.site.mounts() + ours + [path.name for path in self.temporary.iterdir()]


def _bundle(step: str) -> str:
    return subprocess.run(["runc", "state", step], capture_output=True, text=True, check=False).stdout


@pytest.fixture(name="place")
def place_of_a_test(tmp_path: Path, podman_site: PodmanSite) -> Iterator[Place]:  # noqa: F811
    """A place with a context that differs from all others."""
    place = Place(tmp_path, podman_site)
    place.context_with("RUN echo step-has-run")
    yield place
    podman_site.start_registry()
    assert place.left() == []


def details(run: PhaseRun) -> dict[str, str]:
    """The four lines that 20 ends with."""
    return dict(line.split(maxsplit=2)[2].split(": ", 1) for line in run.image_log().splitlines()[-4:])
