"""Which log is shown before a person has chosen one. Pure; the page's studio/src/log/files.ts has the same rule."""

from __future__ import annotations

import re
from collections.abc import Iterable

from runyard.reader import Document

_DRIVER = re.compile(r"(?:.*?/)??(?:attempts/(\d+)/)?azureml-logs/70_driver_log(?:_(\d+))?\.txt")
_NUMBERED = re.compile(r"(?:.*?/)??(?:attempts/(\d+)/)?azureml-logs/(\d\d)_[^/]*\.txt")


def first_to_read(files: Iterable[Document], verdict: Document) -> str:
    """The log of the rank that failed first, else what rank 0 printed, else that of the last phase; "" where there is none."""
    paths: list[str] = [file["path"] for file in files]
    drivers = {path: match for path in paths if (match := _DRIVER.fullmatch(path))}
    failed = verdict.get("rank") if verdict.get("is_decided") else None
    for rank in (failed, 0):
        of_rank = [path for path, match in drivers.items() if int(match[2] or 0) == rank]
        if of_rank:
            return max(of_rank, key=lambda path: (int(drivers[path][1] or 0), path))
    if drivers:
        return min(drivers)
    numbered = [(int(match[1] or 0), match[2], path) for path in paths if (match := _NUMBERED.fullmatch(path))]
    return max(numbered)[2] if numbered else ""
