"""The picture of the idea: rows before the input, or rows in every layer."""

from __future__ import annotations

from matplotlib.axes import Axes

from peftlab.figures import BLACK, BLUE, GREY, SKY, Picture, canvas
from peftlab.figures.drawing import FROZEN, arrow, box

LAYERS, ROWS, TOKENS = 3, 2, ("[CLS]", "Rose", "sings")


def shallow_and_deep() -> Picture:
    """Left: the prompt's states are computed layer by layer. Right: each layer has its own rows."""
    figure, (left, right) = canvas(9.6, 4.1, columns=2)
    for ax, deep in ((left, False), (right, True)):
        ax.set(xlim=(-1.15, 7.0), ylim=(-0.65, 6.1))
        ax.axis("off")
        _tower(ax, deep)
    left.set_title("Shallow: trained at the input alone", fontsize=11)
    right.set_title("Deep: trained in every layer", fontsize=11)
    return Picture(
        figure,
        "Two towers of three layers over the words [CLS] Rose sings. Shallow, on the left: two "
        "trained rows stand before the input; in the layers above, what stands at their places is "
        "computed from below, as for every token. Deep, on the right: nothing is added to the "
        "input, and each of the three layers has two trained rows of keys and values of its own, "
        "which every token of that layer can look at.",
    )


def _tower(ax: Axes, deep: bool) -> None:
    width, step = 1.1, 1.36
    for layer in range(LAYERS + 1):
        y = 1.62 * layer
        name = f"layer {layer}" if layer else "input"
        ax.text(-0.15, y + 0.3, name, ha="right", va="center", fontsize=9, color=GREY)
        for i in range(ROWS + len(TOKENS)):
            x, row = step * i, i < ROWS
            if row and deep and not layer:
                continue
            trained = row and (deep or not layer)
            text = TOKENS[i - ROWS] if not row and not layer else "k, v" if row and deep else ""
            text = "computed" if row and layer and not deep else text
            colour, edge = (SKY, BLUE) if trained else ("white" if row else FROZEN, GREY)
            box(ax, x, y, width, 0.62, text, colour, edge=edge, fontsize=8.5)
            if layer and not (row and deep):
                arrow(ax, (x + width / 2, y - 0.98), (x + width / 2, y - 0.04), BLACK)
        if layer and deep:
            # the rows of a layer are looked at, and come from nowhere
            arrow(ax, (step * ROWS - 0.24, y + 0.31), (step * ROWS - 0.02, y + 0.31), BLUE)
    ax.text(
        step * ROWS / 2 - 0.13,
        -0.15 if not deep else 1.47,
        "trained" if not deep else "trained, in each layer",
        ha="center",
        va="top",
        fontsize=9,
        color=BLUE,
    )
