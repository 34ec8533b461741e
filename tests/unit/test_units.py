"""Durations, sizes and counts, as people read them."""

from datetime import timedelta

import pytest

from sivera.units import counted, duration, size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (0.4, "0 s"),
        (48, "48 s"),
        (59.7, "1 min"),
        (184, "3 min 04 s"),
        (3_600, "1 h"),
        (9_000, "2 h 30 min"),
        (86_399.9, "1 d"),
        (198_000, "2 d 07 h"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == duration(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1_023, "1023 B"), (1_024, "1 kB"), (185 * 2**10, "185 kB"), (3 * 2**30, "3 GB"), (2**41, "2.0 TB")],
)
def test_a_size_has_a_suitable_unit(count: int, text: str) -> None:
    assert size(count) == text


def test_a_count_has_its_noun_in_the_right_number() -> None:
    assert [counted(number, "odd row") for number in (0, 1, 2)] == ["0 odd rows", "1 odd row", "2 odd rows"]
