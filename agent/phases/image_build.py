"""Building a run's image, once for all runs with the same Containerfile, context and arguments, and pushing it for all nodes.

Reads the context; keeps in <cache_dir>/images what was built and where it was pushed. A registry that has the tag, whichever
node has built it, saves the build.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runyard import names
from runyard.atomic import read_json, write_json
from runyard.errors import PhaseError

from . import builder, cache_lock, image_key, images, leftovers
from .disk_room import shortage
from .phase import Phase
from .retrying import repeat
from .words import ABSENT, DENIED, UNREACHABLE, Refusal, refusal, since, telling

# A registry that restarts is back by then.
REGISTRY_RETRIES = 3
TAG_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Built:
    """An image that was built: where it lies in its registry or, without one, its id on this node."""

    registry: str
    repository: str
    tag: str
    digest: str = ""
    image_id: str = ""

    @property
    def name(self) -> str:
        """The name by tag."""
        return f"{self.registry or 'localhost'}/{self.repository}:{self.tag}"

    @property
    def image(self) -> str:
        """What the image is pulled and run by."""
        return f"{self.registry}/{self.repository}@{self.digest}" if self.registry else self.image_id


def run(phase: Phase) -> dict[str, Any]:
    """Have the image; what image.run returns."""
    images.require_podman()
    leftovers.clear(phase)
    environment = phase.spec.environment
    builds_with = builder.choose(phase.run["builder"])
    if builds_with.program == "docker" and not environment.registry:
        raise PhaseError(
            "docker keeps what it builds to itself; set environment.registry, from where podman can pull the image"
        )
    containerfile = Path(environment.containerfile)
    context = Path(environment.context or containerfile.parent)
    key = image_key.of(containerfile, context, environment.build_args)
    wanted = Built(environment.registry, environment.repository, key[:TAG_DIGITS])
    record = phase.cache_dir / "images" / f"{key}-{hashlib.sha256(wanted.name.encode()).hexdigest()[:8]}.json"
    with cache_lock.held(record.with_suffix(".lock"), lambda: phase.say(f"Another run builds {wanted.name}; waiting for it.")):
        built = _recorded(phase, record) or _in_registry(phase, wanted)
        is_built = built is None
        if built is None:
            built = _build(phase, builds_with, containerfile, context, wanted)
        write_json(str(record), asdict(built))
    return {"image": built.image, "is_built": is_built, "key": key}


def _recorded(phase: Phase, record: Path) -> Built | None:
    """What was built before, if it is still there."""
    value = read_json(str(record))
    if value is None:
        return None
    built = Built(**value)
    if not built.registry:
        is_there = bool(images.image_id(built.image_id))
    else:
        gone = images.look(built.image)
        is_there = gone is None or gone.kind != ABSENT  # whether it can be pulled is seen when it is pulled
    if is_there:
        phase.say(f"The cached environment is used: the image {built.image}, built before as {built.name}.")
        return built
    phase.say(f"The image {built.image} was built before and is there no longer; it is built again.")
    return None


def _in_registry(phase: Phase, wanted: Built) -> Built | None:
    """The image by its tag, if another node has built and pushed it."""
    if not wanted.registry:
        return None
    refused = repeat(phase, f"Asking the registry for {wanted.name}", REGISTRY_RETRIES, lambda: images.look(wanted.name))
    if refused and refused.kind == UNREACHABLE:
        raise _unpushed(wanted, refused, "the image cannot be built for all nodes")
    if refused:
        return None
    with leftovers.cleared(phase) as environ:
        refused = images.pull(wanted.name, phase.log_end(), environ)
    digest = images.by_digest(wanted.name).partition("@")[2] if refused is None else ""
    if not digest:
        return None
    built = Built(wanted.registry, wanted.repository, wanted.tag, digest)
    phase.say(f"The cached environment is used: the registry has it as {built.name}, digest {digest}.")
    return built


def _build(phase: Phase, builds_with: builder.Builder, containerfile: Path, context: Path, wanted: Built) -> Built:
    before = phase.log
    phase.say(f"The environment is built as {wanted.name}; see {names.IMAGE_LOG}.")
    phase.log_to(names.IMAGE_LOG)
    phase.say(f"Building the image {wanted.name} with {builds_with.program} from {containerfile}, context {context}.")
    options = [f"--build-arg={name}={value}" for name, value in phase.spec.environment.build_args.items()]
    if builds_with.program != "docker":
        options.append(f"--build-arg={leftovers.MARK_ARGUMENT}={leftovers.mark(phase)}")
    with leftovers.cleared(phase) as environ:
        start = phase.log_end()
        if builds_with.build(containerfile, context, wanted.name, options, environ) != 0:
            room = shortage(Path(environ["TMPDIR"]), leftovers.storage_root())
            raise PhaseError(
                f"the image could not be built from {containerfile}: {telling(since(start)) or 'no word why'}{room}"
            )
        if wanted.registry:
            built = _push(phase, builds_with, wanted, environ)
        else:
            built = Built("", wanted.repository, wanted.tag, "", images.image_id(wanted.name))
    _say_where(phase, built)
    phase.log_to(before)
    return built


def _push(phase: Phase, builds_with: builder.Builder, wanted: Built, environ: dict[str, str]) -> Built:
    digest_file = Path(environ["TMPDIR"]) / "digest"

    def attempt() -> Refusal | None:
        start = phase.log_end()
        code = builds_with.push(wanted.name, digest_file, environ)
        return refusal(since(start)) if code else None

    refused = repeat(phase, f"Pushing the image {wanted.name}", REGISTRY_RETRIES, attempt)
    if refused is not None:
        raise _unpushed(wanted, refused, "the image was built and cannot be pushed")
    return Built(wanted.registry, wanted.repository, wanted.tag, digest_file.read_text().strip())


def _unpushed(wanted: Built, refused: Refusal, what: str) -> PhaseError:
    if refused.kind == UNREACHABLE:
        tried = f"could not be reached in {REGISTRY_RETRIES + 1} attempts ({refused.reason}); start it or set another one"
        return PhaseError(f"{what}: environment.registry {wanted.registry} {tried}", is_passing=True)
    if refused.kind == DENIED:
        advice = f"log in with `podman login {wanted.registry}` on this node"
        return PhaseError(f"{what}: environment.registry {wanted.registry} denies it ({refused.reason}); {advice}")
    return PhaseError(f"{what}: environment.registry {wanted.registry} does not take it: {refused.line}")


def _say_where(phase: Phase, built: Built) -> None:
    if built.registry:
        phase.say("The image is built and pushed.")
    else:
        phase.say("The image is built. No registry is set (environment.registry): it stays on this node.")
    phase.say(f"registry: {built.registry or 'none'}")
    phase.say(f"repository: {built.repository}")
    phase.say(f"tag: {built.tag}")
    phase.say(f"digest: {built.digest}" if built.registry else f"image: {built.image_id}")
