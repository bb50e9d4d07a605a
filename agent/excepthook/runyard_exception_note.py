# mypy: ignore-errors
"""Writes an exception that nobody caught down, for the verdict on a run that failed. Loaded by sitecustomize.py.

Appends one JSON line {"type","message","first","mono_ns","wall_ns","pid","is_thread"} to the file that it is given. Whatever
goes wrong in here is passed over: the program must never fail by it. For any Python from 3.7 on.
"""

import os

_MOST = 2000  # characters of one message
_MOST_CHAINED = 50


def _line_of(kind, value):
    module = getattr(kind, "__module__", "")
    name = getattr(kind, "__qualname__", str(kind))
    whole = name if module in ("builtins", "__main__", "", None) else module + "." + name
    try:
        text = str(value)[:_MOST]
    except Exception:  # noqa: BLE001 - the user's own __str__
        text = ""
    return whole, text


def _first_of(value):
    """Where the chain of exceptions began: what the last one was raised from, or while handling."""
    for _ in range(_MOST_CHAINED):
        earlier = value.__cause__ or (None if value.__suppress_context__ else value.__context__)
        if earlier is None or earlier is value:
            break
        value = earlier
    return value


def _json(line):
    """As JSON, on one line. Not by the json module: what that loads runs code from text, and after that Python would not end a
    program by SIGINT any more that a KeyboardInterrupt has ended."""
    members = []
    for name, value in line.items():
        told = str(value).lower() if isinstance(value, (bool, int)) else '"' + "".join(map(_escaped, value)) + '"'
        members.append('"' + name + '": ' + told)
    return ("{" + ", ".join(members) + "}\n").encode("ascii")


def _escaped(character):
    if " " <= character <= "~" and character not in '"\\':
        return character
    data = character.encode("utf-16-be", "surrogatepass")
    return "".join("\\u%02x%02x" % pair for pair in zip(data[::2], data[1::2]))  # noqa: B905, UP031 - any Python from 3.7 on


def note(path, now_ns, kind, value, is_thread):
    try:
        name, text = _line_of(kind, value)
        first = _first_of(value) if value is not None else None
        line = {
            "type": name,
            "message": text,
            "first": "" if first is None or first is value else ": ".join(_line_of(type(first), first)),
            "mono_ns": now_ns[0],
            "wall_ns": now_ns[1],
            "pid": os.getpid(),
            "is_thread": is_thread,
        }
        data = _json(line)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)
    except BaseException:  # noqa: BLE001, S110 - the program's own exception is told next, whatever happens here
        pass
