"""The pictures of lab 09: one form for three methods, fronts, and accuracy by learning rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes

from peftlab.figures import BLACK, BLUE, GREY, ORANGE, SKY, TITLE, Picture, canvas, nothing
from peftlab.figures.drawing import FROZEN, arrow, box
from peftlab.figures.picture import colours_of
from peftlab.seeds import interval, mean_and_spread

MARKS = "osD^vPX<>"


def one_form() -> Picture:
    """LoRA, adapter and prefix as two small matrices with something between them."""
    figure, panels = canvas(9.6, 3.7, columns=3)
    parts = (
        ("LoRA", "query, value", "A", "nothing", "B", "add s times", True),
        ("adapter", "attention, MLP", "W down", "GELU", "W up", "add", False),
        ("prefix", "attention", "keys", "softmax", "values", "mix: 1 - λ and λ", True),
    )
    for ax, part in zip(panels, parts, strict=True):
        _form(ax, *part)
    return Picture(
        figure,
        "Three methods in one form: a frozen part, and beside it a first small matrix, something "
        "between, and a second small matrix. LoRA: beside the query and value projections, from "
        "the same input; A, nothing, B; s times the result is added. Adapter: behind attention and "
        "MLP, from their output; W down, GELU, W up; the result is added. Prefix: beside "
        "attention, from the same query; keys, softmax, values; the result is mixed in, with "
        "weights 1 minus lambda and lambda.",
    )


def _form(
    ax: Axes, name: str, where: str, down: str, between: str, up: str, how: str, beside: bool
) -> None:
    ax.set(xlim=(0, 10), ylim=(0, 10.4))
    ax.axis("off")
    ax.set_title(name, **TITLE)
    small = {"edge": BLUE, "fontsize": 9}
    ax.text(2.2, 0.25, "x", ha="center")
    box(ax, 0.3, 2.2, 3.9, 2.2, f"frozen\n{where}", FROZEN, fontsize=9)
    for i, text in enumerate((down, between, up)):
        y = (1.6 if beside else 4.0) + 1.7 * i
        width = (3.4, 2.2, 3.4)[i]
        box(ax, 7.4 - width / 2, y, width, 1.0, text, "white" if i == 1 else SKY, **small)
        if i < 2:
            arrow(ax, (7.4, y + 1.0), (7.4, y + 1.7), BLUE)
    arrow(ax, (2.2, 0.8), (2.2, 2.2))
    start = (2.2, 1.15) if beside else (2.2, 4.75)
    first = 1.6 if beside else 4.0
    ax.plot([start[0], 9.6 if beside else 4.9], [start[1]] * 2, color=BLUE, lw=1.2)
    if beside:
        ax.plot([9.6, 9.6], [1.15, 2.1], color=BLUE, lw=1.2)
        arrow(ax, (9.6, 2.1), (9.1, 2.1), BLUE)
    else:
        ax.plot([4.9, 4.9], [4.75, first + 0.5], color=BLUE, lw=1.2)
        arrow(ax, (4.9, first + 0.5), (5.7, first + 0.5), BLUE)
    top = first + 4.4
    ax.plot([7.4, 7.4], [top, 9.1], color=BLUE, lw=1.2)
    arrow(ax, (7.4, 9.1), (2.7, 9.1), BLUE)
    arrow(ax, (2.2, 4.4), (2.2, 8.7))
    ax.text(2.2, 9.05, "+", ha="center", va="center", fontsize=13)
    arrow(ax, (2.2, 9.4), (2.2, 10.3))
    ax.text(5.2, 9.3, how, ha="center", fontsize=9, color=BLUE)


def front(
    curves: Mapping[str, Mapping[float, Sequence[float]]],
    title: str,
    xlabel: str = "trained parameters, without the head",
    lines: Mapping[str, float] | None = None,
    budget: float | None = None,
    marks: Mapping[str, tuple[float, float | None]] | None = None,
    logarithmic: bool = True,
) -> Picture:
    """Accuracy over what it costs, with 95 % intervals, and the Pareto front as a grey stair.

    Args:
        curves: accuracies from 0 to 1 by method and cost, one for each seed.
        title: of the figure.
        xlabel: what it costs.
        lines: accuracies from 0 to 1 of controls by label. Each is drawn as a level line; what is
            not above them is not on the front.
        budget: a cost that is marked with an upright line.
        marks: for each method a cost and the accuracy from 0 to 1 that goes with it, or None where
            none is known; drawn as a ring.
        logarithmic: whether costs are drawn on a logarithmic scale.

    Returns:
        The picture; its alternative has every mean and its interval, and names the front.
    """
    curves = {name: own for name, own in curves.items() if own}
    if not curves:
        return nothing(title)
    figure, axes = canvas(9, 4.4)
    said, points = [], {}
    colours = dict(zip(curves, colours_of(curves), strict=True))
    for (name, own), mark in zip(curves.items(), cycle(MARKS), strict=False):
        costs = sorted(own)
        found = [interval([100 * v for v in own[c]]) for c in costs]
        means = [f.mean for f in found]
        axes.plot(costs, means, f"{mark}-", color=colours[name], label=name, markersize=6)
        for cost, f in zip(costs, found, strict=True):
            if f.count > 1:
                axes.plot([cost] * 2, [f.low, f.high], color=colours[name], lw=1.5, alpha=0.6)
            points[f"{name} at {_cost(cost)}"] = (cost, f.mean)
        reached = ", ".join(
            f"{f.mean:.1f} % at {_cost(c)}" + (f" ({f.low:.1f} to {f.high:.1f})" * (f.count > 1))
            for c, f in zip(costs, found, strict=True)
        )
        said.append(f"{name}: {reached}")
    free = 100 * max((lines or {}).values(), default=0)  # what costs nothing reaches this
    best = front_of({name: own for name, own in points.items() if own[1] > free})
    stair_x, stair_y = [], []
    for name, after in zip(best, [*best[1:], None], strict=True):
        cost, mean = points[name]
        stair_x += [cost, points[after][0] if after else max(c for c, _ in points.values())]
        stair_y += [mean, mean]
    axes.plot(stair_x, stair_y, color=GREY, lw=5, alpha=0.3, zorder=0, label="Pareto front")
    said.append("on the Pareto front: " + ", ".join(best))
    for label, value in (lines or {}).items():
        axes.axhline(100 * value, linestyle="--", linewidth=1, color=ORANGE)
        axes.text(0.995, 100 * value, label, transform=axes.get_yaxis_transform(), fontsize=8.5,
                  color=ORANGE, ha="right", va="bottom")  # fmt: skip
        said.append(f"{label} {100 * value:.1f} %")
    if budget is not None:
        axes.axvline(budget, color=BLACK, linestyle=":", linewidth=1.2)
        said.append(f"the budget is {_cost(budget)}")
    low = axes.get_ylim()[0]
    for name, (cost, accuracy) in (marks or {}).items():
        height = low if accuracy is None else 100 * accuracy
        axes.plot(cost, height, "o", mfc="none", mec=colours.get(name, BLACK), ms=14, mew=2)
        if accuracy is not None:
            said.append(f"at the budget {name}: {height:.1f} % at {_cost(cost)}")
    if logarithmic:
        axes.set_xscale("log")
    axes.set_title(title, **TITLE)
    axes.set(xlabel=xlabel, ylabel="test accuracy in %")
    axes.legend(frameon=False, fontsize=8.5, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return Picture(figure, f"{title}. " + "; ".join(said) + ".")


def front_of(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """Find the methods that no other one beats.

    Args:
        points: by method what it costs, and its accuracy.

    Returns:
        Those for which no other is as cheap and better, or cheaper and as good; the cheapest first.
    """
    kept = [
        name
        for name, (cost, good) in points.items()
        if not any(c <= cost and g >= good and (c < cost or g > good) for c, g in points.values())
    ]
    return sorted(kept, key=lambda name: points[name])


def _cost(cost: float) -> str:
    return f"{cost:,.0f}" if cost >= 100 else f"{cost:.2f}"


def rates(
    found: Mapping[str, Mapping[str, Mapping[float, Sequence[float]]]],
    sizes: Mapping[str, int],
    title: str = "Accuracy by learning rate",
) -> Picture:
    """Validation accuracy of full fine-tuning and of LoRA by learning rate, by backbone.

    Args:
        found: accuracies from 0 to 1 by backbone, method and rate, one for each seed.
        sizes: parameters of each backbone.
        title: of the figure.

    Returns:
        The picture; its alternative has every mean.
    """
    found = {backbone: own for backbone, own in found.items() if own}
    if not found:
        return nothing(title)
    columns = 2 if len(found) == 4 else min(3, len(found))
    rows = -(-len(found) // columns)
    figure, grid = canvas(9.6, 0.6 + 2.5 * rows, columns=columns, rows=rows)
    panels = list(grid.flat) if hasattr(grid, "flat") else [grid]
    said = []
    for ax, (backbone, own) in zip(panels, found.items(), strict=False):
        colours = dict(zip(own, colours_of(own), strict=True))
        for (name, points), mark in zip(own.items(), MARKS, strict=False):
            at = sorted(points)
            means, spreads = zip(
                *(mean_and_spread([100 * v for v in points[rate]]) for rate in at), strict=True
            )
            ax.plot(at, means, f"{mark}-", color=colours[name], label=name, markersize=4)
            low, high = ([m + s * d for m, d in zip(means, spreads, strict=True)] for s in (-1, 1))
            ax.fill_between(at, low, high, color=colours[name], alpha=0.12, linewidth=0)
            reached = ", ".join(f"{m:.1f} % at {r:g}" for r, m in zip(at, means, strict=True))
            said.append(f"{backbone}, {name}: {reached}")
        ax.set_xscale("log")
        every = sorted({rate for points in own.values() for rate in points})
        ax.set_xticks(every[::2], [f"{rate:.2g}" for rate in every[::2]])
        ax.minorticks_off()
        ax.set_title(f"{backbone}, {_millions(sizes[backbone])}", fontsize=10, loc="left")
        ax.tick_params(labelsize=8)
    for ax in panels[len(found) :]:
        ax.axis("off")
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    figure.supxlabel("learning rate", fontsize=9)
    figure.supylabel("validation accuracy in %", fontsize=9)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=9, loc="outside upper right", ncols=4)
    return Picture(figure, f"{title}, means over seeds. " + "; ".join(said) + ".")


def _millions(count: int) -> str:
    return f"{count / 1e6:.3g} M"


def grown(values: Mapping[str, Sequence[float]], title: str, xlabel: str) -> Picture:
    """A bar with its 95 % interval for each method, the largest first.

    Args:
        values: by method, one for each seed.
        title: of the figure.
        xlabel: what is shown.

    Returns:
        The picture; its alternative has every mean and its interval.
    """
    if not values:
        return nothing(title)
    order = sorted(values, key=lambda name: -fmean(values[name]))
    figure, axes = canvas(7.5, 0.9 + 0.4 * len(order))
    said: list[Any] = []
    colours = dict(zip(values, colours_of(values), strict=True))
    for i, name in enumerate(order):
        found, colour = interval(values[name]), colours[name]
        axes.barh(i, found.mean, color=colour, alpha=0.35, height=0.6)
        if found.count > 1:
            axes.plot([found.low, found.high], [i, i], color=colour, lw=2)
        axes.plot(values[name], [i] * len(values[name]), "o", color=colour, markersize=4)
        said.append(f"{name} {found.mean:.2f} ({found.low:.2f} to {found.high:.2f})")
    axes.axvline(0, color=BLACK, linewidth=0.8)
    axes.set_yticks(range(len(order)), order)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_title(title, **TITLE)
    axes.set(xlabel=xlabel)
    return Picture(figure, f"{title}. " + "; ".join(said) + ".")
