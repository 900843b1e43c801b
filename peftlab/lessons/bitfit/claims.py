"""How lab 07 decides the claims of BitFit: from measured numbers to a verdict in the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from peftlab.ledger.effects import difference
from peftlab.ledger.record import Record
from peftlab.ledger.verdicts import AS_GOOD, Claim, above, compare, decide

CLAIMS = {
    "quality": Claim(
        "BitFit is competitive with full fine-tuning",
        "BERT large, GLUE validation average: 84.2 against 84.1 (figures taken second-hand)",
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
    "random": Claim(
        "As many scalars at random places do worse",
        "rand uniform, 100k scalars of BERT base, below BitFit",
        "table 3",
    ),
    "key": Claim(
        "The key's bias does not move",
        "no change of b_k in the figure; its gradient is zero",
        "section 4, figure 1",
    ),
    "moves": Claim(
        "The query's bias and the bias on the MLP's way in move most",
        "darkest columns of the figure",
        "section 4, figure 1",
    ),
    "crossover": Claim(
        "BitFit wins with little data and loses with much",
        "subsets of SQuAD: ahead of full fine-tuning at small sizes, behind at large ones",
        "section 4, figure 2",
    ),
}


__all__ = ["CLAIMS", "above", "controls", "crossover", "movement"]


def controls(record: Record, scores: Mapping[str, Sequence[float]], seeds: Sequence[int]) -> None:
    """Decide three claims: BitFit is near full fine-tuning, two kinds near all, all above random.

    Args:
        record: of the lab.
        scores: accuracies from 0 to 1, one for each seed, for "all", "full", "two", "random", and
            for each of the two kinds alone, "query" and "mlp_in".
        seeds: behind the accuracies.
    """
    every = ("BitFit", scores["all"])
    alone = {"query alone": scores["query"], "MLP in alone": scores["mlp_in"]}
    above(record, "quality", every, ("full", scores["full"]), seeds)
    above(record, "two", ("two kinds", scores["two"]), every, seeds, beside=alone)
    above(record, "random", every, ("random scalars", scores["random"]), seeds)


def movement(
    record: Record,
    moves: Sequence[Mapping[str, Sequence[float]]],
    effects: Mapping[str, float],
    seeds: Sequence[int],
) -> None:
    """Decide two claims: the key's bias stays, and the paper's two kinds move most.

    Args:
        record: of the lab.
        moves: mean change by kind and layer, see `insight.bias_change`, one map for each seed.
        effects: of putting a kind back in one run, see `insight.bias_effect`; for the reason only.
        seeds: behind the maps.
    """
    if not moves:
        return record.unmeasured("key", "moves")
    means = {kind: fmean(v for move in moves for v in move[kind]) for kind in moves[0]}
    order = sorted(means, key=means.get, reverse=True)
    ours = ", ".join(f"{kind} {means[kind]:.2g}" for kind in order)
    still = means["key"] <= 1e-3 * means["query"]
    decide(
        record,
        "key",
        still,
        ours=f"mean change: key {means['key']:.2g}, query {means['query']:.2g}",
        seeds=seeds,
        fails="Adam divides rounding noise by its own size, so that it drifts; put back, the key's "
        f"bias moves no logit by more than {effects['key']:.0e}, the query's one by "
        f"{effects['query']:.1g}",
        numbers={"means": means, "effects": dict(effects)},
    )
    decide(
        record,
        "moves",
        set(order[:2]) == {"query", "mlp_in"},
        ours=f"mean change: {ours}",
        seeds=seeds,
        fails=f"here {order[0]} and {order[1]} move most",
        numbers=means,
    )


def crossover(
    record: Record,
    bitfit: Mapping[int, Sequence[float]],
    full: Mapping[int, Sequence[float]],
    seeds: Sequence[int],
) -> None:
    """Holds when BitFit is above full fine-tuning at the smallest size and below at the largest.

    Args:
        record: of the lab.
        bitfit: accuracies from 0 to 1 by number of training examples, one for each seed.
        full: the same for full fine-tuning.
        seeds: behind the accuracies.
    """
    sizes = sorted(bitfit.keys() & full.keys())
    if len(sizes) < 2:
        return record.unmeasured("crossover")
    few, many = sizes[0], sizes[-1]
    effects = [
        difference(f"BitFit, {few} sentences", bitfit[few], "full", full[few]),
        difference(f"full, {many} sentences", full[many], "BitFit", bitfit[many]),
    ]
    gaps = {n: 100 * (fmean(bitfit[n]) - fmean(full[n])) for n in sizes}
    compare(
        record,
        "crossover",
        effects,
        seeds,
        shown="BitFit minus full fine-tuning: "
        + ", ".join(f"{gap:+.1f} points with {n} sentences" for n, gap in gaps.items()),
        numbers={str(n): {"bitfit": bitfit[n], "full": full[n]} for n in sizes},
    )
