"""The sample configuration of a node is right, and says the defaults."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from runyard import configuration, settings

SAMPLE = Path(__file__).parents[3] / "configs" / "agent.toml"


def test_the_sample_loads_and_shows_the_defaults() -> None:
    sample = configuration.load(config_file=str(SAMPLE), environ={})
    defaults = configuration.load(environ={"HOME": "/nowhere", "XDG_CONFIG_HOME": "/nowhere"})
    assert (sample.spool, sample.run, sample.ship, sample.agent) == (
        defaults.spool,
        defaults.run,
        defaults.ship,
        defaults.agent,
    )
    assert sample.client == dataclasses.replace(defaults.client, collector_url="http://127.0.0.1:8750")


def test_the_sample_names_every_key_of_its_sections() -> None:
    text = SAMPLE.read_text()
    for section in (settings.Client, settings.Spool, settings.Run, settings.Ship, settings.Agent):
        for item in dataclasses.fields(section):
            # A token has no place in a file that everybody reads.
            assert f"{item.name} = " in text or item.name == "token"
