"""Notes which exception ends a Python program, without a change to the program. Loaded by Python's own `site`, in the driver.

Appends one JSON line {"type","message","first","mono_ns","wall_ns","pid","is_thread"} to the file that RUNYARD_EXCEPTION_FILE
names, then does what would have been done without it. It must work in any Python 3.7 or later, cost nothing while nothing fails,
and never be the reason why something fails: whatever goes wrong in here is passed over.
"""

from __future__ import annotations

import os
import sys

_FILE = "RUNYARD_EXCEPTION_FILE"
_MOST = 2000  # characters of one message
_MOST_CHAINED = 50


def _line_of(kind, value):  # type: ignore[no-untyped-def] # typing would cost the start of every program
    module = getattr(kind, "__module__", "")
    name = getattr(kind, "__qualname__", str(kind))
    whole = name if module in ("builtins", "__main__", "", None) else module + "." + name
    try:
        text = str(value)[:_MOST]
    except Exception:  # noqa: BLE001 - the user's own __str__
        text = ""
    return whole, text


def _first_of(value):  # type: ignore[no-untyped-def]
    """Where the chain of exceptions began: what the last one was raised from, or while handling."""
    for _ in range(_MOST_CHAINED):
        earlier = value.__cause__ or (None if value.__suppress_context__ else value.__context__)
        if earlier is None or earlier is value:
            break
        value = earlier
    return value


def _note(path, kind, value, is_thread):  # type: ignore[no-untyped-def]
    try:
        import time

        mono_ns, wall_ns = time.monotonic_ns(), time.time_ns()
        import json

        name, text = _line_of(kind, value)
        first = _first_of(value) if value is not None else None
        line = {
            "type": name,
            "message": text,
            "first": "" if first is None or first is value else ": ".join(_line_of(type(first), first)),
            "mono_ns": mono_ns,
            "wall_ns": wall_ns,
            "pid": os.getpid(),
            "is_thread": is_thread,
        }
        data = json.dumps(line).encode() + b"\n"
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)
    except BaseException:  # noqa: BLE001, S110 - the program's own exception is told next, whatever happens here
        pass


def _chain():  # type: ignore[no-untyped-def]
    """Load the sitecustomize that would have been loaded without this one."""
    own = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    sys.path[:] = [one for one in sys.path if one != own]  # nothing else is to be found here
    import _frozen_importlib as bootstrap  # what importlib stands on: loaded already
    import _frozen_importlib_external as external

    spec = external.PathFinder.find_spec("sitecustomize", sys.path)
    if spec is None or spec.loader is None or spec.origin == __file__:
        return
    module = bootstrap.module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


def _install(path):  # type: ignore[no-untyped-def]
    before = sys.excepthook

    def hook(kind, value, trace):  # type: ignore[no-untyped-def]
        _note(path, kind, value, False)
        before(kind, value, trace)

    sys.excepthook = hook
    import _thread  # threading, which costs more than all of this, takes its hook from there when it is loaded

    for module in (_thread, sys.modules.get("threading")):
        _install_in_threads(module, path, "_excepthook" if module is _thread else "excepthook")


def _install_in_threads(module, path, name):  # type: ignore[no-untyped-def]
    before = getattr(module, name, None)
    if before is None:
        return

    def hook(args):  # type: ignore[no-untyped-def]
        if args.exc_type is not SystemExit:
            _note(path, args.exc_type, args.exc_value, True)
        before(args)

    setattr(module, name, hook)


try:
    _chain()
finally:
    try:
        if os.environ.get(_FILE):
            _install(os.environ[_FILE])
    except Exception:  # noqa: BLE001, S110 - see above
        pass
