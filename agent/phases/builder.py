"""What builds images: podman, buildah or docker, behind the same few commands.

Runs them; what they say goes to the log.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runyard.errors import PhaseError

from . import tool

AUTO = "auto"
PROGRAMS = ("podman", "buildah", "docker")


@dataclass(frozen=True, slots=True)
class Builder:
    """One of the three programs."""

    program: str

    def build(self, containerfile: Path, context: Path, name: str, options: Sequence[str], environ: Mapping[str, str]) -> int:
        """Build an image and name it; the exit code. Blocks."""
        keeping = ["--layers"] if self.program == "buildah" else []
        argv = [self.program, "build", *keeping, "--file", str(containerfile), "--tag", name, *options, str(context)]
        return tool.run(argv, environ=environ)

    def push(self, name: str, digest_file: Path, environ: Mapping[str, str]) -> int:
        """Push the image; afterwards `digest_file` holds its digest. The exit code. Blocks."""
        if self.program != "docker":
            return tool.run([self.program, "push", "--digestfile", str(digest_file), name], environ=environ)
        code = tool.run(["docker", "push", name], environ=environ)
        if code == 0:
            digest_file.write_text(_docker_digest(name))
        return code


def choose(wanted: str) -> Builder:
    """The builder of the setting environment.builder; for auto the first one that works. Raises PhaseError."""
    if wanted != AUTO:
        if why := _why_not(wanted):
            raise PhaseError(f"environment.builder is {wanted}, {why}; install it or set another one")
        return Builder(wanted)
    found = next((program for program in PROGRAMS if not _why_not(program)), "")
    if not found:
        raise PhaseError("this node has neither podman nor buildah nor a docker engine to build the image; install podman")
    return Builder(found)


def _why_not(program: str) -> str:
    if not shutil.which(program):
        return "which is not installed on this node"
    if program == "docker" and not tool.ask(["docker", "version", "--format", "{{.Server.Version}}"]).value:
        return "whose engine does not answer on this node"
    return ""


def _docker_digest(name: str) -> str:
    known = tool.ask(["docker", "image", "inspect", "--format", "{{json .RepoDigests}}", name]).value
    repository = name.rpartition(":")[0]
    digests = [full.partition("@")[2] for full in json.loads(known or "[]") if full.startswith(repository + "@")]
    return digests[-1] if digests else ""
