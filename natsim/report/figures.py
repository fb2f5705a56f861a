"""Statistics, all of them from SciPy and NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy
from scipy.stats import binomtest

CONFIDENCE = 0.95
CURVE_POINTS = 300


@dataclass(frozen=True)
class Rate:
    """A share with its interval, all from 0 to 1; None where there were no trials."""

    connected: int
    trials: int
    share: float | None
    low: float | None
    high: float | None


@cache
def rate(connected: int, trials: int) -> Rate:
    """The success rate with Wilson's score interval."""
    if not trials:
        return Rate(0, 0, None, None, None)
    test = binomtest(connected, trials)
    interval = test.proportion_ci(confidence_level=CONFIDENCE, method="wilson")
    return Rate(connected, trials, connected / trials, float(interval.low), float(interval.high))


@dataclass(frozen=True)
class Times:
    """Of `count` values in milliseconds; None where there are none."""

    count: int
    median: float | None
    p90: float | None


def times(values: Sequence[float]) -> Times:
    """Quantiles with linear interpolation between neighbours."""
    if not values:
        return Times(0, None, None)
    median, p90 = numpy.quantile(values, [0.5, 0.9])
    return Times(len(values), float(median), float(p90))


def curve(values: Sequence[float]) -> list[tuple[float, float]]:
    """The empirical distribution as (value, share of values up to it), ascending; of many values
    as many points as a screen can show."""
    if not values:
        return []
    if len(values) <= CURVE_POINTS:
        ordered, counts = numpy.unique(values, return_counts=True)
        shares = numpy.cumsum(counts) / len(values)
    else:
        shares = numpy.linspace(1 / CURVE_POINTS, 1, CURVE_POINTS)
        ordered = numpy.quantile(values, shares, method="inverted_cdf")
    return [(float(x), float(share)) for x, share in zip(ordered, shares)]
