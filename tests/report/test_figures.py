"""Statistics against published and hand-made answers."""

import pytest

from report import figures, tables


@pytest.mark.parametrize(
    "connected, trials, low, high",
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3 (Wilson's score).
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        # All of them: the mirror of none.
        (20, 20, 0.8389, 1.0000),
    ],
)
def test_wilson_intervals_are_the_published_ones(connected, trials, low, high):
    rate = figures.rate(connected, trials)
    assert rate.share == connected / trials
    assert rate.low == pytest.approx(low, abs=5e-5)
    assert rate.high == pytest.approx(high, abs=5e-5)


def test_a_rate_of_nothing_is_unknown():
    assert figures.rate(0, 0) == figures.Rate(0, 0, None, None, None)


@pytest.mark.parametrize(
    "values, median, p90",
    [
        ([7], 7, 7),
        ([10, 20], 15, 19),
        ([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], 6, 10),
        ([5, 1, 4, 2, 3], 3, 4.6),
    ],
)
def test_median_and_p90(values, median, p90):
    times = figures.times(values)
    assert times.count == len(values)
    assert times.median == pytest.approx(median)
    assert times.p90 == pytest.approx(p90)


def test_times_of_nothing_are_unknown():
    assert figures.times([]) == figures.Times(0, None, None)


def test_a_curve_rises_to_one():
    assert figures.curve([30, 10, 10, 20]) == [(10, 0.5), (20, 0.75), (30, 1.0)]
    assert figures.curve([]) == []


def test_a_curve_of_many_values_stays_small_and_right():
    points = figures.curve([float(i) for i in range(1, 100_001)])
    assert len(points) == figures.CURVE_POINTS
    assert points[-1] == (100_000, 1.0)
    for value, share in points:
        assert value == pytest.approx(share * 100_000, abs=1.01)


@pytest.mark.parametrize(
    "share, text",
    [(1.0, "100%"), (0.9999, "99.9%"), (0.995, "99.5%"), (0.5, "50%"), (0.0002, "0.1%"),
     (0.0, "0%"), (None, "-")],
)
def test_percentages_do_not_hide_the_last_one(share, text):
    assert tables.percent(share) == text
