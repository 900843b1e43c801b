"""Pictures of accuracies: dots of seeds, sweeps over a size, fronts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.ticker import FixedLocator, NullLocator

from peftlab.figures.picture import (
    BLACK,
    BLUE,
    ORANGE,
    RED,
    TITLE,
    Picture,
    canvas,
    colours_of,
    nothing,
    palette,
)
from peftlab.seeds import mean_and_spread


def accuracy_dots(
    groups: Mapping[str, Sequence[float]],
    title: str,
    baseline: float | None = None,
    what: str = "test accuracy",
) -> Picture:
    """Test accuracy of several settings. Each seed has its own dot; a bar ends at their mean.

    Args:
        groups: for each label the accuracies of its seeds, from 0 to 1.
        title: of the figure.
        baseline: accuracy of an answer that is always the commonest label. It is drawn as a line.
        what: is shown, where it is another share than accuracy.

    Returns:
        The picture; its alternative has mean and spread of each label.
    """
    if not groups:
        return nothing(title)
    figure, axes = canvas(7.5, 0.9 + 0.42 * len(groups))
    said = []
    for i, ((label, values), colour) in enumerate(
        zip(groups.items(), colours_of(groups), strict=True)
    ):
        mean, spread = mean_and_spread([100 * v for v in values])
        axes.barh(i, mean, color=colour, alpha=0.35, height=0.6)
        axes.plot([100 * v for v in values], [i] * len(values), "o", color=colour, markersize=5)
        axes.text(103, i, f"{mean:.1f} ± {spread:.1f}", va="center", fontsize=9)
        seeds = "1 seed" if len(values) == 1 else f"{len(values)} seeds"
        said.append(f"{label} {mean:.1f} ± {spread:.1f} % over {seeds}")
    if baseline is not None:
        axes.axvline(100 * baseline, color=BLACK, linestyle="--", linewidth=1)
        said.append(f"majority class {100 * baseline:.1f} %")
    axes.set_title(title, **TITLE)
    axes.set(
        xlabel=f"{what} in %: a dot for each seed, mean ± standard deviation",
        xlim=(0, 116),
    )
    axes.set_xticks(range(0, 101, 20))
    axes.set_yticks(range(len(groups)), list(groups))
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    return Picture(figure, f"{title}. " + "; ".join(said) + ".")


def dots_by_row(
    rows: Mapping[str, Mapping[str, Sequence[float]]], title: str, what: str = "test accuracy"
) -> Picture:
    """Two or more groups of dots in each row, such as worded and learnt prompts of a relation.

    Each group has one colour in all rows.

    Args:
        rows: for each row and group accuracies from 0 to 1.
        title: of the figure.
        what: is shown, where it is another share than accuracy.

    Returns:
        The picture; its alternative has the lowest and highest number of each group.
    """
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    if not names:
        return nothing(title)
    legend: dict[str, Any] = {"frameon": False, "fontsize": 9}
    if len(names) > 3:  # their legend stands beside the rows
        width, height_of_row, spread, pad = 9, 0.15 * len(names), 0.6, 6
        colours = colours_of(names)
        legend |= {"loc": "center left", "bbox_to_anchor": (1.01, 0.5)}
    else:
        width, height_of_row, spread, pad = 7.5, 0.5, 0.4, 22
        colours = palette(len(names), ORANGE, BLUE)
        legend |= {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": len(names)}
    figure, axes = canvas(width, 1.3 + height_of_row * len(rows))
    said = []
    for k, (name, colour) in enumerate(zip(names, colours, strict=True)):
        lower = spread * (k - (len(names) - 1) / 2) / max(1, len(names) - 1)
        for i, (label, row) in enumerate(rows.items()):
            if not (own := [100 * v for v in row.get(name, ())]):
                continue
            height = [i + lower] * len(own)
            axes.plot([min(own), max(own)], height[:1] * 2, color=colour, linewidth=2, alpha=0.4)
            axes.plot(own, height, "o", color=colour, alpha=0.6, markersize=5, clip_on=False)
            said.append(f"{label}, {name}: {min(own):.1f} to {max(own):.1f} %")
        axes.plot([], [], "o", color=colour, label=name)
    axes.set_title(title, pad=pad, **TITLE)
    axes.set(xlabel=f"{what} in %", xlim=(-2, 102))
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.legend(**legend)
    return Picture(figure, f"{title}. " + "; ".join(said) + ".")


def accuracy_by_kind(kinds: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Picture:
    """Accuracy of each kind of sentence. Each kind has its own row of dots.

    Args:
        kinds: for each label what `Evaluation.by("kind")` gives. A task without kinds gives an
            empty one. A label that lacks a kind has no dot in the row of that kind.

    Returns:
        The picture; its alternative has every number.
    """
    names = list(dict.fromkeys(name for values in kinds.values() for name in values))
    if not names:
        return nothing("Accuracy by kind", "this task does not say of which kind a sentence is")
    figure, axes = canvas(7.5, 1.1 + 0.46 * len(names))
    counts = {n: one["examples"] for values in kinds.values() for n, one in values.items()}
    rows = list(zip(kinds.items(), colours_of(kinds), strict=True))
    for k, ((label, values), colour) in enumerate(rows):
        lower = 0.5 * (k - (len(rows) - 1) / 2) / max(1, len(rows) - 1)  # no dot hides another
        axes.plot(
            [100 * values[n]["accuracy"] for n in names if n in values],
            [i + lower for i, n in enumerate(names) if n in values],
            "o",
            color=colour,
            label=label,
            alpha=0.85,
        )
    axes.axvline(50, color=BLACK, linestyle="--", linewidth=1)
    axes.set_title("What is hard? Test accuracy by kind of sentence (how many)", **TITLE)
    axes.set(xlabel="%", xlim=(0, 102))
    axes.set_yticks(range(len(names)), [f"{n} ({counts[n]:,})" for n in names])
    axes.invert_yaxis()
    axes.legend(frameon=False, fontsize=9, loc="lower left")
    said = [
        f"{label}: " + ", ".join(f"{n} {100 * one['accuracy']:.0f}" for n, one in values.items())
        for label, values in kinds.items()
    ]
    return Picture(figure, "Test accuracy in percent by kind of sentence. " + "; ".join(said) + ".")


def sweep(
    points: Mapping[int, Sequence[float]],
    title: str,
    xlabel: str,
    lines: Mapping[str, float] | None = None,
    live: tuple[int, float] | None = None,
    what: str = "test accuracy",
) -> Picture:
    """Accuracy over a size that grows.

    A line goes through the means. Each seed has its own dot.

    Args:
        points: for each size the accuracies of its seeds, from 0 to 1.
        title: of the figure.
        xlabel: what the size is.
        lines: accuracies from 0 to 1 by label, for comparison. Each is drawn as a level line.
        live: one of the sizes, and the accuracy that was measured there just now.
        what: is shown, where it is another share than accuracy.

    Returns:
        The picture; its alternative has the mean at each size.

    Raises:
        ValueError: `live` stands at a size that `points` does not have.
    """
    if not points:
        return nothing(title)
    if live and live[0] not in points:
        sizes = ", ".join(map(str, sorted(points)))
        raise ValueError(f"live is at {live[0]}; points has {sizes}: leave live out, or add it")
    figure, axes = canvas(7.5, 3.4)
    sizes = sorted(points)
    places = {size: i for i, size in enumerate(sizes)}
    means = [100 * mean_and_spread(points[size])[0] for size in sizes]
    axes.plot(range(len(sizes)), means, "-", color=BLUE)
    for size in sizes:
        axes.plot(
            [places[size]] * len(points[size]),
            [100 * v for v in points[size]],
            "o",
            color=BLUE,
            alpha=0.6,
        )
    lines = lines or {}
    _, *colours = palette(1 + len(lines), BLUE, BLACK, ORANGE, RED)  # the curve itself is blue
    free = 0.0
    for (label, value), colour in sorted(
        zip(lines.items(), colours, strict=True), key=lambda line: line[0][1]
    ):
        axes.axhline(100 * value, linestyle="--", linewidth=1, color=colour)
        height = max(100 * value, free)  # no label on another
        free = height + 4
        axes.text(
            len(sizes) - 0.55, height, label, color=colour, fontsize=9, va="bottom", ha="right"
        )
    said = [f"{size}: {mean:.1f} %" for size, mean in zip(sizes, means, strict=True)]
    said += [f"{label} {100 * value:.1f} %" for label, value in lines.items()]
    if live:
        axes.plot(
            places[live[0]], 100 * live[1], "*", markersize=14, color=RED, label="measured just now"
        )
        axes.legend(frameon=False, fontsize=9, loc="lower right")
        said.append(f"measured just now at {live[0]}: {100 * live[1]:.1f} %")
    drawn = [v for values in points.values() for v in values] + list(lines.values())
    drawn += [live[1]] if live else []
    axes.set_title(title, **TITLE)
    axes.set(
        xlabel=xlabel,
        ylabel=f"{what} in %",
        xlim=(-0.5, len(sizes) - 0.5),
        ylim=(min(40, 100 * min(drawn) - 5), 100),
    )
    axes.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    return Picture(figure, f"{title}. Mean over seeds by {xlabel}: " + "; ".join(said) + ".")


def fronts(
    curves: Mapping[str, Mapping[int, Sequence[float]]],
    title: str,
    lines: Mapping[str, float] | None = None,
) -> Picture:
    """Test error of several methods over the number of parameters that each trains.

    Both axes are logarithmic. Each method has a line through its means. Each seed has its own dot.

    Args:
        curves: for each label and number of trained parameters the accuracies of the seeds, from 0
            to 1; a label with a single number is a dot.
        title: of the figure.
        lines: accuracies from 0 to 1 by label, for comparison. Each is drawn as a level line.

    Returns:
        The picture; its alternative has the mean of each point.

    Raises:
        ValueError: a number of parameters is not above 0.
    """
    curves, lines = {label: own for label, own in curves.items() if own}, lines or {}
    if not curves:
        return nothing(title)
    if any(count <= 0 for own in curves.values() for count in own):
        raise ValueError("a logarithmic scale has no place for 0 parameters; leave that point out")
    figure, axes = canvas(7.5, 3.8)
    said = []
    colours = colours_of([*curves, *lines])
    for (label, points), colour in zip(curves.items(), colours, strict=False):
        counts = sorted(points)
        means = [100 - 100 * mean_and_spread(points[n])[0] for n in counts]
        axes.plot(counts, means, "o-", color=colour, label=label)
        for n in counts:
            axes.plot(
                [n] * len(points[n]),
                [100 - 100 * v for v in points[n]],
                "o",
                color=colour,
                markersize=3,
                alpha=0.6,
            )
        reached = [f"{m:.1f} % at {n:,}" for n, m in zip(counts, means, strict=True)]
        said.append(f"{label}: {', '.join(reached)}")
    for (label, value), colour in zip(lines.items(), colours[len(curves) :], strict=True):
        axes.axhline(100 - 100 * value, linestyle="--", linewidth=1, color=colour, label=label)
        said.append(f"{label} {100 - 100 * value:.1f} %")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(
        FixedLocator([0.1, 0.3, 1, 2, 3, 5, 7, 10, 15, 20, 25, 30, 40, 50, 70, 100])
    )
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_title(title, **TITLE)
    axes.set(xlabel="trained parameters, without the head", ylabel="test error in %")
    axes.legend(frameon=False, fontsize=9)
    return Picture(figure, f"{title}. Mean test error by parameters: " + "; ".join(said) + ".")
