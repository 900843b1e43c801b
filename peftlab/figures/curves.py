"""Pictures of curves: what grows with the steps of a run, or with a size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from peftlab.figures.picture import (
    TITLE,
    Picture,
    canvas,
    colours_of,
    nothing,
)
from peftlab.seeds import interval, mean_and_spread


def learning_curves(
    histories: Mapping[str, Mapping[str, Any]],
    smooth: int = 10,
    others: Mapping[str, Sequence[Sequence[Mapping[str, float]]]] | None = None,
) -> Picture:
    """Two panels: the training loss of each run, and its accuracy on the validation split.

    The loss is drawn as a running mean.

    Args:
        histories: `History.to_dict()` by label.
        smooth: how many steps the running mean goes over.
        others: for some of the labels further runs, such as those of other seeds: what each looked
            like on the validation split, see `Run.validation`. They are drawn as thin lines.

    Returns:
        The picture; its alternative has the first and last loss and accuracy of each run.
    """
    if not histories:
        return nothing("Learning curves", "no run to show")
    figure, (left, right) = canvas(9, 3.2, columns=2)
    said = []
    for (label, history), colour in zip(histories.items(), colours_of(histories), strict=True):
        losses = history["losses"]
        means = [
            sum(losses[max(0, i - smooth + 1) : i + 1]) / min(i + 1, smooth)
            for i in range(len(losses))
        ]
        left.plot(range(1, len(means) + 1), means, color=colour, label=label)
        seen = history["validation"]
        right.plot(
            [v["step"] for v in seen], [100 * v["accuracy"] for v in seen], "o-", color=colour
        )
        end = f", validation accuracy {100 * seen[-1]['accuracy']:.1f} %" if seen else ""
        also = (others or {}).get(label, ())
        for looks in also:
            right.plot(
                [v["step"] for v in looks],
                [100 * v["accuracy"] for v in looks],
                color=colour,
                linewidth=0.8,
                alpha=0.7,
            )
        if also:
            ends = ", ".join(f"{100 * looks[-1]['accuracy']:.1f}" for looks in also)
            end += f", of other runs {ends} %"
        said.append(
            f"{label}: training loss {means[0]:.2f} to {means[-1]:.2f}{end}"
            if means
            else f"{label}: no step"
        )
    left.set_title("Training loss", **TITLE)
    left.set(xlabel="step", ylabel=f"mean of {smooth} steps")
    right.set_title("Validation accuracy", **TITLE)
    right.set(xlabel="step", ylabel="%")
    left.legend(frameon=False, fontsize=9)
    return Picture(figure, "Learning curves. " + "; ".join(said) + ".")


def two_curves(
    curves: Mapping[str, Mapping[int, Sequence[float]]],
    title: str,
    xlabel: str,
    what: str = "accuracy",
) -> Picture:
    """Accuracy of several settings over a size that grows, on a logarithmic scale.

    Each setting has a line through its means. Each seed has its own dot.

    Args:
        curves: for each label and size the accuracies of the seeds, from 0 to 1.
        title: of the figure.
        xlabel: what the size is.
        what: is shown, where it is another share than accuracy.

    Returns:
        The picture; its alternative has the mean at each size.

    Raises:
        ValueError: a size is not above 0.
    """
    if not any(curves.values()):
        return nothing(title)
    every_size = sorted({size for points in curves.values() for size in points})
    if every_size[0] <= 0:
        raise ValueError(
            f"a logarithmic scale has no place for {xlabel} {every_size[0]}; sizes are above 0"
        )
    figure, axes = canvas(7.5, 3.2)
    said = []
    for (label, points), colour in zip(curves.items(), colours_of(curves), strict=True):
        sizes = sorted(points)
        means = [100 * mean_and_spread(points[n])[0] for n in sizes]
        axes.plot(sizes, means, "-", color=colour, label=label)
        for n in sizes:
            axes.plot(
                [n] * len(points[n]), [100 * v for v in points[n]], "o", color=colour, alpha=0.5
            )
        reached = [f"{m:.1f} % at {n}" for n, m in zip(sizes, means, strict=True)]
        said.append(f"{label}: {', '.join(reached) or 'no stored runs'}")
    axes.set_xscale("log")
    axes.set_xticks(every_size, [str(n) for n in every_size])
    axes.minorticks_off()
    axes.set_title(title, **TITLE)
    axes.set(xlabel=xlabel, ylabel=f"{what} in %")
    _legend(axes, len(curves))
    return Picture(figure, f"{title}. " + "; ".join(said) + ".")


def bands(curves: Mapping[str, Mapping[int, Sequence[float]]], title: str, xlabel: str) -> Picture:
    """Mean accuracy of several settings over time, each with a band: the mean's 95 % interval.

    Args:
        curves: for each label and point in time the accuracies of the runs, from 0 to 1, at least
            two at each point.
        title: of the figure.
        xlabel: what time is counted in.

    Returns:
        The picture; its alternative has the mean at each point.
    """
    if not any(curves.values()):
        return nothing(title)
    figure, axes = canvas(7.5, 3.2)
    said = []
    for (label, points), colour in zip(curves.items(), colours_of(curves), strict=True):
        times = sorted(points)
        found = [interval([100 * v for v in points[t]]) for t in times]
        axes.plot(times, [f.mean for f in found], "o-", color=colour, label=label, markersize=4)
        low, high = [f.low for f in found], [f.high for f in found]
        axes.fill_between(times, low, high, color=colour, alpha=0.2, linewidth=0)
        reached = [f"{f.mean:.1f} % at {t}" for f, t in zip(found, times, strict=True)]
        said.append(f"{label}: {', '.join(reached) or 'no stored runs'}")
    axes.set_title(title, **TITLE)
    axes.set(xlabel=xlabel, ylabel="accuracy in %")
    _legend(axes, len(curves))
    return Picture(figure, f"{title}. " + "; ".join(said) + ".")


def _legend(axes: Any, labels: int) -> None:
    """Inside, or beside the curves where there are many of them."""
    beside = {"loc": "center left", "bbox_to_anchor": (1.01, 0.5)} if labels > 4 else {}
    axes.legend(frameon=False, fontsize=9, **beside)
