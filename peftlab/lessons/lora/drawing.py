"""The picture of the idea: an update of low rank beside a frozen weight, to scale."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from peftlab.figures import BLACK, BLUE, Picture, canvas
from peftlab.figures.drawing import FROZEN, arrow, box

CELL, WIDTH, RANK = 0.3, 6, 2  # a cell for each number; W is 6 x 6


def lora_update() -> Picture:
    """The frozen weight, the two thin factors, and the rank-1 pieces that they add up to."""
    draw = np.random.default_rng(1)
    b, a = draw.normal(size=(WIDTH, RANK)), draw.normal(size=(RANK, WIDTH))
    pieces = [np.outer(b[:, i], a[i]) for i in range(RANK)]
    figure, ax = canvas(9, 4.6)
    ax.set(xlim=(0, 14.2), ylim=(0, 7.2), aspect="equal")
    ax.axis("off")

    box(ax, 0.1, 5.3, 0.7, 0.7, "x", "white")
    _grid(ax, 2.3, 4.75, np.zeros((WIDTH, WIDTH)), frozen=True)
    ax.text(3.2, 6.75, "W, frozen: 36 numbers", ha="center", fontsize=9.5)
    box(ax, 12.9, 5.3, 0.7, 0.7, "h", "white")
    box(ax, 11.2, 5.35, 0.6, 0.6, "+", "white", fontsize=13)
    arrow(ax, (0.8, 5.65), (2.25, 5.65))
    arrow(ax, (4.15, 5.65), (11.15, 5.65))
    arrow(ax, (11.8, 5.65), (12.85, 5.65))

    arrow(ax, (0.6, 5.25), (2.25, 3.55), BLUE)
    _grid(ax, 2.3, 3.2, a)
    ax.text(3.2, 2.95, "A: 2 × 6, starts random", ha="center", va="top", fontsize=9, color=BLUE)
    arrow(ax, (4.15, 3.5), (5.35, 3.5), BLUE)
    _grid(ax, 5.4, 2.6, b)
    ax.text(5.7, 2.35, "B: 6 × 2, starts at zero", ha="center", va="top", fontsize=9, color=BLUE)
    box(ax, 7.6, 3.15, 1.1, 0.7, "× α / r", "white", edge=BLUE)
    arrow(ax, (6.05, 3.5), (7.55, 3.5), BLUE)
    arrow(ax, (8.7, 3.6), (11.35, 5.3), BLUE)

    left, base = 1.2, 0.15
    for label, values, x in (
        ("first column of B × first row of A", pieces[0], left),
        ("second column × second row", pieces[1], left + 4.0),
        ("B A: 36 numbers made of 24, rank 2", sum(pieces), left + 8.0),
    ):
        _grid(ax, x, base - 0.05, values, cell=0.2)
        ax.text(x + 0.6, base + 1.22, label, ha="center", fontsize=8.5, color=BLUE)
    for x, sign in ((left + 2.6, "+"), (left + 6.6, "=")):
        ax.text(x, base + 0.5, sign, ha="center", va="center", fontsize=14)
    return Picture(
        figure,
        "LoRA, to scale. The input x goes through the frozen weight W, a grid of 6 by 6 numbers, "
        "and beside it through A, 2 by 6, which starts random, and B, 6 by 2, which starts at "
        "zero, scaled by alpha over r; the two results are added to give h. Below: the first "
        "column of B times the first row of A is a grid of 6 by 6 with stripes, the second "
        "column times the second row is another; their sum is B A, 36 numbers made of 24, of "
        "rank 2.",
    )


def _grid(
    ax: Axes, x: float, y: float, values: np.ndarray, cell: float = CELL, frozen: bool = False
) -> None:
    """A matrix as a grid of cells: blue is positive, orange negative; lower left corner (x, y)."""
    rows, columns = values.shape
    top = abs(values).max() or 1.0
    for i in range(rows):
        for j in range(columns):
            share = values[i, j] / top
            colour = (0.0, 0.45, 0.70, share) if share > 0 else (0.90, 0.62, 0.0, -share)
            corner = (x + j * cell, y + (rows - 1 - i) * cell)
            fill = FROZEN if frozen else colour
            ax.add_patch(Rectangle(corner, cell, cell, fc=fill, ec=BLACK, linewidth=0.4))
