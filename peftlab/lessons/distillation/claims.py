"""How lab 08 decides the claims of DistilBERT: from measured numbers to a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, median

from peftlab.anatomy import ParameterCount
from peftlab.ledger.effects import NATS, TIMES, difference, measured
from peftlab.ledger.record import Record
from peftlab.ledger.verdicts import AS_GOOD, Claim, Named, better, compare, decide, percent
from peftlab.seeds import differences, paired

__all__ = ["CLAIMS", "above_each", "better", "faster", "fills_in", "kept", "smaller", "start"]

KEPT = 0.965  # of the teacher's accuracy: 97 %, rounded
FASTER = 1.6  # times, the paper's "60 % faster"
MATTERS = 1.0  # points: what a teacher gives after fine-tuning matters from there on
NOTICED = 0.1  # nats: what is left out matters when the loss is higher by that, or more

CLAIMS = {
    "kept": Claim(
        "The student keeps 97 % of its teacher's accuracy",
        "GLUE 77.0 of 79.5, which is 96.9 %",
        "section 4, table 1",
        printed=(100 * (0.770 - KEPT * 0.795),),
    ),
    "smaller": Claim(
        "The student is 40 % smaller",
        "66 of 110 million parameters",
        "section 4, table 3",
    ),
    "faster": Claim(
        "The student is 60 % faster",
        "410 s against 668 s for the development set of STS-B, one CPU, batch 1: 1.63 times",
        "section 4, table 3",
        margin=-FASTER,
        printed=(668 / 410,),
    ),
    "soft": Claim(
        "Without the soft targets the student fills in hidden words worse",
        "GLUE after fine-tuning -2.96 without them",
        "section 4.2, table 4",
        margin=-NOTICED,
    ),
    "cosine": Claim(
        "Without the cosine it does so, too",
        "GLUE after fine-tuning -1.46 without it",
        "section 4.2, table 4",
        margin=-NOTICED,
    ),
    "hard": Claim(
        "Without the masked tokens it is hardly worse",
        "GLUE after fine-tuning -0.31 without them, the smallest loss",
        "section 4.2, table 4",
        margin=NOTICED,
    ),
    "start": Claim(
        "The start from the teacher's layers matters more than any of the losses",
        "GLUE -3.69 from a random start, against -2.96 without the soft targets",
        "section 4.2, table 4",
        printed=(0.73, 2.23, 3.38),
    ),
    "layers": Claim(
        "Layers from all over the teacher are a better start than the first or the last ones",
        "one out of two; nothing else is reported",
        "section 3, and the authors' code",
    ),
    "alone": Claim(
        "At equal steps a student with a teacher fills in hidden words better",
        "not reported: its ablation always keeps one loss of the teacher",
        "section 4.2, where it is missing",
        margin=-NOTICED,
    ),
    "longer": Claim(
        "At equal time, too, though without a teacher there is time for twice the steps",
        "not reported",
        "section 4.2, where it is missing",
        margin=-NOTICED,
    ),
    "tuned": Claim(
        "After fine-tuning the teacher still gives a point or more",
        "not reported",
        "section 4.2, where it is missing",
        margin=-MATTERS,
    ),
    "task": Claim(
        "A fine-tuned teacher gives a point or more, over the labels alone",
        "SQuAD F1 86.9 with a second distillation, 85.8 without",
        "section 4.1, table 2",
        margin=-MATTERS,
        printed=(1.1,),
    ),
    "LoRA": Claim(
        "LoRA on the student is as good as fine-tuning the whole student",
        "not reported: the two roads of this course, together",
        "section 4, where it is missing",
        margin=AS_GOOD,
    ),
}


def fills_in(record: Record, key: str, better: Named, worse: Named, seeds: Sequence[int]) -> None:
    """Decide whether a student's loss on held-out text is below another's, by the claim's margin.

    Args:
        record: of the lab.
        key: of the claim, whose margin counts, in nats.
        better: the student with the lower loss by the claim: its name, and losses in nats, one for
            each seed.
        worse: the other one.
        seeds: behind the losses.
    """
    if not (better[1] and worse[1]):
        return record.unmeasured(key)
    more, less = paired(worse[1], better[1])
    margin = record.known(key).margin
    return compare(
        record,
        key,
        [measured(f"loss {worse[0]} minus {better[0]}", differences(more, less), margin, NATS)],
        seeds[: len(more)],
        shown=f"loss {better[0]} {fmean(less):.2f} nats, {worse[0]} {fmean(more):.2f} nats",
        fails=f"{worse[0]}: the loss is not {abs(margin):g} nats higher here",
        numbers={better[0]: list(less), worse[0]: list(more)},
    )


def above_each(
    record: Record,
    key: str,
    setting: Named,
    others: Mapping[str, Sequence[float]],
    seeds: Sequence[int],
) -> None:
    """Decide whether a setting is above each of the others, by the claim's margin.

    Args:
        record: of the lab.
        key: of the claim, whose margin counts.
        setting: its name, and scores from 0 to 1, one for each seed.
        others: the same of the others, by name.
        seeds: behind the scores.
    """
    name, own = setting
    if not (own and all(others.values())):
        return record.unmeasured(key)
    pairs = {other: paired(own, scores) for other, scores in others.items()}
    margin = record.known(key).margin
    return compare(
        record,
        key,
        [difference(name, a, other, b, margin) for other, (a, b) in pairs.items()],
        seeds[: min(len(scores) for scores in others.values())],
        shown=percent({name: own} | dict(others)),
        numbers={name: list(own)} | {other: list(scores) for other, scores in others.items()},
    )


def kept(
    record: Record,
    grounds: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    seeds: Sequence[int],
) -> None:
    """Holds when the student is at 97 % of the teacher's accuracy, rounded, on every ground.

    Args:
        record: of the lab.
        grounds: by name of the task the accuracies from 0 to 1 of student and teacher, one for each
            seed.
        seeds: behind the accuracies.
    """
    found = {name: paired(*both) for name, both in grounds.items() if all(both)}
    if len(found) < len(grounds):
        return record.unmeasured("kept")
    effects, shares = [], []
    for name, (ours, theirs) in found.items():
        apart = [100 * (s - KEPT * t) for s, t in zip(ours, theirs, strict=True)]
        effects.append(measured(f"{name}: student minus {100 * KEPT:.1f} % of the teacher", apart))
        shares.append(f"{name} {100 * fmean(ours) / fmean(theirs):.1f} %")
    return compare(
        record,
        "kept",
        effects,
        seeds,
        shown=f"kept: {', '.join(shares)}",
        fails=f"here it keeps {', '.join(shares)}",
        numbers={n: {"student": list(o), "teacher": list(t)} for n, (o, t) in found.items()},
    )


def smaller(record: Record, counts: Mapping[str, ParameterCount], seed: int) -> None:
    """Holds when the paper's student is 40 % smaller, rounded to tens.

    Args:
        record: of the lab.
        counts: by name of the teacher, that of the paper first.
        seed: of the lab; nothing here depends on it.
    """
    less = {name: 100 * (1 - count.share) for name, count in counts.items()}
    decide(
        record,
        "smaller",
        round(next(iter(less.values())), -1) == 40,
        ours=", ".join(f"{name}: {value:.1f} % smaller" for name, value in less.items()),
        seeds=[seed],
        fails="the counts are others",
        numbers=less,
    )


def faster(record: Record, ratios: Sequence[float], seed: int) -> None:
    """Holds when the teacher needs more than 1.6 times the student's time for a batch.

    Args:
        record: of the lab.
        ratios: the teacher's time divided by the student's, one for each timing.
        seed: of the lab.
    """
    compare(
        record,
        "faster",
        [measured("teacher's time over the student's", ratios, -FASTER, TIMES, over="timings")],
        [seed],
        shown=f"{median(ratios):.2f} times in the middle of {len(ratios)} timings",
        numbers={"ratios": list(ratios)},
    )


def start(
    record: Record,
    random: Sequence[float],
    without: Mapping[str, Sequence[float]],
    seeds: Sequence[int],
) -> None:
    """Holds when the random start is below every student that lacks one loss.

    Args:
        record: of the lab.
        random: accuracies from 0 to 1 of the random start, one for each seed.
        without: the same of the students without one of the losses, by their names.
        seeds: behind the accuracies.
    """
    if not (random and all(without.values())):
        return record.unmeasured("start")
    pairs = {name: paired(own, random) for name, own in without.items()}
    return compare(
        record,
        "start",
        [difference(name, a, "random start", b) for name, (a, b) in pairs.items()],
        seeds,
        shown=percent({"random start": random} | dict(without)),
        numbers={"random": list(random)} | {name: list(own) for name, own in without.items()},
    )
