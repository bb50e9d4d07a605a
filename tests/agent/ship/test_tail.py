"""The descriptors that a shipper keeps open stay few, whatever a request needs of them."""

from __future__ import annotations

from pathlib import Path

from runyard.agent.ship.tail import MAX_OPEN, Descriptors, Tail, source_of


def test_files_that_a_request_needs_do_not_keep_others_from_being_closed(tmp_path: Path) -> None:
    device = tmp_path.stat().st_dev
    descriptors = Descriptors(str(tmp_path), device)

    def opened(number: int) -> Tail:
        path = tmp_path / str(number)
        path.touch()
        tail = Tail(path.name, source_of(path.stat(), device), now_s=float(number))
        assert descriptors.open(tail)
        return tail

    needed = [opened(number) for number in range(descriptors.most_pinned)]  # the stillest of all
    descriptors.pinned.update(needed)
    others = [opened(number) for number in range(descriptors.most_pinned, 3 * MAX_OPEN)]
    try:
        assert all(tail.fd >= 0 for tail in needed)
        assert sum(tail.fd >= 0 for tail in others) <= MAX_OPEN - len(needed)
    finally:
        descriptors.close_all()
