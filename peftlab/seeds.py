"""What the runs of several seeds say together."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """The mean of the values, and how far they spread.

    Args:
        values: one for each seed, at least one.

    Returns:
        The mean, and the sample standard deviation, which is 0 for a single value.
    """
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0
