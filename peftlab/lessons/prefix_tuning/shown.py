"""What lab 04 shows of live and stored runs: scores of a series, texts, attention, the panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from peftlab.backbones import load_backbone
from peftlab.figures import Table
from peftlab.insight import attention_mass
from peftlab.lessons.prefix_tuning import panel
from peftlab.lessons.prefix_tuning.claims import SCORES
from peftlab.lessons.prefix_tuning.sweep import WIDTH, chosen, looked_at
from peftlab.lessons.session import Session
from peftlab.tasks import Task, load_task
from peftlab.training import evaluate


def scores(
    lab: Session, series: str, seeds: Sequence[int], kind: str = ""
) -> dict[Any, dict[str, list[float]]]:
    """Collect slot accuracy and BLEU of the stored runs of a series.

    Args:
        lab: the session.
        series: name of the series.
        seeds: whose runs count.
        kind: of the test examples that count; empty for all of them.

    Returns:
        By value of the series the scores by name, one for each of the seeds that ran; empty lists
        where nothing is stored.
    """
    found = {}
    for value, trial in lab.plan.series[series].items():
        runs = [run for run in lab.runs(trial) if run.seed in seeds and lab.score != "accuracy"]
        own = [run.scores_by_kind[kind] if kind else run.test_scores for run in runs]
        found[value] = {name: [one[name] for one in own] for name in SCORES}
    return found


def slots(found: Mapping[Any, Mapping[str, Sequence[float]]]) -> dict[Any, list[float]]:
    """Take the slot accuracies out of `scores`, for figures.

    Args:
        found: as `scores` gives it.

    Returns:
        From 0 to 1 by value, one for each seed; values without a run are left out.
    """
    return {
        value: list(own["slot_accuracy"]) for value, own in found.items() if own["slot_accuracy"]
    }


def written_table(lab: Session) -> Table:
    """Show what the live prefix writes, beside what stored models wrote and the references.

    Args:
        lab: the session, with a live run "prefix".

    Returns:
        For each chosen example its input, the texts and a reference; for a task of labels the
        label that the live run gives.
    """
    attachment, task = lab.live["prefix"].attachment, load_task(lab.task)
    examples = chosen(task)
    tokenizer = load_backbone(lab.backbone, task)[1]
    answers = evaluate(attachment.model, tokenizer, examples).predictions
    stored = lab.study["written"] if lab.scores("prefix") else {}
    rows = []
    for i, (example, answer) in enumerate(zip(examples, answers, strict=True)):
        rows.append({"": "input", "text": _words(example.text)})
        rows.append({"": "prefix, live", "text": _words(_labelled(task, answer))})
        for name in ("full fine-tuning", "prompt tuning"):
            if name in stored:
                rows.append({"": f"{name}, stored", "text": stored[name][i]})
        rows += [{"": "a reference", "text": text} for text in example.references[:1]]
    return Table(rows, caption="Texts that were written, beside a reference")


def _labelled(task: Task, answer: Any) -> str | tuple[str, ...]:
    """A text as it is, or the names of the labels that were predicted."""
    if isinstance(answer, str):
        return answer
    if isinstance(answer, int):
        return task.labels[answer]
    return tuple(task.labels[label] for label in answer)


def _words(text: str | Sequence[str]) -> str:
    return text if isinstance(text, str) else " ".join(text)


def masses(lab: Session) -> dict[str, list[float]]:
    """Measure how much the live prefix is looked at, before its training and after it.

    Args:
        lab: the session, with a live run "prefix".

    Returns:
        "untrained" and "trained", a number from 0 to 1 for each layer.
    """
    trial, task = lab.plan.trials["prefix"], load_task(lab.task)
    model, tokenizer = load_backbone(lab.backbone, task, seed=lab.seed)
    batch = looked_at(tokenizer, task)
    torch.manual_seed(lab.seed)
    untrained = trial.method.attach(model)
    found = {"untrained": attention_mass(untrained, batch)}
    return found | {"trained": attention_mass(lab.live["prefix"].attachment, batch)}


def measured_prefixes(lab: Session, config: Any, head: str | None) -> panel.MeasuredPrefixes:
    """Collect for the panel what the stored runs measured.

    Args:
        lab: the session.
        config: of the backbone, for counts.
        head: of the task, for counts.

    Returns:
        What the panel looks at; without stored runs only the counts.
    """
    there = bool(lab.scores("prefix"))
    has = lab.runs("prefix")[0].test_scores or {} if there else {}
    measured = {name: lab.series("length", name) for name in panel.SCORES if name in has}
    mass = lab.study["mass"] if there else {}
    written = lab.study["written"] if there else {}
    task = load_task(lab.task)
    return panel.MeasuredPrefixes(
        config=config,
        head=head,
        width=WIDTH,
        mass={int(P): own for P, own in mass.items()},
        slot_accuracy=measured.get("slot_accuracy", {}),
        slot_error=measured.get("slot_error", {}),
        bleu=measured.get("bleu", {}),
        shown=[own | {"input": _words(own["input"])} for own in lab.study["shown"]]
        if there
        else (),
        written={
            int(name[2:]): [_words(_labelled(task, answer)) for answer in own]
            for name, own in written.items()
            if name.startswith("P=")
        },
    )
