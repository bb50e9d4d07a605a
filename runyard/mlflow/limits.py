"""What names and values MLflow's API takes. Each check returns what is kept, or raises MlflowError with one sentence. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from .errors import invalid
from .messages import Batch, DatasetInput, Metric, Tag

MOST_METRICS: Final = 1000  # of one log-batch
MOST_PARAMS: Final = 100
MOST_TAGS: Final = 100
MOST_ENTITIES: Final = 1000
MOST_EXPERIMENTS: Final = 10_000  # that a search names
MOST_KEY: Final = 250  # characters
MOST_PARAM_VALUE: Final = 6000  # what is longer is cut, as MLflow's server does
MOST_TAG_VALUE: Final = 8000  # likewise
MOST_EXPERIMENT_NAME: Final = 500
MOST_EXPERIMENT_TAG_VALUE: Final = 20_000
MOST_SEARCH_RESULTS: Final = 50_000
MOST_INTERVAL_RESULTS: Final = 2500  # points of a run in get-history-bulk-interval
MOST_INTERVAL_RUNS: Final = 100
MOST_BULK_RESULTS: Final = 25_000

_NAME = re.compile(r"[/\w.\- :]*")
_RUN_ID = re.compile(r"[a-zA-Z0-9][\w\-]{0,255}")
_BAD_IN_MODEL_NAMES = ("/", ":", ".", "%", '"', "'")
_DATASET_LIMITS = (("name", 500), ("digest", 36), ("source", 65_535), ("schema", 1_048_575), ("profile", 16_777_215))


@lru_cache(4096)
def why_bad_key(key: str) -> str:
    """Why `key` cannot name a metric, parameter or tag; empty where it can."""
    if not _NAME.fullmatch(key):
        return "names may only contain letters, digits, underscores, dashes, periods, spaces, colons and slashes"
    plain = posixpath.normpath(key)
    if plain != key or plain == "." or plain.startswith(("..", "/")):
        return f"names may become those of files, and this one would be that of {plain!r}"
    return f"it has {len(key)} characters, and at most {MOST_KEY} are taken" if len(key) > MOST_KEY else ""


def check_key(key: str, what: str) -> str:
    """The key of a metric, parameter or tag."""
    if not key:
        raise invalid(f"Missing value for required parameter '{what}': a key has to have at least one character")
    why = why_bad_key(key)
    if why:
        raise invalid(f"Invalid value {_short(key)} for parameter '{what}' supplied: {why}")
    return key


def check_metric(metric: Metric, what: str = "") -> None:
    """A metric as it comes in a request; `what` leads to it in a batch."""
    check_key(metric.key, f"{what}key")
    if metric.value is None:
        raise invalid(f"Missing value for required parameter '{what}value': metric {_short(metric.key)} has no number")
    if metric.timestamp is None:
        raise invalid(f"Missing value for required parameter '{what}timestamp': metric {_short(metric.key)} has no time")
    if metric.timestamp < 0:
        raise invalid(
            f"Invalid value {metric.timestamp} for parameter '{what}timestamp' supplied: the time of metric"
            f" {_short(metric.key)} has to be Unix milliseconds, 0 or more"
        )


def check_param(key: str, value: str, what: str = "") -> str:
    """The value that is kept of a parameter."""
    check_key(key, f"{what}key")
    return value[:MOST_PARAM_VALUE]


def check_tag(key: str, value: str, what: str = "") -> str:
    """The value that is kept of a run's tag."""
    check_key(key, f"{what}key")
    return value[:MOST_TAG_VALUE]


def check_experiment_tag(key: str, value: str) -> None:
    """A tag of an experiment."""
    check_key(key, "key")
    if len(value) > MOST_EXPERIMENT_TAG_VALUE:
        raise _too_long("value", MOST_EXPERIMENT_TAG_VALUE)


def check_experiment_name(name: str, what: str = "name") -> None:
    """The name of an experiment: any text."""
    if not name:
        raise invalid(f"Missing value for required parameter '{what}': an experiment has to have a name")
    if len(name) > MOST_EXPERIMENT_NAME:
        raise _too_long(what, MOST_EXPERIMENT_NAME)


def check_artifact_location(location: str) -> None:
    """Where the artifacts of an experiment are to lie; empty: here."""
    if location.startswith("runs:"):
        raise invalid(f"Artifact location cannot be a runs:/ URI. Given: {_short(location)}")


def check_run_id(run_id: str) -> None:
    """A run's id, where it has to look like one."""
    if not _RUN_ID.fullmatch(run_id):
        raise invalid(f"Invalid value {_short(run_id)} for parameter 'run_id' supplied: it is no id of a run")


def check_batch(batch: Batch) -> None:
    """Names, values and sizes of a log-batch; its parameters and tags are cut where they are applied."""
    for index, metric in enumerate(batch.metrics):
        if (
            why_bad_key(metric.key)
            or not metric.key
            or metric.value is None
            or metric.timestamp is None
            or metric.timestamp < 0
        ):
            check_metric(metric, f"metrics[{index}].")
    for index, param in enumerate(batch.params):
        check_key(param.key, f"params[{index}].key")
    for index, tag in enumerate(batch.tags):
        check_key(tag.key, f"tags[{index}].key")
    sizes = (len(batch.metrics), len(batch.params), len(batch.tags))
    for name, size, most in zip(("metrics", "params", "tags"), sizes, (MOST_METRICS, MOST_PARAMS, MOST_TAGS), strict=True):
        _check_size(name, size, most)
    _check_size("metrics, params, and tags", sum(sizes), MOST_ENTITIES)
    keys = [param.key for param in batch.params]
    twice = sorted({key for key in keys if keys.count(key) > 1}) if len(set(keys)) < len(keys) else []
    if twice:
        raise invalid(f"Duplicate parameter keys have been submitted: {twice}; each may have one value in a request")


def check_count(what: str, given: Sequence[object], most: int = MOST_ENTITIES) -> None:
    """How many things a request names."""
    if len(given) > most:
        raise invalid(f"A request can name at most {most} {what}. Got {len(given)} {what}.")


def _check_size(name: str, size: int, most: int) -> None:
    if size > most:
        raise invalid(
            f"A batch logging request can contain at most {most} {name}. Got {size} {name}."
            f" Please split up {name} across multiple requests and try again."
        )


def check_datasets(inputs: Sequence[DatasetInput]) -> None:
    """The datasets of a log-inputs."""
    for one in inputs:
        if one.dataset is None:
            raise invalid("Dataset cannot be None")
        for field, most in _DATASET_LIMITS:
            if len(getattr(one.dataset, field) or "") > most:
                raise _too_long(field, most)
        for tag in one.tags:
            _check_input_tag(tag)


def _check_input_tag(tag: Tag) -> None:
    if len(tag.key) > 255:
        raise _too_long("key", 255)
    if len(tag.value) > 500:
        raise _too_long("value", 500)


def check_model_name(name: str | None) -> None:
    """The name of a logged model; None: one is made up."""
    if name is not None and (not name or any(bad in name for bad in _BAD_IN_MODEL_NAMES)):
        raise invalid(
            f"Invalid model name ({_short(name)}) provided: it has to be text without {' '.join(_BAD_IN_MODEL_NAMES)}"
        )


def check_max_results(count: int, most: int = MOST_SEARCH_RESULTS) -> int:
    """How much is asked for at once."""
    if count < 1:
        raise invalid(f"Invalid value {count} for parameter 'max_results' supplied. It must be a positive integer")
    if count > most:
        raise invalid(f"Invalid value {count} for parameter 'max_results' supplied. It must be at most {most}")
    return count


def parse_experiment_id(text: str) -> int:
    """The number that an experiment is known by."""
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not 0 <= number < 2**63:
        raise invalid(f"Invalid experiment ID {_short(text)}. Experiment ID must be a valid integer.")
    return number


def _too_long(what: str, most: int) -> Exception:
    return invalid(f"'{what}' exceeds the maximum length of {most} characters")


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:80] + "…")
