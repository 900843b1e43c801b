"""How lab 07 decides the claims of BitFit: from measured numbers to a verdict in the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from peftlab.ledger import CLOSE, FAILS, HOLDS, Record, judge
from peftlab.verdicts.base import SPREAD, above, near, together

__all__ = ["above", "crossover", "movement", "near"]


def movement(
    record: Record,
    moves: Sequence[Mapping[str, Sequence[float]]],
    effects: Mapping[str, float],
    seeds: Sequence[int],
) -> None:
    """Decides two claims: the key's bias stays, and the paper's two kinds move most.

    Args:
        record: of the lab.
        moves: mean change by kind and layer, see `ablation.bias_change`, one map a seed.
        effects: of putting a kind back in one run, see `ablation.bias_effect`; for the reason only.
        seeds: behind the maps.
    """
    if not moves:
        return record.unmeasured("key", "moves")
    means = {kind: fmean(v for move in moves for v in move[kind]) for kind in moves[0]}
    order = sorted(means, key=means.get, reverse=True)
    ours = ", ".join(f"{kind} {means[kind]:.2g}" for kind in order)
    still = means["key"] <= 1e-3 * means["query"]
    record.claim(
        "key",
        ours=f"mean change: key {means['key']:.2g}, query {means['query']:.2g}",
        verdict=HOLDS if still else FAILS,
        seeds=seeds,
        why=""
        if still
        else "Adam divides rounding noise by its own size, so that it drifts; put back, the key's "
        f"bias moves no logit by more than {effects['key']:.0e}, the query's one by "
        f"{effects['query']:.1g}",
        numbers={"means": means, "effects": dict(effects)},
    )
    record.claim(
        "moves",
        ours=f"mean change: {ours}",
        verdict=HOLDS if set(order[:2]) == {"query", "mlp_in"} else FAILS,
        seeds=seeds,
        why=""
        if set(order[:2]) == {"query", "mlp_in"}
        else f"here {order[0]} and {order[1]} move most",
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
        bitfit: accuracies from 0 to 1 by number of training examples, one a seed.
        full: the same for full fine-tuning.
        seeds: behind the accuracies.
    """
    sizes = sorted(bitfit.keys() & full.keys())
    if len(sizes) < 2:
        return record.unmeasured("crossover")
    few, many = sizes[0], sizes[-1]
    verdict = together(judge(bitfit[few], full[few]), judge(full[many], bitfit[many]))
    gaps = {n: 100 * (fmean(bitfit[n]) - fmean(full[n])) for n in sizes}
    record.claim(
        "crossover",
        ours="BitFit minus full fine-tuning: "
        + ", ".join(f"{gap:+.1f} points with {n} sentences" for n, gap in gaps.items()),
        verdict=verdict,
        seeds=seeds,
        why={HOLDS: "", CLOSE: f"at one end {SPREAD}"}.get(
            verdict, "the curves do not cross between these sizes"
        ),
        numbers={str(n): {"bitfit": bitfit[n], "full": full[n]} for n in sizes},
    )
