"""The template panel: place slots and an anchor around the input, and see what stored runs got."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import ipywidgets as widgets

from peftlab import figures
from peftlab.figures.panel import Panel, Record, facts, percent, stored_accuracy
from peftlab.methods.p_tuning.method import PTuning
from peftlab.tasks.template import SUBJECT, abbreviate, parse


@dataclass(frozen=True)
class MeasuredTemplates:
    """What the panel looks at. It is measured once, before the panel is made.

    Args:
        config: the backbone's config, for counts.
        head: the task head, for counts.
        anchors: words to choose from between input and target; "" for none.
        target: "[Y]", or "" where a head answers.
        accuracy: test accuracies from 0 to 1 by template. Each seed has one.
        references: accuracies from 0 to 1 to compare with, by label.
    """

    config: Any
    head: str | None
    anchors: Sequence[str]
    target: str
    accuracy: Mapping[str, Sequence[float]]
    references: Mapping[str, float]


def template_record(measured: MeasuredTemplates, before: int, between: int, anchor: str) -> Record:
    """Say what a template costs, and what it reached.

    Args:
        measured: what was measured.
        before: slots before the input.
        between: slots behind it, before the anchor and the target.
        anchor: a fixed word, or "".

    Returns:
        The template; counts with the LSTM as prompt encoder; the accuracies of its stored runs, if
        there are any. Without a slot there are no counts but a "problem".
    """
    first, second = (f"[P*{count}]" if count else "" for count in (before, between))
    parts = (first, SUBJECT, second, anchor, measured.target)
    text = " ".join(part for part in parts if part)
    record = {
        "template": text,
        "stored": {name: list(own) for name, own in measured.accuracy.items()},
        "references": dict(measured.references),
    }
    if not before + between:
        return record | {"problem": "a template needs a slot: nothing of this one would train"}
    count = PTuning(template=text).parameter_count(measured.config, measured.head)
    return record | {
        "trained": count.trained,
        "kept": count.stored,
        "accuracy": list(measured.accuracy.get(parse(text), [])),
    }


def draw_template(record: Record) -> str:
    """Draw the record as a table and a picture.

    Args:
        record: as `template_record` gives it.

    Returns:
        HTML.
    """
    rows = {"template": record["template"]}
    if "problem" in record:
        rows["problem"] = record["problem"]
    else:
        rows |= {
            "trained, with an LSTM as prompt encoder": f"{record['trained']:,}",
            "stored afterwards": f"{record['kept']:,}",
            **stored_accuracy(record["accuracy"]),
        }
    rows |= {label: percent(accuracy) for label, accuracy in record["references"].items()}
    means = {
        name: round(100 * sum(own) / len(own), 1) for name, own in record["stored"].items() if own
    }
    if means:
        short = {_short(name): mean for name, mean in means.items()}
        chosen = [] if "problem" in record else [_short(parse(record["template"]))]
        picture = figures.choice_bars(
            short, chosen, "Test accuracy of the stored templates, in %", "%"
        )
    else:
        picture = figures.nothing("Test accuracy of the stored templates")
    return facts(rows, picture)


def _short(template: str) -> str:
    """A template for the axis of a figure, a line for each of its parts."""
    return "\n".join(abbreviate(template))


def template_panel(measured: MeasuredTemplates) -> Panel:
    """Place up to six slots on either side of the input, and choose an anchor.

    Moving a control trains nothing.

    Args:
        measured: what was measured.

    Returns:
        The panel.
    """
    controls = {
        "before": widgets.IntSlider(value=3, min=0, max=6, description="slots before"),
        "between": widgets.IntSlider(value=3, min=0, max=6, description="slots behind"),
        "anchor": widgets.Dropdown(
            options=[(anchor or "none", anchor) for anchor in measured.anchors],
            value=measured.anchors[0],
            description="anchor",
        ),
    }
    return Panel(
        partial(template_record, measured),
        draw_template,
        controls,
        "Where do the slots have to stand?",
    )
