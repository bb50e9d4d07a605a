# mypy: ignore-errors
"""Notes which exception ends a Python program, without a change to the program. Loaded by Python's own `site`, in the driver.

Hands each exception that nobody caught to runyard_exception_note.py, and then does what would have been done without it. Short
on purpose: where no bytecode may be kept, every start of every program compiles it. For any Python from 3.7 on.
"""

import os
import sys

_OWN = os.path.dirname(__file__)  # noqa: PTH120 - pathlib would cost every program's start
_FILE = os.environ.get("RUNYARD_EXCEPTION_FILE")


def _note(kind, value, is_thread):
    try:
        import time

        now_ns = time.monotonic_ns(), time.time_ns()  # before anything that takes time
        sys.path.insert(0, _OWN)
        try:
            from runyard_exception_note import note
        finally:
            sys.path.remove(_OWN)
        note(_FILE, now_ns, kind, value, is_thread)
    except BaseException:  # noqa: BLE001, S110 - the program's own exception is told next, whatever happens here
        pass


def _install():
    import _thread  # threading, which is dear, takes its hook from there when it is loaded

    for module, name in ((_thread, "_excepthook"), (sys.modules.get("threading"), "excepthook")):
        before = getattr(module, name, None)
        if before is not None:
            setattr(module, name, _of_threads(before))
    before = sys.excepthook

    def excepthook(kind, value, trace):
        _note(kind, value, False)
        before(kind, value, trace)

    sys.excepthook = excepthook


def _of_threads(before):
    def excepthook(args):
        if args.exc_type is not SystemExit:
            _note(args.exc_type, args.exc_value, True)
        before(args)

    return excepthook


def _chain():
    """Load the sitecustomize that would have been loaded without this one."""
    import _frozen_importlib as bootstrap  # what importlib stands on: loaded already
    import _frozen_importlib_external as external

    sys.path[:] = [one for one in sys.path if one != _OWN]  # nothing else is to be found here
    spec = external.PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        module = sys.modules["sitecustomize"] = bootstrap.module_from_spec(spec)
        spec.loader.exec_module(module)


def _make_stackable():
    """Where the run looks for stalls: make the program tell its stacks when it is asked to."""
    try:
        sys.path.insert(0, _OWN)
        try:
            from runyard_stacks_hook import register
        finally:
            sys.path.remove(_OWN)
        register()
    except Exception:  # noqa: BLE001, S110 - the program knows nothing of it
        pass


try:
    _chain()
finally:
    if _FILE:
        _install()
    if os.environ.get("RUNYARD_STACKS_FILE"):
        _make_stackable()
