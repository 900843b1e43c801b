"""Pictures of matrices: spectra, similarity maps, heat maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from statistics import median

from matplotlib.axes import Axes

from peftlab.figures.picture import BLACK, BLUE, GREY, RED, TITLE, Picture, canvas, nothing, palette


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
        shown = [n / top for n in numbers[:show] if n > 1e-5 * top]  # not the zeros beyond a rank
        axes.plot(range(1, len(shown) + 1), shown, "o-", markersize=3, color=colour, label=label)
        above = sum(n / top > 0.1 for n in numbers)
        said.append(f"{label}: {above} of {len(numbers)} above a tenth of the largest")
    if mark:
        axes.axvline(mark + 0.5, color=RED, linestyle="--", linewidth=1, label=f"rank {mark}")
    axes.set_title(title, **TITLE)
    axes.set(xlabel="index", ylabel="singular value / largest", ylim=(0, 1.05))
    axes.set_xlim(0.5, show + 0.5)
    axes.set_xticks([1, *range(8, show + 1, 8)])
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
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


def against_chance(
    groups: Mapping[str, Sequence[float]], chance: Sequence[float], title: str, xlabel: str
) -> Picture:
    """Numbers of several groups as dots, above a histogram-like row of what chance gives.

    Args:
        groups: for each label its numbers, above 0.
        chance: what random draws give, above 0.
        title: of the figure.
        xlabel: what the numbers are; they stand on a logarithmic axis.

    Returns:
        The picture; its alternative has the range and the median of each group.
    """
    if not groups:
        return nothing(title)
    rows = dict(groups) | {f"{len(chance):,} random draws": chance}
    figure, axes = canvas(7.5, 1.0 + 0.62 * len(rows))
    draw = Random(0)
    said = []
    for i, (label, values) in enumerate(rows.items()):
        random = i == len(rows) - 1
        heights = [i + draw.uniform(-0.28, 0.28) for _ in values]  # so that no dot hides another
        colour = GREY if random else BLUE
        axes.plot(values, heights, "o", color=colour, markersize=2.5 if random else 4, alpha=0.55)
        middle = median(values)
        axes.plot([middle] * 2, [i - 0.36, i + 0.36], color=BLACK, linewidth=1.6)
        said.append(f"{label}: {min(values):.2g} to {max(values):.2g}, median {middle:.2g}")
    axes.axvline(max(chance), color=RED, linestyle="--", linewidth=1)
    axes.set_xscale("log")
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_title(title, **TITLE)
    axes.set_xlabel(f"{xlabel}; red: the largest of chance; black: medians")
    axes.grid(axis="y", visible=False)
    return Picture(figure, f"{title}. " + "; ".join(said) + ".")


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
