"""The bottleneck panel: what a size costs, what it reached, how far from the identity it starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import ipywidgets as widgets

from peftlab import figures
from peftlab.figures.panel import Panel, Record, facts, stored_accuracy, trained_parameters
from peftlab.methods.adapter.method import Adapter


@dataclass(frozen=True)
class MeasuredAdapters:
    """What the panel looks at. It is measured once, before the panel is made.

    Args:
        config: the backbone's config, for counts.
        head: the task head, for counts.
        changes: relative change of the logits at the start, by size and initial deviation.
        accuracy: test accuracies from 0 to 1 by size. Each seed has one. Sizes without a run are
            absent.
    """

    config: Any
    head: str | None
    changes: Mapping[tuple[int, float], float]
    accuracy: Mapping[int, Sequence[float]]


def bottleneck_record(measured: MeasuredAdapters, bottleneck: int, init_std: float) -> Record:
    """Say what adapters of a size cost, what they reached, and what they change at the start.

    Args:
        measured: what was measured.
        bottleneck: one of the sizes measured.
        init_std: one of the deviations measured.

    Returns:
        Counts without the head; the accuracies of the stored runs of that size, if there are any;
        the relative change of the logits at the start, for this deviation and for all.
    """
    method = Adapter(bottleneck=bottleneck, init_std=init_std)
    count = method.parameter_count(measured.config, measured.head)
    curve = {std: v for (m, std), v in measured.changes.items() if m == bottleneck}
    return {
        "bottleneck": bottleneck,
        "init_std": init_std,
        "trained": count.trained,
        "share": count.share,
        "checkpoint_mib": count.checkpoint_mib(),
        "accuracy": list(measured.accuracy.get(bottleneck, [])),
        "change": curve[init_std],
        "changes": {f"{std:g}": value for std, value in curve.items()},
    }


def draw_bottleneck(record: Record) -> str:
    """Draw the record as a table and a picture.

    Args:
        record: as `bottleneck_record` gives it.

    Returns:
        HTML.
    """
    rows = {
        "trained parameters, LayerNorms included": trained_parameters(record),
        "checkpoint, head included": f"{record['checkpoint_mib']:.2f} MiB",
        **stored_accuracy(record["accuracy"]),
        "change of the logits at the start, relative to their spread": f"{record['change']:.2g}",
    }
    picture = figures.log_bars(
        record["changes"],
        f"Start of adapters of size {record['bottleneck']}",
        "initial standard deviation",
        "relative change of the logits",
        mark=f"{record['init_std']:g}",
    )
    return facts(rows, picture)


def bottleneck_panel(measured: MeasuredAdapters) -> Panel:
    """Choose a size and an initial deviation. Moving a control trains nothing.

    Args:
        measured: with at least one size and one deviation.

    Returns:
        The panel.
    """
    sizes = sorted({m for m, _ in measured.changes})
    stds = sorted({std for _, std in measured.changes})
    controls = {
        "bottleneck": widgets.SelectionSlider(
            options=sizes, value=sizes[len(sizes) // 2], description="bottleneck"
        ),
        "init_std": widgets.SelectionSlider(
            options=[(f"{std:g}", std) for std in stds],
            value=stds[len(stds) // 2],
            description="initial std",
        ),
    }
    return Panel(
        partial(bottleneck_record, measured),
        draw_bottleneck,
        controls,
        "What does a bottleneck cost, and where does it start?",
    )
