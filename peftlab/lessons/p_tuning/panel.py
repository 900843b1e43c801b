"""The prompt box: ask in your own words, and see what a model answers for five subjects at once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import ipywidgets as widgets
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from peftlab import anatomy, figures
from peftlab.figures.panel import Panel, Record, facts, percent, short
from peftlab.tasks import Task
from peftlab.training.batches import IGNORED, answer_ids, collator, encode
from peftlab.training.forward import answered

SUBJECTS = 5
SHOWN = 3  # answers for each of them
LONGEST = 300  # characters of a prompt: a longer one would be cut


class Asked(NamedTuple):
    """A model that the box asks.

    Attributes:
        model: a language model, of either kind.
        tokenizer: of the model.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


@torch.no_grad()
def answers_record(models: Mapping[str, Asked], data: Task, prompt: str, backbone: str) -> Record:
    """Ask a model with a prompt, for the first five test subjects; nothing trains.

    Args:
        models: by name.
        data: one relation, whose subjects are asked about.
        prompt: with [X] for the subject and [Y] for the answer.
        backbone: name of one of the models.

    Returns:
        For each subject the right answer, the likeliest next tokens with their probabilities, and
        the probability of the right answer's first token. A prompt that cannot be asked gives none
        of this but a "problem".
    """
    record: Record = {"prompt": prompt, "backbone": backbone}
    model, tokenizer = models[backbone]
    if problem := _problem(prompt):
        return record | {"problem": problem}
    try:
        examples = data.rephrase(prompt).test[:SUBJECTS]
        rows = encode(tokenizer, examples)
    except ValueError as why:
        return record | {"problem": str(why)}
    model.eval()
    writes = anatomy.head_of(model) == "causal_lm"
    rows = [row | {"labels": _first(row["labels"])} for row in rows]
    _, logits, labels = answered(model, collator(tokenizer, "right")(rows), writes)
    place = (labels != IGNORED).int().argmax(1)
    shares = logits[torch.arange(len(rows)), place].softmax(-1)  # (B, V)
    best = shares.topk(SHOWN)
    said = []
    for i, example in enumerate(examples):
        right = answer_ids(tokenizer, example.references[0])[0]
        said.append(
            {
                "subject": example.tags["subject"],
                "answer": example.references[0],
                "right": shares[i, right].item(),
                "solved": best.indices[i, 0].item() == right,
                "says": [
                    [tokenizer.decode([token]).strip() or "(blank)", share]
                    for token, share in zip(
                        best.indices[i].tolist(), best.values[i].tolist(), strict=True
                    )
                ],
            }
        )
    return record | {"answers": said}


def _problem(prompt: str) -> str | None:
    """Why a prompt cannot be asked, whatever the model."""
    if len(prompt) > LONGEST:
        return f"it has {len(prompt)} characters; write at most {LONGEST}"
    if other := re.search(r"\[P(\*\d+)?\]|\[X2\]", prompt):
        return f"{other[0]} is for templates that train; a prompt has words, [X] and [Y] alone"
    return None


def _first(labels: Sequence[int]) -> list[int]:
    """The labels without those behind the first one."""
    first = next(i for i, label in enumerate(labels) if label != IGNORED)
    return [label if i == first else IGNORED for i, label in enumerate(labels)]


def draw_answers(record: Record) -> str:
    """Draw the record as a table and a picture.

    Args:
        record: as `answers_record` gives it.

    Returns:
        HTML.
    """
    if "problem" in record:
        told = {"prompt": short(record["prompt"], 100), "problem": record["problem"]}
        return facts(told, figures.nothing("Answers", "this prompt cannot be asked"))
    rows = [
        {
            "subject": one["subject"],
            "right answer": one["answer"],
            "likeliest next tokens": ", ".join(f"{w} {percent(p)}" for w, p in one["says"]),
            "first token right": "yes" if one["solved"] else "no",
        }
        for one in record["answers"]
    ]
    table = figures.Table(rows, caption=f"{record['backbone']}: {record['prompt']}")
    bars = {one["subject"]: round(100 * one["right"], 1) for one in record["answers"]}
    solved = [one["subject"] for one in record["answers"] if one["solved"]]
    title = "Probability of the right answer's first token; blue: it is the likeliest"
    return table._repr_html_() + figures.choice_bars(bars, solved, title, "%")._repr_html_()


def prompt_box(models: Mapping[str, Asked], data: Task, prompts: Sequence[str]) -> Panel:
    """Write a prompt, or choose one, and read the answers of a model. Nothing trains.

    Args:
        models: by name, at least one.
        data: one relation, whose subjects are asked about.
        prompts: offered beside the learner's own, at least one.

    Returns:
        The panel.
    """
    controls = {
        "prompt": widgets.Combobox(
            value=prompts[0],
            options=list(prompts),
            description="prompt",
            continuous_update=False,
            ensure_option=False,
            layout=widgets.Layout(width="34em"),
        ),
        "backbone": widgets.Dropdown(options=list(models), description="model"),
    }
    return Panel(
        partial(answers_record, models, data), draw_answers, controls, "Ask in your own words"
    )
