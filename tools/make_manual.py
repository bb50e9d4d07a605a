"""Writes the manual's pages into a folder: runyard.1, one for each verb (runyard-run.1, …), and the settings, runyard.toml.5.

Reads the verbs' parsers and runyard.settings, so that it needs Python alone; writes roff as man(7) has it.

    python3 tools/make_manual.py FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from runyard import __version__  # noqa: E402
from runyard.cli import grammar  # noqa: E402
from runyard.settings import SECTIONS  # noqa: E402

ABOUT = (
    "Runs training commands on the nodes of a cluster or on this machine, writes their output, byte for byte, into numbered log"
    " files, and ships these live to a collector, from which they are followed, read and compared."
)
EXIT_CODES = (
    "0: done. 1: it did not work. 2: it was asked wrongly; one sentence says what is wrong and what would be right."
    " runyard run and runyard submit --follow end with the exit code of the training, 128+n after signal n, 124 at its limit."
)
SETTINGS = (
    "A flag comes before a variable (RUNYARD_SECTION__KEY), that before a file, that before the default. Files are in TOML and"
    " have sections. runyard config explain tells what is set, and where. Times are in seconds (_s), sizes in bytes (_bytes)."
)
FILES = """
.TP
.I /etc/runyard/config.toml, ~/.config/runyard/config.toml, ./runyard.toml
settings, the later ones first; see
.BR runyard.toml (5)
.TP
.I ~/.local/state/runyard/spool
runs on this node that the collector does not have whole (\\fIspool.dir\\fR)
"""


def main() -> int:
    """Write all pages into the folder that is the one argument."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text)
    return 0


def pages() -> dict[str, str]:
    """Each page by its file's name."""
    verbs = grammar.verbs()
    made = {"runyard.1": overview(verbs), "runyard.toml.5": settings()}
    return made | {f"runyard-{verb.name}.1": of_verb(verb, verbs) for verb in verbs}


def roff(text: str) -> str:
    """Text as roff shows it: no character of it is a request."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...").replace("'", "\\(aq").replace("`", "\\(ga")
    return "\\&" + escaped if escaped.startswith((".", "\\(aq")) else escaped


def head(name: str, section: int, summary: str) -> Iterator[str]:
    """What each page begins with."""
    yield f'.TH {roff(name.upper())} {section} "" "runyard {__version__}" "Runyard"'
    yield ".SH NAME"
    yield f"{roff(name)} \\- {roff(summary)}"


def overview(verbs: tuple[grammar.Verb, ...]) -> str:
    """runyard(1)."""

    def lines() -> Iterator[str]:
        yield from head("runyard", 1, "runs training commands and keeps their logs")
        yield ".SH SYNOPSIS"
        yield f"{roff('runyard VERB [options] ...')}"
        yield ".SH DESCRIPTION"
        yield roff(ABOUT)
        yield ".SH VERBS"
        for verb in verbs:
            yield ".TP"
            yield f".BR {roff('runyard-' + verb.name)} (1)"
            yield roff(verb.summary)
        yield ".SH EXIT STATUS"
        yield roff(EXIT_CODES)
        yield ".SH ENVIRONMENT"
        for name, text in (
            ("RUNYARD_COLLECTOR_URL", "the collector, http://host:port"),
            ("RUNYARD_TOKEN", "what the collector knows this user by"),
            ("RUNYARD_SECTION__KEY", "any setting"),
        ):
            yield ".TP"
            yield f".B {roff(name)}"
            yield roff(text)
        yield ".SH FILES" + FILES.rstrip()
        yield ".SH SEE ALSO"
        yield ".BR runyard.toml (5)"

    return "\n".join(lines()) + "\n"


def of_verb(verb: grammar.Verb, verbs: tuple[grammar.Verb, ...]) -> str:
    """runyard-VERB(1)."""
    neighbours = [one for one in verbs if one is not verb]

    def lines() -> Iterator[str]:
        yield from head(f"runyard-{verb.name}", 1, verb.summary)
        yield ".SH SYNOPSIS"
        yield roff(verb.usage)
        yield ".SH DESCRIPTION"
        yield roff(verb.text)
        for group in verb.groups:
            plain = group.title in ("options", "positional arguments")
            yield f'.SH "{roff(group.title.upper() if not plain else "OPTIONS" if group.title == "options" else "WORDS")}"'
            if group.text:
                yield roff(group.text)
            for word in group.words:
                yield ".TP"
                yield f"\\fB{roff(word.shown)}\\fR"
                yield roff(word.help or "one of " + ", ".join(word.choices))
        yield ".SH SEE ALSO"
        others = ", ".join(f"\\fB{roff('runyard-' + one.name)}\\fR(1)" for one in neighbours)
        yield f"\\fBrunyard\\fR(1), \\fBrunyard.toml\\fR(5), {others}"

    return "\n".join(lines()) + "\n"


def settings() -> str:
    """runyard.toml(5)."""

    def lines() -> Iterator[str]:
        yield from head("runyard.toml", 5, "settings of runyard")
        yield ".SH DESCRIPTION"
        yield roff(SETTINGS)
        for section, kind in SECTIONS.items():
            yield f'.SH "[{section.upper()}]"'
            yield roff((kind.__doc__ or "").strip())
            for one in fields(kind):
                yield ".TP"
                yield f"\\fB{roff(one.name)}\\fR = {roff(repr(one.default) if one.default != '' else 'none')}"
                choices = one.metadata["choices"]
                yield roff(one.metadata["doc"] + (f" ({', '.join(choices)})" if choices else ""))

    return "\n".join(lines()) + "\n"


if __name__ == "__main__":
    sys.exit(main())
