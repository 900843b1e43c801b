"""How lab 09 decides what is said about the methods together: from numbers to a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean

from peftlab.ledger.effects import Effect, difference, measured
from peftlab.ledger.record import Record
from peftlab.ledger.verdicts import AS_GOOD, Claim, better, compare, decide, percent
from peftlab.seeds import differences, paired

__all__ = [
    "CLAIMS",
    "better",
    "few",
    "forgets",
    "gate",
    "ratio",
    "ratio_size",
    "reads_on",
    "transfer",
    "where",
]

DECADES = "factors of ten"
NATS = "nats a token"
LEARNT = 0.06  # so far below the best a method has learnt its task: then it can forget it
ABOUT = 0.3  # factors of ten: half to twice as much is about the same

CLAIMS = {
    "gate": Claim(
        "A prefix is a gated sum beside the attention, so that all three have one form",
        "derived, no number",
        "section 3.1 of arXiv 2110.04366",
    ),
    "quality": Claim(
        "LoRA at rank 8 is as good as full fine-tuning",
        "RoBERTa base, GLUE: 87.2 against 86.4 on average",
        "table 2 of LoRA, arXiv 2106.09685",
        margin=AS_GOOD,
        printed=(0.8,),
    ),
    "ratio": Claim(
        "The best learning rate of LoRA is about ten times that of full fine-tuning",
        "9.8 times over fourteen language models; three times in a replication on DistilBERT",
        "section on the learning rate of LoRA Without Regret (Schulman and others, 2025)",
    ),
    "ratio_size": Claim(
        "The ratio grows with the backbone",
        "not said; the report's ratio is one number for all its models",
        "section on the learning rate of LoRA Without Regret (Schulman and others, 2025)",
    ),
    "where": Claim(
        "At an equal budget the MLP is a better place for LoRA than attention",
        "attention alone is clearly behind the MLP alone, even with more parameters",
        "section on the layers of LoRA Without Regret (Schulman and others, 2025)",
    ),
    "everywhere": Claim(
        "Spread over everything it is at least as good as on query and value",
        "all matrices are advised",
        "section on the layers of LoRA Without Regret (Schulman and others, 2025)",
        margin=AS_GOOD,
    ),
    "few": Claim(
        "With few sentences the small methods are ahead of full fine-tuning",
        "ahead in low-data settings",
        "section 6.3 of prefix-tuning, arXiv 2101.00190; section 4.3 of BitFit, arXiv 2106.10199",
    ),
    "forgets": Claim(
        "LoRA forgets less of a first task than full fine-tuning",
        "LoRA learns less and forgets less",
        "section 4 of LoRA Learns Less and Forgets Less, arXiv 2405.09673",
    ),
    "reads_on": Claim(
        "A language model reads other text better after LoRA than after full fine-tuning",
        "LoRA learns less and forgets less",
        "section 4 of LoRA Learns Less and Forgets Less, arXiv 2405.09673",
    ),
    "transfer": Claim(
        "A prompt carries over to other domains better than full fine-tuning",
        "question answering on other domains: better on most, by up to 12.5 F1 points",
        "section 5 of prompt tuning, arXiv 2104.08691",
    ),
}

Named = Mapping[str, Sequence[float]]


def gate(record: Record, apart: float, seed: int) -> None:
    """Holds when the gated sum gives what attention with the prefix gives, to 1e-4.

    Args:
        record: of the lab.
        apart: largest difference of an output over the largest output.
        seed: of the prefix.
    """
    decide(
        record,
        "gate",
        apart <= 1e-4,
        ours=f"in every layer of a real model equal to {apart:.1e} of the largest output",
        seeds=[seed],
        fails="the two differ by more than rounding",
        numbers={"apart": apart},
    )


def ratio(
    record: Record, found: Mapping[str, Mapping[str, Sequence[float]]], seeds: Sequence[int]
) -> None:
    """Holds when the ratio lies between five and twenty on every backbone, for the middle rank.

    Args:
        record: of the lab.
        found: decimal logarithms of the ratio by backbone and rank, one for each seed; see
            `shown.ratios`.
        seeds: behind them.
    """
    own = _middle(found)
    if not own:
        return record.unmeasured("ratio")
    return compare(
        record,
        "ratio",
        [_near_ten(backbone, values) for backbone, values in own.items()],
        seeds,
        shown="LoRA over full: "
        + ", ".join(f"{10 ** fmean(v):.1f} on {b}" for b, v in own.items()),
        fails="on some backbones the ratio is not between five and twenty",
        numbers={b: dict(ranks) for b, ranks in found.items()},
    )


def _middle(found: Mapping[str, Named]) -> dict[str, Sequence[float]]:
    """The ratios of the middle rank by backbone, where there are any."""
    return {backbone: ranks["rank 8"] for backbone, ranks in found.items() if "rank 8" in ranks}


def _near_ten(backbone: str, values: Sequence[float]) -> Effect:
    """How far the ratio is from ten, at most by a factor of two; the farther side is judged."""
    away = [v - 1 for v in values]  # in factors of ten
    side = -1 if fmean(away) > 0 else 1
    what = f"{backbone}: ratio over ten" if side > 0 else f"{backbone}: ten over the ratio"
    return measured(what, [side * v for v in away], ABOUT, DECADES)


def ratio_size(
    record: Record, found: Mapping[str, Mapping[str, Sequence[float]]], seeds: Sequence[int]
) -> None:
    """Holds when the ratio at rank 8 is larger on each backbone than on the next smaller one.

    Args:
        record: of the lab.
        found: see `ratio`; from the smallest backbone to the largest.
        seeds: behind them.
    """
    own = _middle(found)
    if len(own) < 2:
        return record.unmeasured("ratio_size")
    effects = [
        measured(f"ratio on {large} over that on {small}", differences(*paired(b, a)), unit=DECADES)
        for (small, a), (large, b) in pairwise(own.items())
    ]
    return compare(record, "ratio_size", effects, seeds, numbers=own)


def where(record: Record, points: Named, seeds: Sequence[int]) -> None:
    """Decide two claims on one budget of LoRA: the MLP over attention, everywhere over the usual.

    Args:
        record: of the lab.
        points: accuracies from 0 to 1 by place, see `sweep.PLACES`; one for each seed.
        seeds: behind them.
    """
    if len(points) < 4:
        return record.unmeasured("where", "everywhere")
    usual, attention, mlp, everywhere = points
    pairs = {"where": (mlp, attention, 0.0), "everywhere": (everywhere, usual, AS_GOOD)}
    for key, (higher, lower, margin) in pairs.items():
        compare(
            record,
            key,
            [difference(higher, points[higher], lower, points[lower], margin)],
            seeds,
            shown=percent(points),
            numbers=points,
        )
    return None


def few(record: Record, points: Named, seeds: Sequence[int]) -> None:
    """Holds when each method that freezes the backbone is above full fine-tuning.

    Args:
        record: of the lab.
        points: accuracies from 0 to 1 by method, with few sentences; one for each seed.
        seeds: behind them.
    """
    full = points.get("full fine-tuning")
    if not full or len(points) < 2:
        return record.unmeasured("few")
    return compare(
        record,
        "few",
        [
            difference(f"few sentences: {name}", a, "full fine-tuning", b)
            for name, own in points.items()
            if name != "full fine-tuning"
            for a, b in [paired(own, full)]
        ],
        seeds,
        shown=percent(points),
        numbers=points,
    )


def forgets(record: Record, lost: Named, seeds: Sequence[int]) -> None:
    """Holds when full fine-tuning loses more of the first task than LoRA.

    Args:
        record: of the lab.
        lost: points by method, see `shown.lost`; one for each seed.
        seeds: behind them.
    """
    what = "lost by full fine-tuning minus lost by LoRA"
    _full_loses_more(record, "forgets", lost, seeds, what, "points", "{} loses {:.1f} points")


def reads_on(record: Record, grown: Named, seeds: Sequence[int]) -> None:
    """Holds when the loss on other text grows more with full fine-tuning than with LoRA.

    Args:
        record: of the lab.
        grown: nats a token by method, see `shown.reading`; one for each seed.
        seeds: behind them.
    """
    what = "growth with full fine-tuning minus that with LoRA"
    _full_loses_more(record, "reads_on", grown, seeds, what, NATS, "{} {:.2f}")


def _full_loses_more(
    record: Record,
    key: str,
    lost: Named,
    seeds: Sequence[int],
    what: str,
    unit: str,
    form: str,
) -> None:
    """Decide a claim by how much more full fine-tuning loses than LoRA."""
    if not {"LoRA", "full fine-tuning"} <= lost.keys():
        return record.unmeasured(key)
    more = differences(*paired(lost["full fine-tuning"], lost["LoRA"]))
    return compare(
        record,
        key,
        [measured(what, more, unit=unit)],
        seeds,
        shown=", ".join(form.format(name, fmean(own)) for name, own in lost.items()),
        numbers=lost,
    )


def transfer(
    record: Record, found: Mapping[str, Mapping[str, Named]], seeds: Sequence[int]
) -> None:
    """Holds when prompt tuning is above full fine-tuning on every task that neither trained on.

    A backbone on which the prompt has not learnt its own task decides nothing.

    Args:
        record: of the lab.
        found: accuracies from 0 to 1 by backbone, task (the one of training first) and method; one
            for each seed.
        seeds: behind them.
    """
    effects, numbers = [], {}
    for backbone, tasks in found.items():
        home, *others = tasks or (None,)
        if home is None or not _learnt(tasks[home]):
            continue
        for task in others:
            numbers[f"{backbone}, {task}"] = own = dict(tasks[task])
            pair = paired(own["prompt tuning"], own["full fine-tuning"])
            where = f"{backbone}, {task}: prompt tuning"
            effects.append(difference(where, pair[0], "full fine-tuning", pair[1]))
    if not effects:
        return record.unmeasured("transfer")
    return compare(record, "transfer", effects, seeds, numbers=numbers)


def _learnt(home: Named) -> bool:
    """Whether the prompt is near full fine-tuning on the task that both were trained on."""
    full, prompt = (home.get(name, ()) for name in ("full fine-tuning", "prompt tuning"))
    return bool(full and prompt) and fmean(prompt) > fmean(full) - LEARNT
