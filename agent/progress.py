"""How far a training has come, from what it prints: progress bars and step lines of the usual kinds. Pure.

Reads the last bytes of a driver's log; knows nothing of who wrote them, changes nothing, and takes any bytes there are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

# The end of a log that is looked at; of it so many lines (or states of a bar), and of each so many characters.
TAIL_BYTES = 64 << 10
MOST_LINES = 200
MOST_OF_LINE = 1000
# What the contract's integers hold.
MOST_STEPS = 2**63 - 1

_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]{0,20}[A-Za-z]|\].{0,100}?\x07|[@-Z\\^_])", re.ASCII)
# What every line that tells a step or an epoch has: the others are passed over at once.
_HINT = re.compile(r"(?i)[/%\[]|step|iter|batch|update|epoch|\bit\b")
_LINE_ENDS = re.compile(rb"[\r\n]+")
_SCALE = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}


@dataclass(frozen=True, slots=True)
class Reading:
    """What one place in a log tells. None: it tells nothing of that."""

    step: int | None = None
    total: int | None = None
    epoch: float | None = None
    rate_per_s: float | None = None
    eta_s: float | None = None


@dataclass(frozen=True, slots=True)
class Pattern:
    """One way in which trainings tell their progress. `example` is matched by a test."""

    name: str
    form: re.Pattern[str]
    example: str


def _form(text: str) -> re.Pattern[str]:
    return re.compile(text, re.ASCII)


_NUMBER = r"\d{1,15}(?:\.\d{1,9})?[kKMGTP]?"
_CLOCK = r"\d{1,6}(?::\d{2}){1,2}"
_RATE = (
    r"(?:(?P<rate>\d{1,12}(?:\.\d{1,9})?[kKMGTP]?) ?[A-Za-z]{0,12}/s(?![A-Za-z])"
    r"|(?P<pace>\d{1,12}(?:\.\d{1,9})?) ?(?P<unit>ms|s)/[A-Za-z]{1,12})"
)

# The first that fits a line counts.
PATTERNS = (
    Pattern(
        "tqdm",
        _form(
            rf"(?P<step>{_NUMBER})/(?P<total>{_NUMBER}|\?) ?[A-Za-z]{{0,12}} "
            rf"\[{_CLOCK}<(?:(?P<eta>{_CLOCK})|\?)(?:, {{1,4}}(?:{_RATE}|\?))?"
        ),
        "Epoch 3:  45%|████▌     | 450/1000 [00:45<00:55, 10.0it/s, loss=0.31]",
    ),
    Pattern(
        "tqdm without a total",
        _form(rf"(?<![\d./])(?P<step>{_NUMBER}) ?[A-Za-z]{{1,12}} \[{_CLOCK}(?:, {{1,4}}(?:{_RATE}|\?))?"),
        "450it [00:45, 10.0it/s]",
    ),
    Pattern(
        "rich",
        _form(
            r"[━╸╺]{2,200} {1,4}(?P<step>\d{1,15})/(?P<total>\d{1,15}|--)"
            rf"(?: {_CLOCK} • (?:(?P<eta>{_CLOCK})|-:--:--)(?: {_RATE})?)?"
        ),
        "Epoch 3/9 ━━━━━━━━╸━━━━━━ 450/1000 0:00:45 • 0:00:55 10.02it/s v_num: 0.000",
    ),
    Pattern(
        "keras",
        _form(
            r"(?<!\d)(?P<step>\d{1,15})/(?P<total>\d{1,15}|Unknown) (?:\[[=>.]{1,80}\]|━{1,80})"
            rf"(?:(?: -)? (?:ETA: )?(?:(?P<eta>{_CLOCK})|(?P<eta_s>\d{{1,9}})s)(?: {_RATE})?)?"
        ),
        "450/1000 [========>.....................] - ETA: 12s - loss: 0.3101",
    ),
    Pattern(
        "rich with a percentage",
        _form(rf"[━╸╺]{{2,200}} {{1,4}}(?P<percent>\d{{1,3}})%(?: {{1,4}}(?P<eta>{_CLOCK}))?"),
        "Training ━━━━━━━━╸━━━━━━  45% 0:00:55",
    ),
    Pattern(
        "step of a total",
        _form(
            r"(?i)(?<![a-z])(?:global[_ ]?)?(?:steps?|iter(?:ation)?s?|batch(?:es)?|it|update)(?![a-z]) {0,4}[:=#]? {0,10}\[?"
            r"(?P<step>\d{1,15})(?![\d.]*[\d%]) {0,10}(?:/|of) {0,10}(?P<total>\d{1,15})"
        ),
        "epoch 3 step 120/1000 loss 0.31",
    ),
    Pattern(
        "brackets",
        _form(
            r"\[ {0,12}(?P<step>\d{1,15}) {0,4}/ {0,12}(?P<total>\d{1,15})(?: {0,4}\( {0,3}\d{1,3}(?:\.\d{1,4})?%\))? {0,4}\]"
        ),
        "Train Epoch: 3 [12800/60000 (21%)]\tLoss: 0.310",
    ),
    Pattern(
        "step",
        _form(
            r"(?i)(?<![a-z])(?:global[_ ]?)?(?:steps?|iter(?:ation)?|batch|update)(?![a-z])['\"]? {0,4}[:=#]? {0,10}['\"]?"
            r"(?P<step>\d{1,15})(?![\d.]*\d)"
        ),
        "iter 1200: loss 0.31, time 12.1ms",
    ),
    Pattern("a percentage", _form(r"(?<![\d.])(?P<percent>\d{1,3})%\|"), "Epoch 3:  45%|████▌     |"),
)

EPOCHS = (
    Pattern("a dictionary", _form(r"['\"]epoch['\"]: ['\"]?(?P<epoch>\d{1,9}(?:\.\d{1,9})?)"), "{'loss': 0.31, 'epoch': 1.2}"),
    Pattern(
        "epoch",
        _form(
            r"(?i)(?<![a-z])epoch(?![a-z]) {0,4}[:=#]? {0,10}\[? {0,4}(?P<epoch>\d{1,9}(?:\.\d{1,9})?)"
            r"(?: {0,4}(?:/|of) {0,4}(?P<epochs>\d{1,9}))?"
        ),
        "Epoch 3/10",
    ),
)


def parse(tail: bytes, *, is_cut: bool = False) -> Reading | None:
    """The newest step, and the newest epoch, that `tail` tells; None where it tells neither.

    `is_cut`: it begins inside a line.
    """
    found = Reading()
    epochs: int | None = None
    for line, is_open in _lines(tail, is_cut):
        if _HINT.search(line) is None:
            continue
        if found.epoch is None:
            found, epochs = _with_epoch(found, epochs, line, is_open)
        step = _first(PATTERNS, line, is_open, _reading)
        if step is not None:
            return replace(step, epoch=found.epoch)
    if found.epoch is None:
        return None
    # Nothing but epochs is told: then they are the steps.
    return replace(found, step=int(found.epoch), total=epochs)


def _lines(tail: bytes, is_cut: bool) -> list[tuple[str, bool]]:
    """The last lines and states of bars, newest first, each with whether its end is still to come."""
    pieces = _LINE_ENDS.split(tail[-TAIL_BYTES:])
    if (is_cut or len(tail) > TAIL_BYTES) and len(pieces) > 1:
        pieces[0] = b""
    is_open = bool(pieces[-1])
    lines: list[tuple[str, bool]] = []
    for piece in reversed(pieces[-MOST_LINES:]):
        if piece:
            text = _ESCAPES.sub("", piece[: 4 * MOST_OF_LINE].decode("utf-8", "replace"))
            lines.append((text[:MOST_OF_LINE], is_open and not lines))
    return lines


def _first(
    patterns: tuple[Pattern, ...], line: str, is_open: bool, read: Callable[[dict[str, str | None]], Reading]
) -> Reading | None:
    for pattern in patterns:
        match = pattern.form.search(line)
        # A number at the end of a line that is not whole may be the beginning of a longer one.
        if match is not None and not (is_open and match.end() == len(line) and line[-1].isdigit()):
            return read(match.groupdict())
    return None


def _with_epoch(found: Reading, epochs: int | None, line: str, is_open: bool) -> tuple[Reading, int | None]:
    told = _first(
        EPOCHS, line, is_open, lambda words: Reading(epoch=float(words["epoch"] or 0), total=_count(words.get("epochs")))
    )
    return (found, epochs) if told is None else (replace(found, epoch=told.epoch), told.total)


def _reading(words: dict[str, str | None]) -> Reading:
    percent = words.get("percent")
    step, total = (percent, "100") if percent else (words.get("step"), words.get("total"))
    eta_s = words.get("eta_s")
    return Reading(
        step=_count(step),
        total=_count(total),
        rate_per_s=_rate(words),
        eta_s=float(eta_s) if eta_s else _clock_s(words.get("eta")),
    )


def _count(text: str | None) -> int | None:
    """450, 1.5k: a number of steps; None for what tells none."""
    if not text or not text[0].isdigit():
        return None
    digits, scale = (text[:-1], _SCALE[text[-1]]) if text[-1] in _SCALE else (text, 1)
    value = int(digits) * scale if digits.isdigit() else round(float(digits) * scale)
    return min(value, MOST_STEPS)


def _rate(words: dict[str, str | None]) -> float | None:
    rate, pace = words.get("rate"), words.get("pace")
    if rate:
        digits, scale = (rate[:-1], _SCALE[rate[-1]]) if rate[-1] in _SCALE else (rate, 1)
        return float(digits) * scale
    if pace and float(pace) > 0:
        return (1000.0 if words.get("unit") == "ms" else 1.0) / float(pace)
    return None


def _clock_s(text: str | None) -> float | None:
    """1:02:03 in seconds."""
    if not text:
        return None
    seconds = 0
    for part in text.split(":"):
        seconds = seconds * 60 + int(part)
    return float(seconds)
