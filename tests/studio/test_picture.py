"""The picture of Studio in the README: an experiment's runs with their charts, as the page shows them.

`make picture` sets RUNYARD_PICTURE, where the picture then goes; otherwise it lies with the other screenshots.
"""

from __future__ import annotations

import math
import os
import random
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.collector_process import running_collector
from tests.studio.browsing import Browsing, needs_browser, shoot
from tests.studio.conftest import BUILT
from tests.studio.table_scenes import losses, record, training

ROOT = Path(__file__).parents[2]
STEPS = 80
# What each run is called, its rate, and how it stands.
RUNS = (
    ("adam small", 0.02, "Completed"),
    ("sgd", 0.035, "Completed"),
    ("sgd momentum", 0.05, "Failed"),
    ("adam large", 0.08, "Running"),
)
LARGEST_BYTES = 150_000


def curve(rate: float, *, is_rising: bool) -> list[float]:
    """Values as a training has them; the same each time."""
    noise = random.Random(rate)
    falling = [math.exp(-rate * step) * 2 + 0.1 + noise.gauss(0, 0.02) for step in range(STEPS)]
    return [1 - value / 2.6 for value in falling] if is_rising else falling


@needs_browser
def test_the_picture_shows_an_experiment_and_is_small_enough_to_be_kept(browser: Browser, tmp_path: Path) -> None:
    with running_collector(tmp_path, environ=BUILT) as collector:
        for at, (name, rate, status) in enumerate(RUNS):
            values = tuple(curve(rate, is_rising=False))
            node = training(
                collector, name, ago_s=3600 * (len(RUNS) - at), experiment="digits", status=status, lr=str(rate), values=values
            )
            record(node, *losses(*curve(rate, is_rising=True), name="accuracy"))
        person = Browsing(browser, collector)
        with person.page("/experiments/digits", width=1200, height=760) as page:
            for name in ("loss", "accuracy"):
                chart = page.get_by_role("region", name=name, exact=True)
                expect(chart.get_by_role("slider")).to_be_visible()
            expect(page.get_by_role("row")).to_have_count(len(RUNS) + 1)
            picture = shoot(page, "readme")
    if os.environ.get("RUNYARD_PICTURE"):
        (ROOT / os.environ["RUNYARD_PICTURE"]).write_bytes(picture.read_bytes())
    assert picture.stat().st_size < LARGEST_BYTES


def test_the_readmes_picture_is_there() -> None:
    picture = ROOT / "docs/studio.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size < LARGEST_BYTES
