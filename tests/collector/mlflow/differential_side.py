"""A side of the differential test: a server, and what an example has made there."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from mlflow import MlflowClient

from tests.collector.mlflow.differential_values import LARGEST


@dataclass
class Side:
    """A server and what the example has made there; the same place in both is the same thing."""

    client: MlflowClient
    url: str
    is_ours: bool
    headers: dict[str, str]
    prefix: str = ""
    experiments: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    outputs: list[tuple[str, str]] = field(default_factory=list)

    def begin(self, prefix: str) -> None:
        self.prefix, self.experiments, self.runs, self.models, self.outputs = prefix, [], [], [], []

    def experiment(self, pick: int) -> str:
        return self.experiments[pick % len(self.experiments)] if self.experiments and pick < 7 else "987654321"

    def run(self, pick: int) -> str:
        return self.runs[pick % len(self.runs)] if self.runs and pick < 7 else "0123456789abcdef"

    def model(self, pick: int) -> str:
        return self.models[pick % len(self.models)] if self.models and pick < 7 else "m-nothing"

    def plain(self, value: Any) -> Any:
        """The value without what servers choose."""
        if isinstance(value, str):
            for kind, ids in (("run", self.runs), ("model", self.models)):
                for position, known in sorted(enumerate(ids), key=lambda pair: -len(pair[1])):
                    value = value.replace(known, f"<{kind} {position}>")
            for position, known in enumerate(self.experiments):
                value = value.replace(f"mlflow-artifacts:/{known}/", f"<artifacts of {position}>/")
                value = f"<experiment {position}>" if value == known else value
                value = f"<artifacts of {position}>" if value == f"mlflow-artifacts:/{known}" else value
            return value.replace(self.prefix, "")
        if isinstance(value, float):
            if math.isnan(value):
                return "NaN"
            return math.copysign(math.inf, value) if abs(value) == LARGEST else value
        if isinstance(value, dict):
            return {self.plain(name): self.plain(one) for name, one in value.items()}
        return [self.plain(one) for one in value] if isinstance(value, list | tuple) else value
