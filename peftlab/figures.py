"""Records to pictures: matplotlib figures with a text alternative that holds the numbers."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from peftlab.seeds import mean_and_spread

# Okabe and Ito's palette, readable with any colour vision.
BLUE, ORANGE, GREEN, RED, GREY, SKY, BLACK, PINK, YELLOW = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#8A8A8A",
    "#56B4E9",
    "#222222",
    "#CC79A7",
    "#F0E442",
)
_STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "figure.facecolor": "white",
}
TITLE = {"loc": "left", "fontsize": 11, "fontweight": "bold"}


class Picture:
    """A drawn figure with its text alternative. Notebooks show it as an image with that text.

    Args:
        figure: the figure when nothing is left to draw.
        alt: what the picture shows, with its numbers.
    """

    def __init__(self, figure: Figure, alt: str):
        self.alt = alt
        self.width = round(figure.get_figwidth() * 100)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=160)
        self.png = buffer.getvalue()

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.png).decode()
        alt = html.escape(self.alt, quote=True)
        style = f"width:{self.width}px;max-width:100%;background:white"
        return f'<img alt="{alt}" style="{style}" src="data:image/png;base64,{data}">'

    def __repr__(self) -> str:
        return f"Picture: {self.alt}"


def canvas(width: float, height: float, columns: int = 1, rows: int = 1) -> tuple[Figure, Any]:
    """An empty figure in the labs' style.

    Args:
        width: in inches.
        height: in inches.
        columns: how many axes stand side by side.
        rows: how many axes stand below each other.

    Returns:
        The figure, and its axes: a single one, or an array of them.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots(rows, columns)


def palette(count: int, *first: str) -> list[str]:
    """Colours for the curves of one figure. No two are the same.

    The palette has nine colours. Further curves get colours of a rainbow.

    Args:
        count: how many colours.
        first: the colours to begin with. The rest of the palette follows them.

    Returns:
        As many colours as `count` says.
    """
    ours = (BLUE, GREEN, SKY, PINK, YELLOW, ORANGE, RED, BLACK, GREY)
    colours = [*first, *(colour for colour in ours if colour not in first)]
    more = count - len(colours)
    rainbow = matplotlib.colormaps["turbo"]
    colours += [to_hex(rainbow((i + 0.5) / more)) for i in range(more)]
    return colours[:count]


def nothing(title: str, why: str = "no stored runs for this backbone and task") -> Picture:
    """A picture for the place where there is nothing to draw.

    Args:
        title: of the figure that would stand there.
        why: the reason that there is none.

    Returns:
        A picture of these words.
    """
    figure, axes = canvas(7.5, 0.8)
    text = f"{title}: {why}"
    axes.text(0, 0.5, text, va="center")
    axes.axis("off")
    return Picture(figure, f"{text}.")


def learning_curves(histories: Mapping[str, Mapping[str, Any]], smooth: int = 10) -> Picture:
    """Two panels: the training loss of each run, and its accuracy on the validation split.

    The loss is drawn as a running mean.

    Args:
        histories: `History.to_dict()` by label.
        smooth: how many steps the running mean goes over.

    Returns:
        The picture; its alternative has the first and last loss and accuracy of each run.
    """
    if not histories:
        return nothing("Learning curves", "no run to show")
    figure, (left, right) = canvas(9, 3.2, columns=2)
    said = []
    for (label, history), colour in zip(histories.items(), _colours(histories), strict=True):
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


def accuracy_dots(
    groups: Mapping[str, Sequence[float]], title: str, baseline: float | None = None
) -> Picture:
    """Test accuracy of several settings. Each seed has its own dot; a bar ends at their mean.

    Args:
        groups: for each label the accuracies of its seeds, from 0 to 1.
        title: of the figure.
        baseline: accuracy of an answer that is always the commonest label. It is drawn as a line.

    Returns:
        The picture; its alternative has mean and spread of each label.
    """
    if not groups:
        return nothing(title)
    figure, axes = canvas(7.5, 0.9 + 0.42 * len(groups))
    said = []
    for i, ((label, values), colour) in enumerate(
        zip(groups.items(), _colours(groups), strict=True)
    ):
        mean, spread = mean_and_spread([100 * v for v in values])
        axes.barh(i, mean, color=colour, alpha=0.35, height=0.6)
        axes.plot([100 * v for v in values], [i] * len(values), "o", color=colour, markersize=5)
        axes.text(101, i, f"{mean:.1f} ± {spread:.1f}", va="center", fontsize=9)
        seeds = "1 seed" if len(values) == 1 else f"{len(values)} seeds"
        said.append(f"{label} {mean:.1f} ± {spread:.1f} % over {seeds}")
    if baseline is not None:
        axes.axvline(100 * baseline, color=BLACK, linestyle="--", linewidth=1)
        said.append(f"majority class {100 * baseline:.1f} %")
    axes.set_title(title, **TITLE)
    axes.set(
        xlabel="test accuracy in %; each dot is a seed, the bar ends at their mean", xlim=(0, 114)
    )
    axes.set_xticks(range(0, 101, 20))
    axes.set_yticks(range(len(groups)), list(groups))
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
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
    figure, axes = canvas(7.5, 0.9 + 0.38 * len(names))
    for (label, values), colour in zip(kinds.items(), _colours(kinds), strict=True):
        axes.plot(
            [100 * values[n]["accuracy"] for n in names if n in values],
            [i for i, n in enumerate(names) if n in values],
            "o",
            color=colour,
            label=label,
            alpha=0.85,
        )
    axes.axvline(50, color=BLACK, linestyle="--", linewidth=1)
    axes.set_title("What is hard? Test accuracy by kind of sentence", **TITLE)
    axes.set(xlabel="%", xlim=(0, 102))
    axes.set_yticks(range(len(names)), names)
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
) -> Picture:
    """Accuracy over a size that grows.

    A line goes through the means. Each seed has its own dot.

    Args:
        points: for each size the accuracies of its seeds, from 0 to 1.
        title: of the figure.
        xlabel: what the size is.
        lines: accuracies from 0 to 1 by label, for comparison. Each is drawn as a level line.
        live: one of the sizes, and the accuracy that was measured there just now.

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
    for (label, value), colour in zip(lines.items(), colours, strict=True):
        axes.axhline(100 * value, linestyle="--", linewidth=1, color=colour)
        axes.text(
            len(sizes) - 0.55, 100 * value, label, color=colour, fontsize=9, va="bottom", ha="right"
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
        ylabel="test accuracy in %",
        xlim=(-0.5, len(sizes) - 0.5),
        ylim=(min(40, 100 * min(drawn) - 5), 100),
    )
    axes.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    return Picture(figure, f"{title}. Mean over seeds by {xlabel}: " + "; ".join(said) + ".")


def spectra(
    values: Mapping[str, Sequence[float]], title: str, mark: int | None = None, show: int = 32
) -> Picture:
    """Singular values of several matrices. Each is divided by the largest of its own matrix.

    Args:
        values: for each label the singular values of its matrix, the largest first.
        title: of the figure.
        mark: a rank. A line is drawn behind its last singular value.
        show: how many singular values are drawn.

    Returns:
        The picture; its alternative says how many values are above a tenth of the largest.
    """
    if not values:
        return nothing(title, "no update to show")
    figure, axes = canvas(7.5, 3.2)
    said = []
    colours = palette(len(values), BLUE, BLACK, GREY)
    for (label, numbers), colour in zip(values.items(), colours, strict=True):
        top = numbers[0] or 1.0
        shown = [n / top for n in numbers[:show]]
        axes.plot(range(1, len(shown) + 1), shown, "o-", markersize=3, color=colour, label=label)
        above = sum(n / top > 0.1 for n in numbers)
        said.append(f"{label}: {above} of {len(numbers)} above a tenth of the largest")
    if mark:
        axes.axvline(mark + 0.5, color=RED, linestyle="--", linewidth=1)
        axes.text(mark + 0.7, 0.95, f"rank {mark}", color=RED, fontsize=9)
    axes.set_title(title, **TITLE)
    axes.set(xlabel="index", ylabel="singular value / largest", ylim=(0, 1.05))
    axes.legend(frameon=False, fontsize=9)
    return Picture(
        figure, f"{title}. Singular values relative to the largest. " + "; ".join(said) + "."
    )


def overlap_maps(
    maps: Mapping[str, Sequence[Sequence[float]]], xlabel: str, ylabel: str
) -> Picture:
    """Heat maps of subspace similarity phi(i, j). They stand side by side and share one scale.

    Args:
        maps: for each label what `overlap` gives: numbers from 0 to 1, in rows i and columns j.
        xlabel: what the columns are.
        ylabel: what the rows are.

    Returns:
        The picture; its alternative has the first and the last number of each map.
    """
    if not maps:
        return nothing("Subspace similarity")
    figure, axes = canvas(3.1 * len(maps) + 0.6, 3.3, columns=len(maps))
    axes_list: list[Axes] = [axes] if len(maps) == 1 else list(axes)
    said = []
    for ax, (label, numbers) in zip(axes_list, maps.items(), strict=True):
        image = ax.imshow(numbers, vmin=0, vmax=1, cmap="viridis", origin="upper", aspect="auto")
        ax.set_title(label, fontsize=10)
        ax.set(xlabel=xlabel)
        ax.grid(False)
        ax.set_xticks([0, len(numbers[0]) - 1], ["1", str(len(numbers[0]))])
        ax.set_yticks([0, len(numbers) - 1], ["1", str(len(numbers))])
        corner = numbers[-1][-1]
        said.append(f"{label}: top direction {numbers[0][0]:.2f}, all {corner:.2f}")
    axes_list[0].set_ylabel(ylabel)
    figure.colorbar(image, ax=axes_list, label="similarity", shrink=0.9)
    return Picture(figure, "Subspace similarity from 0 to 1. " + "; ".join(said) + ".")


def heat_map(
    values: Sequence[Sequence[float | None]],
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    form: str = "{:.0f}",
    labels: tuple[str, str] = ("", ""),
) -> Picture:
    """A table as a heat map. Each cell has its number written in it.

    Args:
        values: the numbers, row by row. None leaves a cell empty.
        rows: the names of the rows, from the top.
        columns: the names of the columns, from the left.
        title: of the figure.
        form: how a number is written, as `str.format` takes it.
        labels: what the rows are, and what the columns are.

    Returns:
        The picture; its alternative has every number.

    Raises:
        ValueError: there are more or fewer names than rows or columns.
    """
    if all(value is None for row in values for value in row):
        return nothing(title)
    if len(values) != len(rows):
        raise ValueError(f"rows has {len(rows)} names for {len(values)} rows of values")
    for name, row in zip(rows, values, strict=True):
        if len(row) != len(columns):
            raise ValueError(f"columns has {len(columns)} names; row {name!r} has {len(row)}")
    figure, axes = canvas(1.6 + 0.78 * len(columns), 1.4 + 0.42 * len(rows))
    numbers = [[float("nan") if v is None else v for v in row] for row in values]
    image = axes.imshow(numbers, cmap="viridis", aspect="auto")
    low, high = image.get_clim()
    said = []
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            if value is not None:
                colour = "white" if value < (low + high) / 2 else BLACK
                text = form.format(value)
                axes.text(j, i, text, ha="center", va="center", fontsize=9, color=colour)
                said.append(f"{rows[i]}, {columns[j]}: {text}")
    axes.set_title(title, **TITLE)
    axes.set(ylabel=labels[0], xlabel=labels[1])
    axes.set_xticks(range(len(columns)), list(columns))
    axes.set_yticks(range(len(rows)), list(rows))
    axes.grid(False)
    return Picture(figure, f"{title}. " + "; ".join(said) + ".")


def log_bars(
    values: Mapping[str, float], title: str, xlabel: str, ylabel: str, mark: str | None = None
) -> Picture:
    """Bars over a logarithmic scale. One of them can be marked.

    Args:
        values: numbers from 0 by label. A 0 has no bar on such a scale; its number is written
            where the bars begin.
        title: of the figure.
        xlabel: what the labels are.
        ylabel: what the values are.
        mark: the label of the bar that is drawn in red.

    Returns:
        The picture; its alternative has every number.

    Raises:
        ValueError: a value is below 0.
    """
    if below := [f"{label}: {value:.2g}" for label, value in values.items() if value < 0]:
        raise ValueError(f"a logarithmic scale has no place for {below[0]}; values are at least 0")
    if not any(values.values()):
        return nothing(title, f"{ylabel} is 0 everywhere")
    figure, axes = canvas(7.5, 2.9)
    floor = min(value for value in values.values() if value) / 3
    for i, (label, value) in enumerate(values.items()):
        top, colour = max(value, floor), RED if label == mark else BLUE
        axes.bar(i, top - floor, bottom=floor, color=colour, alpha=0.8, width=0.6)
        axes.text(i, top, f"{value:.2g}", ha="center", va="bottom", fontsize=9)
    axes.set_xticks(range(len(values)), list(values))
    axes.set_yscale("log")
    axes.set_title(title, **TITLE)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.margins(y=0.15)
    said = "; ".join(f"{label}: {value:.2g}" for label, value in values.items())
    return Picture(figure, f"{title}. {ylabel} by {xlabel}: {said}.")


def choice_bars(
    values: Mapping[str, float], chosen: Sequence[str], title: str, ylabel: str
) -> Picture:
    """Bars of which some are chosen. The others are grey.

    Args:
        values: numbers by label.
        chosen: labels of the bars that are drawn in colour. One that has no bar counts for nothing.
        title: of the figure.
        ylabel: what the values are.

    Returns:
        The picture; its alternative has every number.
    """
    figure, axes = canvas(7.5, 2.7)
    labels = [label.replace("_", "\n") for label in values]
    colours = [BLUE if label in chosen else "#D8D8D8" for label in values]
    axes.bar(labels, list(values.values()), color=colours, width=0.65)
    axes.set_title(title, **TITLE)
    axes.set_ylabel(ylabel)
    axes.tick_params(axis="x", labelsize=9)
    said = "; ".join(
        f"{label} {value:,} (chosen)" if label in chosen else f"{label} {value:,}"
        for label, value in values.items()
    )
    return Picture(figure, f"{title}, {ylabel}: {said}.")


def two_curves(
    curves: Mapping[str, Mapping[int, Sequence[float]]], title: str, xlabel: str
) -> Picture:
    """Accuracy of several settings over a size that grows, on a logarithmic scale.

    Each setting has a line through its means. Each seed has its own dot.

    Args:
        curves: for each label and size the accuracies of the seeds, from 0 to 1.
        title: of the figure.
        xlabel: what the size is.

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
    colours = palette(len(curves), BLUE, BLACK, ORANGE)
    for (label, points), colour in zip(curves.items(), colours, strict=True):
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
    axes.set(xlabel=xlabel, ylabel="accuracy in %")
    axes.legend(frameon=False, fontsize=9)
    return Picture(figure, f"{title}. " + "; ".join(said) + ".")


def memory_bars(
    parts: Mapping[str, Mapping[str, float]], title: str = "What each way of training costs"
) -> Picture:
    """What each training run keeps in memory, and what it leaves on disk.

    Memory is one bar, made of its parts. The disk is a thin bar below it.

    Args:
        parts: for each label its MiB of "weights", "gradients", "AdamW state" and "checkpoint", or
            of some of them.
        title: of the figure.

    Returns:
        The picture; its alternative has every number.

    Raises:
        ValueError: a part has another name.
    """
    if not parts:
        return nothing(title, "no run to show")
    colours = {"weights": SKY, "gradients": ORANGE, "AdamW state": RED, "checkpoint": GREEN}
    named = [name for values in parts.values() for name in values]
    if unknown := [name for name in named if name not in colours]:
        raise ValueError(f"parts has {unknown[0]!r}; a part is one of: {', '.join(colours)}")
    figure, axes = canvas(8, 1.3 + 0.62 * len(parts))
    said = []
    disk = {label: values.get("checkpoint", 0.0) for label, values in parts.items()}
    widest = max(max(sum(parts[label].values()) - disk[label], disk[label]) for label in parts)
    for i, (label, values) in enumerate(parts.items()):
        memory = 0.0
        for name, size in values.items():
            if name == "checkpoint":
                axes.barh(i + 0.33, size, color=colours[name], height=0.14)
                axes.text(size + widest * 0.01, i + 0.34, mib(size), va="center", fontsize=8)
            else:
                axes.barh(i, size, left=memory, color=colours[name], height=0.46)
                memory += size
        axes.text(memory + widest * 0.01, i, mib(memory), va="center", fontsize=9)
        said.append(
            f"{label}: " + ", ".join(f"{name} {mib(size)}" for name, size in values.items())
        )
    axes.set_title(title, **TITLE)
    axes.set(xlabel="MiB", xlim=(0, 1.18 * widest))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_yticks(range(len(parts)), list(parts))
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    handles = [Patch(color=colours[name], label=name) for name in colours if name in named]
    figure.legend(handles=handles, frameon=False, fontsize=9, ncols=4, loc="outside lower center")
    return Picture(figure, f"{title}. " + "; ".join(said) + ".")


def mib(size: float) -> str:
    """MiB as text, with enough digits for small ones.

    Args:
        size: in MiB.

    Returns:
        The number with its unit, such as "86.6 MiB".
    """
    return f"{size:,.1f} MiB" if size >= 10 else f"{size:.3g} MiB"


def _colours(labels: Mapping[str, Any]) -> list[str]:
    """A colour for each label, no two the same; the first of each control always looks the same."""
    controls = {"full": BLACK, "head": ORANGE, "random": RED}
    chosen = {}
    for label in labels:
        if key := next((key for key in controls if key in label.lower()), None):
            chosen[label] = controls.pop(key)
    _, _, _, *free = palette(3 + len(labels) - len(chosen), BLACK, ORANGE, RED)
    others = iter(free)
    return [chosen.get(label) or next(others) for label in labels]
