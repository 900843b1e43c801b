"""How lab 01 decides the claims of LoRA: from measured numbers to a verdict in the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any

from peftlab.ledger.effects import TIMES, difference, measured
from peftlab.ledger.record import Record
from peftlab.ledger.verdicts import AS_FAST, AS_GOOD, Claim, compare, decide, percent
from peftlab.seeds import CLOSE, paired

EMPHASIS = 4  # directions by which the claim on amplification is decided, as in the paper's table

CLAIMS = {
    "identity": Claim(
        "Training starts exactly at the pretrained model",
        "B = 0, so that the update B A is zero at the start",
        "section 4.1",
    ),
    "quality": Claim(
        "LoRA is on par with full fine-tuning",
        "RoBERTa base, GLUE average: 87.2 against 86.4; GPT-3, MNLI: 91.7 against 89.5",
        "tables 2 and 4",
        margin=AS_GOOD,
        printed=(0.8,),
    ),
    "latency": Claim(
        "Merged, LoRA adds no latency at inference",
        "no added latency, where adapters add 20.7 to 30.3 % at batch 1",
        "section 4.1 and table 1",
    ),
    "budget": Claim(
        "For one budget, adapting q and v at a small rank beats one matrix at a larger rank",
        "WikiSQL at 18M: W_q r=8 70.4, W_v r=8 73.0, W_q and W_v r=4 73.7",
        "table 5",
        printed=(3.3, 0.7, 0.7),
    ),
    "rank": Claim(
        "A very small rank suffices",
        "WikiSQL, W_q and W_v: r=1 73.4, r=4 73.7, r=8 73.8, r=64 73.5",
        "table 6",
        margin=AS_GOOD,
        printed=(-0.1, 0.2, 0.3) * 2,
    ),
    "subspace_ranks": Claim(
        "The top directions of a small and a large rank overlap far more than random ones",
        "similarity of the top direction of r=8 and r=64 above 0.5",
        "section 7.2, figure 3",
    ),
    "subspace_seeds": Claim(
        "Two seeds learn overlapping top directions, random matrices do not",
        "visible overlap for two seeds at r=64, none for random",
        "section 7.2, figure 4",
    ),
    "amplification": Claim(
        "The update amplifies directions that the weight does not emphasise",
        "r=4: |U'WV| 0.32 against |dW| 6.91, factor 21.5; random directions of W: 0.02",
        "section 7.3, table 7",
        printed=(16.0, 21.5, 16.0, 21.5),
    ),
}


def identity(
    record: Record, difference: float, gradient_a: float, gradient_b: float, seed: int
) -> None:
    """Holds when attaching moves no logit at all, every A has zero gradient, and every B has one.

    Args:
        record: of the lab.
        difference: largest absolute difference of the logits.
        gradient_a: largest gradient norm of an A.
        gradient_b: smallest gradient norm of a B.
        seed: of the attachment.
    """
    holds = difference == 0 and gradient_a == 0 < gradient_b
    decide(
        record,
        "identity",
        holds,
        ours=f"largest difference of the logits: {difference}; gradient of every A: {gradient_a}",
        seeds=[seed],
        fails="the logits moved on attaching"
        if difference
        else "the gradients are not as expected; with alpha 0 nothing can learn",
    )


def quality(record: Record, scores: Mapping[str, Sequence[float]], seeds: Sequence[int]) -> None:
    """Holds when LoRA is at most 2 points of test accuracy below full fine-tuning.

    Args:
        record: of the lab; gets the mean accuracies in percent as "separation".
        scores: accuracies from 0 to 1, one for each seed, for "LoRA", "full", "head" and "random".
            Those of LoRA and full are paired from the first on, as far as both go.
        seeds: behind the accuracies.
    """
    if not (scores["LoRA"] and scores["full"]):
        return record.unmeasured("quality")
    record.data["separation"] = {n: 100 * fmean(values) for n, values in scores.items() if values}
    lora, full = paired(scores["LoRA"], scores["full"])  # some ranks have fewer seeds
    compare(
        record,
        "quality",
        [difference("LoRA", lora, "full", full, AS_GOOD)],
        seeds[: len(lora)],
        shown=percent(scores),
        fails="LoRA stays more than 2 points behind on this task and size",
        numbers=dict(scores),
    )


def latency(
    record: Record, merged: float, unmerged: float, difference: float, extra: int, seed: int
) -> None:
    """Holds when merged LoRA is the backbone in size and speed, and gives the unmerged logits.

    It needs three things: no extra module, logits within 1e-3 of the unmerged model's, and less
    than 15 % more time. If only the time is too long, the claim is too close to call.

    Args:
        record: of the lab.
        merged: forward time over the plain backbone's, merged.
        unmerged: the same, unmerged.
        difference: how far merging moves a logit at most.
        extra: modules that the merged model has beyond the backbone's.
        seed: of the run.
    """
    exact = extra == 0 and difference < 1e-3
    decide(
        record,
        "latency",
        False if not exact else True if merged < AS_FAST else CLOSE,
        ours=f"forward time at batch 1 over the backbone's: merged {merged:.2f}, "
        f"unmerged {unmerged:.2f}",
        seeds=[seed],
        close="same modules and shapes as the backbone, but the timing was noisy",
        fails="the merged model differs from the unmerged one",
        numbers={"merged": merged, "unmerged": unmerged, "logits": difference, "extra": extra},
    )


def rank(
    record: Record,
    points: Mapping[int, Sequence[float]],
    scaled: Mapping[int, Sequence[float]],
    seeds: Sequence[int],
) -> None:
    """Holds when small ranks are at most 2 points below rank 64, whichever of two things is held.

    The small ranks are all that have runs; there has to be rank 1.

    Args:
        record: of the lab.
        points: accuracies from 0 to 1 by rank, one for each seed; alpha is the same at every rank.
        scaled: the same; alpha / r is the same at every rank, and each has a rate of its own.
        seeds: behind the accuracies.
    """
    if not ({1, 64} <= points.keys() and {1, 64} <= scaled.keys()):
        return record.unmeasured("rank")
    effects = [
        difference(f"r={r}, {held} held", own[r][: len(own[64])], "r=64", own[64], AS_GOOD)
        for held, own in (("alpha", points), ("alpha / r", scaled))
        for r in own
        if r < 64
    ]
    compare(
        record,
        "rank",
        effects,
        seeds,
        shown=f"alpha held: {percent(points, 'r={}')}; alpha / r held: {percent(scaled, 'r={}')}",
        numbers={
            "alpha held": {str(r): list(values) for r, values in points.items()},
            "alpha / r held": {str(r): list(values) for r, values in scaled.items()},
        },
    )


def budget(
    record: Record,
    groups: Mapping[str, Sequence[float]],
    fitted: Mapping[str, Sequence[float]],
    seeds: Sequence[int],
) -> None:
    """Holds when query and value together beat each of the two alone, whichever rate they have.

    Args:
        record: of the lab.
        groups: accuracies from 0 to 1 by setting, one for each seed, all at one learning rate; the
            first is query and value, which may have further seeds, the second and third are one
            matrix each.
        fitted: the same, each at its own best rate; those that keep the common one are not
            compared twice.
        seeds: behind the accuracies.
    """
    if len(groups) < 3 or not groups.keys() <= fitted.keys():
        return record.unmeasured("budget")
    (name, both), *alone = list(groups.items())[:3]
    new = [
        (f"{other} at its own rate", fitted[other])
        for other, scores in alone
        if fitted[other] != scores
    ]
    effects = [
        difference(name, both[: len(scores)], other, scores) for other, scores in alone + new
    ]
    compare(
        record,
        "budget",
        effects,
        seeds,
        shown=f"one rate: {percent(groups)}; own rates: {percent(fitted)}",
        numbers={"one rate": dict(groups), "own rates": dict(fitted)},
    )


def subspaces(
    record: Record,
    tops: Mapping[str, Sequence[Sequence[float]]],
    chance: Sequence[float],
    seeds: Sequence[int],
) -> None:
    """Decide two claims: most top directions are more similar than any pair of random ones.

    A claim holds when the median over the matrices is above the most similar of the random draws,
    for every seed or pair of seeds; it does not hold when no median is.

    Args:
        record: of the lab.
        tops: similarities of top directions for two ranks, and for two seeds, in this order: a list
            over the matrices for each seed, or each pair of seeds.
        chance: similarities of pairs of random directions.
        seeds: behind the similarities.
    """
    keys = ("subspace_ranks", "subspace_seeds")
    if not tops:
        return record.unmeasured(*keys)
    most = max(chance)
    for key, own in zip(keys, tops.values(), strict=True):
        every = [value for values in own for value in values]
        above = [median(values) > most for values in own]
        beyond = sum(value > most for value in every)
        decide(
            record,
            key,
            CLOSE if any(above) and not all(above) else all(above),
            ours=f"median similarity {median(every):.2f}; {beyond} of {len(every)} matrices are "
            f"above the most similar of {len(chance):,} random pairs, {most:.3f}",
            seeds=seeds,
            close="for some seeds only",
            fails="most matrices are no more alike than random pairs",
            numbers={"similarities": [list(values) for values in own], "most of chance": most},
        )


def amplification(record: Record, rows: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> None:
    """Holds when the update is strong in directions in which W is weak, but not empty.

    By the intervals over the seeds, two things have to be true of every backbone: in the update's
    directions W has more than in random ones, and the factor is above 1. And in every run W has
    less there than in its own top directions.

    Args:
        record: of the lab.
        rows: one `insight.mean_amplification` for each run and number of directions, with
            "backbone" and "directions"; those of `EMPHASIS` directions decide.
        seeds: of the runs.
    """
    decisive = [row for row in rows if row["directions"] == EMPHASIS]
    if not decisive:
        return record.unmeasured("amplification")
    effects = []
    for name in dict.fromkeys(row["backbone"] for row in decisive):
        own = [row for row in decisive if row["backbone"] == name]
        for key, what in (("over_random", "W there over random"), ("factor", "factor")):
            values = [row[key] for row in own]
            effects.append(measured(f"{name}: {what}", values, margin=-1.0, unit=TIMES))
    if all(row["inside"] < row["inside_own"] for row in decisive):
        return compare(
            record,
            "amplification",
            effects,
            seeds,
            shown=f"with the update's {EMPHASIS} top directions",
            numbers={"rows": [dict(row) for row in rows]},
        )
    return decide(
        record,
        "amplification",
        False,
        ours="; ".join(map(str, effects)),
        seeds=seeds,
        fails="the update's directions are W's own strongest ones",
        numbers={"rows": [dict(row) for row in rows]},
    )
