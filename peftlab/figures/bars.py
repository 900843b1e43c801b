"""Pictures with bars: counts on a log axis, choices, memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.patches import Patch

from peftlab.figures.picture import (
    BLUE,
    GREEN,
    PINK,
    RED,
    SKY,
    TITLE,
    YELLOW,
    Picture,
    canvas,
    nothing,
)

_PARTS = {
    "weights": SKY,
    "gradients": YELLOW,
    "AdamW state": RED,
    "activations": PINK,
    "checkpoint": GREEN,
}


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
        The picture; its alternative has every number, and says which are chosen if not all are.
    """
    figure, axes = canvas(7.5, 2.7)
    labels = [label.replace("_", "\n") for label in values]
    colours = [BLUE if label in chosen else "#D8D8D8" for label in values]
    axes.bar(labels, list(values.values()), color=colours, width=0.65)
    axes.set_title(title, **TITLE)
    axes.set_ylabel(ylabel)
    axes.tick_params(axis="x", labelsize=9)
    some = not set(values) <= set(chosen)  # where all bars are chosen there is no choice to tell
    said = "; ".join(
        f"{label} {value:,} (chosen)" if some and label in chosen else f"{label} {value:,}"
        for label, value in values.items()
    )
    return Picture(figure, f"{title}, {ylabel}: {said}.")


def memory_bars(
    parts: Mapping[str, Mapping[str, float]], title: str = "What each way of training costs"
) -> Picture:
    """What each training run keeps in memory, and what it leaves on disk.

    Memory is one bar, made of its parts. The disk is a thin bar below it.

    Args:
        parts: for each label its MiB of "weights", "gradients", "AdamW state", "activations" and
            "checkpoint", or of some of them.
        title: of the figure.

    Returns:
        The picture; its alternative has every number.

    Raises:
        ValueError: a part has another name.
    """
    if not parts:
        return nothing(title, "no run to show")
    named = [name for values in parts.values() for name in values]
    if unknown := [name for name in named if name not in _PARTS]:
        raise ValueError(f"parts has {unknown[0]!r}; a part is one of: {', '.join(_PARTS)}")
    figure, axes = canvas(8, 1.3 + 0.62 * len(parts))
    said = []
    disk = {label: values.get("checkpoint", 0.0) for label, values in parts.items()}
    widest = max(max(sum(parts[label].values()) - disk[label], disk[label]) for label in parts)
    for i, (label, values) in enumerate(parts.items()):
        memory = 0.0
        for name, size in values.items():
            if name == "checkpoint":
                axes.barh(i + 0.33, size, color=_PARTS[name], height=0.14)
                axes.text(size + widest * 0.01, i + 0.34, mib(size), va="center", fontsize=8)
            else:
                axes.barh(i, size, left=memory, color=_PARTS[name], height=0.46)
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
    handles = [Patch(color=colour, label=n) for n, colour in _PARTS.items() if n in named]
    figure.legend(handles=handles, frameon=False, fontsize=9, ncols=5, loc="outside lower center")
    return Picture(figure, f"{title}. " + "; ".join(said) + ".")


def cost_bars(costs: Mapping[str, Mapping[str, float]], title: str) -> Picture:
    """What a training step of each method costs: four columns of bars, each with its own scale.

    Args:
        costs: for each label "weights", "gradients", "AdamW state", "activations" and "checkpoint"
            in MiB, and "time" as a multiple of some other step's.
        title: of the figure.

    Returns:
        The picture; its alternative has every number.
    """
    if not costs:
        return nothing(title, "no step to show")
    figure, columns = canvas(9.6, 1.3 + 0.36 * len(costs), columns=4)
    memory = ("weights", "gradients", "AdamW state")
    columns_of = {
        "memory, activations apart": memory,
        "activations": ("activations",),
        "time of a step": ("time",),
        "checkpoint": ("checkpoint",),
    }
    for axes, (head, names) in zip(columns, columns_of.items(), strict=True):
        sums = [sum(cost[name] for name in names) for cost in costs.values()]
        for i, cost in enumerate(costs.values()):
            left = 0.0
            for name in names:
                axes.barh(i, cost[name], left=left, color=_PARTS.get(name, BLUE), height=0.6)
                left += cost[name]
            number = f"{left:.2f}" if names == ("time",) else f"{left:,.3g}"
            axes.text(left + 0.02 * max(sums), i, number, va="center", fontsize=8)
        axes.set_title(f"{head}\n{'full = 1' if names == ('time',) else 'MiB'}", fontsize=9)
        axes.set_xlim(0, 1.35 * max(sums))
        axes.set_xticks([])
        axes.set_yticks(range(len(costs)), list(costs) if axes is columns[0] else [])
        axes.invert_yaxis()
        axes.grid(visible=False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    handles = [Patch(color=_PARTS[name], label=name) for name in memory]
    figure.legend(handles=handles, frameon=False, fontsize=9, ncols=3, loc="outside lower left")
    said = [
        f"{label}: "
        + ", ".join(f"{name} {mib(size)}" for name, size in cost.items() if name != "time")
        + f", {cost['time']:.2f} times the time"
        for label, cost in costs.items()
    ]
    return Picture(figure, f"{title}. " + "; ".join(said) + ".")


def mib(size: float) -> str:
    """MiB as text, with enough digits for small ones.

    Args:
        size: in MiB.

    Returns:
        The number with its unit, such as "86.6 MiB".
    """
    return f"{size:,.1f} MiB" if size >= 10 else f"{size:.3g} MiB"
