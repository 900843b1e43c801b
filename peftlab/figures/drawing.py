"""Drawings of ideas. They show how something works, not what was measured."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from peftlab.figures.picture import BLACK, GREY

FROZEN = "#E8E8E8"


def box(
    ax: Axes, x: float, y: float, w: float, h: float, text: str, colour: str = FROZEN, **style
) -> None:
    """Draw a rounded box with a text in its middle.

    Args:
        ax: where to draw.
        x: of the lower left corner, in units of the axes.
        y: of the lower left corner, in units of the axes.
        w: width, in units of the axes.
        h: height, in units of the axes.
        text: in the middle of the box.
        colour: of the inside.
        **style: "edge", the colour of the border; "fontsize", in points; anything else goes to
            `Axes.text`.
    """
    edge = style.pop("edge", GREY)
    patch = FancyBboxPatch(
        (x, y), w, h, boxstyle="round,pad=0,rounding_size=0.08", fc=colour, ec=edge, lw=1.2
    )
    ax.add_patch(patch)
    ax.text(
        x + w / 2,
        y + h / 2,
        text,
        ha="center",
        va="center",
        fontsize=style.pop("fontsize", 9.5),
        **style,
    )


def arrow(
    ax: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = BLACK, **style
) -> None:
    """Draw an arrow from one point to another.

    Args:
        ax: where to draw.
        start: x and y, in units of the axes.
        end: x and y, in units of the axes.
        colour: of the arrow.
        **style: goes to matplotlib's `FancyArrowPatch`.
    """
    ax.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=11, color=colour, lw=1.2, **style
        )
    )
