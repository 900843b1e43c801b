"""The size of an effect: a difference of two settings with its interval, and what follows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from peftlab.seeds import (
    CLOSE,
    FAILS,
    HOLDS,
    NO_ROOM,
    Interval,
    differences,
    interval,
    judge,
    seeds_needed,
)

POINTS, STEPS, TIMES, BLEU, NATS = "points", "steps", "times", "BLEU points", "nats"
ROOM = 1.0  # points below 100: with two settings nearer to it, nothing can differ


@dataclass(frozen=True)
class Effect:
    """How far one setting is above another, over several seeds.

    Args:
        what: which two settings, such as "LoRA minus full".
        interval: of the difference, in `unit`.
        margin: in `unit`; the claim allows the first to be so far below the second.
        unit: POINTS of accuracy (a hundredth), STEPS, TIMES (a ratio), points of
            BLEU, or NATS of a loss.
        room: whether the two could have differed at all.
        needed: a guess at the number of seeds that would decide, or None.
        over: what the values are counted in, where it is not seeds.
    """

    what: str
    interval: Interval
    margin: float = 0.0
    unit: str = POINTS
    room: bool = True
    needed: int | None = None
    over: str = "seeds"

    @property
    def verdict(self) -> str:
        """HOLDS, FAILS or CLOSE by the interval alone; NO_ROOM at the ceiling."""
        return judge(self.interval, self.margin) if self.room else NO_ROOM

    @property
    def ends(self) -> str:
        """The interval in words."""
        found = self.interval
        if math.isinf(found.low):
            return "one seed, no interval"
        form = "{:+.1f} to {:+.1f}" if self.unit in (POINTS, BLEU) else "{:.3g} to {:.3g}"
        return form.format(found.low, found.high)

    def __str__(self) -> str:
        mean = self.interval.mean
        shown = f"{round(mean, 1) + 0:+.1f}" if self.unit in (POINTS, BLEU) else f"{mean:.3g}"
        return f"{self.what} {shown} {self.unit} ({self.ends})"

    def why(self) -> str:
        """Say why this effect does not decide for the claim; empty where it does."""
        border = f"-{self.margin:g}" if self.margin > 0 else f"{-self.margin + 0:g}"
        if self.verdict == NO_ROOM:
            return f"{self.what}: both are within {ROOM:g} point of 100 %, nothing can differ here"
        if self.verdict == CLOSE:
            more = f"; about {self.needed} {self.over} would decide" if self.needed else ""
            return f"{self.what}: the interval, {self.ends} {self.unit}, holds {border}{more}"
        return f"{self.what}: below {border} {self.unit}" if self.verdict == FAILS else ""

    def to_json(self) -> dict[str, Any]:
        """Write the effect as plain values; the ends of a single seed's interval are None."""
        found = self.interval
        low, high = (None if math.isinf(v) else v for v in (found.low, found.high))
        return {
            "what": self.what,
            "unit": self.unit,
            "mean": found.mean,
            "low": low,
            "high": high,
            "seeds": found.count,
            "margin": self.margin,
            "verdict": self.verdict,
        }


def difference(
    name: str,
    higher: Sequence[float],
    other: str,
    lower: Sequence[float],
    margin: float = 0.0,
    over: str = "seeds",
) -> Effect:
    """Compare the accuracies of two settings, paired by seed.

    Args:
        name: of the first setting.
        higher: its accuracies from 0 to 1, one for each seed.
        other: name of the second setting.
        lower: its accuracies, of the same seeds in the same order.
        margin: in points, see `Effect`.
        over: see `Effect`.

    Returns:
        The effect in points.

    Raises:
        ValueError: not as many seeds here as there.
    """
    points = [100 * d for d in differences(higher, lower)]
    ceiling = all(100 * (1 - fmean(values)) < ROOM for values in (higher, lower))
    return measured(f"{name} minus {other}", points, margin, room=not ceiling, over=over)


def measured(
    what: str,
    values: Sequence[float],
    margin: float = 0.0,
    unit: str = POINTS,
    room: bool = True,
    over: str = "seeds",
) -> Effect:
    """Make an effect of one value for each seed.

    Args:
        what: is measured.
        values: in `unit`, one for each seed, at least one.
        margin: see `Effect`.
        unit: see `Effect`.
        room: see `Effect`.
        over: see `Effect`.

    Returns:
        The effect.
    """
    needed = seeds_needed(values, margin) if len(values) > 1 else None
    return Effect(what, interval(values), margin, unit, room, needed, over)


def together(effects: Sequence[Effect]) -> str:
    """Give one verdict on a claim that says several things.

    Args:
        effects: one for each thing that the claim says, at least one.

    Returns:
        FAILS if one of them fails, else NO_ROOM or CLOSE if one of them is so, else HOLDS.
    """
    verdicts = [effect.verdict for effect in effects]
    return next((v for v in (FAILS, NO_ROOM, CLOSE) if v in verdicts), HOLDS)
