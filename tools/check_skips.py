"""Fails where a test that is marked needs_system was skipped: in CI what it needs has to be installed.

Reads from the JUnit report that pytest wrote (its path is the argument), writes the skipped tests to stdout.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator


def skipped_although_needed(report: str) -> Iterator[str]:
    """One sentence for each such test."""
    for case in ET.parse(report).iter("testcase"):  # noqa: S314
        packages = [item.get("value", "") for item in case.iter("property") if item.get("name") == "needs_system"]
        skipped = case.find("skipped")
        if packages and skipped is not None:
            name = f"{case.get('classname')}::{case.get('name')}"
            yield f"{name} was skipped; it needs {' '.join(packages) or 'a system package'}: {skipped.get('message')}"


def main() -> int:
    """0 where no test was skipped that CI has to run."""
    if len(sys.argv) != 2:
        print("usage: check_skips.py JUNIT_XML", file=sys.stderr)
        return 2
    sentences = list(skipped_although_needed(sys.argv[1]))
    print("\n".join(sentences) or "no test that needs a system package was skipped")
    return 1 if sentences else 0


if __name__ == "__main__":
    sys.exit(main())
