"""The interpreter with PyTorch in it that the tests' trainings run with; tools/make_torch_venv.sh makes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

TORCH_PYTHON = Path(__file__).parents[1] / ".cache" / "torch-venv" / "bin" / "python"


def needs_torch(test: Any) -> Any:
    """Marks a test that trains with PyTorch."""
    marked = pytest.mark.needs_system("torch")(test)
    reason = "there is no environment with PyTorch; `sh tools/make_torch_venv.sh .cache/torch-venv` makes it"
    return pytest.mark.skipif(not TORCH_PYTHON.exists(), reason=reason)(marked)
