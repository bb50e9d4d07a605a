"""From the `use` of a context manager to its class. Reads entry points and imports modules, also the run's own code."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import sys
from typing import Any

from runyard.agent.managers import BUILT_IN
from runyard.context import ENTRY_POINTS
from runyard.errors import PhaseError


def load(use: str) -> Any:
    """The class that `use` names: one of ours, an entry point, or module:Class. Raises PhaseError."""
    target = BUILT_IN.get(use, use)
    if ":" not in target:
        points = importlib.metadata.entry_points(group=ENTRY_POINTS)
        if target not in points.names:
            known = ", ".join(sorted({*BUILT_IN, *points.names}))
            raise PhaseError(f"there is no such context manager; it has to be module:Class or one of {known}")
        return points[target].load()
    module_name, _, class_name = target.partition(":")
    try:
        return getattr(importlib.import_module(module_name), class_name)
    except ModuleNotFoundError as error:
        raise PhaseError(f"the module {error.name!r} cannot be found; looked in {os.pathsep.join(sys.path[:2])}, …") from error
    except AttributeError as error:
        raise PhaseError(f"the module {module_name!r} has no {class_name!r}") from error
