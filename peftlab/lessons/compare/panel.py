"""The budget panel: what every method makes of one budget, and where it then stands."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any

import ipywidgets as widgets
from transformers import PreTrainedModel

from peftlab.anatomy import head_of
from peftlab.figures import Table
from peftlab.figures.panel import Panel, Record
from peftlab.lessons.compare.drawing import front
from peftlab.lessons.compare.sweep import MIDDLE, SIZES
from peftlab.methods.budget import Fit, closest, size_of

BASELINES = ("full fine-tuning", "head only")
COMPARED = {name: SIZES[name][size] for name, size in MIDDLE.items() if name not in BASELINES}
BUDGETS = (*(m * 10**e for e in (3, 4, 5) for m in (1, 2, 5)), 1_000_000, 2_600_000, 5_000_000)


def one_budget(model: PreTrainedModel, budget: int) -> Table:
    """Give every method the size that is closest to a budget, and attach it to count.

    Args:
        model: what the methods are attached to; it is left as it was.
        budget: trained parameters without the head.

    Returns:
        A row for each method: its size, what the solver counts and what is trained once attached;
        or why it does not fit.
    """
    rows = []
    for name, fit in _fits(model.config, head_of(model), budget):
        if isinstance(fit, str):
            rows.append({"method": name, "size": fit})
            continue
        live = fit.method.attach(model)
        counts = {"counted": fit.trained, "attached": live.report().trained}
        live.detach()
        rows.append({"method": name, "size": size_of(fit.method)} | counts)
    return Table(rows, caption=f"A budget of {budget:,} trained parameters")


def _fits(config: Any, head: str | None, budget: int) -> Iterator[tuple[str, Fit | str]]:
    """Every method with the size that is closest to a budget, or why it does not fit."""
    for name, method in COMPARED.items():
        try:
            fit: Fit | str = closest(method, config, head, budget)
        except ValueError as error:
            fit = str(error).split(": ", 1)[-1]
        yield name, fit


@dataclass(frozen=True)
class Measured:
    """What the panel looks at. It is measured once, before the panel is made.

    Args:
        config: the backbone's config, for counts.
        head: the task head, for counts.
        fronts: accuracies from 0 to 1 by method and number of trained parameters, one for each
            seed; empty where nothing is stored.
        lines: accuracies of controls by label.
    """

    config: Any
    head: str | None
    fronts: Mapping[str, Mapping[int, Sequence[float]]]
    lines: Mapping[str, float]


def budget_record(measured: Measured, budget: int) -> Record:
    """Give every method the size that is closest to a budget.

    Args:
        measured: what was measured.
        budget: trained parameters without the head.

    Returns:
        "budget", and "methods": of each its "name", and either "refused", or "size", "trained",
        "stored" in MiB, and "accuracy" from 0 to 1 with "how" it is known: "measured" at this very
        count, "between" two measured sizes, or "" where the count lies outside of them, and
        "accuracy" is None.
    """
    found = []
    for name, fit in _fits(measured.config, measured.head, budget):
        if isinstance(fit, str):
            found.append({"name": name, "refused": fit})
            continue
        count = fit.method.parameter_count(measured.config, measured.head)
        accuracy, how = place(measured.fronts.get(name, {}), fit.trained)
        found.append(
            {
                "name": name,
                "size": size_of(fit.method),
                "trained": fit.trained,
                "stored": count.checkpoint_mib(),
                "accuracy": accuracy,
                "how": how,
            }
        )
    return {"budget": budget, "methods": found}


def place(points: Mapping[int, Sequence[float]], trained: int) -> tuple[float | None, str]:
    """Say where a method of some size stands, from the sizes that were measured.

    Args:
        points: accuracies from 0 to 1 by number of trained parameters, one for each seed.
        trained: parameters of the size that is asked about.

    Returns:
        The mean accuracy and "measured"; or, between two measured sizes, what a straight line over
        the logarithm of the count gives, and "between"; or None and "".
    """
    if trained in points:
        return fmean(points[trained]), "measured"
    below, above = ([n for n in points if (n > trained) == side] for side in (False, True))
    if not (below and above):
        return None, ""
    low, high = max(below), min(above)
    share = math.log(trained / low) / math.log(high / low)
    return fmean(points[low]) * (1 - share) + fmean(points[high]) * share, "between"


def draw_budget(measured: Measured, record: Record) -> str:
    """Draw the record as a table and a chart.

    Args:
        measured: what the record was computed from.
        record: as `budget_record` gives it.

    Returns:
        HTML.
    """
    rows, marks = [], {}
    for own in record["methods"]:
        if "refused" in own:
            rows.append({"method": own["name"], "size": own["refused"]})
            continue
        known = {"measured": "{:.1f} %", "between": "about {:.1f} %"}.get(own["how"])
        rows.append(
            {
                "method": own["name"],
                "size": own["size"],
                "trained": f"{own['trained']:,}",
                "of the budget": f"{100 * own['trained'] / record['budget']:.0f} %",
                "MiB stored": f"{own['stored']:.3f}",
                "accuracy": known.format(100 * own["accuracy"]) if known else "not measured",
            }
        )
        if own["accuracy"] is not None:
            marks[own["name"]] = (own["trained"], own["accuracy"])
    title = f"A budget of {record['budget']:,} parameters"
    picture = front(
        measured.fronts, title, lines=measured.lines, budget=record["budget"], marks=marks
    )
    return Table(rows)._repr_html_() + picture._repr_html_()


def budget_panel(measured: Measured, budget: int) -> Panel:
    """Move the budget: sizes, counts and places follow at once.

    Args:
        measured: what was measured.
        budget: where the slider stands at first; it is added to the values of the slider.

    Returns:
        The panel.
    """
    control = widgets.SelectionSlider(
        options=[(f"{n:,}", n) for n in sorted({*BUDGETS, budget})],
        value=budget,
        description="budget",
    )
    return Panel(
        partial(budget_record, measured),
        partial(draw_budget, measured),
        {"budget": control},
        "What does each method make of one budget?",
    )
