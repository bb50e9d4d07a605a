"""How a run's status is called here and by MLflow. Pure."""

from __future__ import annotations

from typing import Final, Literal

Told = Literal["NotStarted", "Running", "Completed", "Failed", "Canceled"]

_TO_MLFLOW: Final = {
    "NotStarted": "SCHEDULED",
    "Queued": "SCHEDULED",
    "Starting": "SCHEDULED",
    "Provisioning": "SCHEDULED",
    "Preparing": "SCHEDULED",
    "Running": "RUNNING",
    "Finalizing": "RUNNING",
    "CancelRequested": "RUNNING",
    "Completed": "FINISHED",
    "Failed": "FAILED",
    "NotResponding": "FAILED",
    "Canceled": "KILLED",
}
_FROM_MLFLOW: Final[dict[str, Told]] = {
    "SCHEDULED": "NotStarted",
    "RUNNING": "Running",
    "FINISHED": "Completed",
    "FAILED": "Failed",
    "KILLED": "Canceled",
}


def to_mlflow(status: str) -> str:
    """MLflow's word for a status of ours."""
    return _TO_MLFLOW.get(status, "RUNNING")


def from_mlflow(status: str) -> Told:
    """Our word for a status of MLflow's."""
    return _FROM_MLFLOW[status]


def ours_of(status: str) -> tuple[str, ...]:
    """The statuses of ours that MLflow calls `status`."""
    return tuple(ours for ours, theirs in _TO_MLFLOW.items() if theirs == status)
