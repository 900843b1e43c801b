"""What lab 08 shows of live and stored students: scores, a live student, time, distributions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from peftlab.backbones import load_language_model
from peftlab.figures import Table
from peftlab.insight.timing import time_ratio
from peftlab.lessons.distillation.panel import MeasuredStudents
from peftlab.lessons.distillation.sweep import (
    REAL,
    SEEDS,
    STUDENTS,
    TRIPLE,
    all_students,
    make,
    teacher_folder,
    texts,
    tunings,
)
from peftlab.lessons.session import Live, Session
from peftlab.runs.records import agreement
from peftlab.runs.trial import run_trial


@dataclass(frozen=True)
class Distilled:
    """A student that was distilled in this session, before its fine-tuning.

    Args:
        teacher: with its language-model head.
        student: the same.
        tokenizer: of both.
        made: what distillation.json says: losses, seconds, counts.
    """

    teacher: PreTrainedModel
    student: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    made: Mapping[str, Any]


def distil_live(lab: Session) -> Distilled:
    """Distil a student with all three losses now, fine-tune it, and note it as "student".

    Args:
        lab: the session.

    Returns:
        Teacher and student, as they were before the fine-tuning.

    Raises:
        ValueError: the lab's backbone is no teacher, see `distill`.
    """
    with TemporaryDirectory() as place:
        made = make(TRIPLE, lab.backbone, lab.seed, texts(), place, progress=True)
        folder = TRIPLE.folder(lab.seed, place)
        student, tokenizer = load_language_model(folder)
        attachment, run = run_trial(lab.plan.trials["student"], folder, lab.task, lab.seed)
    lab.note("student", Live(attachment, replace(run, backbone=TRIPLE.folder(lab.seed))))
    return Distilled(load_language_model(lab.backbone)[0], student, tokenizer, made)


def scores(lab: Session, student: str = "triple", trial: str = "student") -> list[float]:
    """Find the test scores of the stored students on text, after their fine-tuning.

    Args:
        lab: the session.
        student: key in `STUDENTS`, or "teacher".
        trial: of the plan; "LoRA" is the student with LoRA.

    Returns:
        From 0 to 1, one for each seed: the mean over the seeds of the fine-tuning.
    """
    return [fmean(own) for own in _tuned(lab, student, trial) if own]


def _tuned(lab: Session, student: str, trial: str = "student") -> list[list[float]]:
    """For each seed of a student the scores of all its fine-tunings."""
    if student == "teacher":
        places = [(seed, None) for seed in SEEDS]
        chosen = lab.plan.trials["teacher"]
    else:
        places = [(seed, own.folder(seed)) for n, seed, own in all_students() if n == student]
        chosen = lab.plan.series["LoRA"]["triple"] if trial == "LoRA" else lab.plan.trials[trial]
    if not lab.scores("teacher"):  # another backbone or task
        return []
    return [
        [
            run.score(lab.score)
            for run in lab.runs(chosen, backbone=where)
            if run.seed in tunings(seed)
        ]
        for seed, where in places
    ]


def held_out(lab: Session) -> dict[str, list[float]]:
    """Find the losses of the stored students on held-out text, before their fine-tuning.

    Args:
        lab: the session.

    Returns:
        In nats by key of the student, one for each seed; empty lists where nothing is stored.
    """
    there = bool(scores(lab))
    return {key: lab.study["students"][key]["held_out"] if there else [] for key in STUDENTS}


def movies(lab: Session, student: str) -> list[float]:
    """Find the stored test accuracies on movies.

    Args:
        lab: the session.
        student: "teacher", or a student of it: "distilled", "labels" or "random".

    Returns:
        From 0 to 1, one for each seed.
    """
    trial = lab.plan.series["movies"][student]
    if student == "teacher":
        return [run.test_accuracy for run in lab.runs(trial, backbone=REAL[0], task=REAL[1])]
    seeds = lab.seeds("movies") if lab.scores("teacher") else []
    runs = [lab.runs(trial, backbone=teacher_folder(seed), task=REAL[1]) for seed in seeds]
    return [run.test_accuracy for own in runs for run in own]


def agrees(lab: Session, made: Mapping[str, Any], tolerance: float, nats: float) -> Table:
    """Compare the live student with the stored seeds, before and after its fine-tuning.

    Args:
        lab: the session, with a live run "student".
        made: of the live student, see `Distilled`.
        tolerance: how far outside of the range the score still agrees, from 0 to 1.
        nats: the same for the loss on held-out text.

    Returns:
        A row for the loss on held-out text and one for the score.
    """
    live = {"student": lab.live["student"].run}
    every = [score for own in _tuned(lab, "triple") for score in own]
    (row,) = agreement(live, {"student": every}, tolerance, lab.score)
    loss = made["curve"][-1]["held_out"]
    own = {"run": "student, loss on held-out text", "live": f"{loss:.2f} nats"}
    stored = lab.study["students"]["triple"]["held_out"] if scores(lab) else []
    if stored:
        low, high = min(stored), max(stored)
        agreed = "yes" if low - nats <= loss <= high + nats else "no"
        own |= {"stored": f"{low:.2f} to {high:.2f} nats", "agrees": agreed}
    else:
        own |= {"stored": "no stored run of this setting", "agrees": "–"}
    lab.record.data["agreement"] = [own, row]
    return Table([own, row], caption="Live run against the stored seeds")


def stored_table(lab: Session) -> Table:
    """List every stored student on text: its loss on held-out text, and its score.

    Args:
        lab: the session.

    Returns:
        A row for each student; empty without stored runs.
    """
    if not scores(lab):
        return Table([{"student": "no stored runs of these settings"}], caption="Students on text")
    score = "entity F1" if lab.score == "f1" else lab.score
    rows = [
        {
            "student": student.name,
            "loss on held-out text": _range(lab.study["students"][key]["held_out"], "{:.2f}"),
            f"{score} in %": _range([100 * s for s in scores(lab, key)], "{:.1f}"),
            "seeds": len(scores(lab, key)),
        }
        for key, student in STUDENTS.items()
    ]
    return Table(rows, caption="Stored students on text: mean (lowest to highest seed)")


def _range(values: Sequence[float], form: str) -> str:
    mean, low, high = (
        form.format(v) for v in (sum(values) / len(values), min(values), max(values))
    )
    return f"{mean} ({low} to {high})"


def times(distilled: Distilled, batch: Mapping[str, Tensor]) -> dict[str, list[float]]:
    """Time teacher and student on one batch and on its first text alone.

    Args:
        distilled: teacher and student.
        batch: ids and mask, (B, T).

    Returns:
        The teacher's time divided by the student's, a number for each pair of timings: "batch" and
        "one text".
    """
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    found = {}
    for what, own in (("batch", inputs), ("one text", {k: v[:1] for k, v in inputs.items()})):
        found[what] = time_ratio(
            lambda own=own: distilled.student.base_model(**own),
            lambda own=own: distilled.teacher.base_model(**own),
        )[1]
    return found


@torch.no_grad()
def answers(distilled: Distilled, sentences: Sequence[str]) -> dict[str, dict[str, Tensor]]:
    """Ask teacher and student for the hidden word of each sentence.

    Args:
        distilled: teacher and student.
        sentences: each with one gap, written "[Y]".

    Returns:
        By sentence the logits of "teacher" and "student", each (V,).

    Raises:
        ValueError: a sentence has no gap, or several.
    """
    found = {}
    for sentence in sentences:
        text = sentence.replace("[Y]", distilled.tokenizer.mask_token)
        ids = distilled.tokenizer(text, return_tensors="pt").input_ids
        gaps = (ids[0] == distilled.tokenizer.mask_token_id).nonzero()[:, 0].tolist()
        if len(gaps) != 1:
            raise ValueError(
                f"each sentence needs exactly one gap, written [Y]; {sentence!r} has {len(gaps)}; "
                "write for example 'The soup was [Y].'"
            )
        place = gaps[0]
        found[sentence] = {
            name: model(input_ids=ids).logits[0, place]
            for name, model in (("teacher", distilled.teacher), ("student", distilled.student))
        }
    return found


def measured_students(
    lab: Session, distilled: Distilled, sentences: Sequence[str]
) -> MeasuredStudents:
    """Collect for the panel what is live and what is stored.

    Args:
        lab: the session.
        distilled: teacher and student.
        sentences: each with one gap, written "[Y]".

    Returns:
        What the panel looks at; without stored runs the distributions alone.
    """
    tokenizer = distilled.tokenizer
    words = tokenizer.convert_ids_to_tokens(list(range(distilled.teacher.config.vocab_size)))
    every = {own.name: (key, scores(lab, key)) for key, own in STUDENTS.items()}
    found = {name: both for name, both in every.items() if both[1]}
    return MeasuredStudents(
        answers=answers(distilled, sentences),
        words=words,
        held_out={name: lab.study["students"][key]["held_out"] for name, (key, _) in found.items()},
        accuracy={name: own for name, (_, own) in found.items()},
        score="entity F1" if lab.score == "f1" else "accuracy",
    )
