"""How lab 02 decides the claims of adapter tuning: from measured numbers to a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from peftlab.ledger.effects import difference, measured
from peftlab.ledger.record import Record
from peftlab.ledger.verdicts import AS_GOOD, Claim, above, compare, decide, percent
from peftlab.seeds import CLOSE, differences

CLAIMS = {
    "start": Claim(
        "Near-identity weights start training near the pretrained model",
        "a standard deviation of 1e-2 cut at two of them is near enough to the identity",
        "section 3.6",
    ),
    "quality": Claim(
        "Adapters come close to full fine-tuning with a few percent of its parameters",
        "BERT large, GLUE test: 80.0 against 80.4, with 3.6 % of the parameters a task",
        "table 1",
        margin=AS_GOOD,
        printed=(-0.4,),
    ),
    "norms": Claim(
        "Training the LayerNorms alone is not enough",
        "BERT base: 3.5 to 4 points worse than adapters",
        "section 3.4",
        printed=(3.5,),
    ),
    "top_layers": Claim(
        "Adapters beat training the top layers at an equal number of parameters",
        "MNLI: top layer (9M) 77.8, adapters of size 64 (2M) 83.7, everything 84.4",
        "section 3.4, figure 4",
        printed=(5.9,),
    ),
    "size": Claim(
        "The size of the bottleneck hardly matters",
        "mean validation accuracy with sizes 8, 64, 256: 86.2, 85.8, 85.7",
        "section 3.6",
        margin=AS_GOOD,
        printed=(-0.5,),
    ),
    "init_std": Claim(
        "Initial standard deviations up to 1e-2 are safe, much larger ones are not",
        "stable from 1e-7 to 1e-2, worse above",
        "section 3.6, figure 6",
        margin=AS_GOOD,
    ),
    "ablation": Claim(
        "Removing adapters of a low layer costs little, removing all more than any one layer",
        "one layer: at most 2 points; all: the majority class (MNLI 37 %)",
        "section 3.6, figure 6",
    ),
    "latency": Claim(
        "Adapters add latency at batch 1, where merged LoRA adds none",
        "GPT-2 medium, batch 1, length 128: 20.7 % and 30.3 % more time",
        "table 1 of LoRA, arXiv 2106.09685",
    ),
}


__all__ = ["CLAIMS", "ablation", "above", "init_std", "latency", "quality", "size", "start"]


def start(record: Record, changes: Mapping[tuple[int, float], float], seed: int) -> None:
    """Holds when adapters of deviation 1e-2 move the logits by at most a tenth of their spread.

    Args:
        record: of the lab.
        changes: relative change of the logits by size and deviation, see `insight.initial_change`.
        seed: of the adapters.
    """
    worst = {std: max(v for (_, s), v in changes.items() if s == std) for _, std in changes}
    holds = all(change <= 0.1 for std, change in worst.items() if std <= 1e-2)
    decide(
        record,
        "start",
        holds,
        ours="largest change of the logits, relative to their spread: "
        + ", ".join(f"{change:.2g} at {std:g}" for std, change in worst.items()),
        seeds=[seed],
        fails="at 1e-2 or below the logits move by more than a tenth",
        numbers={f"m={m}, std={std:g}": v for (m, std), v in changes.items()},
    )


def quality(record: Record, scores: Mapping[str, Sequence[float]], seeds: Sequence[int]) -> None:
    """Holds when adapters are at most 2 points below full fine-tuning.

    Args:
        record: of the lab.
        scores: accuracies from 0 to 1, one for each seed, for "adapters" and "full", and for the
            controls "norms", "head" and "random", which decide nothing.
        seeds: behind the accuracies.
    """
    ours, full = (("adapters", scores["adapters"]), ("full", scores["full"]))
    beside = {name: scores[name] for name in ("norms", "head", "random")}
    above(record, "quality", ours, full, seeds, beside)


def size(record: Record, points: Mapping[int, Sequence[float]], seeds: Sequence[int]) -> None:
    """Holds when the worst size is at most 2 points below the best, by their means.

    Args:
        record: of the lab.
        points: accuracies from 0 to 1 by size, one for each seed.
        seeds: behind the accuracies.
    """
    if len(points) < 2:
        return record.unmeasured("size")
    order = sorted(points, key=lambda m: fmean(points[m]))
    worst, best = order[0], order[-1]
    effect = difference(f"m={worst}", points[worst], f"m={best}", points[best], AS_GOOD)
    compare(
        record,
        "size",
        [effect],
        seeds,
        shown=percent(points, "m={}"),
        fails=f"m={worst} stays more than 2 points behind m={best}",
        numbers={str(m): v for m, v in points.items()},
    )


def init_std(record: Record, points: Mapping[float, Sequence[float]], seeds: Sequence[int]) -> None:
    """Holds when every deviation up to 1e-2 is within 2 points of the best, and the largest is not.

    Args:
        record: of the lab.
        points: accuracies from 0 to 1 by deviation, one for each seed.
        seeds: behind the accuracies.
    """
    safe = {std: v for std, v in points.items() if std <= 1e-2}
    if len(points) == len(safe) or not safe:
        return record.unmeasured("init_std")
    order = sorted(safe, key=lambda std: fmean(safe[std]))
    worst, best, large = order[0], order[-1], max(points)
    effects = [
        difference(f"std {worst:g}", safe[worst], f"std {best:g}", safe[best], AS_GOOD),
        # the large one has to be worse by the margin
        difference(f"std {best:g}", safe[best], f"std {large:g}", points[large], -AS_GOOD),
    ]
    compare(
        record,
        "init_std",
        effects,
        seeds,
        shown=percent(points, "{:g}:"),
        numbers={f"{std:g}": v for std, v in points.items()},
    )


def ablation(
    record: Record,
    maps: Sequence[Sequence[Sequence[float | None]]],
    whole: Sequence[float],
    seeds: Sequence[int],
) -> None:
    """Holds when a lower layer costs less than an upper one, and all layers cost most.

    The cost is the accuracy that is lost without the adapters. That of one layer is averaged over
    the lower half of the layers, and over the upper half.

    Args:
        record: of the lab.
        maps: accuracy without layers i to j, see `insight.span_ablation`, one map for each seed.
        whole: accuracy with all adapters, one for each seed.
        seeds: behind the maps.
    """
    if not maps:
        return record.unmeasured("ablation")
    half = len(maps[0]) // 2
    pairs = list(zip(maps, whole, strict=True))
    single = [[100 * (full - spans[i][i]) for i in range(len(spans))] for spans, full in pairs]
    low = [fmean(costs[:half]) for costs in single]
    high = [fmean(costs[-half:]) for costs in single]
    every = [100 * (full - spans[0][-1]) for spans, full in pairs]
    most = [max(costs) for costs in single]
    effects = [
        measured("lost without an upper layer minus without a lower one", differences(high, low)),
        measured("lost without all layers minus without the dearest", differences(every, most)),
    ]
    compare(
        record,
        "ablation",
        effects,
        seeds,
        shown=f"points lost without one layer: {fmean(low):.1f} in the lower half, "
        f"{fmean(high):.1f} in the upper; without all: {fmean(every):.1f}",
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
    decide(
        record,
        "latency",
        True if holds else CLOSE,
        ours=f"forward time at batch 1 over the backbone's: adapters {adapters:.2f}, "
        f"merged LoRA {merged:.2f}",
        seeds=[seed],
        close="the machine is too noisy for a difference of 5 %",
        fails="",
        numbers={"adapters": adapters, "merged": merged},
    )
