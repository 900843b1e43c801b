"""How lab 03 decides the claims of prompt tuning: from measured numbers to a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean

from peftlab.ledger.effects import difference, measured
from peftlab.ledger.record import Record
from peftlab.ledger.verdicts import AS_GOOD, Claim, above, compare, decide, percent
from peftlab.seeds import differences

CLAIMS = {
    "mixed": Claim(
        "One batch may hold a task for each row",
        "a prompt is added to each example of a batch, the model is shared",
        "section 2, figure 2",
    ),
    "scale": Claim(
        "The gap to full fine-tuning closes as the backbone grows",
        "SuperGLUE: far behind on T5 Small, level on XXL",
        "section 3, figure 1",
    ),
    "length": Claim(
        "A single row is too little, and beyond 20 rows little is gained",
        "more than 20 rows: marginal gains",
        "section 3.2, figure 3a",
    ),
    "rate": Claim(
        "A large learning rate is necessary",
        "0.3 throughout, found in a search from 0.001 to 0.5",
        "section 3",
    ),
    "init": Claim(
        "Rows that start at words are better than uniform ones on small models",
        "class labels best, sampled words next, uniform worst; no difference on XXL",
        "section 3.2, figure 3b",
    ),
    "ensemble": Claim(
        "The votes of several prompts are better than one prompt",
        "SuperGLUE, five prompts on XXL: 91.3 against 90.5 on average",
        "section 6, table 3",
        printed=(0.8,),
    ),
}


__all__ = ["CLAIMS", "above", "ensemble", "length", "mixed", "scale"]


def scale(
    record: Record,
    prompt: Mapping[str, Sequence[float]],
    full: Mapping[str, Sequence[float]],
    seeds: Sequence[int],
) -> None:
    """Holds when full fine-tuning is less far ahead on each backbone than on the one before.

    Args:
        record: of the lab.
        prompt: accuracies of prompt tuning from 0 to 1 by backbone, the smallest first, one for
            each seed.
        full: the same for full fine-tuning.
        seeds: behind the accuracies.
    """
    names = [name for name in prompt if prompt[name] and full.get(name)]
    if len(names) < 2:
        return record.unmeasured("scale")
    gaps = {n: [100 * gap for gap in differences(full[n], prompt[n])] for n in names}
    effects = [
        measured(f"gap on {a} minus gap on {b}", differences(gaps[a], gaps[b]))
        for a, b in pairwise(names)
    ]
    compare(
        record,
        "scale",
        effects,
        seeds,
        shown="full fine-tuning minus prompt tuning: "
        + ", ".join(f"{fmean(gap):.1f} points on {name}" for name, gap in gaps.items()),
        numbers={n: {"prompt": list(prompt[n]), "full": list(full[n])} for n in names},
    )


def length(record: Record, points: Mapping[int, Sequence[float]], seeds: Sequence[int]) -> None:
    """Holds when 20 rows are above a single one, and at most 2 points below the longest prompt.

    Args:
        record: of the lab.
        points: accuracies from 0 to 1 by prompt length, one for each seed; the lengths are 1, 20
            and longer ones.
        seeds: behind the accuracies.
    """
    if not {1, 20} <= points.keys() or max(points) == 20:
        return record.unmeasured("length")
    longest = max(points)
    effects = [
        difference("20 rows", points[20], "1 row", points[1]),
        difference("20 rows", points[20], f"{longest} rows", points[longest], AS_GOOD),
    ]
    compare(
        record,
        "length",
        effects,
        seeds,
        shown=percent(points, "P={}"),
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
    decide(
        record,
        "mixed",
        holds,
        ours=f"largest difference of a logit: {difference:.1e}",
        seeds=[seed],
        fails="the logits differ by more than rounding",
        numbers={"difference": difference},
    )


def ensemble(record: Record, groups: Sequence[Mapping[str, object]]) -> None:
    """Holds when the votes are above the mean of their voters, beyond the noise of the groups.

    Args:
        record: of the lab.
        groups: of each ensemble "seeds", "single" (an accuracy from 0 to 1 for each voter) and
            "vote".
    """
    if len(groups) < 2:
        return record.unmeasured("ensemble")
    singles = [fmean(group["single"]) for group in groups]
    votes = [group["vote"] for group in groups]
    gains = [100 * gain for gain in differences(votes, singles)]
    compare(
        record,
        "ensemble",
        [measured("votes minus single prompts", gains, over="ensembles")],
        [seed for group in groups for seed in group["seeds"]],
        shown=percent({"single prompts": singles, "their votes": votes})
        + f" ({len(groups)} ensembles of {len(groups[0]['seeds'])})",
        fails="the votes are not better than their voters",
        numbers={"single": singles, "vote": votes},
    )
