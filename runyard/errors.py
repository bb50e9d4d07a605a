"""The one exception tree; what a person sees is the message, one clear sentence each.

    RunyardError                 exit code 1
    ├── InputError               exit code 2: what was given, what is wrong with it, what would be right
    │   └── ConfigError
    ├── SpoolError               the node's own disk: a spool that cannot be read, written or locked
    ├── PhaseError               a phase of a run (image, execution, preparation, release) cannot be done: the run's cause
    ├── RunFailed                a run that was waited for has failed: which, and why
    ├── ProtocolError            bytes on the wire that are not what the protocol says
    └── CollectorError           the other side of the network
        ├── CollectorUnreachable no connection, or it broke: worth trying again
        ├── CollectorBusy        429, 503, 507 or another 5xx: worth trying again, not before `retry_after_s`
        └── CollectorRefused     a 4xx: trying again will not help

Foreign errors (OSError, http.client, SQLAlchemy) are mapped to these once, at the edge that meets them.
"""

from __future__ import annotations


class RunyardError(Exception):
    """Root of all errors that are told to a person as one sentence, never as a traceback."""

    exit_code = 1


class InputError(RunyardError):
    """The person's input cannot be used: name it, say what is wrong and what would be right."""

    exit_code = 2


class ConfigError(InputError):
    """A setting that is unknown or has a value of the wrong kind."""


class SpoolError(RunyardError):
    """A spool folder that cannot be read, written or locked."""


class PhaseError(RunyardError):
    """A phase of a run cannot be done; the message becomes the run's cause. Trying again may help where `is_passing`."""

    def __init__(self, message: str, *, is_passing: bool = False) -> None:
        super().__init__(message)
        self.is_passing = is_passing


class RunFailed(RunyardError):  # noqa: N818 - the name tells the state, as its neighbours do
    """A run that was waited for has failed. `details` is what Run.get_details gives, `verdict` who failed first, or None."""

    def __init__(
        self, message: str, *, run_id: str, details: dict[str, object] | None = None, verdict: dict[str, object] | None = None
    ) -> None:
        super().__init__(message)
        self.run_id = run_id
        self.details = details or {}
        self.verdict = verdict


class ProtocolError(RunyardError):
    """Bytes on the wire that do not follow the protocol."""


class CollectorError(RunyardError):
    """Any failure that comes from the collector or from the way to it."""


class CollectorUnreachable(CollectorError):  # noqa: N818 - the name tells the state, as in httpx's ConnectTimeout
    """No answer: refused, timed out, or the connection broke. The caller may try again."""


class CollectorBusy(CollectorError):  # noqa: N818
    """The collector answered that it cannot take more now (429, 503, 507, 5xx)."""

    def __init__(self, message: str, *, status: int, code: str = "", retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s


class CollectorRefused(CollectorError):  # noqa: N818
    """The collector answered 4xx. `code` is the machine-readable part of its problem document."""

    exit_code = 2

    def __init__(self, message: str, *, status: int, code: str = "", problem: dict[str, object] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.problem = problem or {}
