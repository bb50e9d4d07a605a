"""The words of the command line as data, read from the parsers: what completion, the man pages and the reference are made of.

Reads from each verb's parser; writes nothing. Pure, but for loading the verbs' modules. Standard library only.
"""

from __future__ import annotations

import argparse
import importlib
from dataclasses import dataclass

from . import VERBS

# What the word behind a flag names, by the flag's metavar; whatever stands in no set is a word of its own.
_FILES = frozenset({"FILE"})
_FOLDERS = frozenset({"DIR"})
_OPTIONS_OF_PATHS = {"--containerfile": "file", "--requirements": "file", "--python": "file", "--context": "folder"}
_RUNS = frozenset({"RUN"})


@dataclass(frozen=True, slots=True)
class Word:
    """A flag (`flags` are its spellings) or, where `flags` is empty, a word that stands by itself.

    `value` is what is written behind a flag, or for the word; empty: a flag that takes nothing. `kind` is what such a word
    names: file, folder, run, or empty. `count` is argparse's nargs, as text: "", "?", "*", "+", "...".
    """

    flags: tuple[str, ...]
    value: str
    help: str
    choices: tuple[str, ...] = ()
    kind: str = ""
    count: str = ""
    is_repeated: bool = False

    @property
    def shown(self) -> str:
        """As it is written: `-o FORMAT, --output FORMAT`."""
        if not self.flags:
            return self.value
        value = f"[{self.value}]" if self.count == "?" else self.value
        return ", ".join(f"{flag} {value}".rstrip() for flag in self.flags)


@dataclass(frozen=True, slots=True)
class Group:
    """Words that stand together under a title."""

    title: str
    text: str
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb. `usage` is one line without the word `usage`."""

    name: str
    summary: str
    usage: str
    text: str
    groups: tuple[Group, ...]

    @property
    def flags(self) -> tuple[Word, ...]:
        """All of its flags."""
        return tuple(word for group in self.groups for word in group.words if word.flags)

    @property
    def positionals(self) -> tuple[Word, ...]:
        """The words that stand by themselves, in their order."""
        return tuple(word for group in self.groups for word in group.words if not word.flags)


def verbs() -> tuple[Verb, ...]:
    """All verbs, in the order of the overview."""
    return tuple(verb(name) for name in VERBS)


def verb(name: str) -> Verb:
    """One verb's words."""
    module_name, summary = VERBS[name]
    description = summary[0].upper() + summary[1:] + "."
    # The width is for the usage: it becomes one line.
    parser = argparse.ArgumentParser(prog=f"runyard {name}", description=description, allow_abbrev=False, formatter_class=_Wide)
    importlib.import_module(module_name).add_arguments(parser)
    usage = " ".join(parser.format_usage().removeprefix("usage: ").split())
    groups = (_group(group) for group in parser._action_groups)
    return Verb(name, summary, usage, parser.description or description, tuple(group for group in groups if group.words))


class _Wide(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=10_000)


def _group(group: argparse._ArgumentGroup) -> Group:
    shown = (action for action in group._group_actions if action.help != argparse.SUPPRESS and not _is_command(action))
    return Group(group.title or "", group.description or "", tuple(map(_word, shown)))


def _is_command(action: argparse.Action) -> bool:
    """Whether it stands for a training's command line, which belongs to nobody's grammar."""
    return action.nargs == argparse.REMAINDER


def _word(action: argparse.Action) -> Word:
    choices = tuple(str(choice) for choice in action.choices or ())
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    value = metavar or (f"{{{','.join(choices)}}}" if choices else "")
    if action.nargs == 0:
        value = ""
    elif not value:
        value = action.dest.upper()
    help_text = (action.help or "") % (vars(action) | {"prog": "runyard"})
    return Word(
        flags=tuple(action.option_strings),
        value=value,
        help=help_text,
        choices=choices,
        kind=_kind(tuple(action.option_strings), metavar),
        count=action.nargs if isinstance(action.nargs, str) else "",
        is_repeated=isinstance(action, argparse._AppendAction),
    )


def _kind(flags: tuple[str, ...], metavar: str) -> str:
    for flag in flags:
        if flag in _OPTIONS_OF_PATHS:
            return _OPTIONS_OF_PATHS[flag]
    if metavar in _FILES:
        return "file"
    if metavar in _FOLDERS:
        return "folder"
    return "run" if metavar in _RUNS and not flags else ""
