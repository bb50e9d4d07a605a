"""Writes docs/reference/: the command line, the settings, the HTTP API and the files of a run, each made from the code.

Reads the verbs' parsers, runyard.settings, the collector's OpenAPI document and runyard.names; writes four Markdown files.
With --check it writes nothing and fails where the files that are there differ from what the code gives.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from runyard import names  # noqa: E402
from runyard.cli import grammar  # noqa: E402
from runyard.collector import openapi  # noqa: E402
from runyard.collector.api import ROUTES  # noqa: E402
from runyard.settings import LARGEST, LONGEST_S, SECTIONS  # noqa: E402

FOLDER = ROOT / "docs" / "reference"
MADE = "<!-- made by tools/make_reference.py: change the code, then `make reference` -->\n"


def main() -> int:
    """Write the pages, or compare them."""
    parser = argparse.ArgumentParser(description="Write docs/reference/ from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 where a page is not what the code gives")
    is_check = parser.parse_args().check
    stale = []
    for name, text in pages().items():
        path = FOLDER / name
        if path.is_file() and path.read_text() == text:
            continue
        stale.append(name)
        if not is_check:
            FOLDER.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    if is_check and stale:
        print(f"not what the code gives: {', '.join(stale)}; `make reference` writes them anew", file=sys.stderr)
        return 1
    return 0


def pages() -> dict[str, str]:
    """Each page by its file's name."""
    return {"cli.md": cli(), "configuration.md": configuration(), "api.md": api(), "files.md": files()}


def page(title: str, lines: Iterator[str]) -> str:
    """A page of Markdown."""
    return "\n".join([f"# {title}", "", MADE, *lines, ""])


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table of Markdown."""
    yield f"| {' | '.join(head)} |"
    yield f"| {' | '.join('---' for _ in head)} |"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


def cli() -> str:
    """The command line."""
    verbs = grammar.verbs()

    def lines() -> Iterator[str]:
        yield "`runyard VERB --help` says the same. Exit codes: 0; 1 for what did not work; 2 for what was asked wrongly;"
        yield "of `runyard run` and `runyard submit --follow` the training's own; 130 after Ctrl-C."
        yield "The commands that look at things take `-o json`."
        yield ""
        yield from table(("verb", ""), [(f"[`{verb.name}`](#runyard-{verb.name})", verb.summary) for verb in verbs])
        for verb in verbs:
            yield from cli_verb(verb)

    return page("The command line", lines())


def cli_verb(verb: grammar.Verb) -> Iterator[str]:
    """One verb."""
    yield f"## runyard {verb.name}"
    yield ""
    yield verb.text
    yield ""
    yield "```text"
    yield verb.usage
    yield "```"
    yield ""
    for group in verb.groups:
        rows = [(f"`{word.shown}`", cli_help(word)) for word in group.words if "--help" not in word.flags]
        if not rows:
            continue
        if group.title not in ("options", "positional arguments"):
            yield f"{group.title[0].upper()}{group.title[1:]}{': ' + group.text if group.text else ''}"
            yield ""
        yield from table(("", ""), rows)


def cli_help(word: grammar.Word) -> str:
    """What a word is for, and what may stand there where that is a few words."""
    is_shown = set(word.choices) <= set(word.value.strip("{}").split(","))
    return word.help.replace("<", "&lt;") + ("" if is_shown else f"; {', '.join(word.choices)}")


def configuration() -> str:
    """The settings."""

    def lines() -> Iterator[str]:
        yield "A flag comes before a variable, that before a file (`--config`, `RUNYARD_CONFIG`, `./runyard.toml`,"
        yield "`~/.config/runyard/config.toml`, `/etc/runyard/config.toml`), that before the default."
        yield "In a file a setting stands in its section, `[spool]` and `quota_bytes = 10_000_000_000`; its variable is"
        yield "`RUNYARD_SPOOL__QUOTA_BYTES`. `RUNYARD_COLLECTOR_URL` and `RUNYARD_TOKEN` are short for the two of `[client]`."
        yield "`runyard config explain` tells what is set, and where; `runyard config check` whether it is right."
        yield "An unknown key is refused with the nearest known one. `configs/` has commented samples."
        yield ""
        for section, kind in SECTIONS.items():
            yield f"## `[{section}]`"
            yield ""
            yield (kind.__doc__ or "").strip()
            yield ""
            rows = [(f"`{one.name}`", default_of(one), unit_of(one), meaning_of(one)) for one in fields(kind)]
            yield from table(("key", "default", "unit", ""), rows)

    return page("Settings", lines())


def default_of(one: Any) -> str:
    """The default, as a person reads it."""
    value = one.default
    if value == "":
        return "none"
    if isinstance(value, str):
        return f"`{value}`"
    number = str(int(value)) if value == int(value) else f"{value:g}"
    words = human(one.name, value)
    return f"{number} ({words})" if words else number


def human(name: str, value: float) -> str:
    """Large spans and sizes once more, in units that people think in; empty where the number is plain enough."""
    if name.endswith("_s"):
        for size, word in ((86400, "days"), (3600, "hours"), (60, "minutes")):
            if value >= 2 * size and value % size == 0:
                return f"{value / size:g} {word}"
    if name.endswith("_bytes"):
        for power, word in ((40, "TiB"), (30, "GiB"), (20, "MiB")):
            if value >= 1 << power and value % (1 << power) == 0:
                return f"{value / (1 << power):g} {word}"
    return ""


def unit_of(one: Any) -> str:
    """By the name's ending, as everywhere."""
    return "seconds" if one.name.endswith("_s") else "bytes" if one.name.endswith("_bytes") else ""


def meaning_of(one: Any) -> str:
    """What the setting is, and between what it has to lie."""
    given = one.metadata
    limits = []
    if given["choices"]:
        limits.append(" or ".join(f"`{choice}`" for choice in given["choices"]))
    if given["minimum"]:
        limits.append(f"at least {given['minimum']:g}")
    if not isinstance(one.default, str) and given["maximum"] not in (LARGEST, LONGEST_S):
        limits.append(f"at most {given['maximum']:g}")
    if given["secret"]:
        limits.append("never shown")
    return given["doc"] + (f" ({'; '.join(limits)})" if limits else "")


def api() -> str:
    """The HTTP API: what the OpenAPI document says of each route."""
    described = openapi.document(ROUTES)

    def lines() -> Iterator[str]:
        yield "All routes, from the same description that the collector serves as `GET /api/v1/openapi.json`, which also has"
        yield "the shapes of all bodies and answers. [http-api.md](../http-api.md) tells what they mean, and which rules hold"
        yield "everywhere."
        yield ""
        rows = []
        for path, operations in described["paths"].items():
            for method, operation in operations.items():
                rows.append((f"`{method.upper()} {path}`", operation["summary"], *api_words(operation)))
        yield from table(("route", "", "query", "body", "answers", "tokens"), rows)

    return page("The HTTP API's routes", lines())


def api_words(operation: dict[str, Any]) -> tuple[str, str, str, str]:
    """Query, body, answers and tokens of one operation."""
    query = [
        f"`{one['name']}`{' (required)' if one['required'] else ''}" for one in operation["parameters"] if one["in"] == "query"
    ]
    answers = [status + shape_in(one.get("content", {})) for status, one in operation["responses"].items() if status < "400"]
    tokens = operation.get("description", "").removeprefix("Tokens: ").rstrip(".") or "none is needed"
    return ", ".join(query), shape_in(operation.get("requestBody", {}).get("content", {})).strip(), ", ".join(answers), tokens


def shape_in(content: dict[str, Any]) -> str:
    """The name of a body's shape, or its media type, behind a blank; empty where there is no body."""
    for media_type, one in content.items():
        reference = one["schema"].get("$ref", "")
        return f" {reference.rpartition('/')[2]}" if reference else f" `{media_type}`"
    return ""


# Of a file that people meet: its path, how many, and what it holds. `<rank>` and `<node_id>` are placeholders.
ONE_PER_NODE, WITH_SIDECAR, OF_SEVERAL_NODES = "one per node", "one per node, with a sidecar", "one, of a run on several nodes"
FILES = (
    (
        names.IMAGE_LOG,
        "one, where something was built",
        "the build of the run's environment; on success the image's registry, repository and digest",
    ),
    (
        names.execution_log("<node_id>"),
        ONE_PER_NODE,
        "what brings the environment to the node and starts what runs there",
    ),
    (
        names.preparation_log("<node_id>"),
        ONE_PER_NODE,
        "job preparation: code, datastores, context managers",
    ),
    (
        names.driver_log(0, 1),
        "one, of a run of one process",
        "stdout and stderr of the training, byte for byte",
    ),
    (
        names.driver_log(0, 2).replace("_0.", "_<rank>."),
        "one per process, where there are several",
        "the same of the process of that global rank",
    ),
    (
        names.MPI_LOG,
        "one, of MPI runs",
        "what mpirun itself says",
    ),
    (
        names.release_log("<node_id>"),
        ONE_PER_NODE,
        "job release: context managers left, what was taken given back, what was sent",
    ),
    (
        names.PROCESS_INFO,
        "one per node; one of the run, where it has several nodes",
        "which process runs on which node: a JSON object on each line",
    ),
    (
        names.PROCESS_STATUS,
        "as the one above",
        "each change of a process's state: a JSON object on each line; the newest of a process counts."
        " The line of the process `*` ends the run",
    ),
    (
        names.SYSTEM_LOG,
        ONE_PER_NODE,
        "what our own processes say of the driver",
    ),
    (
        names.PREPARATION_SYSTEM_LOG,
        ONE_PER_NODE,
        "the same of job preparation",
    ),
    (
        names.RELEASE_SYSTEM_LOG,
        ONE_PER_NODE,
        "the same of job release",
    ),
    (
        names.sidecar_log("<node_id>", "start_cms"),
        WITH_SIDECAR,
        "the start of the sidecar",
    ),
    (
        names.sidecar_log("<node_id>", "prep_cmd"),
        WITH_SIDECAR,
        "the context managers that were entered",
    ),
    (
        names.sidecar_log("<node_id>", "release_cmd"),
        WITH_SIDECAR,
        "the context managers that were left",
    ),
    (
        names.telemetry_log("<node_id>"),
        "one per node with an agent",
        "what the run used, a JSON object for each look",
    ),
    (
        names.STDOUT_LOGS,
        OF_SEVERAL_NODES,
        "all processes' stdout, line by line in the order of time, each line behind its label",
    ),
    (
        names.STDERR_LOGS,
        OF_SEVERAL_NODES,
        "the same of stderr",
    ),
    (
        names.EXECUTION_LOGS,
        OF_SEVERAL_NODES,
        "the same of the numbered and system logs",
    ),
    (
        names.USER_LOGS_DIR + "/…",
        "any number",
        "what the training writes there (`RUNYARD_LOG_DIR`), streamed while it grows",
    ),
    (
        names.OUTPUTS_DIR + "/…",
        "any number",
        "what the training writes there (`RUNYARD_OUTPUT_DIR`), sent when the run has ended",
    ),
)
PROCESS_LINES = (
    '{"process_name":"worker_1","node_id":"n2","pid_in_container":183,"private_ip":"10.0.0.5",'
    '"log":"azureml-logs/70_driver_log_1.txt"}\n'
    '{"process_name":"worker_1","timestamp":"2026-11-28T22:30:10.764428389Z","status":"Started"}'
)


def files() -> str:
    """The files of a run."""
    check_files()

    def lines() -> Iterator[str]:
        yield "Names are exact: scripts may look for them. Not every run has every file. At the collector a run's folder is"
        yield "`<data_dir>/runs/<experiment>/<run>/`, in it one folder for each node, called by its IP, with that node's files;"
        yield "what is of the run as a whole lies beside them. On the node it is `<spool.dir>/<run>/`. Lists and downloads of a"
        yield "run on one node leave the IP out. A later attempt's files are below `attempts/<n>/`, an earlier generation of a"
        yield "file that was begun anew is `<name>.~<n>~`."
        yield ""
        yield from table(("file", "how many", "holds"), [(f"`{path}`", count, text) for path, count, text in FILES])
        yield "## Lines of the two process files"
        yield ""
        yield "```json"
        yield PROCESS_LINES
        yield "```"
        yield ""
        yield "A status is `Started`, `Completed`, `Failed` or `Terminated`; a process without a line has not started."
        yield ""
        yield f"What lies below `{names.PRIVATE_DIR}/` is our own, and in no list for people;"
        yield "[ARCHITECTURE.md](../../ARCHITECTURE.md#the-spool) describes it."

    return page("The files of a run", lines())


def check_files() -> None:
    """Every path that names.py knows and people meet is in the table. Raises SystemExit."""
    known = {path for path, _, _ in FILES}
    places = (f"{names.LOGS_DIR}/", f"{names.SYSTEM_LOGS_DIR}/")
    for name, value in vars(names).items():
        if name.isupper() and isinstance(value, str) and value.startswith(places) and value not in known:
            raise SystemExit(f"runyard.names.{name} ({value}) is not in the table FILES of tools/make_reference.py")


if __name__ == "__main__":
    sys.exit(main())
