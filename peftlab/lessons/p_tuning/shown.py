"""What lab 05 shows of its runs and of worded prompts: tables, and the data of its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from peftlab.figures import Table
from peftlab.lessons.p_tuning.sweep import (
    BLOCKS,
    EDITS,
    PLACES,
    anchored,
    by_relation,
    chosen,
    one_word,
    two_families,
    worded,
)
from peftlab.lessons.session import Session
from peftlab.runs.records import steps_to
from peftlab.runs.trial import Run


def edits_table(lab: Session, found: Mapping[str, float]) -> Table:
    """Show what one changed word does to a prompt for the capital.

    Args:
        lab: the session.
        found: what the lab's backbone reached just now, see `sweep.edited`.

    Returns:
        A row for each changed prompt, with the accuracy before and after: of the backbone measured
        just now, of other models stored. No row where nothing was asked.
    """
    if not found:
        return Table([], caption="This task has no prompts")
    asked = {f"{lab.backbone}, now": found}
    stored = lab.study.get("edits", {}).items()
    asked |= {f"{name}, stored": own for name, own in stored if name != lab.backbone}
    rows = []
    for before, old, new in EDITS:
        after = one_word(before, old, new)
        numbers = {
            n: f"{100 * own[before]:.0f} → {100 * own[after]:.0f}" for n, own in asked.items()
        }
        rows.append({"prompt": before, "changed": after} | numbers)
    return Table(rows, caption="One changed word, accuracy in % before → after; no training")


def dearest_words_table(lab: Session) -> Table:
    """Say which word of each relation's prompt is dearest, and what is left without it.

    Args:
        lab: the session.

    Returns:
        A row for each relation and backbone that was asked.
    """
    rows = []
    for backbone, relations in lab.study.get("without", {}).items():
        for own in relations.values():
            word, after = min(own["after"].items(), key=lambda item: item[1])
            rows.append(
                {
                    "model": backbone,
                    "prompt": own["prompt"],
                    "without": word,
                    "accuracy": f"{100 * own['before']:.0f} → {100 * after:.0f}",
                }
            )
    return Table(rows, caption="One word left out, accuracy in % before → after (stored)")


def wordings_table(lab: Session, backbone: str) -> Table:
    """Say what the best, the worst and the chosen wording of each relation reach.

    Args:
        lab: the session.
        backbone: which was asked.

    Returns:
        A row for each relation that was asked about.
    """
    rows = []
    for relation, prompts in worded(lab, backbone).items():
        tests = [own["test"] for own in prompts.values()]
        best = chosen(prompts)
        rows.append(
            {
                "relation": relation,
                "worst": f"{100 * min(tests):.1f}",
                "best": f"{100 * max(tests):.1f}",
                "best on train": f"{100 * prompts[best]['test']:.1f}",
                "which one": best,
            }
        )
    return Table(rows, caption=f"{backbone}: test accuracy of seven worded prompts, in % (stored)")


def learnt(lab: Session, backbone: str | None = None) -> dict[str, list[float]]:
    """Collect the test accuracies of P-Tuning by relation, over prompt encoders and seeds.

    Args:
        lab: the session.
        backbone: the language model, if it is not the lab's backbone.

    Returns:
        From 0 to 1, by relation; a relation without a stored run is left out.
    """
    found: dict[str, list[float]] = {}
    series = "language model" if backbone else "encoder"
    for own in by_relation(lab, series, backbone).values():
        for relation, runs in own.items():
            found.setdefault(relation, []).extend(run.test_accuracy for run in runs)
    return found


def hand_and_learnt(lab: Session, backbone: str | None = None) -> dict[str, dict[str, list[float]]]:
    """Put worded and learnt prompts side by side.

    Args:
        lab: the session.
        backbone: the language model, if it is not the lab's backbone.

    Returns:
        Test accuracies from 0 to 1 by relation, "worded" and "learnt".
    """
    ours, hand = learnt(lab, backbone), worded(lab, backbone or lab.backbone)
    return {
        relation: {"worded": [own["test"] for own in hand[relation].values()], "learnt": reached}
        for relation, reached in ours.items()
        if relation in hand
    }


def over_time(lab: Session) -> dict[str, dict[int, list[float]]]:
    """Collect the validation accuracy by epoch of every prompt encoder.

    Args:
        lab: the session.

    Returns:
        From 0 to 1 by encoder and epoch, one for each relation and seed.
    """
    curves = {}
    for kind, own in by_relation(lab, "encoder").items():
        looks = [run.validation for runs in own.values() for run in runs]
        curves[lab.plan.series["encoder"][kind].label] = {
            epoch + 1: [look[epoch]["accuracy"] for look in looks]
            for epoch in range(min(map(len, looks), default=0))
        }
    return curves


def templates_table(lab: Session) -> Table:
    """Say what each template reaches after few passes, over all relations and seeds.

    Args:
        lab: the session.

    Returns:
        A row for each template that has stored runs, with its mean test accuracy in %.
    """
    found = {slots: pooled(by_relation(lab, "place")[name]) for name, slots in PLACES.items()}
    for (block, kind), own in anchored(lab).items():
        word = {"no word": "", "fitting": "(fitting word)"}.get(kind, kind)
        found[f"{BLOCKS[block]} {word}".rstrip()] = own
    rows = [
        {"template": f"{slots} [Y]", "mean accuracy in %": 100 * fmean(own)}
        for slots, own in found.items()
        if own
    ]
    return Table(rows, caption="After three passes, eight relations and eight seeds (stored)")


def pooled(runs: dict[str, list[Run]]) -> list[float]:
    """Put the test accuracies of all relations into one list.

    Args:
        runs: by relation.

    Returns:
        From 0 to 1, in the order of relations and seeds.
    """
    return [run.test_accuracy for own in runs.values() for run in own]


def families_table(lab: Session) -> Table:
    """Say what P-Tuning and full fine-tuning reach on both backbones, over all relations.

    Args:
        lab: the session.

    Returns:
        A row for each backbone and method that has stored runs.
    """
    rows = [
        {"backbone": backbone, "trained": label, "mean test accuracy in %": 100 * fmean(scores)}
        for backbone, methods in two_families(lab).items()
        for label, relations in methods.items()
        if (scores := [score for own in relations.values() for score in own])
    ]
    return Table(rows, caption="Over eight relations and three seeds (stored)")


def steps_by_encoder(lab: Session, accuracy: float) -> dict[str, Sequence[int]]:
    """Count the steps that each prompt encoder needs to an accuracy on validation.

    Args:
        lab: the session.
        accuracy: from 0 to 1.

    Returns:
        Steps by encoder, one for each relation and seed.
    """
    return {
        kind: [steps_to(run, accuracy) for runs in own.values() for run in runs]
        for kind, own in by_relation(lab, "encoder").items()
    }
