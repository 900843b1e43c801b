"""How lab 02 decides the claims of adapter tuning: from measured numbers to a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from peftlab.ledger import CLOSE, FAILS, HOLDS, Record, judge
from peftlab.verdicts.base import SPREAD, above, near, percent, together

__all__ = ["ablation", "above", "init_std", "latency", "near", "size", "start"]


def start(record: Record, changes: Mapping[tuple[int, float], float], seed: int) -> None:
    """Holds when adapters of deviation 1e-2 move the logits by at most a tenth of their spread.

    Args:
        record: of the lab.
        changes: relative change of the logits by size and deviation, see `ablation`.
        seed: of the adapters.
    """
    worst = {std: max(v for (_, s), v in changes.items() if s == std) for _, std in changes}
    holds = all(change <= 0.1 for std, change in worst.items() if std <= 1e-2)
    record.claim(
        "start",
        ours="largest change of the logits, relative to their spread: "
        + ", ".join(f"{change:.2g} at {std:g}" for std, change in worst.items()),
        verdict=HOLDS if holds else FAILS,
        seeds=[seed],
        why="" if holds else "at 1e-2 or below the logits move by more than a tenth",
        numbers={f"m={m}, std={std:g}": v for (m, std), v in changes.items()},
    )


def size(record: Record, points: Mapping[int, Sequence[float]], seeds: Sequence[int]) -> None:
    """Holds when no two sizes are clearly more than 2 points apart in their means.

    Args:
        record: of the lab.
        points: accuracies from 0 to 1 by size, one a seed.
        seeds: behind the accuracies.
    """
    if len(points) < 2:
        return record.unmeasured("size")
    order = sorted(points, key=lambda m: fmean(points[m]))
    worst, best = order[0], order[-1]
    verdict = judge(points[worst], points[best], margin=0.02)
    record.claim(
        "size",
        ours=percent(points, "m={}"),
        verdict=verdict,
        seeds=seeds,
        why={HOLDS: "", CLOSE: f"m={worst} within 2 points of m={best}? {SPREAD}"}.get(
            verdict, f"m={worst} stays more than 2 points behind m={best}"
        ),
        numbers={str(m): v for m, v in points.items()},
    )


def init_std(record: Record, points: Mapping[float, Sequence[float]], seeds: Sequence[int]) -> None:
    """Holds when every deviation up to 1e-2 is within 2 points of the best, and the largest is not.

    Args:
        record: of the lab.
        points: accuracies from 0 to 1 by deviation, one a seed.
        seeds: behind the accuracies.
    """
    safe = {std: v for std, v in points.items() if std <= 1e-2}
    if len(points) == len(safe) or not safe:
        return record.unmeasured("init_std")
    best = max(safe.values(), key=fmean)
    kept = [judge(v, best, margin=0.02) for v in safe.values()]
    broken = judge(best, points[max(points)], margin=-0.02)
    verdict = together(*kept, broken)
    record.claim(
        "init_std",
        ours=percent(points, "{:g}:"),
        verdict=verdict,
        seeds=seeds,
        why={HOLDS: "", CLOSE: f"2 points apart or not? {SPREAD}"}.get(
            verdict,
            "the largest deviation does no harm here"
            if broken == FAILS
            else "deviations up to 1e-2 differ by more than 2 points",
        ),
        numbers={f"{std:g}": v for std, v in points.items()},
    )


def ablation(
    record: Record,
    maps: Sequence[Sequence[Sequence[float | None]]],
    whole: Sequence[float],
    seeds: Sequence[int],
) -> None:
    """Holds when a lower layer costs less than an upper one, and all layers cost most.

    The cost of one layer is averaged over the lower and over the upper half of the layers.

    Args:
        record: of the lab.
        maps: accuracy without layers i to j, see `ablation.span_ablation`, one map a seed.
        whole: accuracy with all adapters, one a seed.
        seeds: behind the maps.
    """
    if not maps:
        return record.unmeasured("ablation")
    half = len(maps[0]) // 2
    pairs = list(zip(maps, whole, strict=True))
    single = [[full - spans[i][i] for i in range(len(spans))] for spans, full in pairs]
    low = [fmean(costs[:half]) for costs in single]
    high = [fmean(costs[-half:]) for costs in single]
    every = [full - spans[0][-1] for spans, full in pairs]
    verdict = together(judge(high, low), judge(every, [max(costs) for costs in single]))
    record.claim(
        "ablation",
        ours=f"points lost without one layer: {100 * fmean(low):.1f} in the lower half, "
        f"{100 * fmean(high):.1f} in the upper; without all: {100 * fmean(every):.1f}",
        verdict=verdict,
        seeds=seeds,
        why={HOLDS: "", CLOSE: SPREAD}.get(
            verdict, "here a low layer costs as much as a high one, or one as much as all"
        ),
        numbers={"lower": low, "upper": high, "all": every},
    )


def latency(record: Record, adapters: float, merged: float, seed: int) -> None:
    """Holds when adapters take at least 5 % more time than the backbone and merged LoRA less.

    Args:
        record: of the lab.
        adapters: forward time over the plain backbone's, with adapters.
        merged: the same, with LoRA merged.
        seed: of the run.
    """
    holds = adapters >= 1.05 and merged < 1.05
    record.claim(
        "latency",
        ours=f"forward time at batch 1 over the backbone's: adapters {adapters:.2f}, "
        f"merged LoRA {merged:.2f}",
        verdict=HOLDS if holds else CLOSE,
        seeds=[seed],
        why="" if holds else "the machine is too noisy for a difference of 5 %",
        numbers={"adapters": adapters, "merged": merged},
    )
