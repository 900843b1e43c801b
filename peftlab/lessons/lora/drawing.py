"""The picture of the idea: an update of low rank beside a frozen weight."""

from __future__ import annotations

from matplotlib.patches import FancyBboxPatch

from peftlab.figures import BLUE, SKY, Picture, canvas
from peftlab.figures.drawing import FROZEN, arrow, box


def lora_update() -> Picture:
    """The frozen weight and, beside it, the low-rank update."""
    figure, ax = canvas(7.5, 3.4)
    ax.set(xlim=(0, 10), ylim=(0, 4.6))
    ax.axis("off")
    box(ax, 0.2, 2.0, 0.9, 0.7, "x", "white")
    box(ax, 2.4, 2.75, 2.8, 1.5, "W (frozen)\nd_out × d_in", FROZEN)
    ax.add_patch(
        FancyBboxPatch(
            (2.4, 0.3), 1.1, 1.3, boxstyle="round,pad=0,rounding_size=0.05", fc=SKY, ec=BLUE
        )
    )
    ax.text(2.95, 0.95, "A\nr × d_in", ha="center", va="center", fontsize=9.5)
    ax.add_patch(
        FancyBboxPatch(
            (4.1, 0.3), 1.1, 1.3, boxstyle="round,pad=0,rounding_size=0.05", fc=SKY, ec=BLUE
        )
    )
    ax.text(4.65, 0.95, "B\nd_out × r", ha="center", va="center", fontsize=9.5)
    box(ax, 5.7, 0.6, 1.1, 0.7, "× α / r", "white", edge=BLUE)
    box(ax, 7.4, 2.0, 0.7, 0.7, "+", "white", fontsize=13)
    box(ax, 8.9, 2.0, 0.9, 0.7, "h", "white")
    arrow(ax, (1.1, 2.45), (2.4, 3.4))
    arrow(ax, (1.1, 2.25), (2.4, 1.0), BLUE)
    arrow(ax, (3.5, 0.95), (4.1, 0.95), BLUE)
    arrow(ax, (5.2, 0.95), (5.7, 0.95), BLUE)
    arrow(ax, (6.8, 1.0), (7.55, 2.0), BLUE)
    arrow(ax, (5.2, 3.4), (7.55, 2.7))
    arrow(ax, (8.1, 2.35), (8.9, 2.35))
    ax.text(3.0, 1.75, "starts random", fontsize=8.5, color=BLUE, ha="center")
    ax.text(4.7, 1.75, "starts at zero", fontsize=8.5, color=BLUE, ha="center")
    return Picture(
        figure,
        "LoRA: the input x goes through the frozen weight W and, beside it, through A (r by d_in, "
        "starts random), then B (d_out by r, starts at zero), scaled by alpha over r; the two "
        "results are added to give h.",
    )
