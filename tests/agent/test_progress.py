"""What trainings print tells how far they have come, and no bytes that they print do any harm."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runyard.agent.pace import Pace
from runyard.agent.progress import EPOCHS, PATTERNS, TAIL_BYTES, Pattern, Reading, parse

LINES = {
    "Epoch 3:  45%|████▌     | 450/1000 [00:45<00:55, 10.0it/s, loss=0.31]": Reading(450, 1000, 3.0, 10.0, 55.0),
    " 45%|####5     | 450/1000 [1:00:45<2:00:55,  2.50s/it]": Reading(450, 1000, None, 0.4, 7255.0),
    "train:   0%|          | 0/1000 [00:00<?, ?it/s]": Reading(0, 1000),
    "  1%|          | 1.50k/1.20M [00:45<10:55, 12.5kB/s]": Reading(1500, 1200000, None, 12500.0, 655.0),
    "450it [00:45, 10.0it/s]": Reading(450, None, None, 10.0),
    "0it [00:00, ?it/s]": Reading(0),
    "450/1000 [========>.....................] - ETA: 12s - loss: 0.31": Reading(450, 1000, None, None, 12.0),
    "450/1000 [========>.....................] - ETA: 1:02 - loss: 0.31": Reading(450, 1000, None, None, 62.0),
    "\x1b[1m450/1000\x1b[0m \x1b[32m━━━━━━━━\x1b[0m 12s 20ms/step - loss: 0.31": Reading(450, 1000, None, 50.0, 12.0),
    "Epoch 3/9 ━━━━━━━━╸━━━━━━ 450/1000 0:00:45 • 0:00:55 10.02it/s": Reading(450, 1000, 3.0, 10.02, 55.0),
    "Training ━━━━━━━━╸━━━━━━  45% 0:00:55": Reading(45, 100, None, None, 55.0),
    "step 120/1000": Reading(120, 1000),
    "Step 120": Reading(120),
    "iter 1200: loss 2.1, time 12ms": Reading(1200),
    "global_step=1200 loss=2": Reading(1200),
    " iteration       10/  500000 | consumed samples: 80": Reading(10, 500000),
    "Iteration: 5 of 10": Reading(5, 10),
    "[120/1000]": Reading(120, 1000),
    "Epoch: [3][ 120/1000]\tTime 0.1": Reading(120, 1000, 3.0),
    "Train Epoch: 3 [12800/60000 (21%)]\tLoss: 0.3": Reading(12800, 60000, 3.0),
    "epoch 3 loss 0.2 step 120 of 1000": Reading(120, 1000, 3.0),
    "{'loss': 0.31, 'learning_rate': 1e-05, 'epoch': 1.2}": Reading(1, None, 1.2),
    '{"step": 12, "epoch": 2}': Reading(12, None, 2.0),
    "Epoch 3/10": Reading(3, 10, 3.0),
    "Epoch 3:  45%|████▌     |": Reading(45, 100, 3.0),
}
NOT_PROGRESS = (
    "",
    "loading data",
    "listening on 10.0.0.1:8080",
    "timestep",
    "batch size 32.5",
    "footsteps 12",
    "%|",
    "a/b [c<d]",
)


@pytest.mark.parametrize("line", LINES)
def test_a_line_tells_its_step_total_rate_and_eta(line: str) -> None:
    assert parse(b"something else\n" + line.encode() + b"\n") == LINES[line]


@pytest.mark.parametrize("pattern", [*PATTERNS, *EPOCHS], ids=lambda pattern: pattern.name)
def test_every_pattern_of_the_table_is_the_first_that_fits_its_example(pattern: Pattern) -> None:
    table = PATTERNS if pattern in PATTERNS else EPOCHS
    assert next(one for one in table if one.form.search(pattern.example)) is pattern


@pytest.mark.parametrize("line", NOT_PROGRESS)
def test_other_lines_tell_nothing(line: str) -> None:
    assert parse(line.encode()) is None


def test_the_newest_state_of_a_bar_counts_and_a_line_without_a_step_takes_none_away() -> None:
    bar = b"\r 10%|#  | 1/10 [00:01<00:09, 1.0it/s]\r 20%|## | 2/10 [00:02<00:08, 1.0it/s]\x1b[A"
    assert parse(bar) == Reading(2, 10, None, 1.0, 8.0)
    assert parse(bar + b"\n{'loss': 0.3, 'epoch': 1.5}\nsaving\n") == Reading(2, 10, 1.5, 1.0, 8.0)


def test_half_a_number_is_not_believed() -> None:
    assert parse(b"step 119\nstep 12") == Reading(119)
    assert parse(b"step 119\nstep 120\n") == Reading(120)
    assert parse(b"00/1000 [00:45<00:55, 10.0it/s]\nx", is_cut=True) is None


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=2000), st.sampled_from([b"", b"\r", b"\n", b"\x1b[", b"[", b"/", b"9" * 40, b"step ", b"epoch: "]))
def test_any_bytes_are_taken(data: bytes, seam: bytes) -> None:
    told = parse(seam.join([data, seam, data, b"1" + seam + data]))
    if told is not None:
        assert told.step is None or 0 <= told.step < 2**63
        assert told.rate_per_s is None or 0 <= told.rate_per_s < float("inf")


@given(
    st.sampled_from(
        [b"9", b"1/", b"[", b"[ ", b"1/1 [", b"\xe2\x94\x81", b"step ", b"1 ", b"epoch ", b"\x1b]", b"0:00", b"1k/"]
    )
)
@settings(max_examples=12, deadline=2000)
def test_what_nearly_fits_again_and_again_costs_no_time(piece: bytes) -> None:
    parse(piece * (TAIL_BYTES // len(piece)))
    parse((piece * 300 + b"\n") * 300)


def test_rate_and_eta_come_from_own_timing_where_the_text_has_none() -> None:
    pace = Pace()
    for second in range(5):
        pace.see(Reading(step=second * 20, total=1000), float(second))
    assert pace.rate_per_s == pytest.approx(20.0)
    assert pace.eta_s == pytest.approx((1000 - 80) / 20)
    pace.see(Reading(step=100, total=1000, rate_per_s=50.0, eta_s=18.0), 5.0)
    assert (pace.rate_per_s, pace.eta_s) == (50.0, 18.0)


def test_steps_that_begin_again_with_each_epoch_go_on_counting() -> None:
    pace = Pace()
    for second, step in enumerate([800, 900, 990, 20, 120]):
        pace.see(Reading(step=step, total=1000), float(second))
    assert pace.done == 1120
    assert pace.rate_per_s == pytest.approx(320 / 4)
    for step, total in ((10, 50), (50, 50), (220, 1000), (320, 1000)):
        pace.see(Reading(step=step, total=total), 10.0 + step)
    assert pace.done == 1320, "a bar of something else in between changes nothing"
