# mypy: ignore-errors
"""Makes a Python program tell its stacks when a signal asks for them, without a change to the program. Loaded by sitecustomize
where RUNYARD_STACKS_FILE is set; the signal is RUNYARD_STACKS_SIGNAL, which nothing else uses.

Appends to that file, and notes beside it, as `stackable.<descriptor>`, by which one it holds it. Nothing is signalled but
what has caught the signal and holds the file by that descriptor: no program that this one becomes, or that closes everything.
"""

import os


def register():
    """Register with faulthandler, unless the signal has got another use."""
    import _signal
    import faulthandler
    import fcntl

    path, number = os.environ["RUNYARD_STACKS_FILE"], int(os.environ["RUNYARD_STACKS_SIGNAL"])
    if _signal.getsignal(number) != _signal.SIG_DFL:
        return
    low = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # Out of the way of programs that count on the numbers of their first descriptors.
        held = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 200)
        os.close(low)
    except OSError:  # a process may have fewer
        held = low
    faulthandler.register(number, file=held, all_threads=True, chain=False)
    folder = os.path.dirname(path)  # noqa: PTH120
    os.close(os.open(f"{folder}/stackable.{held}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
