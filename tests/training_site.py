"""The interpreter with PyTorch, MLflow and others in it for the tests' trainings; tools/make_training_venv.sh makes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

TRAINING_PYTHON = Path(__file__).parents[1] / ".cache" / "training-venv" / "bin" / "python"


def needs_torch(test: Any) -> Any:
    """Marks a test that trains with PyTorch."""
    marked = pytest.mark.needs_system("torch")(test)
    reason = "there is no environment with PyTorch; `sh tools/make_training_venv.sh .cache/training-venv` makes it"
    return pytest.mark.skipif(not TRAINING_PYTHON.exists(), reason=reason)(marked)
