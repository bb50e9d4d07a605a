"""Names for runs and models that were given none: two words and a number. Pure but for chance."""

from __future__ import annotations

import secrets

_HOW = (
    "amber", "brisk", "calm", "clever", "crisp", "daring", "eager", "fair", "gentle", "glad", "golden", "hardy", "keen", "kind",
    "lively", "lucid", "mellow", "merry", "mild", "nimble", "patient", "plain", "proud", "quick", "quiet", "rapid", "ready",
    "rustic", "sharp", "silent", "silver", "sleek", "smooth", "steady", "sunny", "swift", "tidy", "vivid", "warm", "wise",
)  # fmt: skip
_WHAT = (
    "alder", "badger", "beech", "birch", "brook", "cedar", "cliff", "crane", "creek", "dune", "elm", "falcon", "fern", "finch",
    "fjord", "glade", "grove", "harbor", "hare", "hawk", "heron", "larch", "lark", "lynx", "maple", "marsh", "meadow", "otter",
    "owl", "pine", "plover", "reef", "ridge", "robin", "sparrow", "spruce", "stork", "swan", "trout", "willow",
)  # fmt: skip


def made_up_name() -> str:
    """Such a name; two may be the same."""
    return f"{secrets.choice(_HOW)}-{secrets.choice(_WHAT)}-{secrets.randbelow(1000)}"
