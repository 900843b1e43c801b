"""The forest plot: every difference with its interval, beside the margin and the paper's number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

from peftlab.figures.picture import BLACK, BLUE, GREY, ORANGE, RED, TITLE, Picture, canvas, nothing
from peftlab.seeds import CLOSE, FAILS, HOLDS, NO_ROOM

COLOURS = {HOLDS: BLUE, FAILS: RED, CLOSE: ORANGE, NO_ROOM: GREY}
MARKERS = {HOLDS: "o", FAILS: "X", CLOSE: "s", NO_ROOM: "o"}  # to tell them apart without colours


def forest(rows: Sequence[Mapping[str, Any]]) -> Picture:
    """Draw differences with their 95 % intervals, one row each, one panel for each unit.

    Args:
        rows: of each difference "claim", "what", "unit", "mean", "low" and "high" (None for a
            single seed), "margin", "verdict", and "printed" (the paper's number, or None).

    Returns:
        The picture; its alternative has every number.
    """
    if not rows:
        return nothing("The claims and their intervals", "no claim rests on a difference of runs")
    units = list(dict.fromkeys(row["unit"] for row in rows))
    counts = [sum(row["unit"] == unit for row in rows) for unit in units]
    heights = [0.95 + 0.62 * count for count in counts]
    figure, panels = canvas(9, 0.4 + sum(heights), rows=len(units), heights=heights)
    panels = panels if len(units) > 1 else [panels]
    for axes, unit in zip(panels, units, strict=True):
        _panel(axes, [row for row in rows if row["unit"] == unit], unit)
    panels[0].set_title("The claims and their intervals", pad=26, **TITLE)
    for label, marker in (("the claim's border", "|"), ("the paper's number", "D")):
        panels[0].plot([], [], marker, mfc="none", mec=BLACK, markersize=9, label=label)
    panels[0].legend(frameon=False, fontsize=8.5, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    said = "; ".join(map(_said, rows))
    return Picture(figure, f"Forest plot of differences with their 95 % intervals. {said}.")


def _panel(axes: Any, rows: Sequence[Mapping[str, Any]], unit: str) -> None:
    for i, row in enumerate(rows):
        colour, wide = COLOURS[row["verdict"]], row["low"] is not None
        if wide:
            axes.plot([row["low"], row["high"]], [i, i], color=colour, linewidth=3, alpha=0.55)
        axes.plot(row["mean"], i, MARKERS[row["verdict"]], color=colour, markersize=8)
        axes.plot([-row["margin"]] * 2, [i - 0.36, i + 0.36], color=BLACK, linewidth=1.6)
        if row["printed"] is not None:
            axes.plot(row["printed"], i, "D", mfc="none", mec=BLACK, markersize=8)
        text = (
            f"{round(row['mean'], 1) + 0:+.1f}" if unit.endswith("points") else f"{row['mean']:.3g}"
        )
        axes.text(1.015, i, f"{text}\n{row['verdict']}", va="center", fontsize=8.5, color=colour,
                  transform=axes.get_yaxis_transform(), linespacing=1.15)  # fmt: skip
    axes.axvline(0, color=GREY, linewidth=0.8, linestyle="--", zorder=0)
    axes.set_yticks(range(len(rows)), [fill(row["what"], 38) for row in rows], fontsize=9)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(f"difference in {unit}: mean and 95 % interval", fontsize=9)
    axes.grid(axis="y", visible=False)


def _said(row: Mapping[str, Any]) -> str:
    ends = "" if row["low"] is None else f", {row['low']:.3g} to {row['high']:.3g}"
    paper = "" if row["printed"] is None else f"; the paper {row['printed']:g}"
    border = f"border {-row['margin'] + 0:g}"
    return f"{row['what']} {row['mean']:.3g} {row['unit']}{ends}, {border}, {row['verdict']}{paper}"
