"""MLflow's filters and orders of runs, experiments and models as small trees: clauses that all have to hold, and keys. Pure.

metrics.loss < 0.1 AND params.`learning rate` = '0.01' AND tags.owner IS NOT NULL
attributes.start_time DESC
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from .errors import invalid
from .tokens import DECIMAL, INTEGER, LIST, NAME, OPERATOR, TEXT, WORD, Token, listed, plain_key, tokens, unquoted

MOST_CHARACTERS: Final = 500_000  # of a filter
MOST_CLAUSES: Final = 100
MOST_LISTED: Final = 10_000  # texts of an IN
MOST_PATTERN: Final = 4096  # characters of a LIKE: SQLite takes 50,000 bytes
MOST_ORDERS: Final = 20

Entity = Literal["metric", "param", "tag", "attribute", "dataset"]
METRIC: Final = "metric"
PARAM: Final = "param"
TAG: Final = "tag"
ATTRIBUTE: Final = "attribute"
DATASET: Final = "dataset"
Value = int | float | str | tuple[str, ...] | None

_ENTITIES: Final[dict[str, Entity]] = {
    "metric": METRIC, "metrics": METRIC, "param": PARAM, "params": PARAM, "parameter": PARAM, "parameters": PARAM,
    "tag": TAG, "tags": TAG, "attr": ATTRIBUTE, "attribute": ATTRIBUTE, "attributes": ATTRIBUTE, "run": ATTRIBUTE,
    "dataset": DATASET, "datasets": DATASET,
}  # fmt: skip
_NUMERIC: Final = frozenset({"=", "!=", "<", "<=", ">", ">="})
_TEXTUAL: Final = frozenset({"=", "!=", "LIKE", "ILIKE"})
_NULLS: Final = frozenset({"IS NULL", "IS NOT NULL"})
_LISTS: Final = frozenset({"IN", "NOT IN"})


@dataclass(frozen=True, slots=True)
class Clause:
    """A comparison. `value` is a number of a metric or a numeric attribute, a list of IN, None of IS NULL, or else text."""

    entity: Entity
    key: str
    comparator: str
    value: Value


@dataclass(frozen=True, slots=True)
class Order:
    """A key to order by."""

    entity: Entity
    key: str
    is_ascending: bool = True


@dataclass(frozen=True, slots=True)
class Language:
    """What may be named in the filters of a kind of thing. `aliases` are other names of attributes."""

    entities: frozenset[str]
    texts: frozenset[str]
    numbers: frozenset[str]
    lists: frozenset[str]
    orders: frozenset[str]
    ordered: frozenset[str]
    has_null_params: bool = False
    has_nulls: bool = True
    has_decimals: bool = True
    aliases: tuple[tuple[str, str], ...] = ()

    def attribute(self, key: str) -> str:
        """The attribute that `key` names; raises MlflowError where there is none."""
        name = dict(self.aliases).get(key, key)
        if name not in self.texts | self.numbers:
            raise invalid(f"Invalid attribute key {key!r} specified. Valid keys are {sorted(self.texts | self.numbers)}")
        return name


RUNS: Final = Language(
    entities=frozenset({METRIC, PARAM, TAG, ATTRIBUTE, DATASET}),
    texts=frozenset({"run_id", "run_name", "status", "user_id", "artifact_uri"}),
    numbers=frozenset({"start_time", "end_time"}),
    lists=frozenset({"run_id"}),
    orders=frozenset({"run_id", "run_name", "status", "user_id", "artifact_uri", "start_time", "end_time"}),
    ordered=frozenset({METRIC, PARAM, TAG, ATTRIBUTE}),
    has_null_params=True,
    aliases=(
        ("created", "start_time"), ("Created", "start_time"),
        ("run name", "run_name"), ("Run name", "run_name"), ("Run Name", "run_name"),
    ),
)  # fmt: skip
EXPERIMENTS: Final = Language(
    entities=frozenset({TAG, ATTRIBUTE}),
    texts=frozenset({"name", "experiment_id"}),
    numbers=frozenset({"creation_time", "last_update_time"}),
    lists=frozenset({"experiment_id"}),
    orders=frozenset({"name", "experiment_id", "creation_time", "last_update_time"}),
    ordered=frozenset({ATTRIBUTE}),
    has_decimals=False,
)
MODELS: Final = Language(
    entities=frozenset({METRIC, PARAM, TAG, ATTRIBUTE}),
    texts=frozenset({"name", "model_id", "model_type", "status", "source_run_id", "status_message", "artifact_location"}),
    numbers=frozenset({"creation_timestamp_ms", "last_updated_timestamp_ms"}),
    lists=frozenset({"name", "model_id", "model_type", "status", "source_run_id"}),
    orders=frozenset(),
    ordered=frozenset(),
    has_nulls=False,
    aliases=(
        ("creation_time", "creation_timestamp_ms"), ("creation_timestamp", "creation_timestamp_ms"),
        ("last_updated_timestamp", "last_updated_timestamp_ms"), ("last_updated_time", "last_updated_timestamp_ms"),
    ),
)  # fmt: skip


def parse_filter(text: str, language: Language = RUNS) -> list[Clause]:
    """The clauses of a filter; raises MlflowError where it is none. No text: no clauses."""
    if len(text) > MOST_CHARACTERS:
        raise invalid(f"A filter has at most {MOST_CHARACTERS} characters, and this one {len(text)}")
    words = tokens(text)
    clauses: list[Clause] = []
    at = 0
    while at < len(words):
        if clauses:
            if words[at] != Token(WORD, "AND"):
                raise invalid(f"Invalid clause(s) in filter string: expected AND before {words[at].text!r}; there is no OR")
            at += 1
        clause, at = _clause(words, at, language)
        clauses.append(clause)
        if len(clauses) > MOST_CLAUSES:
            raise invalid(f"A filter has at most {MOST_CLAUSES} clauses")
    return clauses


def parse_order(text: str, language: Language = RUNS) -> Order:
    """The key of an order; raises MlflowError where it is none."""
    words = tokens(text)
    is_ascending = True
    if len(words) == 2 and words[1].kind == WORD and words[1].text in ("ASC", "DESC"):
        is_ascending = words.pop().text == "ASC"
    if len(words) != 1 or words[0].kind != NAME:
        raise invalid(f"Invalid order_by clause {text[:80]!r}: expected a name and then, if at all, ASC or DESC")
    entity, key = _identifier(words[0].text, language)
    if entity not in language.ordered:
        raise invalid(f"Invalid order_by clause {text[:80]!r}: nothing is ordered by a {entity}")
    if entity == ATTRIBUTE and key not in language.orders:
        raise invalid(f"Invalid attribute key {key!r} specified. Valid keys are {sorted(language.orders)}")
    return Order(entity, key, is_ascending)


def parse_orders(texts: list[str], language: Language = RUNS) -> list[Order]:
    """The keys of an order_by; raises MlflowError where one is none, or is there twice."""
    if len(texts) > MOST_ORDERS:
        raise invalid(f"`order_by` has at most {MOST_ORDERS} keys, and this one {len(texts)}")
    orders = [parse_order(text, language) for text in texts]
    keys = [(order.entity, order.key) for order in orders]
    if len(set(keys)) < len(keys):
        raise invalid(f"`order_by` contains duplicate fields: {texts}")
    return orders


def _clause(words: list[Token], at: int, language: Language) -> tuple[Clause, int]:
    if at >= len(words) or words[at].kind != NAME:
        found = repr(words[at].text) if at < len(words) else "its end"
        raise invalid(f"Invalid comparison clause in filter string: expected a name, found {found}")
    entity, key = _identifier(words[at].text, language)
    comparator, at = _comparator(words, at + 1)
    _check_comparator(entity, key, comparator, language)
    if comparator in _NULLS:
        return Clause(entity, key, comparator, None), at
    if at >= len(words):
        raise invalid(f"Invalid comparison clause in filter string: nothing stands behind {comparator}")
    return Clause(entity, key, comparator, _value(entity, key, comparator, words[at], language)), at + 1


def _identifier(text: str, language: Language) -> tuple[Entity, str]:
    if text[0] in '"`' and text.find(text[0], 1) == len(text) - 1:
        return ATTRIBUTE, language.attribute(plain_key(text))
    first, dot, rest = text.partition(".")
    if not dot:
        return ATTRIBUTE, language.attribute(first)
    entity = _ENTITIES.get(plain_key(first) if first[:1] == "`" else first)
    if entity is None or entity not in language.entities:
        raise invalid(f"Invalid entity type {first!r}. Valid values are {sorted(language.entities)}")
    key = plain_key(rest)
    if entity == ATTRIBUTE:
        return entity, language.attribute(key)
    if entity == DATASET and key not in ("name", "digest", "context"):
        raise invalid(f"Invalid dataset key {key!r} specified. Valid keys are ['context', 'digest', 'name']")
    return entity, key


def _comparator(words: list[Token], at: int) -> tuple[str, int]:
    """The comparator at `at`, and where it ends."""
    if at < len(words) and words[at].kind == OPERATOR:
        return words[at].text, at + 1
    said: list[str] = []
    while at < len(words) and words[at].kind == WORD and len(said) < 3:
        said.append(words[at].text)
        at += 1
        if said in (["LIKE"], ["ILIKE"], ["IN"], ["NOT", "IN"], ["IS", "NULL"], ["IS", "NOT", "NULL"]):
            return " ".join(said), at
    raise invalid("Invalid comparison clause in filter string: expected a comparator, found " + (" ".join(said) or "none"))


def _check_comparator(entity: Entity, key: str, comparator: str, language: Language) -> None:
    if entity == METRIC or (entity == ATTRIBUTE and key in language.numbers):
        valid = _NUMERIC
    elif entity == ATTRIBUTE:
        valid = _TEXTUAL | _LISTS if key in language.lists else _TEXTUAL
        valid = frozenset({"=", "!="}) | _LISTS if key == "experiment_id" else valid
    elif entity == DATASET:
        valid = _TEXTUAL | _LISTS
    else:
        valid = _TEXTUAL | (_NULLS if language.has_nulls and (entity == TAG or language.has_null_params) else frozenset())
    if comparator not in valid:
        raise invalid(f"Invalid comparator {comparator!r} for {entity} {key!r}: not one of {sorted(valid)}")


def _value(entity: Entity, key: str, comparator: str, word: Token, language: Language) -> Value:
    if entity == METRIC or (entity == ATTRIBUTE and key in language.numbers):
        if word.kind != INTEGER and not (word.kind == DECIMAL and language.has_decimals):
            raise invalid(f"Expected numeric value type for {entity} {key!r}. Found {word.text}")
        if len(word.text) > 1000:
            raise invalid(f"The number that {entity} {key!r} is compared with has {len(word.text)} digits, more than are read")
        number = int(word.text) if word.kind == INTEGER and entity == ATTRIBUTE else float(word.text)
        if isinstance(number, int) and abs(number) >= 2**63:
            raise invalid(f"The number {number} that {entity} {key!r} is compared with has more than 64 bits")
        return number
    if comparator in _LISTS:
        if word.kind != LIST:
            raise invalid(f"Expected a list of quoted string values for {entity} {key!r}. Got {word.text}")
        texts = listed(word.text)
        if len(texts) > MOST_LISTED:
            raise invalid(f"The list of {entity} {key!r} holds {len(texts)} texts, at most {MOST_LISTED} are taken")
        return texts
    value = unquoted(word.text) if word.kind in (TEXT, NAME) else None
    if value is None:
        raise invalid(f"Expected a quoted string value for {entity} {key!r} (e.g. 'my-value'). Got value {word.text}")
    if comparator in ("LIKE", "ILIKE") and len(value) > MOST_PATTERN:
        raise invalid(f"The pattern of {entity} {key!r} has {len(value)} characters, at most {MOST_PATTERN} are taken")
    return value
