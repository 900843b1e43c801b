"""Records to pictures: matplotlib figures with a text alternative that holds the numbers."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from peftlab.seeds import mean_and_spread

# Okabe and Ito's palette, readable with any colour vision.
BLUE, ORANGE, GREEN, RED, GREY, SKY, BLACK = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#8A8A8A",
    "#56B4E9",
    "#222222",
)
_STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "figure.facecolor": "white",
}
_TITLE = {"loc": "left", "fontsize": 11, "fontweight": "bold"}


class Picture:
    """A drawn figure with its text alternative; notebooks show it as an image with that text.

    Args:
        figure: drawn and final.
        alt: what the picture shows, numbers included.
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
    """A figure in the labs' style, and its axes: one, or an array of them.

    Args:
        width: in inches.
        height: in inches.
        columns: axes side by side.
        rows: axes below each other.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots(rows, columns)


def nothing(title: str, why: str = "no stored runs for this backbone and task") -> Picture:
    """A picture that says that there is nothing to draw, and why."""
    figure, axes = canvas(7.5, 0.8)
    text = f"{title}: {why}"
    axes.text(0, 0.5, text, va="center")
    axes.axis("off")
    return Picture(figure, f"{text}.")


def learning_curves(histories: Mapping[str, Mapping[str, Any]], smooth: int = 10) -> Picture:
    """Training loss of each run, as a running mean, and its accuracy on the validation split.

    Args:
        histories: `History.to_dict()` by label.
        smooth: steps in the running mean.
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
    left.set_title("Training loss", **_TITLE)
    left.set(xlabel="step", ylabel=f"mean of {smooth} steps")
    right.set_title("Validation accuracy", **_TITLE)
    right.set(xlabel="step", ylabel="%")
    left.legend(frameon=False, fontsize=9)
    return Picture(figure, "Learning curves. " + "; ".join(said) + ".")


def accuracy_dots(
    groups: Mapping[str, Sequence[float]], title: str, baseline: float | None = None
) -> Picture:
    """Test accuracy of several settings: one dot a seed, a bar at the mean.

    Args:
        groups: accuracies from 0 to 1 by label, one a seed.
        title: of the figure.
        baseline: accuracy of always answering the commonest label, drawn as a line.
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
        said.append(
            f"{label} {mean:.1f} ± {spread:.1f} % over {len(values)} seed{'s' * (len(values) > 1)}"
        )
    if baseline is not None:
        axes.axvline(100 * baseline, color=BLACK, linestyle="--", linewidth=1)
        said.append(f"majority class {100 * baseline:.1f} %")
    axes.set_title(title, **_TITLE)
    axes.set(xlabel="test accuracy in %; a dot a seed, the bar is the mean", xlim=(0, 114))
    axes.set_xticks(range(0, 101, 20))
    axes.set_yticks(range(len(groups)), list(groups))
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    return Picture(figure, f"{title}. " + "; ".join(said) + ".")


def accuracy_by_kind(kinds: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Picture:
    """Accuracy of each kind of sentence, one row of dots a kind.

    Args:
        kinds: `Evaluation.by("kind")` by label, all with the same kinds; empty for a task without.
    """
    names = list(next(iter(kinds.values()), {}))
    if not names:
        return nothing("Accuracy by kind", "this task does not say of which kind a sentence is")
    figure, axes = canvas(7.5, 0.9 + 0.38 * len(names))
    for (label, values), colour in zip(kinds.items(), _colours(kinds), strict=True):
        axes.plot(
            [100 * values[n]["accuracy"] for n in names],
            range(len(names)),
            "o",
            color=colour,
            label=label,
            alpha=0.85,
        )
    axes.axvline(50, color=BLACK, linestyle="--", linewidth=1)
    axes.set_title("What is hard? Test accuracy by kind of sentence", **_TITLE)
    axes.set(xlabel="%", xlim=(0, 102))
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.legend(frameon=False, fontsize=9, loc="lower left")
    said = [
        f"{label}: " + ", ".join(f"{n} {100 * values[n]['accuracy']:.0f}" for n in names)
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
    """Accuracy over a size that grows: mean, one dot a seed, reference lines, a point of this run.

    Args:
        points: accuracies from 0 to 1 by size, one a seed.
        title: of the figure.
        xlabel: what the size is.
        lines: reference accuracies from 0 to 1 by label, at most three.
        live: one of the sizes, and its accuracy as measured in this run.
    """
    if not points:
        return nothing(title)
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
    for (label, value), colour in zip((lines or {}).items(), (BLACK, ORANGE, RED), strict=False):
        axes.axhline(100 * value, linestyle="--", linewidth=1, color=colour)
        axes.text(
            len(sizes) - 0.55, 100 * value, label, color=colour, fontsize=9, va="bottom", ha="right"
        )
    said = [f"{size}: {mean:.1f} %" for size, mean in zip(sizes, means, strict=True)]
    said += [f"{label} {100 * value:.1f} %" for label, value in (lines or {}).items()]
    if live:
        axes.plot(
            places[live[0]], 100 * live[1], "*", markersize=14, color=RED, label="measured just now"
        )
        axes.legend(frameon=False, fontsize=9, loc="lower right")
        said.append(f"measured just now at {live[0]}: {100 * live[1]:.1f} %")
    drawn = [v for values in points.values() for v in values] + list((lines or {}).values())
    drawn += [live[1]] if live else []
    axes.set_title(title, **_TITLE)
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
    """Singular values of several matrices, largest first, each divided by its own largest.

    Args:
        values: singular values by label, at most three labels.
        title: of the figure.
        mark: a rank to mark with a line.
        show: how many to draw.
    """
    if not values:
        return nothing(title, "no update to show")
    figure, axes = canvas(7.5, 3.2)
    said = []
    for (label, numbers), colour in zip(values.items(), (BLUE, BLACK, GREY), strict=False):
        top = numbers[0] or 1.0
        shown = [n / top for n in numbers[:show]]
        axes.plot(range(1, len(shown) + 1), shown, "o-", markersize=3, color=colour, label=label)
        above = sum(n / top > 0.1 for n in numbers)
        said.append(f"{label}: {above} of {len(numbers)} above a tenth of the largest")
    if mark:
        axes.axvline(mark + 0.5, color=RED, linestyle="--", linewidth=1)
        axes.text(mark + 0.7, 0.95, f"rank {mark}", color=RED, fontsize=9)
    axes.set_title(title, **_TITLE)
    axes.set(xlabel="index", ylabel="singular value / largest", ylim=(0, 1.05))
    axes.legend(frameon=False, fontsize=9)
    return Picture(
        figure, f"{title}. Singular values relative to the largest. " + "; ".join(said) + "."
    )


def overlap_maps(
    maps: Mapping[str, Sequence[Sequence[float]]], xlabel: str, ylabel: str
) -> Picture:
    """Heat maps of subspace similarity phi(i, j), side by side on one scale from 0 to 1.

    Args:
        maps: `analysis.overlap` by label; rows are i, columns j.
        xlabel: what the columns are.
        ylabel: what the rows are.
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
    """A table as a heat map with its numbers written in.

    Args:
        values: by row and column; None leaves a cell empty.
        rows: their names, from the top.
        columns: their names, from the left.
        title: of the figure.
        form: how a number is written.
        labels: what rows and columns are.
    """
    if not values:
        return nothing(title)
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
    axes.set_title(title, **_TITLE)
    axes.set(ylabel=labels[0], xlabel=labels[1])
    axes.set_xticks(range(len(columns)), list(columns))
    axes.set_yticks(range(len(rows)), list(rows))
    axes.grid(False)
    return Picture(figure, f"{title}. " + "; ".join(said) + ".")


def log_bars(
    values: Mapping[str, float], title: str, xlabel: str, ylabel: str, mark: str | None = None
) -> Picture:
    """Bars over a logarithmic scale, one of them marked.

    Args:
        values: above 0, by label.
        title: of the figure.
        xlabel: what the labels are.
        ylabel: what the values are.
        mark: a label.
    """
    figure, axes = canvas(7.5, 2.9)
    colours = [RED if label == mark else BLUE for label in values]
    axes.bar(list(values), list(values.values()), color=colours, alpha=0.8, width=0.6)
    for i, value in enumerate(values.values()):
        axes.text(i, value, f"{value:.2g}", ha="center", va="bottom", fontsize=9)
    axes.set_yscale("log")
    axes.set_title(title, **_TITLE)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.margins(y=0.15)
    said = "; ".join(f"{label}: {value:.2g}" for label, value in values.items())
    return Picture(figure, f"{title}. {ylabel} by {xlabel}: {said}.")


def choice_bars(
    values: Mapping[str, float], chosen: Sequence[str], title: str, ylabel: str
) -> Picture:
    """Bars of which some are chosen and the others grey.

    Args:
        values: by label.
        chosen: labels.
        title: of the figure.
        ylabel: what the values are.
    """
    figure, axes = canvas(7.5, 2.7)
    labels = [label.replace("_", "\n") for label in values]
    colours = [BLUE if label in chosen else "#D8D8D8" for label in values]
    axes.bar(labels, list(values.values()), color=colours, width=0.65)
    axes.set_title(title, **_TITLE)
    axes.set_ylabel(ylabel)
    axes.tick_params(axis="x", labelsize=9)
    said = "; ".join(
        f"{label} {value:,}{' (chosen)' * (label in chosen)}" for label, value in values.items()
    )
    return Picture(figure, f"{title}, {ylabel}: {said}.")


def two_curves(
    curves: Mapping[str, Mapping[int, Sequence[float]]], title: str, xlabel: str
) -> Picture:
    """Accuracy of several settings over a size: a line through the means, a dot a seed.

    Args:
        curves: accuracies from 0 to 1 by label and size, one a seed.
        title: of the figure.
        xlabel: what the size is.
    """
    if not any(curves.values()):
        return nothing(title)
    figure, axes = canvas(7.5, 3.2)
    said = []
    for (label, points), colour in zip(curves.items(), (BLUE, BLACK, ORANGE), strict=False):
        sizes = sorted(points)
        means = [100 * mean_and_spread(points[n])[0] for n in sizes]
        axes.plot(sizes, means, "-", color=colour, label=label)
        for n in sizes:
            axes.plot(
                [n] * len(points[n]), [100 * v for v in points[n]], "o", color=colour, alpha=0.5
            )
        said.append(
            f"{label}: " + ", ".join(f"{m:.1f} % at {n}" for n, m in zip(sizes, means, strict=True))
        )
    axes.set_xscale("log")
    axes.set_xticks(sizes, [str(n) for n in sizes])
    axes.minorticks_off()
    axes.set_title(title, **_TITLE)
    axes.set(xlabel=xlabel, ylabel="accuracy in %")
    axes.legend(frameon=False, fontsize=9)
    return Picture(figure, f"{title}. " + "; ".join(said) + ".")


def memory_bars(
    parts: Mapping[str, Mapping[str, float]], title: str = "What each way of training costs"
) -> Picture:
    """What a training run keeps in memory, as one bar, and leaves on disk, as a thin bar below.

    Args:
        parts: MiB of "weights", "gradients", "AdamW state" and "checkpoint", or some of them, by
            label.
        title: of the figure.
    """
    if not parts:
        return nothing(title, "no run to show")
    figure, axes = canvas(8, 1.3 + 0.62 * len(parts))
    colours = {"weights": SKY, "gradients": ORANGE, "AdamW state": RED, "checkpoint": GREEN}
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
    axes.set_title(title, **_TITLE)
    axes.set(xlabel="MiB", xlim=(0, 1.18 * widest))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_yticks(range(len(parts)), list(parts))
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    shown = {name for values in parts.values() for name in values}
    handles = [Patch(color=colours[name], label=name) for name in colours if name in shown]
    figure.legend(handles=handles, frameon=False, fontsize=9, ncols=4, loc="outside lower center")
    return Picture(figure, f"{title}. " + "; ".join(said) + ".")


def mib(size: float) -> str:
    """MiB as text, with enough digits for small ones."""
    return f"{size:,.1f} MiB" if size >= 10 else f"{size:.3g} MiB"


def _colours(labels: Mapping[str, Any]) -> list[str]:
    """A colour for each label; the controls always look the same."""
    free = cycle([BLUE, GREEN, SKY, "#CC79A7", "#F0E442"])
    fixed = {"full": BLACK, "head": ORANGE, "random": RED}
    return [
        next((c for key, c in fixed.items() if key in label.lower()), None) or next(free)
        for label in labels
    ]
