"""How lab 05 decides the claims of P-Tuning: from measured numbers to a verdict in the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from peftlab.ledger.record import Record
from peftlab.ledger.verdicts import SPREAD, Claim, above, decide, together
from peftlab.seeds import HOLDS, judge

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
    names = [name for name in prompts if learned.get(name)]
    if not names:
        return record.unmeasured("spread")
    by_hand = [max(prompts[n].values()) - min(prompts[n].values()) for n in names]
    ours = [max(learned[n]) - min(learned[n]) for n in names]
    verdict = judge(by_hand, ours)
    decide(
        record,
        "spread",
        verdict,
        ours=f"best minus worst, mean over {len(names)} relations: hand-written "
        f"{100 * fmean(by_hand):.0f} points, P-Tuning {100 * fmean(ours):.0f}",
        seeds=seeds,
        close="the difference is within the spread over the relations",
        fails="learned prompts spread as widely",
        numbers={"hand-written": by_hand, "learned": ours},
    )


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
    names = [name for name in prompts if learned.get(name)]
    if not names:
        return record.unmeasured("best")
    by_hand = {name: max(prompts[name].values()) for name in names}
    ours = {name: fmean(learned[name]) for name in names}
    gains = [ours[name] - by_hand[name] for name in names]
    verdict = judge(gains, [0.0])
    decide(
        record,
        "best",
        verdict,
        ours=f"mean over {len(names)} relations: best hand-written prompt "
        f"{100 * fmean(by_hand.values()):.1f} %, P-Tuning {100 * fmean(ours.values()):.1f} %",
        seeds=seeds,
        close="the difference is within the spread over the relations",
        fails="the best worded prompts are at the ceiling already",
        numbers={"hand-written": by_hand, "learned": ours},
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
    verdicts = {kind: judge(steps[kind], steps["lstm"]) for kind in ("mlp", "none")}
    verdict = together(*verdicts.values())
    faster = [kind for kind, v in verdicts.items() if v != HOLDS]
    decide(
        record,
        "convergence",
        verdict,
        ours=", ".join(f"{kind} {fmean(own):.0f} steps" for kind, own in steps.items()),
        seeds=seeds,
        close=f"against {', '.join(faster)}, {SPREAD}",
        fails=f"as fast or faster here: {', '.join(faster)}",
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
