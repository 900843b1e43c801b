"""How lab 08 decides the claims of DistilBERT: from measured numbers to a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, median

from peftlab.anatomy import ParameterCount
from peftlab.ledger.effects import NATS, TIMES, difference, measured
from peftlab.ledger.record import Record
from peftlab.ledger.verdicts import AS_GOOD, Claim, Named, above, compare, decide, percent
from peftlab.seeds import differences, paired

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


def better(record: Record, key: str, higher: Named, lower: Named, seeds: Sequence[int]) -> None:
    """Decide whether a setting is above another, or as good, by the seeds that both have.

    Args:
        record: of the lab.
        key: of the claim, whose margin counts.
        higher: what should be better: its name, and accuracies from 0 to 1.
        lower: what it is compared with.
        seeds: behind the accuracies, as many as the longer of the two has.
    """
    values, wanted = paired(higher[1], lower[1])
    above(record, key, (higher[0], values), (lower[0], wanted), seeds[: len(values)])


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


def tuned(
    record: Record, taught: Named, alone: Mapping[str, Sequence[float]], seeds: Sequence[int]
) -> None:
    """Holds when the student with a teacher is a point above each of the others, or more.

    Args:
        record: of the lab.
        taught: its name, and scores from 0 to 1 after fine-tuning, one for each seed.
        alone: the same of students without a teacher, by name.
        seeds: behind the scores.
    """
    if not (taught[1] and all(alone.values())):
        return record.unmeasured("tuned")
    effects = []
    for name, own in alone.items():
        first, second = paired(taught[1], own)
        effects.append(difference(taught[0], first, name, second, -MATTERS))
    return compare(
        record,
        "tuned",
        effects,
        seeds,
        shown=percent(dict([taught]) | dict(alone)),
        numbers={taught[0]: list(taught[1])} | {name: list(own) for name, own in alone.items()},
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
    return compare(
        record,
        "start",
        [difference(name, *_order(own, random)) for name, own in without.items()],
        seeds,
        shown=percent({"random start": random} | dict(without)),
        numbers={"random": list(random)} | {name: list(own) for name, own in without.items()},
    )


def _order(
    own: Sequence[float], random: Sequence[float]
) -> tuple[Sequence[float], str, Sequence[float]]:
    first, second = paired(own, random)
    return first, "random start", second


def layers(
    record: Record, spread: Named, others: Mapping[str, Sequence[float]], seeds: Sequence[int]
) -> None:
    """Holds when the layers from all over are above each other choice.

    Args:
        record: of the lab.
        spread: their name, and accuracies from 0 to 1, one for each seed.
        others: the same of the other choices, by name.
        seeds: behind the accuracies.
    """
    if not (spread[1] and all(others.values())):
        return record.unmeasured("layers")
    effects = []
    for name, own in others.items():
        first, second = paired(spread[1], own)
        effects.append(difference(spread[0], first, name, second))
    return compare(
        record,
        "layers",
        effects,
        seeds[: min(len(own) for own in others.values())],
        shown=percent(dict([spread]) | dict(others)),
        numbers={spread[0]: list(spread[1])} | {name: list(own) for name, own in others.items()},
    )
