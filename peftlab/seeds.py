"""What several seeds say together: mean and spread, and which of two settings is better."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

HOLDS, FAILS, CLOSE, UNMEASURED = (
    "holds",
    "does not hold",
    "too close to call",
    "not measured",
)


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """The mean of the values, and how far they spread.

    Args:
        values: one for each seed, at least one.

    Returns:
        The mean, and the sample standard deviation, which is 0 for a single value.
    """
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def judge(higher: Sequence[float], lower: Sequence[float], margin: float = 0.0) -> str:
    """Whether the first values are higher than the second, beyond the noise of the seeds.

    Args:
        higher: one value a seed of what should be higher; at least one.
        lower: one value a seed of what should be lower, or a constant in a list.
        margin: how far the first may fall below the second and still be called as good.

    Returns:
        HOLDS or FAILS when the difference of the means, plus `margin`, is further from zero than
        twice its standard error; else CLOSE. A single value adds nothing to that error.
    """
    difference = statistics.fmean(higher) - statistics.fmean(lower) + margin
    error = sum(statistics.variance(v) / len(v) for v in (higher, lower) if len(v) > 1) ** 0.5
    if abs(difference) <= 2 * error:
        return CLOSE
    return HOLDS if difference > 0 else FAILS
