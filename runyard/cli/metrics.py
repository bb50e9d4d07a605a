"""`runyard metrics RUN …`: what each metric of a run has come to; of several runs their last values side by side; with --name,
every value of one.

Reads from GET runs/{run_id}/metrics and metrics/values, writes to stdout.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from runyard import reader
from runyard.client import CollectorClient
from runyard.errors import CollectorRefused, InputError
from runyard.reader import Document

from .connection import add_connection_arguments, add_output_argument, client_of
from .terminal import clean, moment, say, say_json, table

METRICS_HEAD = ("METRIC", "KIND", "COUNT", "LAST", "STEP", "AT", "MIN", "MAX", "MEAN")
VALUES_HEAD = ("STEP", "AT", "VALUE")
VALUES_AT_ONCE = 10_000
MOST_WORD = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `runyard metrics`."""
    parser.add_argument("runs", metavar="RUN", nargs="+", help="the run's id; several: the last values of each side by side")
    parser.add_argument("--name", metavar="N", help="every value of this metric, in the order in which they were recorded")
    add_output_argument(parser)
    add_connection_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Show the metrics."""
    client = client_of(args)
    if len(args.runs) > 1:
        if args.name is not None:
            raise InputError("--name shows every value of one run's metric; give one run")
        _show_several({run_id: of_run(client, run_id) for run_id in args.runs}, args.output)
    elif args.name is None:
        _show(args.runs[0], of_run(client, args.runs[0]), args.output)
    else:
        _show_values(client, args.runs[0], args.name, args.output)
    return 0


def _show(run_id: str, known: list[Document], output: str) -> None:
    if output == "json":
        say_json({"metrics": known})
    else:
        say(table(METRICS_HEAD, [_metric(one) for one in known]) if known else f"run {run_id} has recorded no metric")


def _show_several(known: dict[str, list[Document]], output: str) -> None:
    """A row for each run, in the order that was asked for, and a column for each metric that any of them has."""
    if output == "json":
        say_json({"runs": [{"run_id": run_id, "metrics": metrics} for run_id, metrics in known.items()]})
        return
    last = {run_id: {one["name"]: _word(one["last"]) for one in metrics} for run_id, metrics in known.items()}
    names = sorted({name for values in last.values() for name in values})
    say(table(("RUN", *names), [(run_id, *(values.get(name, "-") for name in names)) for run_id, values in last.items()]))


def _show_values(client: CollectorClient, run_id: str, name: str, output: str) -> None:
    known = of_run(client, run_id)
    found = [one for one in known if one["name"] == name]
    if not found:
        close = reader.nearest(name, [one["name"] for one in known])
        raise InputError(f"run {run_id} has no metric {name!r}{f'; did you mean {close!r}?' if close else ''}")
    points = list(_points(client, f"{reader.run_path(run_id)}/metrics", name))
    if output == "json":
        say_json({"name": name, "kind": found[0]["kind"], "points": points})
    else:
        say(table(VALUES_HEAD, [_point(point) for point in points]))


def of_run(client: CollectorClient, run_id: str) -> list[Document]:
    """The run's metrics by name; NoSuchRun, with the nearest id there is, where there is none."""
    try:
        metrics: list[Document] = client.json("GET", f"{reader.run_path(run_id)}/metrics")["metrics"]
    except CollectorRefused as error:
        if error.status == 404:
            reader.run(client, run_id)
        raise
    return metrics


def _points(client: CollectorClient, path: str, name: str) -> Iterator[Document]:
    start: int | None = 0
    while start is not None:
        page = client.json("GET", f"{path}/values", params={"name": name, "from": start, "limit": VALUES_AT_ONCE})
        yield from page["points"]
        start = page.get("next")


def _metric(one: Document) -> tuple[str, ...]:
    at = moment(None if one["last_ms"] is None else one["last_ms"] * 10**6)
    numbers = (_word(one[name]) for name in ("min", "max", "mean"))
    return one["name"], one["kind"], str(one["count"]), _word(one["last"]), _word(one["last_step"]), at, *numbers


def _point(point: Document) -> tuple[str, ...]:
    return _word(point.get("step")), moment(point["at_ms"] * 10**6, milliseconds=True), _word(point.get("value"))


def _word(value: object) -> str:
    """A value in a column; what is long is cut, the JSON has it whole."""
    if value is None:
        return "-"
    if isinstance(value, dict):
        text = " ".join(f"{key}={_word(cell)}" for key, cell in value.items())
    else:
        text = f"{value:.6g}" if isinstance(value, float) else str(value)
    text = clean(text)
    return text if len(text) <= MOST_WORD else text[: MOST_WORD - 1] + "…"
