"""The images that podman has on this node and finds in registries: looking, pulling, and by which digest one is known.

Runs podman; what it says while it pulls goes to the log.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping

from runyard.errors import PhaseError

from . import tool
from .words import Refusal, refusal, since


def require_podman() -> None:
    """Raises PhaseError where podman is missing: whatever builds an image, podman runs it."""
    if not shutil.which("podman"):
        raise PhaseError("environment.kind is container, and this node has no podman to run it; install podman")


def look(image: str) -> Refusal | None:
    """Ask the registry for an image by tag or digest; None where it has it. Transfers nothing but the manifest."""
    answer = tool.ask(["podman", "manifest", "inspect", image])
    # podman 4.3 fails for an image that is no list of images, once it has got what it asked for.
    return None if answer.code == 0 or "parsing manifest blob" in answer.stderr else refusal(answer.stderr)


def pull(image: str, log_end: int, environ: Mapping[str, str]) -> Refusal | None:
    """Pull the image; None where it is there now. `log_end`: the log's size before. Blocks."""
    code = tool.run(["podman", "pull", image], environ=environ)
    return None if code == 0 else refusal(since(log_end))


def image_id(image: str) -> str:
    """The id, 64 hex digits, of an image by its id, tag or digest; empty where this node does not have it."""
    return _inspect(image, "{{.Id}}")


def by_digest(image: str) -> str:
    """`<registry>/<repository>@sha256:…` of an image that this node has, as its registry knows it; empty where none does.

    An image may have several digests: one that was built and pushed here has its own and the one of what was pushed. The
    registry is asked which; each that it has is the same image.
    """
    said = _inspect(image, "{{json .RepoDigests}}")
    wanted = repository(image)
    known: list[str] = json.loads(said) if said else []
    names = [name for name in known or () if (own := repository(name)) == wanted or own.endswith("/" + wanted)]
    if len(names) == 1 and not wanted.startswith("localhost/"):
        return names[0]
    return next((name for name in reversed(names) if look(name) is None), "")


def repository(image: str) -> str:
    """The image's name without tag and digest."""
    name = image.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]


def _inspect(image: str, template: str) -> str:
    return tool.ask(["podman", "image", "inspect", "--format", template, image]).value
