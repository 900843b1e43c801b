"""How lab 04 decides the claims of prefix-tuning: from measured numbers to a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from peftlab.ledger.effects import BLEU, Effect, difference, measured
from peftlab.ledger.record import Record
from peftlab.ledger.verdicts import AS_GOOD, Claim, compare, percent
from peftlab.seeds import differences

Scores = Mapping[str, Sequence[float]]  # "slot_accuracy" from 0 to 1, "bleu" from 0 to 100, by seed
SCORES = ("slot_accuracy", "bleu")

CLAIMS = {
    "quality": Claim(
        "Prefix-tuning is as good as full fine-tuning",
        "E2E, BLEU with 0.1 % of the parameters: 69.7 against 68.2",
        "table 1",
        margin=AS_GOOD,
        printed=(None, 1.5),
    ),
    "few": Claim(
        "With few examples it is better than full fine-tuning",
        "50 to 500 examples: 2.9 BLEU above on average, more with fewer of them",
        "section 6.3, figure 3",
        printed=(None, 2.9),
    ),
    "stable": Claim(
        "The MLP makes training steadier than rows that train by themselves",
        "direct rows: unstable, and slightly worse",
        "section 4.3",
    ),
    "length": Claim(
        "There is a best length: shorter and longer prefixes are worse",
        "best at 10 rows for tables, at 200 for summaries",
        "section 7.2, figure 4",
    ),
    "deep": Claim(
        "A prompt before the input alone is far behind",
        "E2E, BLEU at 10 rows: 62.2 against 69.7",
        "section 7.3, table 4",
        printed=(None, 7.5),
    ),
    "infix": Claim(
        "Rows between input and output are behind rows before both",
        "E2E, BLEU at 10 rows: 67.2 against 69.7",
        "section 7.4, table 4",
        printed=(None, 2.5),
    ),
    "unseen": Claim(
        "On a kind of place that it never saw it is better than full fine-tuning",
        "WebNLG, unseen categories, BLEU: 45.6 against 27.7",
        "section 6.4, table 1",
        printed=(None, 17.9),
    ),
    "adapters": Claim(
        "There it is better than adapters of 3 % of the parameters, too",
        "WebNLG, unseen categories, BLEU: 45.6 against 48.3, so the table says the contrary",
        "table 1",
        printed=(None, -2.7),
    ),
    "words": Claim(
        "With few examples, rows that start at real words are better than random ones",
        "random starts: low and scattered; real words better, those of the task best",
        "section 7.5, figure 5",
    ),
}

__all__ = ["CLAIMS", "ahead", "few", "length", "stable"]


def ahead(
    record: Record,
    key: str,
    first: tuple[str, Scores],
    second: tuple[str, Scores],
    seeds: Sequence[int],
    fails: str = "",
) -> None:
    """Decide whether one setting is above another, by slot accuracy and by BLEU.

    Args:
        record: of the lab.
        key: of the claim, whose margin counts for both scores.
        first: what should be better or as good, by its name.
        second: what it is compared with, by the same seeds.
        seeds: behind the scores.
        fails: what it means if the claim does not hold.
    """
    (name, ours), (other, theirs) = first, second
    if not (ours.get("slot_accuracy") and theirs.get("slot_accuracy")):
        return record.unmeasured(key)
    compare(
        record,
        key,
        both(f"{name} minus {other}", ours, theirs, record.known(key).margin),
        seeds,
        shown=_shown({name: ours, other: theirs}),
        fails=fails,
        numbers={name: dict(ours), other: dict(theirs)},
    )


def both(what: str, ours: Scores, theirs: Scores, margin: float = 0.0) -> list[Effect]:
    """The difference of two settings in slot accuracy, and in BLEU.

    Args:
        what: is compared.
        ours: of the first setting.
        theirs: of the second, by the same seeds.
        margin: see `Effect`.

    Returns:
        Two effects.
    """
    name, other = what.split(" minus ", 1)
    slots = difference(name, ours["slot_accuracy"], other, theirs["slot_accuracy"], margin)
    bleu = differences(ours["bleu"], theirs["bleu"])
    return [slots, measured(what, bleu, margin, BLEU)]


def few(
    record: Record, prefix: Mapping[int, Scores], full: Mapping[int, Scores], seeds: Sequence[int]
) -> None:
    """Holds when the prefix is above full fine-tuning on average over the smaller amounts of data.

    It also has to be further above with the fewest examples than with the most.

    Args:
        record: of the lab.
        prefix: scores by number of examples; the largest number is not among the few.
        full: the same of full fine-tuning.
        seeds: behind the scores.
    """
    sizes = sorted(n for n in prefix if prefix[n]["slot_accuracy"] and n in full)
    if len(sizes) < 2:
        return record.unmeasured("few")
    most = sizes[-1]
    below = " and ".join(map(str, sizes[:-1])) + " examples"
    means = [
        {
            score: [fmean(v) for v in zip(*(own[n][score] for n in sizes[:-1]), strict=True)]
            for score in SCORES
        }
        for own in (prefix, full)
    ]
    gaps = {
        n: [100 * d for d in differences(prefix[n]["slot_accuracy"], full[n]["slot_accuracy"])]
        for n in sizes
    }
    more = differences(gaps[sizes[0]], gaps[most])
    compare(
        record,
        "few",
        [
            *both(f"prefix minus full fine-tuning, {below}", *means),
            measured(f"the same with {sizes[0]} examples minus with {most}", more),
        ],
        seeds,
        shown="prefix minus full fine-tuning: "
        + ", ".join(f"{fmean(gap):+.1f} points with {n}" for n, gap in gaps.items()),
        numbers={str(n): {"prefix": dict(prefix[n]), "full": dict(full[n])} for n in sizes},
    )


def stable(
    record: Record, mlp: Sequence[float], direct: Sequence[float], seeds: Sequence[int]
) -> None:
    """Holds when the rows of the MLP are better on average, and their seeds nearer to each other.

    Args:
        record: of the lab.
        mlp: slot accuracies from 0 to 1, one for each seed.
        direct: the same of rows that train by themselves.
        seeds: behind the accuracies.
    """
    if not (mlp and direct):
        return record.unmeasured("stable")
    apart = differences(*([100 * abs(v - fmean(own)) for v in own] for own in (direct, mlp)))
    compare(
        record,
        "stable",
        [
            difference("MLP", mlp, "direct rows", direct),
            measured("distance of a seed from the mean, direct rows minus MLP", apart),
        ],
        seeds,
        shown=percent({"MLP": mlp, "direct rows": direct}),
        numbers={"MLP": list(mlp), "direct": list(direct)},
    )


def length(record: Record, points: Mapping[int, Sequence[float]], seeds: Sequence[int]) -> None:
    """Holds when 10 rows are above a single one, and above the longest prefix.

    Args:
        record: of the lab.
        points: slot accuracies from 0 to 1 by length, one for each seed; the lengths are 1, 10 and
            longer ones.
        seeds: behind the accuracies.
    """
    if not {1, 10} <= points.keys() or max(points) == 10:
        return record.unmeasured("length")
    longest = max(points)
    compare(
        record,
        "length",
        [
            difference("10 rows", points[10], "1 row", points[1]),
            difference("10 rows", points[10], f"{longest} rows", points[longest]),
        ],
        seeds,
        shown=percent(points, "P={}"),
        numbers={str(P): list(v) for P, v in points.items()},
    )


def _shown(scores: Mapping[str, Scores]) -> str:
    said = (
        f"{name} {100 * fmean(own['slot_accuracy']):.1f} % and BLEU {fmean(own['bleu']):.1f}"
        for name, own in scores.items()
    )
    return "slot accuracy and BLEU: " + ", ".join(said)
