"""How lab 03 decides the claims of prompt tuning: from measured numbers to a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean

from peftlab.ledger import CLOSE, FAILS, HOLDS, Record, judge
from peftlab.verdicts.base import SPREAD, above, percent, together

__all__ = ["above", "ensemble", "length", "mixed", "scale"]


def scale(
    record: Record,
    prompt: Mapping[str, Sequence[float]],
    full: Mapping[str, Sequence[float]],
    seeds: Sequence[int],
) -> None:
    """Holds when full fine-tuning is less far ahead on each backbone than on the one before.

    Args:
        record: of the lab.
        prompt: accuracies of prompt tuning from 0 to 1 by backbone, the smallest first, one a seed.
        full: the same for full fine-tuning.
        seeds: behind the accuracies.
    """
    names = [name for name in prompt if prompt[name] and full.get(name)]
    if len(names) < 2:
        return record.unmeasured("scale")
    gaps = {n: [f - p for f, p in zip(full[n], prompt[n], strict=True)] for n in names}
    verdict = together(*(judge(gaps[a], gaps[b]) for a, b in pairwise(names)))
    record.claim(
        "scale",
        ours="full fine-tuning minus prompt tuning: "
        + ", ".join(f"{100 * fmean(gap):.1f} points on {name}" for name, gap in gaps.items()),
        verdict=verdict,
        seeds=seeds,
        why={HOLDS: "", CLOSE: SPREAD}.get(
            verdict, "the gap does not close from each size to the next"
        ),
        numbers={n: {"prompt": list(prompt[n]), "full": list(full[n])} for n in names},
    )


def length(record: Record, points: Mapping[int, Sequence[float]], seeds: Sequence[int]) -> None:
    """Holds when 20 rows are above a single one, and at most 2 points below the longest prompt.

    Args:
        record: of the lab.
        points: accuracies from 0 to 1 by prompt length, 1 and 20 and longer ones, one a seed.
        seeds: behind the accuracies.
    """
    if not {1, 20} <= points.keys() or max(points) == 20:
        return record.unmeasured("length")
    grows = judge(points[20], points[1])
    enough = judge(points[20], points[max(points)], margin=0.02)
    verdict = together(grows, enough)
    record.claim(
        "length",
        ours=percent(points, "P={}"),
        verdict=verdict,
        seeds=seeds,
        why={HOLDS: "", CLOSE: SPREAD}.get(
            verdict,
            "a single row is as good here"
            if grows == FAILS
            else f"{max(points)} rows are clearly better than 20 here",
        ),
        numbers={str(P): list(v) for P, v in points.items()},
    )


def mixed(record: Record, difference: float, seed: int) -> None:
    """Holds when a batch of several tasks gives the logits of separate batches, to 1e-4.

    Args:
        record: of the lab.
        difference: largest absolute difference of a logit.
        seed: of the prompts.
    """
    holds = difference <= 1e-4
    record.claim(
        "mixed",
        ours=f"largest difference of a logit: {difference:.1e}",
        verdict=HOLDS if holds else FAILS,
        seeds=[seed],
        why="" if holds else "the logits differ by more than rounding",
        numbers={"difference": difference},
    )


def ensemble(record: Record, groups: Sequence[Mapping[str, object]]) -> None:
    """Holds when the votes are above the mean of their voters, beyond the noise of the groups.

    Args:
        record: of the lab.
        groups: "seeds", "single" (an accuracy from 0 to 1 a voter) and "vote" of each ensemble.
    """
    if len(groups) < 2:
        return record.unmeasured("ensemble")
    singles = [fmean(group["single"]) for group in groups]
    votes = [group["vote"] for group in groups]
    gains = [vote - single for vote, single in zip(votes, singles, strict=True)]
    verdict = judge(gains, [0.0])
    record.claim(
        "ensemble",
        ours=percent({"single prompts": singles, "their votes": votes})
        + f" ({len(groups)} ensembles of {len(groups[0]['seeds'])})",
        verdict=verdict,
        seeds=[seed for group in groups for seed in group["seeds"]],
        why={HOLDS: "", CLOSE: SPREAD}.get(verdict, "the votes are not better than their voters"),
        numbers={"single": singles, "vote": votes},
    )
