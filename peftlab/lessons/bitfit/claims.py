"""How lab 07 decides the claims of BitFit: from measured numbers to a verdict in the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from peftlab.ledger.effects import TIMES, difference, measured
from peftlab.ledger.record import Record
from peftlab.ledger.verdicts import AS_GOOD, Claim, better, compare, decide
from peftlab.seeds import CLOSE, paired

__all__ = ["CLAIMS", "better", "controls", "crossover", "key", "moves"]

NOTHING = 1e-3  # of the logits' standard deviation: an effect below it is rounding

CLAIMS = {
    "quality": Claim(
        "BitFit is competitive with full fine-tuning",
        "BERT large, GLUE validation average: 84.2 against 84.1",
        "table 1",
        margin=AS_GOOD,
        printed=(0.1,),
    ),
    "two": Claim(
        "Two kinds of bias, the query's and the MLP's way in, do almost as well as all",
        "0.04 % of the parameters, little lost",
        "table 3",
        margin=AS_GOOD,
    ),
    "alone": Claim(
        "Either of the two kinds alone is worse than both",
        "query alone and MLP in alone below the two together",
        "table 3",
    ),
    "random": Claim(
        "As many scalars at random places do worse",
        "rand uniform, 100k scalars of BERT base, below BitFit",
        "table 3",
    ),
    "rows_columns": Claim(
        "As many scalars in random rows and columns do worse",
        "rand row/col, below BitFit",
        "table 3",
    ),
    "frozen": Claim(
        "Biases do far more than the head alone",
        "frozen, the worst of the table",
        "table 3",
    ),
    "key": Claim(
        "The key's bias does nothing",
        "no change of b_k in the figure; its gradient is zero",
        "section 4, figure 1",
    ),
    "moves": Claim(
        "The query's bias and the bias on the MLP's way in move most",
        "darkest columns of the figure",
        "section 4, figure 1",
    ),
    "few": Claim(
        "With few sentences BitFit is ahead of full fine-tuning",
        "subsets of SQuAD: ahead at small sizes",
        "section 4, figure 2",
    ),
    "many": Claim(
        "With many sentences full fine-tuning is ahead of BitFit",
        "subsets of SQuAD: behind at large sizes",
        "section 4, figure 2",
    ),
}


def controls(record: Record, scores: Mapping[str, Sequence[float]], seeds: Sequence[int]) -> None:
    """Decide six claims: BitFit against full fine-tuning and its controls, and the two kinds.

    Args:
        record: of the lab.
        scores: accuracies from 0 to 1, one for each seed, for "all", "full", "two", "random",
            "rows_columns", "head", and for each of the two kinds alone, "query" and "mlp_in".
        seeds: behind the accuracies; of a setting with fewer runs the first ones.
    """
    every = ("BitFit", scores["all"])
    for key, first, second in (
        ("quality", every, ("full", scores["full"])),
        ("two", ("two kinds", scores["two"]), every),
        ("random", every, ("random scalars", scores["random"])),
        ("rows_columns", every, ("rows and columns", scores["rows_columns"])),
        ("frozen", every, ("head only", scores["head"])),
    ):
        pairs = min(len(first[1]), len(second[1]))
        better(record, key, first, second, seeds[:pairs])
    both, alone = scores["two"], {n: scores[n] for n in ("query", "mlp_in") if scores[n]}
    if len(alone) < 2 or not both:
        return record.unmeasured("alone")
    return compare(
        record,
        "alone",
        [
            difference("two kinds", a, f"{name} alone", b)
            for name, own in alone.items()
            for a, b in [paired(both, own)]
        ],
        seeds[: len(both)],
        numbers={"two": list(both)} | {name: list(own) for name, own in alone.items()},
    )


def key(record: Record, effects: Sequence[Mapping[str, float]], seeds: Sequence[int]) -> None:
    """Holds when putting the key's bias back moves no logit, for every seed.

    An effect is a share of the logits' standard deviation. Those of the other kinds have to be
    larger, or nothing was learnt by any.

    Args:
        record: of the lab.
        effects: of putting a kind back, see `insight.bias_effect`, one map for each seed.
        seeds: behind the maps.
    """
    if not effects:
        return record.unmeasured("key")
    own = [effect["key"] for effect in effects]
    least = [min(v for kind, v in effect.items() if kind != "key") for effect in effects]
    still = [a < NOTHING < b for a, b in zip(own, least, strict=True)]
    return decide(
        record,
        "key",
        CLOSE if any(still) and not all(still) else all(still),
        ours=f"put back, the key's bias moves no logit by more than {max(own):.0e} of their "
        f"standard deviation; of the other kinds each moves one by at least {min(least):.2g}",
        seeds=seeds,
        close="for some seeds only",
        fails="the key's bias does as much as another kind",
        numbers={"effects": [dict(effect) for effect in effects]},
    )


def moves(
    record: Record, maps: Sequence[Mapping[str, Sequence[float]]], seeds: Sequence[int]
) -> None:
    """Holds when each of the paper's two kinds moves further than every other kind.

    Args:
        record: of the lab.
        maps: mean change by kind and layer, see `insight.bias_change`, one map for each seed.
        seeds: behind the maps.
    """
    if not maps:
        return record.unmeasured("moves")
    means = {kind: [fmean(own[kind]) for own in maps] for kind in maps[0]}
    order = sorted(means, key=lambda kind: fmean(means[kind]), reverse=True)
    others = [kind for kind in order if kind not in ("query", "mlp_in")]
    ours = ", ".join(f"{kind} {fmean(means[kind]):.2g}" for kind in order)
    effects = [
        measured(
            f"{kind} over {others[0]}",
            [a / b for a, b in zip(means[kind], means[others[0]], strict=True)],
            -1.0,
            TIMES,
        )
        for kind in ("query", "mlp_in")
    ]
    return compare(
        record,
        "moves",
        effects,
        seeds,
        shown=f"mean change: {ours}",
        fails=f"here {order[0]} and {order[1]} move most",
        numbers=means,
    )


def crossover(
    record: Record,
    bitfit: Mapping[int, Sequence[float]],
    full: Mapping[int, Sequence[float]],
    seeds: Mapping[int, Sequence[int]],
) -> None:
    """Decide two claims: BitFit is ahead at the smallest size, and behind at the largest.

    Args:
        record: of the lab.
        bitfit: accuracies from 0 to 1 by number of training examples, one for each seed.
        full: the same for full fine-tuning.
        seeds: behind the accuracies, by number of examples.
    """
    sizes = sorted(bitfit.keys() & full.keys())
    if len(sizes) < 2:
        return record.unmeasured("few", "many")
    gaps = {n: 100 * (fmean(bitfit[n]) - fmean(full[n])) for n in sizes}
    shown = "BitFit minus full fine-tuning: " + ", ".join(
        f"{gap:+.1f} points with {n:,}" for n, gap in gaps.items()
    )
    for name, n, (a, b) in (
        ("few", sizes[0], (("BitFit", bitfit), ("full", full))),
        ("many", sizes[-1], (("full", full), ("BitFit", bitfit))),
    ):
        compare(
            record,
            name,
            [difference(f"{n:,} sentences: {a[0]}", a[1][n], b[0], b[1][n])],
            seeds[n],
            shown=shown,
            numbers={str(m): {"bitfit": bitfit[m], "full": full[m]} for m in sizes},
        )
    return None
