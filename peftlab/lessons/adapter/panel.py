"""The adapter panel: take the adapters of some layers away, and watch scores and sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import ipywidgets as widgets

from peftlab.figures import BLACK, BLUE, GREY, RED, TITLE, Picture, canvas
from peftlab.figures.panel import Panel, Record, facts, percent, sentences_table
from peftlab.lessons.adapter.switches import named, switched

LENGTH = 110  # characters of a sentence that are shown


@dataclass(frozen=True)
class Switches:
    """What the panel looks at. It is measured once, before the panel is made.

    Args:
        depth: layers of the backbone.
        found: what `switches.switches` measured.
        sentences: texts of the sentences that it names, in their order.
        labels: their right labels.
    """

    depth: int
    found: Mapping[str, Any]
    sentences: Sequence[str]
    labels: Sequence[str]


def switches_record(measured: Switches, **on: bool) -> Record:
    """Say what a trained model is without the adapters of some layers.

    Args:
        measured: what was measured.
        **on: for each switch, such as "layer 1", whether its adapters stay.

    Returns:
        The switches that are off; the scores as they are now, with all adapters and with none; for
        each sentence its label and the probability of that label now and with all; and for every
        choice of switches how many are off, and its accuracy.
    """
    scores = measured.found["scores"]
    names = switch_names(measured.depth)
    off = [i for i, name in enumerate(names) if not on[name]]
    now, whole, none = scores[named(off)], scores[""], scores[named(range(len(names)))]
    return {
        "off": [names[i] for i in off],
        "tested": measured.found["tested"],
        "now": {name: now[name] for name in ("accuracy", "loss")},
        "whole": {name: whole[name] for name in ("accuracy", "loss")},
        "none": {name: none[name] for name in ("accuracy", "loss")},
        "sentences": [
            {"text": text, "label": label, "now": p, "whole": q}
            for text, label, p, q in zip(
                measured.sentences, measured.labels, now["right"], whole["right"], strict=True
            )
        ],
        "every": [[len(name.split()), one["accuracy"]] for name, one in scores.items()],
    }


def draw_switches(record: Record) -> str:
    """Draw the record as tables and a picture.

    Args:
        record: as `switches_record` gives it.

    Returns:
        HTML.
    """
    rows = {
        "adapters taken away": ", ".join(record["off"]) or "none",
        f"accuracy on {record['tested']:,} test sentences": percent(record["now"]["accuracy"]),
        "with all adapters": percent(record["whole"]["accuracy"]),
        "without any": percent(record["none"]["accuracy"]),
        "loss now, with all, without any": ", ".join(
            f"{record[name]['loss']:.3f}" for name in ("now", "whole", "none")
        ),
    }
    caption = "The test sentences whose right answer is lost most often"
    sentences = sentences_table(record["sentences"], "with all", LENGTH, caption)
    return facts(rows, _among(record)) + sentences


def _among(record: Record) -> Picture:
    """Every choice as a dot, by how many switches are off; this one stands out."""
    figure, axes = canvas(7.5, 2.8)
    counts, accuracies = zip(*record["every"], strict=True)
    axes.plot(counts, [100 * a for a in accuracies], "o", color=GREY, alpha=0.6, markersize=5)
    here = len(record["off"]), 100 * record["now"]["accuracy"]
    axes.plot(*here, "*", color=RED, markersize=15, label="this choice")
    axes.axhline(100 * record["whole"]["accuracy"], color=BLUE, linestyle="--", linewidth=1)
    axes.set_title("Every choice of layers: a dot each", **TITLE)
    axes.set(xlabel="taken away", ylabel="test accuracy in %")
    axes.set_xticks(range(max(counts) + 1))
    axes.legend(frameon=False, fontsize=9, labelcolor=BLACK)
    best, worst = (100 * pick(a for n, a in record["every"] if n == here[0]) for pick in (max, min))
    return Picture(
        figure,
        f"Test accuracy by how many are taken away. This choice, with {here[0]} taken away, has "
        f"{here[1]:.1f} %; choices of as many have {worst:.1f} to {best:.1f} %; with all adapters "
        f"it is {100 * record['whole']['accuracy']:.1f} %.",
    )


def switches_panel(measured: Switches) -> Panel:
    """Switch the adapters of each layer on and off. Moving a control trains nothing.

    Args:
        measured: of one trained model.

    Returns:
        The panel.
    """
    controls = {
        name: widgets.Checkbox(value=i != 1, description=name, indent=False)
        for i, name in enumerate(switch_names(measured.depth))
    }
    return Panel(
        partial(switches_record, measured),
        draw_switches,
        controls,
        "Which adapters does the trained model need?",
    )


def switch_names(depth: int) -> list[str]:
    """Name the switches of a backbone.

    Args:
        depth: its layers.

    Returns:
        A name for each switch, such as "layer 1" or "layers 1 to 2".
    """
    ends = [(own[0] + 1, own[-1] + 1) for own in switched(depth)]
    return [f"layer {low}" if low == high else f"layers {low} to {high}" for low, high in ends]
