"""The picture of the idea: rows of keys and values in every layer, and who sees them."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from peftlab.figures import BLACK, BLUE, GREY, SKY, TITLE, Picture, canvas
from peftlab.figures.drawing import FROZEN, arrow, box

TOKENS = ("food", "Thai", "=>", "It", "serves")
ROWS, LAYERS = 2, 3


def prefix() -> Picture:
    """Rows in every layer on the left, and the mask of their attention on the right."""
    figure, (left, right) = canvas(9.4, 4.1, columns=2)
    left.set(xlim=(0, 10.2), ylim=(0, 8.1))
    left.axis("off")
    left.set_title("Rows in every layer", **TITLE)
    for layer in range(LAYERS):
        y = 1.75 + 2.0 * layer
        left.text(0.05, y + 0.4, f"layer {layer + 1}", fontsize=8.5, va="center")
        for j in range(ROWS):
            box(left, 1.55 + 1.2 * j, y, 1.05, 0.8, "K  V", SKY, edge=BLUE, fontsize=8.5)
        box(left, 4.2, y, 5.9, 0.8, "frozen attention and MLP", fontsize=9)
        arrow(left, (3.85, y + 0.4), (4.2, y + 0.4), BLUE)
    for i, word in enumerate(TOKENS):
        x = 4.2 + 1.2 * i
        box(left, x, 0.35, 1.08, 0.7, word, "white", fontsize=8.5)
        for y in (1.05, 2.55, 4.55, 6.55):
            arrow(left, (x + 0.54, y), (x + 0.54, y + (0.7 if y < 2 else 1.15)))
    left.text(2.7, 1.05, "trained: P rows,\nno tokens", ha="center", va="center", fontsize=8.5,
              color=BLUE)  # fmt: skip
    _mask(right)
    return Picture(
        figure,
        "Prefix-tuning. Left: three frozen layers, into each of which two trained rows of keys and "
        "values go from the side; the tokens food, Thai, =>, It, serves go through the layers, and "
        "no rows go with them. Right: the mask. Every token sees both rows; among the tokens, each "
        "sees itself and those before it.",
    )


def _mask(ax: Axes) -> None:
    """Which query sees which key: blue for rows, grey for tokens."""
    T = len(TOKENS)
    for i in range(T):
        for j in range(ROWS + T):
            row, seen = j < ROWS, j < ROWS or j - ROWS <= i
            fill = (SKY if row else FROZEN) if seen else "white"
            ax.add_patch(Rectangle((j, T - 1 - i), 1, 1, fc=fill, ec=GREY, linewidth=0.8))
            if seen:
                ax.plot(j + 0.5, T - 0.5 - i, "o", color=BLUE if row else BLACK, markersize=4)
    keys = ("row 1", "row 2", *TOKENS)
    ax.set(xlim=(-0.05, ROWS + T + 0.05), ylim=(-0.05, T + 0.05), aspect="equal")
    ax.set_xticks([j + 0.5 for j in range(len(keys))], keys, fontsize=8.5, rotation=40)
    ax.set_yticks([T - 0.5 - i for i in range(T)], TOKENS, fontsize=8.5)
    ax.set(xlabel="key", ylabel="query")
    ax.grid(visible=False)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    ax.tick_params(length=0)
    ax.set_title("Who sees what", **TITLE)
