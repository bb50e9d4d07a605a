"""`RunDetails(run).show()`: a run in a notebook, live until it completes.

Reads from the collector, in a thread (feed.py); writes into the output of the cell in which it is shown: the widget, and
below it a summary for who opens the notebook without its kernel, which the widget hides while it is there.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

from IPython.core.getipython import get_ipython
from IPython.display import display

from runyard.errors import InputError
from runyard.sdk import details

from . import summary, widget_data
from .feed import Parts, RunFeed, Wish, now_ms
from .view import PAGE, RunView

if TYPE_CHECKING:
    from runyard import Run

# So often is the summary in the notebook written anew while a run goes on.
SUMMARY_S = 60.0


class RunDetails:
    """The view of one run: its state, phases, metrics, logs, processes, and where it has them its children."""

    def __init__(self, run: Run) -> None:
        """Asks nothing of the collector. Raises InputError for what is no run, and for one that has no collector."""
        from runyard import Run

        if not isinstance(run, Run):
            raise InputError(f"RunDetails was given a {type(run).__name__}; give a Run, as experiment.submit() returns")
        self._run = run
        self._url = details.get_portal_url(run)
        self._shown: _Shown | None = None

    def __repr__(self) -> str:
        return f"RunDetails({self._run!r})"

    def show(self, render_lib: Any = None, widget_settings: Any = None) -> None:
        """Show the run in this cell's output, and go on showing it until it completes. Does not block: a thread of the kernel
        reads from the collector. Outside of a notebook the run is printed as it is now, which blocks.

        `render_lib` and `widget_settings` are there for scripts that give them, and change nothing.
        """
        if not _is_notebook():
            data = widget_data.of(self._run)
            print(f"RunId: {self._run.id}\nStatus: {data['status']}\nWeb View: {self._url}")
            return
        if not PAGE.is_file():
            raise InputError(f"the widget's page is not built: {PAGE} is not there; `make studio` in a checkout builds it")
        if self._shown is None:
            self._shown = _Shown(self._run, self._url)
        self._shown.display()

    def get_widget_data(self, widget_settings: Any = None) -> dict[str, Any]:
        """What the widget shows, as plain values; docs/notebook.md has the keys. Blocks; raises CollectorError."""
        return widget_data.of(self._run)

    def close(self) -> None:
        """Stop watching; what is shown stays as it is."""
        if self._shown is not None:
            self._shown.feed.stop()


class _Shown:
    """A widget with its feed, and the summary below it."""

    def __init__(self, run: Run, url: str) -> None:
        self._run_id, self._url = run.id, url
        self._summary_id = f"runyard-{secrets.token_hex(8)}"
        assert run._connection is not None
        page = {"run_id": run.id, "trail": [], "url": run._connection.url}
        beat = {"at_ms": now_ms(), "trouble": "", "is_over": False}
        self._view = RunView({"page": self._page(page), "beat": beat}, self._wished)
        self._views = 0  # of the widget in pages
        self._parts: Parts = {}  # of the run that was asked for, not of a child that a person looks at
        self._told_s = 0.0
        self._told_status = ""
        self.feed = RunFeed(run._connection, run.id, show=self._show, answer=self._view.answer)

    def display(self) -> None:
        """Puts both into the output of this cell."""
        found = self._view._repr_mimebundle_()
        widget = found[0] if isinstance(found, tuple) else found or {}
        _put(widget | {"text/plain": f"Run {self._run_id}: {self._url}"})
        _put(self._summary(), display_id=self._summary_id)
        self.feed.start()

    def _summary(self) -> dict[str, str]:
        css_class = f"runyard-summary {self._summary_id}"
        return {
            "text/html": summary.as_html(self._run_id, self._url, self._parts, css_class=css_class),
            "text/plain": summary.as_text(self._run_id, self._url, self._parts),
        }

    def _page(self, page: Parts) -> Parts:
        """With what the front end needs to hide the summary."""
        return page | {"summary": self._summary_id}

    def _show(self, parts: Parts) -> None:
        """In the feed's thread."""
        self._view.show(parts | {"page": self._page(parts["page"])})
        if parts["page"]["run_id"] != self._run_id:
            return
        self._parts |= {key: value for key, value in parts.items() if value}
        status = (self._parts.get("run") or {}).get("status", "")
        is_over = parts["beat"]["is_over"]
        if status and (status != self._told_status or is_over or time.monotonic() - self._told_s > SUMMARY_S):
            self._told_s, self._told_status = time.monotonic(), status
            _put(self._summary(), display_id=self._summary_id, update=True)

    def _wished(self, wish: Wish) -> None:
        """In the thread that takes the front end's messages. Who is looked at by nobody need not be kept true."""
        if wish.get("kind") == "here":
            self._views += 1
            self.feed.start()
        elif wish.get("kind") == "gone":
            self._views -= 1
            if self._views <= 0:
                self.feed.stop()
        else:
            self.feed.wish(wish)


def _put(data: dict[str, Any], **how: Any) -> None:
    """Puts a bundle of media types into the output of the cell."""
    display(data, raw=True, **how)  # type: ignore[no-untyped-call]


def _is_notebook() -> bool:
    shell = get_ipython()
    return shell is not None and hasattr(shell, "kernel")
