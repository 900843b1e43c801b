"""How lab 05 decides the claims of P-Tuning: from measured numbers to a verdict in the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from peftlab.ledger.effects import STEPS, Effect, measured
from peftlab.ledger.record import Record
from peftlab.ledger.verdicts import AS_GOOD, Claim, compare, decide, percent
from peftlab.seeds import differences

LOST = 100 * (51.08 - 31.29) / 51.08  # % of the right answers that a wording costs in the paper
OF_RIGHT = "% of the right answers"
SAVED = 2.0  # steps: about a fifth of what training takes here

CLAIMS = {
    "swing": Claim(
        "One word left out costs a prompt more than two fifths of its right answers",
        "one relation of LAMA, four wordings: 31.29 to 51.08 % (figures taken second-hand)",
        "table 1",
        margin=-LOST,
    ),
    "swing_real": Claim(
        "So it does in a model that was trained on real text",
        "one relation of LAMA, four wordings: 31.29 to 51.08 % (figures taken second-hand)",
        "table 1",
        margin=-LOST,
    ),
    "spread": Claim(
        "Learnt prompts spread less than worded ones",
        "P-Tuning is the stabler one",
        "sections 1 and 4",
    ),
    "best": Claim(
        "P-Tuning is above the worded prompt that is best on the training split",
        "LAMA-34k: 50.6 against 43.3; LAMA-29k: 64.2 against 45.2",
        "table 2",
        printed=(7.3,),
    ),
    "encoder": Claim(
        "A prompt encoder saves a fifth of the steps that free vectors take",
        "the encoder is meant against local minima; no number is printed",
        "section 3.2",
    ),
    "lstm": Claim(
        "The LSTM saves a fifth of the steps that the MLP alone takes",
        "the LSTM ties the vectors together; no number is printed",
        "section 3.2",
    ),
    "place": Claim(
        "In a decoder slots behind the input are worth more than slots in front of it",
        "slots may stand anywhere; no number is printed",
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
    "title": Claim(
        "GPT understands, too: with P-Tuning a GPT is as good as a BERT of its size",
        "SuperGLUE: GPT2-base with P-Tuning is above BERT-base on 6 of 7 tasks",
        "section 4.2, table 3",
        margin=AS_GOOD,
    ),
}

Prompts = Mapping[str, Mapping[str, Mapping[str, float]]]  # by relation, prompt and split


def swing(record: Record, key: str, without: Mapping[str, Mapping[str, Any]], seed: int) -> None:
    """Holds when the dearest word of a prompt is worth two fifths of its right answers.

    Args:
        record: of the lab.
        key: "swing", or "swing_real" for a model that was trained on real text.
        without: accuracy from 0 to 1 "before", and "after" each word was left out, by relation.
        seed: of the run; nothing is drawn.
    """
    known = {name: own for name, own in without.items() if own["before"]}
    if len(known) < 2:
        return record.unmeasured(key)
    before = [own["before"] for own in known.values()]
    after = [min(own["after"].values()) for own in known.values()]
    lost = [100 * (1 - b / a) for a, b in zip(before, after, strict=True)]
    text = "generated" if key == "swing" else "real"
    return compare(
        record,
        key,
        [
            measured(
                f"lost with the dearest word, {text} text", lost, -LOST, OF_RIGHT, over="relations"
            )
        ],
        [seed],
        shown=percent({"the whole prompt": before, "without its dearest word": after}),
        numbers={name: dict(own) for name, own in known.items()},
    )


def spread(
    record: Record,
    prompts: Prompts,
    learnt: Mapping[str, Sequence[float]],
    seeds: Sequence[int],
) -> None:
    """Holds when learnt prompts of different encoders and seeds are closer than worded ones.

    Args:
        record: of the lab.
        prompts: accuracies of the worded ones, see `sweep.worded`.
        learnt: accuracies from 0 to 1 of P-Tuning by relation, over encoders and seeds.
        seeds: behind the learnt ones.
    """
    names = [name for name in prompts if learnt.get(name)]
    if len(names) < 2:
        return record.unmeasured("spread")
    hand = [_range([own["test"] for own in prompts[name].values()]) for name in names]
    ours = [_range(learnt[name]) for name in names]
    return compare(
        record,
        "spread",
        [
            measured(
                "range by hand minus P-Tuning's",
                [100 * d for d in differences(hand, ours)],
                over="relations",
            )
        ],
        seeds,
        shown=f"best minus worst, mean over {len(names)} relations: by hand "
        f"{100 * fmean(hand):.0f} points, P-Tuning {100 * fmean(ours):.0f}",
        numbers={"by hand": dict(zip(names, hand, strict=True)), "learnt": dict(learnt)},
    )


def best(
    record: Record,
    by_hand: Mapping[str, float],
    learnt: Mapping[str, Sequence[float]],
    seeds: Sequence[int],
) -> None:
    """Holds when P-Tuning is above the worded prompt in every relation, over the seeds.

    Args:
        record: of the lab.
        by_hand: test accuracy from 0 to 1 of the worded prompt that is best on the training split,
            by relation.
        learnt: test accuracies of P-Tuning by relation, one for each seed.
        seeds: behind the learnt ones.
    """
    names = [name for name in by_hand if learnt.get(name)]
    if not names:
        return record.unmeasured("best")
    return compare(
        record,
        "best",
        [
            measured(f"{name}, P-Tuning minus worded", [100 * (a - by_hand[name]) for a in own])
            for name in names
            for own in [learnt[name]]
        ],
        seeds,
        shown=", ".join(
            f"{name} {100 * fmean(learnt[name]):.1f} against {100 * by_hand[name]:.1f} %"
            for name in names
        ),
        numbers={name: {"worded": by_hand[name], "learnt": list(learnt[name])} for name in names},
    )


def convergence(record: Record, steps: Mapping[str, Sequence[float]], seeds: Sequence[int]) -> None:
    """Decide two claims by the steps to an accuracy: encoders over none, and LSTM over MLP.

    Args:
        record: of the lab.
        steps: steps by "lstm", "mlp" and "none", one for each pair of relation and seed.
        seeds: behind the steps.
    """
    if not all(steps.get(kind) for kind in ("lstm", "mlp", "none")):
        return record.unmeasured("encoder", "lstm")

    def saved(slow: str, fast: str) -> Effect:
        gained = differences(steps[slow], steps[fast])
        return measured(f"{slow} minus {fast}", gained, -SAVED, STEPS, over="pairs")

    shown = ", ".join(f"{kind} {fmean(own):.1f} steps" for kind, own in steps.items())
    numbers = {kind: list(own) for kind, own in steps.items()}
    effects = {"encoder": [saved("none", "lstm"), saved("none", "mlp")]}
    effects["lstm"] = [saved("mlp", "lstm")]
    for key, own in effects.items():
        compare(record, key, own, seeds, shown=shown, numbers=numbers)
    return None


def place(record: Record, scores: Mapping[str, Sequence[float]], seeds: Sequence[int]) -> None:
    """Holds when slots behind the input reach more than as many in front of it.

    Args:
        record: of the lab.
        scores: accuracies from 0 to 1 after the same number of passes for "in front" and "behind",
            one for each pair of relation and seed; others are shown beside them.
        seeds: behind the scores.
    """
    if not (scores.get("in front") and scores.get("behind")):
        return record.unmeasured("place")
    gains = [100 * g for g in differences(scores["behind"], scores["in front"])]
    return compare(
        record,
        "place",
        [measured("behind minus in front", gains, over="pairs")],
        seeds,
        shown=percent(scores),
        numbers={name: list(own) for name, own in scores.items()},
    )


def anchors(
    record: Record, scores: Mapping[tuple[str, str], Sequence[float]], seeds: Sequence[int]
) -> None:
    """Holds when a fitting word before the target helps in every template, paired within it.

    Args:
        record: of the lab.
        scores: accuracies from 0 to 1 by block of slots and kind of anchor, see `sweep.anchored`.
        seeds: behind the scores.
    """
    blocks = [b for b, kind in scores if kind == "fitting" and scores[b, kind]]
    if not blocks:
        return record.unmeasured("anchors")
    named = {f"{block}, {kind}": list(own) for (block, kind), own in scores.items()}
    gains = {b: differences(scores[b, "fitting"], scores[b, "no word"]) for b in blocks}
    return compare(
        record,
        "anchors",
        [
            measured(
                f"{block} on each side, a word minus none", [100 * g for g in own], over="pairs"
            )
            for block, own in gains.items()
        ],
        seeds,
        shown=percent(named),
        numbers=named,
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


def title(
    record: Record,
    scores: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]],
    seeds: Sequence[int],
) -> None:
    """Holds when full fine-tuning leaves the GPT behind, and P-Tuning at most 2 points below.

    With P-Tuning it is compared with the BERT trained either way.

    Args:
        record: of the lab.
        scores: accuracies from 0 to 1 by backbone (the GPT first, then the BERT), by "P-Tuning" and
            "full fine-tuning", and by relation, one for each seed.
        seeds: behind the accuracies.
    """
    pooled = {
        (backbone, label): [score for own in relations.values() for score in own]
        for backbone, methods in scores.items()
        for label, relations in methods.items()
    }
    if not all(pooled.values()) or len(scores) != 2:
        return record.unmeasured("title")
    gpt, bert = scores
    tuned, full = ({name: pooled[name, label] for name in scores} for label in scores[bert])

    def ahead(what: str, higher: Sequence[float], lower: Sequence[float], margin: float) -> Effect:
        gains = [100 * gain for gain in differences(higher, lower)]
        return measured(what, gains, margin, over="pairs")

    effects = [
        ahead(f"{bert} minus {gpt}, both fully fine-tuned", full[bert], full[gpt], 0.0),
        ahead(f"{gpt} minus {bert}, both with P-Tuning", tuned[gpt], tuned[bert], AS_GOOD),
        ahead(f"{gpt} with P-Tuning minus {bert} in full", tuned[gpt], full[bert], AS_GOOD),
    ]
    named: dict[str, Any] = {f"{b} with {m}": own for (b, m), own in pooled.items()}
    return compare(record, "title", effects, seeds, shown=percent(named), numbers=named)


def _range(values: Sequence[float]) -> float:
    return max(values) - min(values)
