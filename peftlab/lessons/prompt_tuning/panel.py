"""The prompt panel: what a length costs, how much the text looks at it, what it reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import ipywidgets as widgets

from peftlab import anatomy, figures
from peftlab.figures.panel import Panel, Record, facts, stored_accuracy, trained_parameters
from peftlab.methods.prompt_tuning.method import PromptTuning


@dataclass(frozen=True)
class MeasuredPrompts:
    """What the panel looks at. It is measured once, before the panel is made.

    Args:
        config: the backbone's config, for counts.
        head: the task head, for counts.
        tokens: how many a typical text has.
        mass: the share of the text's attention that lies on the prompt, from 0 to 1, by length.
            Each layer has one. Lengths without a run are absent.
        accuracy: test accuracies from 0 to 1 by length. Each seed has one.
    """

    config: Any
    head: str | None
    tokens: int
    mass: Mapping[int, Sequence[float]]
    accuracy: Mapping[int, Sequence[float]]


def prompt_record(measured: MeasuredPrompts, prompt_length: int) -> Record:
    """Say what a prompt of some length costs, how much attention it gets, and what it reached.

    Args:
        measured: what was measured.
        prompt_length: P, which has to leave room for the text.

    Returns:
        Counts without the head; the share of all positions that the prompt takes; the share of the
        attention by layer and the accuracies, where there are stored runs of that length.
    """
    count = PromptTuning(prompt_length=prompt_length).parameter_count(
        measured.config, measured.head
    )
    return {
        "prompt_length": prompt_length,
        "trained": count.trained,
        "share": count.share,
        "positions": prompt_length / (prompt_length + measured.tokens),
        "tokens": measured.tokens,
        "room": anatomy.position_room(measured.config),
        "mass": list(measured.mass.get(prompt_length, [])),
        "accuracy": list(measured.accuracy.get(prompt_length, [])),
        "stored": sorted(measured.accuracy),
    }


def draw_prompt(record: Record) -> str:
    """Draw the record as a table and a picture.

    Args:
        record: as `prompt_record` gives it.

    Returns:
        HTML.
    """
    P, room = record["prompt_length"], record["room"]
    rows = {
        "trained parameters, head apart": trained_parameters(record),
        f"share of the positions, beside a text of {record['tokens']} tokens": (
            f"{100 * record['positions']:.0f} %"
            + (f" (there are {room} positions)" if room else "")
        ),
        **stored_accuracy(record["accuracy"], list(map(str, record["stored"]))),
    }
    if record["mass"]:
        layers = {str(i + 1): round(100 * share, 1) for i, share in enumerate(record["mass"])}
        picture = figures.choice_bars(
            layers, list(layers), f"Attention of the text on {P} rows, in % by layer", "%"
        )
    else:
        picture = figures.nothing(
            f"Attention of the text on {P} rows", "no stored runs of this length"
        )
    return facts(rows, picture)


def prompt_panel(measured: MeasuredPrompts, lengths: Sequence[int]) -> Panel:
    """Choose a length. Moving the control trains nothing.

    Args:
        measured: what was measured.
        lengths: the lengths to choose from, at least one.

    Returns:
        The panel.
    """
    trained = [P for P in lengths if P in measured.accuracy] or list(lengths)
    controls = {
        "prompt_length": widgets.SelectionSlider(
            options=list(lengths), value=trained[len(trained) // 2], description="length P"
        )
    }
    return Panel(
        partial(prompt_record, measured),
        draw_prompt,
        controls,
        "How long does a prompt have to be?",
    )
