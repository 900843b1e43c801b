"""How lab 05 decides the claims of P-Tuning: from measured numbers to a verdict in the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from peftlab.ledger.effects import STEPS, measured
from peftlab.ledger.record import Record
from peftlab.ledger.verdicts import Claim, above, compare, decide
from peftlab.seeds import differences

CLAIMS = {
    "swing": Claim(
        "One changed word swings a hand-written prompt",
        "capital of a country, four wordings: 31.29 to 51.08 % (figures taken second-hand)",
        "table 1",
    ),
    "spread": Claim(
        "Learnt prompts spread less than worded ones",
        "P-Tuning is the stabler one",
        "sections 1 and 4",
    ),
    "best": Claim(
        "P-Tuning is above the best hand-written prompt",
        "LAMA-34k: 50.6 against 43.3; LAMA-29k: 64.2 against 45.2",
        "table 2",
        printed=(7.3,),
    ),
    "convergence": Claim(
        "LSTM and MLP train better than free vectors",
        "the encoder is meant against local minima; no number is printed",
        "section 3.2",
    ),
    "anchors": Claim(
        "A fixed word in the template helps",
        'the anchor "?" helps in RTE; no number is printed',
        "section 3.2",
    ),
    "baking": Claim(
        "The prompt encoder can be dropped after training",
        "only the output embeddings are kept for inference",
        "section 3.2",
    ),
}


__all__ = ["CLAIMS", "above", "baking", "best", "convergence", "spread", "swing"]


def swing(record: Record, prompts: Mapping[str, Mapping[str, float]], seed: int) -> None:
    """Holds when in most relations two hand-written prompts are more than 20 points apart.

    Args:
        record: of the lab.
        prompts: accuracy from 0 to 1 of every hand-written prompt, by relation.
        seed: of the run; nothing is drawn.
    """
    if not prompts:
        return record.unmeasured("swing")
    ranges = {name: max(own.values()) - min(own.values()) for name, own in prompts.items()}
    wide = [name for name, width in ranges.items() if width > 0.2]
    holds = len(wide) > len(ranges) / 2
    decide(
        record,
        "swing",
        holds,
        ours="best minus worst prompt: "
        + ", ".join(f"{name} {100 * width:.0f} points" for name, width in ranges.items()),
        seeds=[seed],
        fails="in most relations the prompts agree within 20 points",
        numbers=ranges,
    )


def spread(
    record: Record,
    prompts: Mapping[str, Mapping[str, float]],
    learned: Mapping[str, Sequence[float]],
    seeds: Sequence[int],
) -> None:
    """Holds when learned prompts of different templates and seeds are closer than worded ones.

    Args:
        record: of the lab.
        prompts: accuracy from 0 to 1 of every hand-written prompt, by relation.
        learned: accuracies from 0 to 1 of P-Tuning by relation, over templates and seeds.
        seeds: behind the learned ones.
    """
    by_hand = {n: max(own.values()) - min(own.values()) for n, own in prompts.items()}
    ours = {n: max(own) - min(own) for n, own in learned.items() if own}
    shown = "best minus worst, mean over {} relations: hand-written {:.0f} points, P-Tuning {:.0f}"
    _over_relations(record, "spread", by_hand, ours, seeds, shown, sign=-1)


def best(
    record: Record,
    prompts: Mapping[str, Mapping[str, float]],
    learned: Mapping[str, Sequence[float]],
    seeds: Sequence[int],
) -> None:
    """Holds when P-Tuning's mean is above the best hand-written prompt, over the relations.

    Args:
        record: of the lab.
        prompts: accuracy from 0 to 1 of every hand-written prompt, by relation.
        learned: accuracies from 0 to 1 of P-Tuning by relation, over templates and seeds.
        seeds: behind the learned ones.
    """
    by_hand = {name: max(own.values()) for name, own in prompts.items()}
    ours = {name: fmean(own) for name, own in learned.items() if own}
    shown = "mean over {} relations: best hand-written prompt {:.1f} %, P-Tuning {:.1f} %"
    _over_relations(record, "best", by_hand, ours, seeds, shown, sign=1)


def _over_relations(
    record: Record,
    key: str,
    by_hand: Mapping[str, float],
    ours: Mapping[str, float],
    seeds: Sequence[int],
    shown: str,
    sign: int,
) -> None:
    """Compare P-Tuning with worded prompts, paired by relation; a sign of -1 wants it lower."""
    names = [name for name in by_hand if name in ours]
    if not names:
        return record.unmeasured(key)
    hand, learned = ([100 * own[n] for n in names] for own in (by_hand, ours))
    gains = [sign * gain for gain in differences(learned, hand)]
    what = "P-Tuning minus best by hand" if sign > 0 else "range by hand minus P-Tuning's"
    # at the ceiling no learned prompt can be above the best one by hand
    room = sign < 0 or fmean(hand) <= 99
    compare(
        record,
        key,
        [measured(what, gains, room=room, over="relations")],
        seeds,
        shown=shown.format(len(names), fmean(hand), fmean(learned)),
        numbers={"hand-written": hand, "learned": learned},
    )


def convergence(record: Record, steps: Mapping[str, Sequence[float]], seeds: Sequence[int]) -> None:
    """Holds when LSTM with MLP reaches its accuracy in fewer steps than free vectors and MLP alone.

    Args:
        record: of the lab.
        steps: steps to an accuracy, by "lstm", "mlp" and "none", one for each relation and seed.
        seeds: behind the steps.
    """
    if not all(steps.get(kind) for kind in ("lstm", "mlp", "none")):
        return record.unmeasured("convergence")
    effects = [
        measured(
            f"{kind} minus lstm", differences(steps[kind], steps["lstm"]), unit=STEPS, over="pairs"
        )
        for kind in ("mlp", "none")
    ]
    compare(
        record,
        "convergence",
        effects,
        seeds,
        shown=", ".join(f"{kind} {fmean(own):.0f} steps" for kind, own in steps.items()),
        numbers={kind: list(own) for kind, own in steps.items()},
    )


def baking(record: Record, difference: float, seed: int) -> None:
    """Holds when the table without its encoder gives the same logits, bit for bit.

    Args:
        record: of the lab.
        difference: largest absolute difference of a logit.
        seed: of the run.
    """
    decide(
        record,
        "baking",
        difference == 0,
        ours=f"largest difference of a logit: {difference:g}",
        seeds=[seed],
        fails="the logits moved",
        numbers={"difference": difference},
    )
