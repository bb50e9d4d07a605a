"""The values that a sweep gives to its parameters: distributions to draw from, and all combinations of lists. Pure.

A draw depends on the seed, the trial's number and the parameter's name alone: a sweep that is started again draws the same.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from runyard.errors import InputError

Value = int | float | str | bool

# Combinations of a grid, and trials of a random sweep: more is a slip of the hand.
MOST_TRIALS = 10_000


@dataclass(frozen=True, slots=True)
class Distribution:
    """Values to draw from: `choice`, `randint`, `uniform`, `quniform`, `loguniform` and `normal` make them."""

    kind: str
    arguments: tuple[Value, ...]

    def draw(self, source: Random) -> Value:
        """One value."""
        return _DRAWS[self.kind](source, self.arguments)

    def to_json(self) -> list[Value]:
        """The kind, then its arguments."""
        return [self.kind, *self.arguments]


Space = Mapping[str, Distribution]


def choice(*options: Value | Sequence[Value]) -> Distribution:
    """One of the options, each as likely; they are given one by one or as a list."""
    if len(options) == 1 and isinstance(options[0], Sequence) and not isinstance(options[0], str):
        options = tuple(options[0])
    kept: list[Value] = []
    for option in options:
        if not isinstance(option, int | float | str):  # bool is an int
            raise InputError(f"choice takes numbers, texts, True and False, not {option!r}")
        kept.append(option)
    if not kept:
        raise InputError("choice needs one option or more, as in choice(16, 32, 64)")
    return Distribution("choice", tuple(kept))


def randint(upper: int) -> Distribution:
    """A whole number from 0 to `upper` - 1."""
    if not isinstance(upper, int) or upper < 1:
        raise InputError(f"randint takes a whole number above 0, not {upper!r}")
    return Distribution("randint", (upper,))


def uniform(low: float, high: float) -> Distribution:
    """A number between `low` and `high`."""
    return Distribution("uniform", _bounds("uniform", low, high))


def quniform(low: float, high: float, q: float) -> Distribution:
    """A multiple of `q`, from a number between `low` and `high`."""
    if not _is_number(q) or q <= 0:
        raise InputError(f"quniform's q is a number above 0, not {q!r}")
    return Distribution("quniform", (*_bounds("quniform", low, high), q))


def loguniform(low: float, high: float) -> Distribution:
    """A number between `low` and `high` whose logarithm is uniform. The bounds are the values themselves, as 1e-5 and 0.1."""
    low, high = _bounds("loguniform", low, high)
    if low <= 0:
        raise InputError(
            f"loguniform's bounds are above 0, not {low!r}: they are the values themselves, as in loguniform(1e-5, 0.1);"
            " where you have their logarithms, write loguniform(math.exp(-6), math.exp(-1))"
        )
    return Distribution("loguniform", (low, high))


def normal(mean: float, deviation: float) -> Distribution:
    """A number of the normal distribution."""
    if not (_is_number(mean) and _is_number(deviation)) or deviation < 0:
        raise InputError(f"normal takes a mean and a deviation of 0 or more, not {mean!r} and {deviation!r}")
    return Distribution("normal", (mean, deviation))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _bounds(kind: str, low: float, high: float) -> tuple[float, float]:
    if not (_is_number(low) and _is_number(high)) or low > high:
        raise InputError(f"{kind} takes two finite numbers, the lower one first, not {low!r} and {high!r}")
    return low, high


def _draw_quniform(source: Random, arguments: tuple[Value, ...]) -> Value:
    low, high, q = (float(argument) for argument in arguments)
    drawn = round(source.uniform(low, high) / q) * q
    return int(drawn) if q.is_integer() else drawn


def _draw_loguniform(source: Random, arguments: tuple[Value, ...]) -> Value:
    low, high = (float(argument) for argument in arguments)
    return min(max(math.exp(source.uniform(math.log(low), math.log(high))), low), high)


_DRAWS: dict[str, Callable[[Random, tuple[Value, ...]], Value]] = {
    "choice": lambda source, options: options[int(source.random() * len(options))],
    "randint": lambda source, arguments: int(source.random() * int(arguments[0])),
    "uniform": lambda source, arguments: source.uniform(float(arguments[0]), float(arguments[1])),
    "quniform": _draw_quniform,
    "loguniform": _draw_loguniform,
    "normal": lambda source, arguments: source.gauss(float(arguments[0]), float(arguments[1])),
}


def checked(space: Mapping[str, object]) -> dict[str, Distribution]:
    """The space with its values as distributions: a list, or a single value, is a choice. Raises InputError."""
    if not isinstance(space, Mapping) or not space:
        raise InputError("a sweep needs a dict of parameters, as in {'lr': loguniform(1e-5, 0.1)}")
    names = [parameter_name(name) for name in space]
    if len({*names}) < len(names):
        raise InputError(f"two of the sweep's parameters have one name: {', '.join(sorted(names))}")
    return {name: _distribution(value) for name, value in space.items()}


def parameter_name(argument: str) -> str:
    """The parameter that an argument sets: `--lr` and `lr` are one. Raises InputError where it cannot be an argument."""
    name = argument.lstrip("-") if isinstance(argument, str) else ""
    if not name or any(character.isspace() or character == "=" for character in name):
        raise InputError(
            f"{argument!r} is no name of a parameter; it is given to the script as --name, so it is a word like lr"
        )
    return name


def argument_name(name: str) -> str:
    """The argument that sets the parameter."""
    return name if name.startswith("-") else f"--{name}"


def _distribution(value: object) -> Distribution:
    if isinstance(value, Distribution):
        return value
    if isinstance(value, Sequence) and not isinstance(value, str):
        return choice(*value)
    return choice(value)  # type: ignore[arg-type]


def draw(space: Space, seed: int, number: int) -> dict[str, Value]:
    """The parameters of the trial with this number."""
    return {name: values.draw(Random(f"{seed}:{number}:{name}")) for name, values in space.items()}  # noqa: S311


def combinations(space: Space) -> list[dict[str, Value]]:
    """All combinations of the options, the last parameter changing fastest. Raises InputError where there are no options."""
    for name, values in space.items():
        if values.kind != "choice":
            raise InputError(f"a grid goes through all values: give {name!r} a list or a choice, not {values.kind}")
    count = math.prod(len(values.arguments) for values in space.values())
    if count > MOST_TRIALS:
        raise InputError(f"the grid has {count} combinations; a sweep has {MOST_TRIALS} trials at most")
    options = [values.arguments for values in space.values()]
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*options)]
