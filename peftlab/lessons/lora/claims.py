"""How lab 01 decides the claims of LoRA: from measured numbers to a verdict in the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from peftlab.ledger.effects import difference
from peftlab.ledger.record import Record
from peftlab.ledger.verdicts import AS_FAST, AS_GOOD, Claim, compare, decide, percent
from peftlab.seeds import CLOSE

BEYOND_CHANCE = 10.0  # times the similarity of random directions: above it, two subspaces overlap

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
        printed=(3.3, 0.7),
    ),
    "rank": Claim(
        "A very small rank suffices",
        "WikiSQL, W_q and W_v: r=1 73.4, r=64 73.5",
        "table 6",
        margin=AS_GOOD,
        printed=(-0.1,),
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
        fails="the logits moved on attaching, or the gradients are not as expected",
    )


def quality(record: Record, scores: Mapping[str, Sequence[float]], seeds: Sequence[int]) -> None:
    """Holds when LoRA is at most 2 points of test accuracy below full fine-tuning.

    Args:
        record: of the lab; gets the mean accuracies in percent as "separation".
        scores: accuracies from 0 to 1, one for each seed, for "LoRA", "full", "head" and "random".
        seeds: behind the accuracies.
    """
    if not (scores["LoRA"] and scores["full"]):
        return record.unmeasured("quality")
    record.data["separation"] = {n: 100 * fmean(values) for n, values in scores.items() if values}
    compare(
        record,
        "quality",
        [difference("LoRA", scores["LoRA"], "full", scores["full"], AS_GOOD)],
        seeds,
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


def rank(record: Record, points: Mapping[int, Sequence[float]], seeds: Sequence[int]) -> None:
    """Holds when rank 1 is at most 2 points below rank 64.

    Args:
        record: of the lab.
        points: accuracies from 0 to 1 by rank, one for each seed.
        seeds: behind the accuracies.
    """
    if not {1, 64} <= points.keys():
        return record.unmeasured("rank")
    compare(
        record,
        "rank",
        [difference("r=1", points[1], "r=64", points[64], AS_GOOD)],
        seeds,
        shown=percent(points, "r={}"),
        fails="r=1 stays more than 2 points behind r=64",
        numbers={str(r): values for r, values in points.items()},
    )


def budget(record: Record, groups: Mapping[str, Sequence[float]], seeds: Sequence[int]) -> None:
    """Holds when query and value together beat each of the two alone.

    Args:
        record: of the lab.
        groups: accuracies from 0 to 1 by setting, one for each seed; the first is query and value,
            which may have further seeds, the second and third are one matrix each.
        seeds: behind the accuracies.
    """
    if len(groups) < 3:
        return record.unmeasured("budget")
    (name, both), *alone = list(groups.items())[:3]
    effects = [difference(name, both[: len(own)], other, own) for other, own in alone]
    compare(
        record,
        "budget",
        effects,
        seeds,
        shown=percent(groups),
        numbers=dict(groups),
    )


def subspaces(
    record: Record, maps: Mapping[str, Sequence[Sequence[float]]], seeds: Sequence[int]
) -> None:
    """Decide two claims: top directions are more than ten times as similar as random ones.

    For two ranks the paper shows a similarity above one half. Between ten times chance and one
    half, the verdict is too close to call. For two seeds the paper gives no number.

    Args:
        record: of the lab.
        maps: similarity maps of two ranks, of two seeds, and of random directions, in this order.
        seeds: behind the maps.
    """
    keys = ("subspace_ranks", "subspace_seeds")
    if not maps:
        return record.unmeasured(*keys)
    *trained, random = maps.values()
    chance = random[0][0]
    for key, found, wanted in zip(keys, trained, (0.5, 0.0), strict=True):
        top = found[0][0]
        verdict: bool | str = top > BEYOND_CHANCE * chance
        if verdict and top <= wanted:
            verdict = CLOSE
        decide(
            record,
            key,
            verdict,
            ours=f"similarity of the top directions {top:.2f}; of random ones {chance:.3f}",
            seeds=seeds,
            close=f"{top / chance:.0f} times chance, but not above one half",
            fails="hardly more than chance",
            numbers={"top": top, "random": chance},
        )


def amplification(
    record: Record, rows: Sequence[Mapping[str, float]], seeds: Sequence[int]
) -> None:
    """Holds when the update is strong in directions in which W is weak, but not empty.

    In every run three things have to be true: W has more than 1.5 times as much in these directions
    as in random ones, less than in its own top ones, and the factor is above 1.

    Args:
        record: of the lab.
        rows: one `insight.mean_amplification` for each run, at least one.
        seeds: of the runs.
    """
    over_random = [row["inside"] / row["inside_random"] for row in rows]
    factors = [row["factor"] for row in rows]
    reasons = []
    if min(over_random) <= 1.5:
        reasons.append("the update's directions hold hardly more of W than random ones")
    if not all(row["inside"] < row["inside_own"] for row in rows):
        reasons.append("the update's directions are W's own strongest ones")
    if min(factors) <= 1:
        reasons.append("the update is smaller there than W itself")
    decide(
        record,
        "amplification",
        not reasons,
        ours=f"factor {min(factors):.2f} to {max(factors):.2f}; the update's directions hold "
        f"{min(over_random):.1f} to {max(over_random):.1f} times as much of W as random ones",
        seeds=seeds,
        fails="; ".join(reasons),
        numbers={"rows": [dict(row) for row in rows]},
    )
