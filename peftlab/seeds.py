"""What several seeds say together: a mean, its interval, and what follows from it.

found = interval(differences(lora, full))    seed by seed: mean, low, high
judge(found, margin=2.0)                     "holds": all of the interval lies above -2
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import stdtrit

HOLDS, FAILS, CLOSE, NO_ROOM, UNMEASURED = (
    "holds",
    "does not hold",
    "too close to call",
    "no room to differ",
    "not measured",
)
LEVEL = 0.95
MOST_SEEDS = 1000  # nobody runs more


@dataclass(frozen=True)
class Interval:
    """A mean over seeds, and between which values it lies.

    Args:
        mean: of the values.
        low: lower end of the interval.
        high: upper end of the interval.
        count: how many values there were.
    """

    mean: float
    low: float
    high: float
    count: int


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """The mean of the values, and how far they spread.

    Args:
        values: one for each seed, at least one.

    Returns:
        The mean, and the sample standard deviation, which is 0 for a single value.
    """
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def interval(values: Sequence[float]) -> Interval:
    """The 95 % interval of a mean, by Student's t.

    mean ± t * s / sqrt(n), with t the 97.5 % point of Student's distribution with n - 1 degrees of
    freedom (Student, 1908) and s the sample standard deviation.

    Args:
        values: one for each seed, at least one.

    Returns:
        The interval; that of a single value has no ends: it goes from -inf to inf.
    """
    mean, spread = mean_and_spread(values)
    n = len(values)
    half = _point(n) * spread / math.sqrt(n) if n > 1 else math.inf
    return Interval(mean, mean - half, mean + half, n)


def paired(first: Sequence[float], second: Sequence[float]) -> tuple[Sequence[float], ...]:
    """Cut two settings to the seeds that both have; seeds come in one order.

    Args:
        first: scores, one for each seed.
        second: the same of another setting.

    Returns:
        Both, equally long.
    """
    both = min(len(first), len(second))
    return first[:both], second[:both]


def differences(higher: Sequence[float], lower: Sequence[float]) -> list[float]:
    """Subtract seed by seed.

    Two runs of one seed share the random head and the order of the batches. So their difference is
    steadier than the two values are.

    Args:
        higher: one value for each seed.
        lower: the same seeds in the same order.

    Returns:
        The differences.

    Raises:
        ValueError: not as many values here as there.
    """
    if len(higher) != len(lower):
        raise ValueError(
            f"cannot pair {len(higher)} values with {len(lower)}; give both for the same seeds"
        )
    return [a - b for a, b in zip(higher, lower, strict=True)]


def judge(found: Interval, margin: float = 0.0) -> str:
    """Say whether a difference is above zero, or above a margin below zero.

    Args:
        found: the interval of the difference.
        margin: how far the first may fall below the second and still be called as good. A negative
            margin is what the first has to be ahead by.

    Returns:
        HOLDS when the whole interval lies above -margin, FAILS when it lies below, else CLOSE.
    """
    if found.low > -margin:
        return HOLDS
    return FAILS if found.high < -margin else CLOSE


def seeds_needed(values: Sequence[float], margin: float = 0.0) -> int | None:
    """Guess how many seeds would decide, if mean and spread stayed as they are.

    Args:
        values: differences, at least two, one for each seed.
        margin: as in `judge`.

    Returns:
        The smallest number of seeds whose interval does not hold -margin; None if even 1,000 would
        not do.
    """
    mean, spread = mean_and_spread(values)
    distance = abs(mean + margin)
    decided = (n for n in range(2, MOST_SEEDS + 1) if _point(n) * spread < distance * n**0.5)
    return next(decided, None)


def _point(n: int) -> float:
    return float(stdtrit(n - 1, (1 + LEVEL) / 2))  # Student's distribution, inverted
