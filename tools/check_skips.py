"""Fails where any test was skipped: in CI what the tests need has to be installed. What may be skipped stands in ALLOWED.

Reads from the JUnit report that pytest wrote (its path is the argument), writes the skipped tests to stdout.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator

# The end of the test's name in the report (module::function) -> why CI may go without it.
ALLOWED = {
    "contract.test_configuration::test_a_folder_that_may_not_be_entered_is_passed_over": "CI is root, and may enter any folder",
}


def skipped_although_needed(report: str) -> Iterator[str]:
    """One sentence for each such test."""
    for case in ET.parse(report).iter("testcase"):  # noqa: S314
        skipped = case.find("skipped")
        name = f"{case.get('classname')}::{case.get('name')}"
        if skipped is None or skipped.get("type") == "pytest.xfail" or name.removeprefix("tests.") in ALLOWED:
            continue
        packages = [item.get("value", "") for item in case.iter("property") if item.get("name") == "needs_system"]
        needs = f"it needs {' '.join(packages)}" if packages else "it is not in the list of those that may be"
        yield f"{name} was skipped; {needs}: {skipped.get('message')}"


def main() -> int:
    """0 where no test was skipped that CI has to run."""
    if len(sys.argv) != 2:
        print("usage: check_skips.py JUNIT_XML", file=sys.stderr)
        return 2
    sentences = list(skipped_although_needed(sys.argv[1]))
    print("\n".join(sentences) or "no test that CI has to run was skipped")
    return 1 if sentences else 0


if __name__ == "__main__":
    sys.exit(main())
