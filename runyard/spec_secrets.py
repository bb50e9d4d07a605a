"""Secrets in a Spec: where to find them, never what they are. What may be one is refused, and no sentence quotes it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .errors import InputError
from .spec_kinds import shown, why_wrong

if TYPE_CHECKING:
    from .spec import Spec

_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:/.+", re.DOTALL)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET_WORDS = frozenset({"key", "secret", "token", "password", "passwd", "passphrase", "credential", "credentials"})
# A name that ends so tells where something is, as `key_file` and `token_url` do.
_PLACE_WORDS = frozenset({"file", "filename", "path", "dir", "url", "uri", "name"})


def check_secrets(secrets: Any, options: Mapping[str, Any], where: str) -> None:
    """Refuse what is no reference, and an option that is given in both."""
    why = why_wrong("Mapping[str, str]", secrets)
    if why:
        raise InputError(f"{where} {why}")
    for name, reference in secrets.items():
        if not _REFERENCE.fullmatch(reference):
            raise InputError(
                f"{where}.{shown(name)} does not tell where the secret is (its value is not shown); "
                'write it as "env:NAME" for a variable or "file:/PATH" for a file'
            )
        if name in options:
            raise InputError(f"{where}.{shown(name)} is given among the options, too; keep the one under secrets")


def check_options(options: Any, where: str) -> None:
    """Refuse an option that looks like a secret, however deep it lies."""
    if isinstance(options, list | tuple):
        for one in options:
            check_options(one, where)
    if not isinstance(options, Mapping):
        return
    for name, value in options.items():
        if looks_secret(name) and not isinstance(value, bool | Mapping | list | tuple):
            raise InputError(
                f"{where}.{shown(name)} looks like a secret (its value is not shown); "
                f'put it under secrets, as in secrets = {{ {shown(name)} = "env:NAME" }}'
            )
        check_options(value, f"{where}.{shown(name)}")


def check_url(url: str, where: str) -> None:
    """Refuse an address that holds a password: addresses are told in logs."""
    try:
        password = urlsplit(url).password
    except ValueError:
        raise InputError(f"{where} is no address; write it as in s3://bucket/folder or https://host/folder") from None
    if password:
        raise InputError(f"{where} holds a password (it is not shown); take it out of the address and put it under secrets")


def looks_secret(name: str) -> bool:
    """Whether an option of this name is likely to hold a secret."""
    words = [word.lower() for word in _WORD.findall(name)]
    return bool(words) and words[-1] not in _PLACE_WORDS and not _SECRET_WORDS.isdisjoint(words)


def secret_variables(spec: Spec) -> set[str]:
    """The names of the variables that hold the spec's secrets."""
    references = [*(one.secrets for one in spec.datastores), *(one.options.get("secrets", {}) for one in spec.context_managers)]
    words = (word for secrets in references if isinstance(secrets, dict) for word in secrets.values())
    return {word.removeprefix("env:") for word in words if isinstance(word, str) and word.startswith("env:")}
