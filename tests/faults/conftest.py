"""What a campaign has to say stands at the end of pytest's output, however the test went."""

from __future__ import annotations

from collections.abc import Callable

import pytest

SAID = pytest.StashKey[list[str]]()


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Takes a text for the section of the report."""
    said: list[str] = request.config.stash.setdefault(SAID, [])
    return said.append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The section, where there is anything to say."""
    if config.stash.get(SAID, []):
        terminalreporter.section("fault campaign")
        for text in config.stash[SAID]:
            terminalreporter.line(text)
