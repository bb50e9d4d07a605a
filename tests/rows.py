"""The rows of the mission, and which tests show each of them: `python -m tests.rows` (or `make rows`).

A test that shows a row as a user sees it carries @pytest.mark.row("A4"); it may carry several. Runs the marked tests, writes
one line for each row to stdout, and leaves with 1 where a row failed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest

ROWS = {
    "A1": "20_image_build_log.txt",
    "A2": "55_azureml-execution-<node_id>.txt",
    "A3": "65_job_prep-<node_id>.txt",
    "A4": "70_driver_log.txt, 70_driver_log_<x>.txt",
    "A5": "70_mpi_log.txt",
    "A6": "75_job_post-<node_id>.txt",
    "A7": "process_info.json",
    "A8": "process_status.json",
    "A9": "110_azureml.log",
    "A10": "job_prep_azureml.log",
    "A11": "job_release_azureml.log",
    "A12": "sidecar start_cms.txt",
    "A13": "sidecar prep_cmd.txt",
    "A14": "sidecar release_cmd.txt",
    "A15": "a run on several nodes",
    "B1": "logs and metrics stream while the run runs",
    "B2": "a live Jupyter widget",
    "B3": "ScriptRunConfig and the link to the web view",
    "B4": "automated-ML runs with their child runs",
    "B5": "wait_for_completion(show_output=True)",
    "B6": "Run.get_context(), run.log, get_metrics",
    "C1": "the Experiments and All runs pages",
    "C2": "one experiment's dashboard",
    "C3": "the runs table can be edited",
    "C4": "charts that the user configures",
    "C5": "one run: outputs, logs, Download all",
    "C6": "Compute: clusters and their runs",
    "C7": "start, monitor and cancel runs",
}


def rows_of(item: pytest.Item) -> list[str]:
    """The rows that a test says it shows; UsageError where the mission has no such row."""
    rows: list[str] = []
    for mark in item.iter_markers("row"):
        if not mark.args or mark.kwargs:
            raise pytest.UsageError(f'{item.nodeid}: write it as @pytest.mark.row("A4")')
        for row in mark.args:
            if row not in ROWS:
                raise pytest.UsageError(f"{item.nodeid}: the mission has no row {row!r}; it has {', '.join(ROWS)}")
            rows.append(row)
    return rows


class Outcomes:
    """A pytest plugin that keeps what became of each test of each row."""

    def __init__(self) -> None:
        self.tests: dict[str, list[str]] = {row: [] for row in ROWS}
        self.results: dict[str, str] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            for row in rows_of(item):
                self.tests[row].append(item.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        before = self.results.get(report.nodeid, "passed")
        worst = max((before, report.outcome), key=("passed", "skipped", "failed").index)
        self.results[report.nodeid] = worst

    def of_row(self, row: str) -> str:
        """missing: no test; failed: one did; passed: at least one did, and none failed; skipped: all were."""
        results = {self.results.get(test, "skipped") for test in self.tests[row]}
        return next((word for word in ("failed", "passed", "skipped") if word in results), "missing")


def line(row: str, outcomes: Outcomes) -> str:
    """What is printed of one row."""
    names = []
    for test in outcomes.tests[row]:
        result = outcomes.results.get(test, "skipped")
        names.append(test if result == "passed" else f"{test} ({result})")
    return f"{row:<4}{outcomes.of_row(row):<9}{ROWS[row]}{': ' if names else ''}{', '.join(names)}"


def main(arguments: Sequence[str]) -> int:
    """Run the marked tests and print the rows."""
    outcomes = Outcomes()
    code = pytest.main(["-m", "row", "-q", *arguments], plugins=[outcomes])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED):
        return int(code)
    print()
    for row in ROWS:
        print(line(row, outcomes))
    return int(any(outcomes.of_row(row) == "failed" for row in ROWS))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
