"""The picture of the idea: trained rows before the embedded input."""

from __future__ import annotations

from peftlab.figures import BLACK, BLUE, GREY, SKY, Picture, canvas
from peftlab.figures.drawing import FROZEN, arrow, box


def soft_prompt() -> Picture:
    """Trained rows stand before the embedded text, and their states are taken off again."""
    figure, ax = canvas(7.5, 3.3)
    ax.set(xlim=(0, 10), ylim=(0, 4.05))
    ax.axis("off")
    names = ("P1", "P2", "P3", "what", "a", "fine", "film")
    for i, name in enumerate(names):
        x, virtual = 0.4 + 1.32 * i, i < 3
        box(ax, x, 0.3, 1.1, 0.6, name, SKY if virtual else FROZEN, edge=BLUE if virtual else GREY)
        arrow(ax, (x + 0.55, 0.9), (x + 0.55, 1.55), BLUE if virtual else BLACK)
        if virtual:
            ax.text(x + 0.55, 3.35, "taken off", ha="center", fontsize=8.5, color=BLUE)
        else:
            arrow(ax, (x + 0.55, 2.35), (x + 0.55, 3.0))
            box(ax, x, 3.0, 1.1, 0.6, f"state {i - 2}", "white")
    box(
        ax,
        0.4,
        1.55,
        9.02,
        0.8,
        "frozen decoder: each token looks at the rows and at what stands before it",
    )
    ax.text(2.25, 0.02, "trained, P × D", ha="center", fontsize=8.5, color=BLUE)
    ax.text(6.95, 0.02, "embedded text, T × D", ha="center", fontsize=8.5, color=GREY)
    ax.text(9.42, 3.75, "the head reads the last one", ha="right", fontsize=8.5)
    return Picture(
        figure,
        "Prompt tuning with a decoder: three trained rows P1 to P3 stand before the embedded text "
        "what a fine film, and go through the frozen model with it; the states of the rows are "
        "taken off, and the head reads the state of the last token, film, which has seen them all.",
    )
