"""How lab 03 decides the claims of prompt tuning: from measured numbers to a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any

from peftlab.ledger.effects import difference, measured
from peftlab.ledger.record import Record
from peftlab.ledger.verdicts import AS_GOOD, Claim, compare, decide, percent
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
    "behind": Claim(
        "On a real model of this size full fine-tuning is still ahead",
        "SuperGLUE: at 770 million parameters prompt tuning is behind; no number is printed",
        "section 3, figure 1",
    ),
    "domain": Claim(
        "Under a shift of domain a prompt is better than full fine-tuning",
        "question answering on other domains: better on most, by up to 12.5 F1 points",
        "section 5, table 1",
    ),
    "length": Claim(
        "A single row is too little, and beyond 20 rows little is gained",
        "more than 20 rows: marginal gains",
        "section 3.2, figure 3a",
    ),
    "length_real": Claim(
        "A single row is too little for a real model",
        "a single row does well on XXL only",
        "section 3.2, figure 3a",
    ),
    "rate": Claim(
        "A large learning rate is necessary",
        "0.3 throughout, found in a search from 0.001 to 0.5",
        "section 3, appendix",
    ),
    "rate_real": Claim(
        "So it is in a real model",
        "0.3 throughout, found in a search from 0.001 to 0.5",
        "section 3, appendix",
    ),
    "init": Claim(
        "Rows that start at words end up a point better than uniform ones on small models",
        "class labels best, sampled words next, uniform worst; no difference on XXL",
        "section 3.2, figure 3b",
        margin=-1.0,
    ),
    "early": Claim(
        "Rows that start at words are five points ahead early in training",
        "not in the paper, which shows the end of training alone",
        "section 3.2",
        margin=-5.0,
    ),
    "init_real": Claim(
        "In a real model, too, rows that start at words end up better",
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
            each pair of relation and seed.
        full: the same for full fine-tuning.
        seeds: behind the accuracies.
    """
    names = [name for name in prompt if prompt[name] and full.get(name)]
    if len(names) < 2:
        return record.unmeasured("scale")
    gaps = {n: [100 * gap for gap in differences(full[n], prompt[n])] for n in names}
    effects = [
        measured(f"gap on {a} minus gap on {b}", differences(gaps[a], gaps[b]), over="pairs")
        for a, b in pairwise(names)
    ]
    return compare(
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
        points: accuracies from 0 to 1 by prompt length, one for each pair of relation and seed; the
            lengths are 1, 20 and longer ones.
        seeds: behind the accuracies.
    """
    if not {1, 20} <= points.keys() or max(points) == 20:
        return record.unmeasured("length")
    longest = max(points)
    effects = [
        difference("20 rows", points[20], "1 row", points[1], over="pairs"),
        difference("20 rows", points[20], f"{longest} rows", points[longest], AS_GOOD, "pairs"),
    ]
    return compare(
        record,
        "length",
        effects,
        seeds,
        shown=percent(points, "P={}"),
        numbers={str(P): list(v) for P, v in points.items()},
    )


def ahead(
    record: Record,
    key: str,
    scores: Mapping[str, Sequence[float]],
    higher: str,
    lower: str,
    seeds: Sequence[int],
    over: str = "seeds",
    where: str = "",
) -> None:
    """Holds when one setting is above another, by the claim's border, beyond the noise.

    Args:
        record: of the lab.
        key: of the claim.
        scores: accuracies from 0 to 1 by setting, all in the same order; others than the two are
            shown beside them.
        higher: the setting that the claim has above.
        lower: the other one.
        seeds: behind the accuracies.
        over: what the accuracies are counted in.
        where: tells this comparison from others of the same two.
    """
    if not (scores.get(higher) and scores.get(lower)):
        return record.unmeasured(key)
    margin = record.known(key).margin
    name = f"{where}: {higher}" if where else higher
    return compare(
        record,
        key,
        [difference(name, scores[higher], lower, scores[lower], margin, over)],
        seeds,
        shown=percent(scores),
        numbers={name: list(values) for name, values in scores.items()},
    )


def domain(
    record: Record, scores: Mapping[str, Mapping[str, Sequence[float]]], seeds: Sequence[int]
) -> None:
    """Holds when prompt tuning is above full fine-tuning on every task that neither trained on.

    Args:
        record: of the lab.
        scores: accuracies from 0 to 1 by task, the one of training first, then by label, prompt
            tuning first, one for each seed.
        seeds: behind the accuracies.
    """
    away = [task for task in list(scores)[1:] if len(scores[task]) == 2]
    if not away:
        return record.unmeasured("domain")
    named: dict[str, Any] = {
        f"{task}, {label}": list(own)
        for task, labels in scores.items()
        for label, own in labels.items()
    }
    effects = []
    for task in away:
        (prompt, ours), (full, theirs) = scores[task].items()
        effects.append(difference(f"{task}, {prompt}", ours, full, theirs))
    return compare(record, "domain", effects, seeds, shown=percent(named), numbers=named)


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
