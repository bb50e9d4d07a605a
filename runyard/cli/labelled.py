"""The lines of an overall log as a person looks at them: one stage between its lines and what is shown. Pure."""

from __future__ import annotations

from dataclasses import replace

from runyard import labels
from runyard.fold import Lines, Piece
from runyard.follow import Gap

from .logview import Seen, Sink


class Labelled:
    """Folds what stands behind a label, and leaves the label: of a progress bar the last state of its line is shown."""

    def __init__(self, then: Sink) -> None:
        self._then = then

    def line(self, piece: Piece[Seen]) -> None:
        length = labels.length_of(piece.data) if piece.starts else 0
        if piece.starts and piece.ends and b"\r" in piece.data:
            fold: Lines[Seen] = Lines()
            states = [*fold.feed(piece.data[length:], piece.stamp), *fold.flush()]
            piece = replace(piece, data=piece.data[:length] + b"".join(state.data for state in states))
        self._then.line(piece)

    def gap(self, gap: Gap) -> None:
        self._then.gap(gap)
