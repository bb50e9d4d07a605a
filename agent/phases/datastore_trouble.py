"""What a datastore's library raises, as one sentence that names the datastore and holds no secret.

The libraries (aiohttp, botocore, and those of other protocols) are told apart by their exceptions' names: most of them are not
installed, and none of them is worth loading for this.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from typing import Any

from runyard.agent.scrubbing import Scrubber, shown
from runyard.errors import PhaseError
from runyard.spec import Datastore

from .datastore_source import BrokenOffError

UNREACHABLE = {"ClientConnectorError", "EndpointConnectionError", "ConnectTimeoutError", "ConnectionRefusedError", "gaierror"}
BROKEN_OFF = {
    "ClientConnectionError",
    "ClientPayloadError",
    "HTTPClientError",
    "IncompleteReadError",
    "ResponseStreamingError",
    "ConnectionError",
    "TimeoutError",
    "FSTimeoutError",
    "BrokenOffError",
}
NOT_TRUSTED = {"ClientConnectorCertificateError", "ClientConnectorSSLError", "ServerFingerprintMismatch", "SSLError"}
NO_KEY = {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "NoAuthTokenError", "ProfileNotFound"}
# Codes of S3 and HTTP that stand for a server's trouble, not for ours.
PASSING_CODES = {"408", "429", "500", "502", "503", "504", "InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout"}
DENYING_CODES = {"401", "403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"}


class Trouble:
    """Makes sentences about one datastore."""

    def __init__(self, store: Datastore, secrets: Iterable[str]) -> None:
        self._scrubber = Scrubber(secrets)
        self.store = f"the datastore {store.name} ({shown(store.url)})"

    def of(self, error: BaseException, what: str) -> PhaseError:
        """The sentence for an error met with `what`: a file's name, or empty for all of it."""
        if isinstance(error, PhaseError):
            return error
        names = {kind.__name__ for kind in type(error).__mro__}
        code = _code(error)
        if isinstance(error, ImportError):
            return PhaseError(f"{self.store} needs a package that is not installed: {self._words(error)}{_remedy(error)}")
        if isinstance(error, FileNotFoundError):
            return PhaseError(f"{self.store} has no {what or 'files'}; see whether its url is right")
        is_denied = isinstance(error, PermissionError) and not error.filename  # with a name it is a file on this machine
        if is_denied or code in DENYING_CODES or names & NO_KEY:
            why = f" ({code})" if code else f" ({self._words(error)})" if names & NO_KEY else ""
            return PhaseError(
                f"{self.store} does not let us read {what or 'it'}{why}; see whether its key and secret are right"
            )
        if names & NOT_TRUSTED:
            return PhaseError(f"{self.store} is not trusted, or does not speak TLS: {self._words(error)}")
        if names & UNREACHABLE:
            return PhaseError(f"{self.store} cannot be reached: {self._words(error)}", is_passing=True)
        at = f" at {what}" if what else ""
        if names & BROKEN_OFF or code in PASSING_CODES:
            return PhaseError(f"{self.store} broke off{at}: {self._words(error)}", is_passing=True)
        return PhaseError(f"{self.store} cannot be read{at}: {self._words(error)}")

    def _words(self, error: BaseException) -> str:
        status = getattr(error, "status", None)
        if isinstance(status, int):  # aiohttp's own text holds the whole address, and that may hold a signature
            return f"the server answered {status}"
        refused = getattr(error, "os_error", None)
        if isinstance(refused, OSError) and refused.errno and refused.errno > 0:
            return os.strerror(refused.errno)
        if isinstance(error, asyncio.TimeoutError):
            return "there was no answer in time"
        text = " ".join(self._scrubber.scrubbed(str(error) or type(error).__name__).split())
        kind = "" if isinstance(error, OSError | ImportError | BrokenOffError) else f"{type(error).__name__}: "
        return kind + text


def _code(error: BaseException) -> str:
    """The server's own code for it: S3's word, or the status of HTTP."""
    for one in (error, error.__cause__):
        response: Any = getattr(one, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
        if isinstance(getattr(one, "status", None), int):
            return str(getattr(one, "status", ""))
    return ""


def _remedy(error: ImportError) -> str:
    return "; install runyard[s3]" if "s3fs" in str(error).lower() else ""
