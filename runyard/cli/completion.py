"""`runyard completion bash|zsh|fish`: prints the shell's completion of this command, made from the parsers.

Reads the verbs' words (grammar.py); writes to stdout. `runyard completion runs` is what the scripts ask for run ids: it reads
GET /runs of the collector that the settings name, waits RUNS_LIMIT_S at most, and prints nothing where that gives none.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable

from runyard import configuration, names, reader
from runyard.client import CollectorClient
from runyard.errors import RunyardError

from .grammar import Verb, Word, verbs
from .terminal import say

# A person waits for a key's effect; a collector that needs longer is not asked again until the next key.
RUNS_LIMIT_S = 1.0
MOST_RUNS = 100
# Behind `--` of these stands somebody else's command line.
WITH_COMMAND = ("run", "submit")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of `runyard completion`."""
    parser.description = (
        "Prints the shell's completion of this command. bash: eval it in ~/.bashrc; zsh: write it to a file _runyard in "
        "$fpath; fish: write it to ~/.config/fish/completions/runyard.fish. The Debian package has all three in place."
    )
    parser.add_argument(
        "what", choices=("bash", "zsh", "fish", "runs"), help="the shell; runs: the newest runs' ids, one a line"
    )


def run(args: argparse.Namespace) -> int:
    """Print it; 0, also where there are no runs to be had."""
    text = "\n".join(_runs()) if args.what == "runs" else script(args.what)
    if text:
        say(text)
    return 0


def script(shell: str) -> str:
    """The completion for bash, zsh or fish. Pure, but for loading the verbs' modules."""
    makers: dict[str, Callable[[tuple[Verb, ...]], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
    return makers[shell](verbs())


def _runs() -> list[str]:
    """The newest runs' ids; none where no collector gives them at once. Blocks for RUNS_LIMIT_S at most."""
    try:
        settings = configuration.load()
        if not settings.client.collector_url:
            return []
        client = CollectorClient(settings.client.collector_url, settings.token, timeout_s=RUNS_LIMIT_S)
        run_ids = [str(found["run_id"]) for found in reader.runs(client, {}, MOST_RUNS)]
    except RunyardError:  # a shell that completes a word is no place for a sentence
        return []
    # A shell expands what it is given: nothing that a collector says may be more than a run's id.
    return [run_id for run_id in run_ids if not names.why_bad_run_id(run_id)]


def _bash(all_verbs: tuple[Verb, ...]) -> str:
    lines = [
        "# bash completion of runyard, made by `runyard completion bash`.",
        "_runyard() {",
        "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} verb=${COMP_WORDS[1]} flags= kind= i",
        "    COMPREPLY=()",
        "    if ((COMP_CWORD == 1)); then",
        f'        mapfile -t COMPREPLY < <(compgen -W {shlex.quote(" ".join(verb.name for verb in all_verbs))} -- "$cur")',
        "        return",
        "    fi",
        "    for ((i = 2; i < COMP_CWORD; i++)); do",
        "        if [[ ${COMP_WORDS[i]} == -- ]]; then kind=file; [[ $prev == -- ]] && kind=command; fi",
        "    done",
        "    # `--flag=value` comes as three words.",
        "    [[ $cur == = ]] && cur=",
        "    [[ $prev == = ]] && prev=${COMP_WORDS[COMP_CWORD - 2]}",
        "    if [[ -z $kind ]]; then",
        "        case $verb in",
    ]
    for verb in all_verbs:
        lines += _bash_verb(verb)
    lines += [
        "        esac",
        "    fi",
        "    case $kind in",
        '        file) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;',
        '        folder) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;',
        '        command) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -c -- "$cur") ;;',
        '        run) mapfile -t COMPREPLY < <(compgen -W "$(runyard completion runs 2>/dev/null)" -- "$cur") ;;',
        '        words:*) mapfile -t COMPREPLY < <(compgen -W "${kind#words:}" -- "$cur") ;;',
        "        nothing) ;;",
        "    esac",
        "}",
        "complete -F _runyard runyard",
    ]
    return "\n".join(lines)


def _bash_verb(verb: Verb) -> list[str]:
    flags = " ".join(flag for word in verb.flags for flag in word.flags)
    lines = [f"            {verb.name})", f"                flags='{flags}'", "                case $prev in"]
    for word in verb.flags:
        if word.value:
            kind = f"words:{' '.join(word.choices)}" if word.choices else word.kind or "nothing"
            lines.append(f"                    {'|'.join(word.flags)}) kind='{kind}' ;;")
    lines.append("                esac")
    # A word of its own: the last kind of them counts for all that follow.
    kinds = [f"words:{' '.join(word.choices)}" if word.choices else word.kind for word in verb.positionals]
    otherwise = "nothing"
    if len(kinds) > 1:
        picked = " ".join(f"[{2 + at}]='{kind}'" for at, kind in enumerate(kinds))
        lines.append(f"                local -A places=({picked})")
        otherwise = "${places[$COMP_CWORD]:-nothing}"
    elif kinds and kinds[0]:
        otherwise = kinds[0]
    lines += [
        '                if [[ -z $kind && $cur == -* ]]; then kind="words:$flags"; fi',
        f'                [[ -n $kind ]] || kind="{otherwise}"',
        "                ;;",
    ]
    return lines


def _zsh(all_verbs: tuple[Verb, ...]) -> str:
    lines = [
        "#compdef runyard",
        "# zsh completion of runyard, made by `runyard completion zsh`.",
        "_runyard_runs() {",
        "    local -a runs",
        '    runs=(${(f)"$(runyard completion runs 2>/dev/null)"})',
        "    compadd -a runs",
        "}",
        "_runyard() {",
        "    local -a verbs",
        "    verbs=(",
        *(f"        {shlex.quote(f'{verb.name}:{verb.summary}')}" for verb in all_verbs),
        "    )",
        "    if ((CURRENT == 2)); then",
        "        _describe -t verbs verb verbs",
        "        return",
        "    fi",
        "    local verb=$words[2]",
        "    shift words",
        "    ((CURRENT--))",
        "    case $verb in",
    ]
    for verb in all_verbs:
        specs = [spec for word in verb.flags for spec in _zsh_flag(word)] + [_zsh_word(word) for word in verb.positionals]
        if verb.name in WITH_COMMAND:
            specs.append("*::command:_normal")
        lines += [f"        {verb.name})", "            _arguments \\"]
        lines += [f"                {shlex.quote(spec)} \\" for spec in specs]
        lines += ["                && return 0", "            ;;"]
    lines += ["    esac", "}", '[[ $zsh_eval_context[-1] == loadautofunc ]] && _runyard "$@" || compdef _runyard runyard']
    return "\n".join(lines)


_ZSH_KINDS = {"file": "_files", "folder": "_files -/", "run": "_runyard_runs"}


def _zsh_action(word: Word) -> str:
    return f"({' '.join(word.choices)})" if word.choices else _ZSH_KINDS.get(word.kind, " ")


def _zsh_text(text: str) -> str:
    return text.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")


def _zsh_flag(word: Word) -> list[str]:
    again = "*" if word.is_repeated else ""
    colons = "::" if word.count == "?" else ":"
    value = f"{colons}{_zsh_text(word.value)}:{_zsh_action(word)}" if word.value else ""
    return [f"{again}{flag}[{_zsh_text(word.help)}]{value}" for flag in word.flags]


def _zsh_word(word: Word) -> str:
    start = {"": ":", "?": "::", "*": "*:", "+": "*:"}[word.count]
    return f"{start}{_zsh_text(word.value)}:{_zsh_action(word)}"


def _fish(all_verbs: tuple[Verb, ...]) -> str:
    names = " ".join(verb.name for verb in all_verbs)
    lines = [
        "# fish completion of runyard, made by `runyard completion fish`.",
        "function __runyard_in_command",
        "    contains -- -- (commandline -opc)",
        "end",
        "function __runyard_verb",
        "    set -l words (commandline -opc)",
        '    test (count $words) -gt 1; and test "$words[2]" = "$argv[1]"; and not __runyard_in_command',
        "end",
        "complete -c runyard -f",
        "complete -c runyard -F -n __runyard_in_command",
    ]
    at_first = f"not __fish_seen_subcommand_from {names}"
    for verb in all_verbs:
        lines.append(f"complete -c runyard -n {_fish_text(at_first)} -a {verb.name} -d {_fish_text(verb.summary)}")
    for verb in all_verbs:
        lines += [_fish_flag(verb, word) for word in verb.flags]
        for word in verb.positionals:
            there = _fish_text(f"__runyard_verb {verb.name}")
            if word.choices or word.kind:
                lines.append(f"complete -c runyard -n {there} {_fish_values(word)}")
    return "\n".join(lines)


def _fish_text(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _fish_values(word: Word) -> str:
    if word.choices:
        return f"-a {_fish_text(' '.join(word.choices))}"
    return {"file": "-F", "folder": "-a '(__fish_complete_directories)'", "run": "-a '(runyard completion runs 2>/dev/null)'"}[
        word.kind
    ]


def _fish_flag(verb: Verb, word: Word) -> str:
    parts = [f"complete -c runyard -n {_fish_text(f'__runyard_verb {verb.name}')}"]
    parts += [f"-s {flag[1:]}" if not flag.startswith("--") else f"-l {flag[2:]}" for flag in word.flags]
    if word.value and word.count != "?":
        parts.append("-r" if word.kind == "file" else "-x")
    if word.choices or word.kind:
        parts.append(_fish_values(word))
    return " ".join([*parts, f"-d {_fish_text(word.help)}"])
