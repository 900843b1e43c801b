"""How lab 02 decides the claims of adapter tuning: from measured numbers to a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, median

from peftlab.ledger.effects import NATS, TIMES, difference, measured
from peftlab.ledger.record import Record
from peftlab.ledger.verdicts import AS_GOOD, Claim, better, compare, decide, percent
from peftlab.seeds import differences, paired

__all__ = [
    "CLAIMS",
    "better",
    "init_std",
    "latency",
    "layers",
    "one_layer",
    "size",
    "start",
]

SLOWER = 1.05  # times the backbone's time: adapters take more, merged LoRA takes less

Spans = Sequence[Sequence[Mapping[str, float] | None]]  # row i, column j: without layers i to j

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
    ),
    "init_std": Claim(
        "Initial standard deviations up to 1e-2 are safe, much larger ones are not",
        "stable from 1e-7 to 1e-2, worse above",
        "section 3.6, figure 6",
        margin=AS_GOOD,
    ),
    "one_layer": Claim(
        "Removing the adapters of any one layer costs at most 2 points",
        "at most 2 points on MNLI and CoLA",
        "section 3.6, figure 6",
        margin=AS_GOOD,
    ),
    "all_layers": Claim(
        "Removing all adapters costs more than removing those of any one layer",
        "down to the majority class (MNLI 37 %, CoLA 69 %)",
        "section 3.6, figure 6",
    ),
    "depth": Claim(
        "Removing a low layer's adapters costs less than removing a high one's",
        "layers 0 to 4 hardly matter on MNLI",
        "section 3.6, figure 6",
    ),
    "latency": Claim(
        "Adapters add latency at batch 1, where merged LoRA adds none",
        "GPT-2 medium, batch 1, length 128: 20.7 % and 30.3 % more time",
        "table 1 of LoRA, arXiv 2106.09685",
    ),
}


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


def size(record: Record, points: Mapping[int, Sequence[float]], seeds: Sequence[int]) -> None:
    """Holds when no size is more than 2 points below the largest.

    Args:
        record: of the lab.
        points: accuracies from 0 to 1 by size, one for each seed.
        seeds: behind the accuracies.
    """
    if len(points) < 2:
        return record.unmeasured("size")
    largest = max(points)
    compare(
        record,
        "size",
        [
            difference(f"m={m}", a, f"m={largest}", b, AS_GOOD)
            for m in sorted(points)[:-1]
            for a, b in [paired(points[m], points[largest])]
        ],
        seeds,
        shown=percent(points, "m={}"),
        numbers={str(m): v for m, v in points.items()},
    )


def init_std(record: Record, points: Mapping[float, Sequence[float]], seeds: Sequence[int]) -> None:
    """Holds when no deviation below 1e-2 is 2 points behind it, and the largest one is.

    Args:
        record: of the lab.
        points: accuracies from 0 to 1 by deviation, one for each seed; 1e-2 is one of them.
        seeds: behind the accuracies.
    """
    large = max(points, default=0.0)
    if 1e-2 not in points or large <= 1e-2:
        return record.unmeasured("init_std")
    effects = [
        difference(f"std {std:g}", a, "std 0.01", b, AS_GOOD)
        for std, own in points.items()
        if std < 1e-2
        for a, b in [paired(own, points[1e-2])]
    ]
    safe, harmed = paired(points[1e-2], points[large])
    # the large one has to be worse by the margin
    effects.append(difference("std 0.01", safe, f"std {large:g}", harmed, -AS_GOOD))
    compare(
        record,
        "init_std",
        effects,
        seeds,
        shown=percent(points, "{:g}:"),
        numbers={f"{std:g}": v for std, v in points.items()},
    )


def one_layer(
    record: Record,
    singles: Sequence[Sequence[float]],
    wholes: Sequence[float],
    seeds: Sequence[int],
) -> None:
    """Holds when no layer's adapters are worth more than 2 points of accuracy by themselves.

    Args:
        record: of the lab.
        singles: accuracies from 0 to 1 without each layer's adapters, by layer; for each seed.
        wholes: the accuracy with all adapters, for each seed.
        seeds: behind them.
    """
    if not singles:
        return record.unmeasured("one_layer")
    points = changes(singles, wholes)
    return compare(
        record,
        "one_layer",
        [measured(f"without layer {i + 1}", own, AS_GOOD) for i, own in enumerate(points)],
        seeds,
        numbers={str(i + 1): own for i, own in enumerate(points)},
    )


def changes(singles: Sequence[Sequence[float]], wholes: Sequence[float]) -> list[list[float]]:
    """Subtract the accuracy with all adapters from those without each layer's.

    Args:
        singles: accuracies from 0 to 1 by layer, for each seed.
        wholes: the accuracy with all adapters, for each seed.

    Returns:
        Points by layer, one for each seed.
    """
    return [
        [100 * (alone - whole) for alone, whole in zip(own, wholes, strict=True)]
        for own in zip(*singles, strict=True)
    ]


def layers(
    record: Record,
    maps: Sequence[Spans],
    whole: Sequence[Mapping[str, float]],
    seeds: Sequence[int],
) -> None:
    """Decide two claims on the loss without the adapters of some layers.

    No ceiling hides it: all layers against the dearest one, and the upper half of the layers
    against the lower half, averaged over the layers of a half.

    Args:
        record: of the lab.
        maps: "loss" without layers i to j, see `insight.span_ablation`; one map for each seed.
        whole: the same with all adapters.
        seeds: behind the maps.
    """
    if not maps:
        return record.unmeasured("all_layers", "depth")
    depth, half = len(maps[0]), len(maps[0]) // 2
    pairs = list(zip(maps, whole, strict=True))
    more = [[spans[i][i]["loss"] - full["loss"] for i in range(depth)] for spans, full in pairs]
    every = [spans[0][-1]["loss"] - full["loss"] for spans, full in pairs]
    compare(
        record,
        "all_layers",
        [
            measured(
                "without all minus without the dearest one",
                differences(every, [max(own) for own in more]),
                unit=NATS,
            )
        ],
        seeds,
        shown=f"loss grows by {fmean(every):.2f} without all, by "
        f"{fmean(max(own) for own in more):.2f} without the dearest",
        numbers={"all": every, "one": more},
    )
    low, high = [fmean(own[:half]) for own in more], [fmean(own[-half:]) for own in more]
    return compare(
        record,
        "depth",
        [
            measured(
                "upper half minus lower half",
                differences(high, low),
                unit=NATS,
            )
        ],
        seeds,
        shown=f"without one layer the loss grows by {fmean(low):.3f} in the lower half, by "
        f"{fmean(high):.3f} in the upper",
        numbers={"lower": low, "upper": high},
    )


def latency(record: Record, adapters: Sequence[float], merged: Sequence[float], seed: int) -> None:
    """Holds when adapters take at least 5 % more time than the backbone, and merged LoRA less.

    Args:
        record: of the lab.
        adapters: forward time over the plain backbone's, one for each timing.
        merged: the same, with LoRA merged.
        seed: of the run.
    """
    faster = [1 / ratio for ratio in merged]
    compare(
        record,
        "latency",
        [
            measured(
                "adapters' time over the backbone's", adapters, -SLOWER, TIMES, over="timings"
            ),
            measured("backbone's over merged LoRA's", faster, -1 / SLOWER, TIMES, over="timings"),
        ],
        [seed],
        shown=f"medians of {len(adapters)} timings at batch 1: adapters {median(adapters):.2f}, "
        f"merged LoRA {median(merged):.2f} times the backbone's",
        numbers={"adapters": list(adapters), "merged": list(merged)},
    )
