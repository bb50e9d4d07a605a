"""The widget's model: the parts of a run as traits, which the front end draws, and keeps where it saves a notebook's widgets.

Reads from static/widget.js, which `make studio` builds; writes to the front end, by the kernel's messages.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from .feed import Parts, Wish

PAGE = Path(__file__).parent / "static" / "widget.js"


class RunView(anywidget.AnyWidget):
    """Traits are parts of runyard/widgets/feed.py; only the kernel sets them. What the front end asks comes as messages.

    `on_wish` is called with each, in the thread in which the kernel takes messages; it must not block.
    """

    _esm = PAGE
    page: Any = traitlets.Dict().tag(sync=True)
    beat: Any = traitlets.Dict().tag(sync=True)
    run: Any = traitlets.Dict().tag(sync=True)
    metrics: Any = traitlets.List().tag(sync=True)
    series: Any = traitlets.Dict().tag(sync=True)
    files: Any = traitlets.List().tag(sync=True)
    log: Any = traitlets.Dict().tag(sync=True)
    trials: Any = traitlets.Dict().tag(sync=True)
    verdict: Any = traitlets.Dict().tag(sync=True)

    def __init__(self, first: Parts, on_wish: Callable[[Wish], None]) -> None:
        """`first`: parts that are known before the collector has answered."""
        super().__init__(**first)
        self._on_wish = on_wish
        self.on_msg(self._heard)
        _answer_beside_cells(self.comm)

    def show(self, parts: Parts) -> None:
        """Takes parts over; one message for all of them. From one thread at a time."""
        with self.hold_sync():
            for name, value in parts.items():
                setattr(self, name, value)

    def answer(self, head: Parts, data: bytes) -> None:
        """Sends what was asked for once."""
        self.send(head, [data])

    def _heard(self, _widget: object, content: Any, _buffers: object) -> None:
        if isinstance(content, dict):
            self._on_wish(content)


def _answer_beside_cells(comm: Any) -> None:
    """Lets the kernel take the widget's messages where the front end sends them: JupyterLab's go to a thread of their own.

    From 7.4 on ipykernel gives them to the thread that has last spoken to the widget, in its eyes the one of the cells, and
    a cell that takes an hour would make a click wait for as long. What a wish does here may be done in any thread.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda _data, of_front_end: of_front_end
