"""The distillation panel: a temperature, a sentence, and what a stored student reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import fmean
from typing import Any

import ipywidgets as widgets
import torch
from torch import Tensor

from peftlab.figures import BLUE, GREY, TITLE, Picture, canvas
from peftlab.figures.panel import Panel, Record, facts, percent
from peftlab.methods.distillation.layers import soft_loss
from peftlab.refuse import require_number

SHOWN = 8  # words


@dataclass(frozen=True)
class MeasuredStudents:
    """What the panel looks at. It is measured once, before the panel is made.

    Args:
        answers: by sentence the logits of the hidden word, "teacher" and "student", each (V,).
        words: the vocabulary, by id.
        held_out: by name of a stored student its losses on held-out text, one for each seed.
        accuracy: by name its scores after fine-tuning, from 0 to 1.
        score: what these scores are called.
    """

    answers: Mapping[str, Mapping[str, Tensor]]
    words: Sequence[str]
    held_out: Mapping[str, Sequence[float]] = field(default_factory=dict)
    accuracy: Mapping[str, Sequence[float]] = field(default_factory=dict)
    score: str = "accuracy"


def students_record(
    measured: MeasuredStudents, sentence: str, temperature: float, student: str
) -> Record:
    """Soften both distributions over the hidden word, and look a stored student up.

    Args:
        measured: what was measured.
        sentence: one of `measured.answers`.
        temperature: T above 0.
        student: one of `measured.held_out`, or anything else for none.

    Returns:
        The teacher's likeliest words with both probabilities, entropies in nats, the soft loss, and
        what is stored of the student.

    Raises:
        TypeError: the temperature is no number.
        ValueError: the temperature is not above 0, or the sentence was not measured.
    """
    require_number("temperature", temperature, 1e-3, 1e6, example=2.0)
    if sentence not in measured.answers:
        known = "; ".join(measured.answers)
        raise ValueError(f"sentence {sentence!r} was not measured; there are: {known}")
    logits = measured.answers[sentence]
    soft = {who: (own / temperature).softmax(-1) for who, own in logits.items()}
    top = logits["teacher"].topk(min(SHOWN, len(logits["teacher"]))).indices.tolist()
    rows = [logits[who][None] for who in ("teacher", "student")]
    return {
        "sentence": sentence,
        "temperature": temperature,
        "student": student,
        "words": [measured.words[i] for i in top],
        "teacher": [soft["teacher"][i].item() for i in top],
        "ours": [soft["student"][i].item() for i in top],
        "entropy": {who: torch.special.entr(own).sum().item() for who, own in soft.items()},
        "loss": soft_loss(*rows, temperature).item(),
        "held_out": list(measured.held_out.get(student, [])),
        "accuracy": list(measured.accuracy.get(student, [])),
        "score": measured.score,
    }


def draw_students(record: Record) -> str:
    """Draw the record as a table and a picture.

    Args:
        record: as `students_record` gives it.

    Returns:
        HTML.
    """
    seeds = min(len(record["accuracy"]), len(record["held_out"]))
    rows = {
        "entropy of the teacher, in nats": f"{record['entropy']['teacher']:.2f}",
        "soft loss of the live student, T² times the divergence": f"{record['loss']:.3f}",
    }
    if seeds:
        said = f"{record['student']}, stored ({seeds} seeds)"
        rows[f"{said}: loss on held-out text"] = f"{fmean(record['held_out']):.2f} nats"
        rows[f"{said}: {record['score']} after fine-tuning"] = percent(fmean(record["accuracy"]))
    else:
        rows["stored students"] = "none for this backbone and task"
    return facts(rows, _bars(record))


def _bars(record: Record) -> Picture:
    """Two bars for each of the teacher's likeliest words."""
    figure, ax = canvas(7.5, 3.6)
    places = range(len(record["words"]))
    ax.bar([i - 0.2 for i in places], record["teacher"], 0.4, color=GREY, label="teacher")
    ax.bar([i + 0.2 for i in places], record["ours"], 0.4, color=BLUE, label="student, live")
    ax.set_xticks(list(places), record["words"], rotation=30, ha="right", parse_math=False)
    ax.set_ylabel("probability")
    ax.legend(frameon=False)
    ax.set_title(f"T = {record['temperature']:g}: {record['sentence']}", parse_math=False, **TITLE)
    said = ", ".join(
        f"{word} {100 * p:.1f} and {100 * q:.1f} %"
        for word, p, q in zip(record["words"], record["teacher"], record["ours"], strict=True)
    )
    return Picture(
        figure,
        f"The likeliest words for the gap in {record['sentence']!r} at temperature "
        f"{record['temperature']:g}, probability by the teacher and by the student: {said}.",
    )


def students_panel(measured: MeasuredStudents, temperatures: Sequence[float]) -> Panel:
    """Choose a sentence, a temperature and a stored student. Moving a control trains nothing.

    Args:
        measured: what was measured.
        temperatures: to choose from, at least one.

    Returns:
        The panel.
    """
    controls: dict[str, Any] = {
        "sentence": widgets.Dropdown(options=list(measured.answers), description="sentence"),
        "temperature": widgets.SelectionSlider(
            options=list(temperatures),
            value=list(temperatures)[len(temperatures) // 2],
            description="T",
        ),
        "student": widgets.Dropdown(
            options=list(measured.held_out) or ["no stored student"], description="stored"
        ),
    }
    return Panel(
        partial(students_record, measured),
        draw_students,
        controls,
        "What does the teacher say of the words that it does not choose?",
    )
