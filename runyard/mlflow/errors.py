"""The errors of MLflow's REST API: codes, their HTTP statuses, and the exception that carries one. Pure."""

from __future__ import annotations

import json
from typing import Final

from runyard.errors import RunyardError

INVALID_PARAMETER_VALUE: Final = "INVALID_PARAMETER_VALUE"
RESOURCE_DOES_NOT_EXIST: Final = "RESOURCE_DOES_NOT_EXIST"
RESOURCE_ALREADY_EXISTS: Final = "RESOURCE_ALREADY_EXISTS"
PERMISSION_DENIED: Final = "PERMISSION_DENIED"
UNAUTHENTICATED: Final = "UNAUTHENTICATED"
INVALID_STATE: Final = "INVALID_STATE"
NOT_IMPLEMENTED: Final = "NOT_IMPLEMENTED"
ENDPOINT_NOT_FOUND: Final = "ENDPOINT_NOT_FOUND"
TEMPORARILY_UNAVAILABLE: Final = "TEMPORARILY_UNAVAILABLE"
INTERNAL_ERROR: Final = "INTERNAL_ERROR"

STATUSES: Final = {
    INVALID_PARAMETER_VALUE: 400,
    RESOURCE_ALREADY_EXISTS: 400,
    "BAD_REQUEST": 400,
    UNAUTHENTICATED: 401,
    PERMISSION_DENIED: 403,
    RESOURCE_DOES_NOT_EXIST: 404,
    ENDPOINT_NOT_FOUND: 404,
    "RESOURCE_CONFLICT": 409,
    "REQUEST_LIMIT_EXCEEDED": 429,
    INTERNAL_ERROR: 500,
    INVALID_STATE: 500,
    NOT_IMPLEMENTED: 501,
    TEMPORARILY_UNAVAILABLE: 503,
}
# The code that tells a status which came from elsewhere: from the token's check, or from a disk that is full.
_CODES: Final = {
    400: INVALID_PARAMETER_VALUE,
    401: UNAUTHENTICATED,
    403: PERMISSION_DENIED,
    404: RESOURCE_DOES_NOT_EXIST,
    405: ENDPOINT_NOT_FOUND,
    409: "RESOURCE_CONFLICT",
    410: RESOURCE_DOES_NOT_EXIST,
    413: INVALID_PARAMETER_VALUE,
    415: INVALID_PARAMETER_VALUE,
    416: INVALID_PARAMETER_VALUE,
    429: "REQUEST_LIMIT_EXCEEDED",
    501: NOT_IMPLEMENTED,
    503: TEMPORARILY_UNAVAILABLE,
    507: TEMPORARILY_UNAVAILABLE,
}


class MlflowError(RunyardError):
    """An answer of 400 and more of MLflow's API: `code` is MLflow's word, `status` the HTTP status that goes with it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = STATUSES.get(code, 500)

    def body(self) -> bytes:
        """The JSON that MLflow's clients read."""
        return error_body(self.code, self.message)


def error_body(code: str, message: str) -> bytes:
    """An error in MLflow's form."""
    return json.dumps({"error_code": code, "message": message}).encode()


def code_of(status: int) -> str:
    """MLflow's code for an HTTP status of 400 and more."""
    return _CODES.get(status, INTERNAL_ERROR if status >= 500 else INVALID_PARAMETER_VALUE)


def invalid(message: str) -> MlflowError:
    """400: the request cannot be used."""
    return MlflowError(INVALID_PARAMETER_VALUE, message)


def missing(message: str) -> MlflowError:
    """404: what the request names is not there."""
    return MlflowError(RESOURCE_DOES_NOT_EXIST, message)


def taken(message: str) -> MlflowError:
    """400: what the request makes is there already."""
    return MlflowError(RESOURCE_ALREADY_EXISTS, message)


def denied(message: str) -> MlflowError:
    """403: the token may not."""
    return MlflowError(PERMISSION_DENIED, message)
